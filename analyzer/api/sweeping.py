"""A grid counted, measured and kept: sweep."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.api.shared import profile_at, store_at
from analyzer.api.tables import frame
from analyzer.architecture.variant import Variant
from analyzer.limits import at_most
from analyzer.records import Record
from analyzer.space.grid import Grid, Listed
from analyzer.sweeping import run
from analyzer.sweeping.executors import executor_of
from analyzer.sweeping.export import write_results
from analyzer.targets.resolving import named

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Sweep:
    """A finished sweep: its records (the baseline first), the names on the front of params and MACs, the report."""

    records: tuple[Record, ...]
    front: tuple[str, ...]
    report: Path | None

    def frame(self) -> pd.DataFrame:
        """One row a variant."""
        return frame(self.records)

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(na_rep="–"))


def sweep(
    grid: Grid | Sequence[Variant | str],
    *,
    batch: int = 1,
    measure: run.Measure = "none",
    seconds: float = 40.0,
    device: str = "auto",
    out: str | Path | None = None,
    limits: dict[str, int] | None = None,
    resume: bool = True,
    profile: str | Path | None = None,
    jobs: int | None = None,
    executor: str = "processes",
    address: str | None = None,
) -> Sweep:
    """Counts every variant of a grid (or those listed, by name too), measures the chosen ones, and with
    `out` keeps results and a report there.

    What `results.db` in `out` already has is not done again; without `resume` that file is kept aside. `limits` are
    budgets by figure for the report (default: DenseNet121's own). A device's `profile` (a file of `calibrate`'s)
    predicts every row's latency. Counting takes `jobs` processes (default: all cores); with `executor="ray"` the work
    goes to the cluster at `address`. Raises UsageError on a bad grid; a bad variant is a record with an `error`.
    """
    listed = grid if isinstance(grid, Grid) else Listed(named(v) if isinstance(v, str) else v for v in grid)
    plan = run.plan(listed, batch=batch, measure=measure, seconds=seconds, profile=profile_at(profile))
    folder = None if out is None else Path(out)
    on = None if measure == "none" else device
    with (
        closing(executor_of(executor, jobs=jobs, device=on, address=address)) as workers,
        closing(store_at(folder, resume)) as store,
    ):
        rows = list(run.count(plan, store, run.already_counted(plan, store), workers))
        chosen = run.to_measure(plan, rows)
        if chosen:
            there = run.already_measured(plan, chosen, store, workers, batch)
            for _ in run.measure(plan, chosen, store, workers, batch=batch, there=there):
                pass
    records = run.rows_of(plan, store)
    if folder is None:
        return Sweep(tuple(records), run.pareto_names(records), None)
    from analyzer.reporting.page import write_report
    from analyzer.sweeping.report import report_data

    write_results(folder, records)
    report = folder / "report.html"
    write_report(report_data(records, at_most(limits or {}, "limits"), command=["analyzer.sweep"]), report)
    return Sweep(tuple(records), run.pareto_names(records), report)
