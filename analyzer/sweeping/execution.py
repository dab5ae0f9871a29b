"""A sweep from its plan to its files: what the command and Python both conduct."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from analyzer.executors.executor import Executor
from analyzer.files import write_text
from analyzer.reading.flat import to_csv
from analyzer.records import Record
from analyzer.sweeping import run
from analyzer.sweeping.export import to_jsonl
from analyzer.sweeping.kept import keep_asked
from analyzer.sweeping.results_store import store_at
from analyzer.sweeping.run import SweepPlan
from analyzer.sweeping.store import Store
from analyzer.sweeping.trained import train_rows
from analyzer.training.planning import TrainWatch


class SweepWatch:
    """Is told how a sweep goes on; this one keeps it to itself."""

    def counting(self, there: int) -> None:
        """It begins: so many rows are there from earlier runs."""

    def counted(self, new: int, seconds: float) -> None:
        """Every row is counted, `new` ones in so many seconds."""

    def measuring(self, rows: Sequence[Record], chosen: Sequence[Record], there: int) -> AbstractContextManager[object]:
        """Of all rows the chosen ones are to be measured, which `there` of them are already; entered while they are."""
        return nullcontext()

    def starting(self, row: Record) -> None:
        """A row begins to be measured."""

    def training(self) -> AbstractContextManager[TrainWatch]:
        """Rows are to be trained: who is told of it; entered while they are."""
        return nullcontext(TrainWatch())

    def finished(self, row: Record) -> None:
        """A row that was chosen is complete."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep has made: its rows (the baseline first) and the report, where there is one."""

    records: tuple[Record, ...]
    report: Path | None
    interrupted: bool


def execute(plan: SweepPlan, watch: SweepWatch | None = None) -> SweepResult:
    """Counts, measures, keeps and reports what the plan says. On Ctrl-C what is finished is, and `interrupted`."""
    interrupted = False
    if plan.files.folder is not None:
        keep_asked(plan.files.folder, plan.files.command, plan.files.limits)
    with closing(plan.where.open()) as workers, closing(store_at(plan.files.folder, plan.files.resume)) as store:
        try:
            _conduct(plan, store, workers, watch or SweepWatch())
        except KeyboardInterrupt:
            interrupted = True
    records = run.rows_of(plan, store)
    return SweepResult(tuple(records), _write(plan, records), interrupted)


def _conduct(plan: SweepPlan, store: Store, executor: Executor, watch: SweepWatch) -> None:
    start = time.monotonic()
    there = run.already_counted(plan, store)
    watch.counting(len(there))
    rows = list(run.count(plan, store, there, executor))
    watch.counted(len(rows) - len(there), time.monotonic() - start)
    chosen = run.to_measure(plan, rows)
    times = run.already_measured(plan, chosen, store, executor, plan.measured_batch) if chosen else {}
    with watch.measuring(rows, chosen, len(times)):
        if chosen:
            for row in run.measure(plan, chosen, store, executor, there=times, starting=watch.starting):
                watch.finished(row)
    if plan.train is not None:
        with watch.training() as told:
            train_rows(plan, store.records(), store, told)


def _write(plan: SweepPlan, records: Sequence[Record]) -> Path | None:
    """The files that the plan asks for; where its report is."""
    files = plan.files
    if files.folder is None or not records:
        return None
    lines, table, report = files.paths(files.folder)
    write_text(lines, to_jsonl(records))
    write_text(table, to_csv(records))
    if all(record.error for record in records):
        return None
    from analyzer.reporting.page import write_report
    from analyzer.sweeping.report import report_data

    write_report(report_data(records, files.limits, command=files.command), report)
    return report
