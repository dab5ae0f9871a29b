"""Networks and their figures: build, frame, compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.figures import FIGURES
from analyzer.reading.comparison import LayerChange, compare_records
from analyzer.reading.flat import frame_of
from analyzer.records import Record
from analyzer.targets.analysis import analyze
from analyzer.targets.resolving import named

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn


def build(
    variant: Variant | str, *, device: str | torch.device = "cpu", seed: int = 0, checkpoint_layers: bool = False
) -> nn.Module:
    """The network of a variant, or of a preset's or variant's name, as a torch module in training mode.

    Takes (N, 3, image, image) float32. Initialised as the article does; the same `seed` gives the same weights on every
    device. With `checkpoint_layers` each layer is run again in the backward pass: less memory for more time. Raises
    ArchitectureError where the variant makes no network.

    >>> import analyzer as an
    >>> small = an.Variant(block="dense", block_config=(1, 1), growth=4, image=32)
    >>> sum(p.numel() for p in an.build(small).parameters()) == an.analyze(small).params
    True
    """
    from analyzer.building.modules import build as build_variant

    known = named(variant) if isinstance(variant, str) else variant
    return build_variant(known, device=device, seed=seed, checkpoint_layers=checkpoint_layers)


def frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row a record, indexed by name, in the columns of every other table: figures, axes, times, the error.

    >>> import analyzer as an
    >>> an.frame([an.analyze("article"), an.analyze("densenet121")])["params"].tolist()
    [149871874, 7978856]
    """
    return frame_of(records)


@dataclass(frozen=True, repr=False)
class Comparison:
    """Records side by side, and for each after the first the layers that carry its difference to the first."""

    records: tuple[Record, ...]
    layers: tuple[tuple[LayerChange, ...], ...]

    def frame(self) -> pd.DataFrame:
        """Figures as rows, targets as columns, then each target's ratio to the first."""
        shown = [figure.name for figure in FIGURES.values() if figure.standing != "measured"]
        table = frame(self.records)[shown].T.dropna(how="all")
        first = table.iloc[:, 0]
        for record in self.records[1:]:
            table[f"{record.target.name} / {self.records[0].target.name}"] = table[record.target.name] / first
        return table

    def report(self, path: str | Path) -> Path:
        """Writes a page on the second beside the first; returns where it is."""
        from analyzer.reporting.against import against
        from analyzer.reporting.data import now
        from analyzer.reporting.page import write_report

        write_report(against(*self.records[:2], command=("analyzer.compare",), generated=now()), path)
        return Path(path)

    def __repr__(self) -> str:
        return f"Comparison({', '.join(record.target.shown for record in self.records)})"

    def _repr_html_(self) -> str:
        from analyzer.limits import default_limits
        from analyzer.reporting.notebook import records_html

        own = default_limits((), self.records[0])
        return records_html(self.records, subject=self.records[1], limits=own, compared=True)


def compare(*targets: Any, batch: int = 1, by: str = "params", inputs: Any = None, on: str | None = None) -> Comparison:
    """Two or more variants, names or modules (which need `inputs`) side by side; layers compared by a figure.

    `on` names a device whose profile predicts latency.

    >>> import analyzer as an
    >>> compared = an.compare("article", "densenet121")
    >>> compared.frame().loc["params"].tolist()
    [149871874, 7978856, 0.05323784768314834]
    """
    if len(targets) < 2:
        raise UsageError("compares two targets or more", where="compare", fix="such as compare(variant, 'densenet121')")
    records = tuple(_record(target, batch, inputs, on) for target in targets)
    return Comparison(records, tuple(tuple(compare_records(records[0], other, by)) for other in records[1:]))


def _record(target: Any, batch: int, inputs: Any, on: str | None) -> Record:
    own = not isinstance(target, (str, Variant))
    return analyze(target, inputs=inputs if own else None, batch=batch, on=on)
