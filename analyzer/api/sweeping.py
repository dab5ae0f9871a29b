"""A grid counted, measured and kept: sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.api.tables import frame
from analyzer.architecture.variant import Variant
from analyzer.executors.workplace import Workplace
from analyzer.limits import Limit, at_most
from analyzer.reading.profiles import profile_at
from analyzer.records import Record
from analyzer.space.grid import Grid, Listed
from analyzer.sweeping.choosing import pareto_names
from analyzer.sweeping.run import Measure, SweepFiles, plan
from analyzer.targets.resolving import named

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Sweep:
    """A finished sweep: its records (the baseline first), the names on the front of params and MACs, its limits, and
    the page that it left in its folder.
    """

    records: tuple[Record, ...]
    front: tuple[str, ...]
    page: Path | None
    limits: tuple[Limit, ...] = ()

    def frame(self) -> pd.DataFrame:
        """One row a variant."""
        return frame(self.records)

    def report(self, path: str | Path, *, subject: str | None = None) -> Path:
        """Writes a page on the rows, the verdict on the one named `subject`; returns where it is."""
        from analyzer.reporting.page import write_report
        from analyzer.sweeping.report import report_data

        write_report(report_data(self.records, self.limits, command=("analyzer.sweep",), subject=subject), path)
        return Path(path)

    def __repr__(self) -> str:
        failed = sum(row.error is not None for row in self.records)
        more = f", {failed:,} without figures" if failed else ""
        return f"Sweep({len(self.records):,} rows, {len(self.front):,} on the front{more})"

    def _repr_html_(self) -> str:
        from analyzer.limits import default_limits
        from analyzer.reporting.notebook import records_html
        from analyzer.sweeping.choosing import subject_of

        limits = default_limits(self.limits, self.records[0])
        return records_html(self.records, subject=subject_of(self.records, None), front=self.front, limits=limits)


def sweep(
    grid: Grid | Sequence[Variant | str], *, batch: int | None = None, measure: Measure = "none", seconds: float = 40.0,
    device: str = "auto", out: str | Path | None = None, limits: dict[str, int] | None = None, resume: bool = True,
    profile: str | Path | None = None, on: str | Path | None = None, jobs: int | None = None,
    executor: str = "processes", address: str | None = None, train: Mapping[str, Any] | None = None,
) -> Sweep:  # fmt: skip
    """Counts every variant of a grid (or those listed, by name too), measures the chosen ones, and with
    `out` keeps results and a report there.

    What `results.db` in `out` already has is not done again; without `resume` that file is kept aside. `limits` are
    budgets by figure for the report (default: DenseNet121's own). `on` (or `profile`), a device or a profile's file,
    predicts every row's latency. A `batch` of None: 1 for saved bytes, the device's usual for measuring. Counting takes
    `jobs` processes (default: all cores), or with `executor="ray"` the cluster at `address`. `train` has `data` and the
    words of `an.train`: each row is trained at the images' classes and kept in `out`, as many at once as `jobs` says
    (default: one) or the cluster has cores. Raises UsageError on a bad grid.

    >>> an.sweep(an.Grid(blocks=[(1, 1)], growth=[8, 16], image=32))
    Sweep(3 rows, 1 on the front)
    """
    from analyzer.sweeping.execution import execute
    from analyzer.training.asked import training_asked

    place = {"jobs": jobs, "executor": executor, "address": address}
    asked = plan(
        grid if isinstance(grid, Grid) else Listed(named(v) if isinstance(v, str) else v for v in grid),
        batch=batch, measure=measure, seconds=seconds, profile=profile_at(on or profile, batch),
        where=Workplace(executor, jobs, device, address),
        files=SweepFiles(
            None if out is None else Path(out), resume, limits=at_most(limits or {}, "limits"),
            command=("analyzer.sweep",),
        ),
        train=None if train is None else training_asked({**place, **train}),
    )  # fmt: skip
    done = execute(asked)
    if done.interrupted:
        raise KeyboardInterrupt
    return Sweep(done.records, pareto_names(done.records), done.report, tuple(asked.files.limits))
