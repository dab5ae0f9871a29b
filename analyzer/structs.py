"""What records are made of: frozen structs, numbers that can be, and how a result is shown."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, ClassVar

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


class Shown:
    """A result that has a notebook's cell and a page. `shown_by` names the module that makes both, `cell(result)` and
    `write_page(result, path)`: a room far below, so imported only where a result is shown.
    """

    __slots__ = ()
    shown_by: ClassVar[str]

    def report(self, path: str | Path) -> Path:
        """Writes it as one HTML file, whole or not at all; returns where it is. UsageError where it can't be."""
        import_module(self.shown_by).write_page(self, path)
        return Path(path)

    def _repr_html_(self) -> str:
        return str(import_module(self.shown_by).cell(self))
