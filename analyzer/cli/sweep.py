"""`analyze sweep`: build, count and measure every variant of some axes; write a report."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import INTERRUPTED, Verb, say, warn
from analyzer.cli.options import (
    batch_option,
    device_option,
    family_options,
    family_values,
    format_option,
    limit_options,
    limits_of,
    seconds_type,
)
from analyzer.records import Record
from analyzer.space.grid import Grid
from analyzer.sweep import run
from analyzer.sweep.store import JsonlStore, to_csv, write_text

SHOWN = 60
"""Rows of the table on a terminal; beyond, the front and what was measured, and where the rest is."""
HEADINGS = ("variant", "params", "x base", "MACs", "x base", "saved MiB", "x base", "time x base", "images/s")


@click.command("sweep", cls=Verb)
@family_options(many=True)
@batch_option
@click.option(
    "--measure",
    type=click.Choice(["none", "front", "all"]),
    default="front",
    show_default=True,
    help="Which variants to time.",
)
@click.option(
    "--time", "seconds", type=seconds_type, default="40s", show_default=True, metavar="T", help="Time for measuring."
)
@device_option
@limit_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where results go.  [default: reports/sweep-TIME]",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the report goes.  [default: report.html there]",
)
@click.option("--dry-run", is_flag=True, help="Say how many variants and how long, and do nothing.")
@format_option()
def command(format_: str, dry_run: bool, device: str, out: Path | None, report: Path | None, **options: Any) -> int:
    """Every combination of the axes, counted exactly and compared with DenseNet121 at the same classes and image.

    Axes left out of --block, --growth and --compression take their usual values (both residual and dense; growth
    double for residual, 12, 16, 24, 32, 48; compression 0.25, 0.5, 1.0). --measure front times the article's network,
    DenseNet121 and the Pareto front of params and MACs, within --time. Ctrl-C keeps what is finished.
    """
    batch, limits = options.pop("batch"), limits_of(options)
    measure, seconds = cast(run.Measure, options.pop("measure")), options.pop("seconds")
    plan = run.plan(Grid.default(family_values(options, many=True)), batch=batch or 1, measure=measure, seconds=seconds)
    say(_plan_text(plan))
    if dry_run:
        return 0
    measure_one = None if measure == "none" else run.measurer(device, batch)
    folder = out or Path("reports") / datetime.now(UTC).strftime("sweep-%Y%m%dT%H%M%SZ")
    store = JsonlStore(folder / "results.jsonl")
    interrupted = False
    rows: dict[str, Record] = {}
    with _Table(plan, format_) as table:
        try:
            for row in _rows(plan, store, measure_one, table):
                rows[row.target.name] = row
        except KeyboardInterrupt:
            interrupted = True
    return _finish(plan, store, folder, report, limits, format_, table, interrupted)


def _plan_text(plan: run.Plan) -> str:
    measured = {
        "none": "none measured",
        "front": "the article, DenseNet121 and the front measured",
        "all": "all measured",
    }
    time_text = "" if plan.measure == "none" else f" in {plan.seconds:g} s"
    return (
        f"{plan.rows:,} rows ({len(plan.variants):,} variants"
        + (f", {len(plan.bad):,} impossible combinations" if plan.bad else "")
        + f", against DenseNet121 at {plan.baseline.classes} classes and {plan.baseline.image} px), "
        f"{measured[plan.measure]}{time_text}; about {plan.estimated_s:.0f} s in all"
    )


def _rows(plan: run.Plan, store: JsonlStore, measure_one: run.MeasureOne | None, table: _Table) -> Iterator[Record]:
    start = time.monotonic()
    rows = []
    for row in run.count(plan, store):
        rows.append(row)
        yield row
    say(f"counted {len(rows):,} rows in {time.monotonic() - start:.2f} s")
    chosen = run.to_measure(plan, rows)
    table.start(rows, chosen)
    if measure_one is None:
        return
    for i, row in enumerate(chosen):
        table.doing(i, row)
        if i == 0:
            measured = run.measure(plan, chosen, store, measure_one)
        done = next(measured)
        table.finish(done)
        yield done


def _finish(
    plan: run.Plan,
    store: JsonlStore,
    folder: Path,
    report: Path | None,
    limits: dict[str, int],
    format_: str,
    table: _Table,
    interrupted: bool,
) -> int:
    store.close()
    records = store.records()
    write_text(folder / "results.csv", to_csv(records))
    path = _write_report(plan, records, limits, report or folder / "report.html")
    _print_all(records, format_)
    failures = [record for record in records if record.error]
    if failures:
        first = failures[0].error
        warn(
            f"{len(failures):,} rows have no figures, such as {failures[0].target.shown}: {first.what if first else ''}"
        )
    if table.hidden:
        say(f"{table.hidden:,} more rows in {folder / 'results.csv'}")
    if interrupted:
        say("interrupted: what was finished is kept")
    click.echo(str(path), err=format_ != "table")
    if interrupted:
        return INTERRUPTED
    return 0 if len(failures) < len(records) else 3


def _write_report(plan: run.Plan, records: Sequence[Record], limits: dict[str, int], path: Path) -> Path:
    from analyzer.sweep.report import sweep_report

    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_report(plan, records, limits, command=["analyze", *sys.argv[1:]], path=path)
    return path


def _print_all(records: Sequence[Record], format_: str) -> None:
    if format_ == "json":
        text.show("[" + ",\n".join(record.to_json() for record in records) + "]")
    elif format_ == "jsonl":
        for record in records:
            text.show(record.to_json())
    elif format_ == "csv":
        text.show(to_csv(records).rstrip("\n"))
    elif format_ == "md":
        text.show(text.markdown(HEADINGS, [_cells(record, records[0]) for record in records]))


def _cells(row: Record, base: Record) -> list[str]:
    if row.error is not None:
        return [row.target.shown, *["–"] * 7, f"error: {row.error.what}"]
    measured = row.measured
    return [
        row.target.shown,
        units.count(row.params),
        units.ratio(row.params, base.params),
        units.count(row.macs),
        units.ratio(row.macs, base.macs),
        units.mib(row.saved_bytes).removesuffix(" MiB"),
        units.ratio(row.saved_bytes, base.saved_bytes),
        "–" if measured is None else f"{measured.ratio:.2f} ({measured.ratio_low:.2f}–{measured.ratio_high:.2f})",
        "–" if measured is None else f"{measured.measured_images_per_s:.1f}",
    ]


class _Table(contextlib.AbstractContextManager["_Table"]):
    """The table as it grows, row by row, on stdout; the progress of measuring on stderr."""

    def __init__(self, plan: run.Plan, format_: str) -> None:
        self.plan, self.on = plan, format_ == "table"
        self.hidden = 0
        self.widths: list[int] = []
        self.base: Record | None = None
        self.total = 0
        self.progress: Any = None

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.stop()

    def start(self, rows: Sequence[Record], chosen: Sequence[Record]) -> None:
        """Prints the heading and the rows that are complete; those being measured follow as they are."""
        self.base, self.total = rows[0], len(chosen) if self.plan.measure != "none" else 0
        waiting = {row.target.name for row in chosen}
        ready = [row for row in rows if row.target.name not in waiting]
        shown = ready if len(rows) <= SHOWN else [row for row in ready if row.target.name in run.pareto_names(rows)]
        self.hidden = len(ready) - len(shown)
        cells = [_cells(row, rows[0]) for row in [*shown, *chosen]]
        self.widths = [max(len(c[i]) for c in [HEADINGS, *cells]) for i in range(len(HEADINGS))]
        self.widths[-2] = max(self.widths[-2], len("10.00 (10.00–10.00)"))
        if self.on:
            text.show(click.style(text.line(HEADINGS, self.widths), bold=True))
        for row in shown if self.total else [*chosen, *shown]:
            self.finish(row)
        if self.total and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("measuring"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
            )
            self.progress = Progress(
                *columns,
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=True,
            )
            self.task = self.progress.add_task("", total=self.total)
            self.progress.start()

    def doing(self, index: int, row: Record) -> None:
        """Says which row is being measured."""
        if self.progress is not None:
            self.progress.update(self.task, completed=index, description=row.target.shown)
        else:
            say(f"measuring {index + 1} of {self.total}: {row.target.shown}")

    def finish(self, row: Record) -> None:
        """Prints a row that is complete."""
        if self.on and self.base is not None:
            text.show(text.line(_cells(row, self.base), self.widths))
