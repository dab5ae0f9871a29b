"""Runs as rows of a table: one a run and epoch, or one a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from analyzer.training.run_records import Epoch, RunOutcome

_OF_RUN = ("run", "network", "image", "seed", "fold")
HEADINGS = (*_OF_RUN, *Epoch.__struct_fields__, "generalisation_gap")
"""A run's fields, then an epoch's; accuracies are shares, losses nats, the gap points."""


def rows(outcome: RunOutcome) -> Iterator[dict[str, Any]]:
    """An outcome's epochs, flat."""
    about = {name: getattr(outcome.config, name) for name in _OF_RUN}
    for epoch in outcome.epochs:
        yield {**about, **msgspec.to_builtins(epoch), "generalisation_gap": epoch.generalisation_gap}
