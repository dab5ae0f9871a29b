"""What records are made of: frozen structs, and numbers that can be."""

from __future__ import annotations

from typing import Annotated

import msgspec

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A count or bytes: never negative, and no more than torch itself can count."""
Seconds = Annotated[float, msgspec.Meta(gt=0, lt=1e9)]
Span = Annotated[float, msgspec.Meta(ge=0, lt=1e9)]
"""Seconds that may be none, or a relative error."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Some = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
"""How many there are, where there is one at least."""
Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e18)]


Number = int | float
"""A figure: a count or bytes, or predicted seconds."""


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the records: frozen, unknown fields refused. Subclasses say frozen and kw_only for their own fields."""
