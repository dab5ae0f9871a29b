"""A sweep's rows trained: what each network buys, beside what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from analyzer.errors import UsageError
from analyzer.records import Record, Remark
from analyzer.space.grid import Grid, Listed
from analyzer.training.summaries import figures_of, summaries

if TYPE_CHECKING:
    from analyzer.sweeping.run import SweepPlan
    from analyzer.sweeping.store import Store
    from analyzer.training.planning import TrainWatch
    from analyzer.training.run_records import RunOutcome


def require_kept(folder: Path | None, *, resume: bool) -> None:
    """UsageError where a sweep's networks can't be kept, or would begin anew beside those that are there."""
    if folder is None:
        raise UsageError("needs a folder to keep networks in", where="train", fix="give out")
    if not resume:
        fix = "leave it out, or choose another --out"
        raise UsageError("would train anew what is there", where="--no-resume", fix=fix)


def at_classes(grid: Grid | Listed, classes: int) -> Grid | Listed:
    """The grid with as many classes as the images have. Raises UsageError where it says another number."""
    if isinstance(grid, Listed):
        return Listed(replace(variant, classes=classes) for variant in grid.variants)
    if grid.axes.get("classes", (classes,)) != (classes,):
        what = f"come from the data, which has {classes}"
        raise UsageError(what, where="--classes", fix="leave it out")
    return grid.at(classes=(classes,))


def train_rows(plan: SweepPlan, rows: Sequence[Record], store: Store, watch: TrainWatch) -> None:
    """Trains every row that is a network, from where earlier runs in the folder are, and stores each with what it came
    to, or why it did not. On Ctrl-C raises KeyboardInterrupt once what is finished is stored.
    """
    from analyzer.training.execution import execute

    assert plan.train is not None
    assert plan.files.folder is not None
    good = {row.target.variant: row for row in rows if row.error is None and row.target.variant is not None}
    done = execute(plan.train.plan(list(good), plan.files.folder), watch)
    latest = {row.target.name: row for row in store.records()}
    for row in with_trained(
        [latest[row.target.name] for row in good.values()], done.runs, interrupted=done.interrupted
    ):
        store.put([row])
    if done.interrupted:
        raise KeyboardInterrupt


def with_trained(rows: Sequence[Record], runs: Sequence[RunOutcome], *, interrupted: bool = False) -> list[Record]:
    """Rows with the figures of their runs; where those came to no end, with the reason (unless they go on later)."""
    found = {summary.network: summary for summary in summaries(runs)}
    errors = {run.config.network: run.error for run in runs if run.error is not None}
    made = []
    for row in rows:
        network = row.target.variant.name if row.target.variant else ""
        figures = figures_of(found[network]) if network in found else None
        made.append(msgspec.structs.replace(row, trained=figures))
        if figures is None and not interrupted:
            reason = errors.get(network, "no test images")
            made[-1] = made[-1].remarked(Remark(kind="not-trained", text=f"no accuracy: {reason}"))
    return made
