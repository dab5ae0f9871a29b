"""`analyze sweep`: build, count and measure every variant of some axes; write a report."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click

from analyzer.cli import text
from analyzer.cli.base import INTERRUPTED, Verb, say, warn
from analyzer.cli.options import (
    TargetName,
    batch_option,
    device_option,
    executor_options,
    family_options,
    family_values,
    format_option,
    limit_options,
    limits_of,
    profile_of,
    profile_option,
    seconds_type,
)
from analyzer.cli.progress import HEADINGS, GrowingTable, cells
from analyzer.limits import Limit
from analyzer.reading.flat import to_csv
from analyzer.records import Record, devices_of
from analyzer.space.grid import Grid, Listed
from analyzer.sweeping import run
from analyzer.sweeping.database import SqliteStore, open_store
from analyzer.sweeping.executors import Executor, executor_of
from analyzer.sweeping.export import write_results
from analyzer.targets.resolving import named, override


@click.command("sweep", cls=Verb)
@click.argument("variants", nargs=-1, type=TargetName())
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
@executor_options
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    default=None,
    metavar="N",
    help="Processes that count.  [default: all cores]",
)
@profile_option
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
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Take what results.db in --out already has; else keep that file aside and start anew.",
)
@click.option("--dry-run", is_flag=True, help="Say how many variants and how long, and do nothing.")
@format_option()
def command(
    variants: tuple[str, ...],
    format_: str,
    dry_run: bool,
    device: str,
    executor: str,
    address: str | None,
    jobs: int | None,
    out: Path | None,
    report: Path | None,
    resume: bool,
    **options: Any,
) -> int:
    """Every combination of the axes, or the named VARIANTS, counted exactly and compared with DenseNet121.

    The comparison is at the first one's classes and image. VARIANTS are presets or names such as `search` prints. Axes left out of --block, --growth and --compression take their usual values (both residual and dense; growth
    double for residual, 12, 16, 24, 32, 48; compression 0.25, 0.5, 1.0). --measure front times the article's network,
    DenseNet121 and the Pareto front of params and MACs, within --time. Each finished row is kept in results.db in --out
    at once, whatever ends the run; the same command again does only what is missing.
    """
    batch, limits = options.pop("batch"), limits_of(options)
    measure, seconds = cast(run.Measure, options.pop("measure")), options.pop("seconds")
    profile = profile_of(options.pop("profile"))
    grid = _grid(variants, family_values(options, many=True))
    plan = run.plan(grid, batch=batch or 1, measure=measure, seconds=seconds, profile=profile)
    say(_plan_text(plan))
    if dry_run:
        return 0
    folder = out or Path("reports") / datetime.now(UTC).strftime("sweep-%Y%m%dT%H%M%SZ")
    interrupted = False
    on = None if measure == "none" else device
    with (
        closing(executor_of(executor, jobs=jobs, device=on, address=address)) as workers,
        closing(open_store(folder, resume=resume)) as store,
    ):
        try:
            _run(plan, store, workers, batch, format_)
        except KeyboardInterrupt:
            interrupted = True
            say("interrupted: what is finished is kept")
    code = _finish(run.rows_of(plan, store), folder, report or folder / "report.html", limits, format_)
    return INTERRUPTED if interrupted else code


def _grid(names: Sequence[str], axes: dict[str, Any]) -> Grid | Listed:
    """The named variants, or else the axes' combinations; a name and axes: that variant with each of their values."""
    if not names:
        return Grid.default(axes)
    chosen = [named(name) for name in names]
    if not axes:
        return Listed(chosen)
    run.require_few(len(chosen) * len(Grid(**axes)))
    options = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return Listed(override(variant, each) for variant in chosen for each in options)


def _plan_text(plan: run.SweepPlan) -> str:
    measured = {
        "none": "none measured",
        "front": f"the article, DenseNet121 and the front measured in {plan.seconds:g} s",
        "all": f"all measured in {plan.seconds:g} s",
    }
    impossible = f", {len(plan.bad):,} impossible combinations" if plan.bad else ""
    return (
        f"{plan.rows:,} rows ({len(plan.variants):,} variants{impossible}, against DenseNet121 at "
        f"{plan.baseline.classes} classes and {plan.baseline.image} px), {measured[plan.measure]}; "
        f"about {plan.estimated_s:.0f} s in all"
    )


def _run(plan: run.SweepPlan, store: SqliteStore, executor: Executor, batch: int | None, format_: str) -> None:
    start = time.monotonic()
    there = run.already_counted(plan, store)
    if there:
        say(f"{plan.rows:,} rows, {len(there):,} already there")
    rows = list(run.count(plan, store, there, executor))
    say(f"counted {len(rows) - len(there):,} rows in {time.monotonic() - start:.2f} s")
    chosen = run.to_measure(plan, rows)
    if chosen and rows[0].error:
        say(f"DenseNet121 makes no network at this image: times are against {chosen[0].target.shown}")
    with GrowingTable(rows, chosen, on=format_ == "table") as table:
        if chosen:
            times = run.already_measured(plan, chosen, store, executor, batch)
            if times:
                say(f"{len(chosen):,} rows to measure, {len(times):,} already there")
            for row in run.measure(plan, chosen, store, executor, batch=batch, there=times, starting=table.doing):
                table.finish(row)
    if plan.profile is not None:
        error = 100 * plan.profile.mean_error
        say(f"~ is predicted, at batch {plan.profile.batch}: mean error {error:.1f} % on variants left out of the fit")
    if table.hidden:
        say(f"{table.hidden:,} more rows are in {store.path.with_suffix('.csv')}")


def _finish(records: Sequence[Record], folder: Path, report: Path, limits: Sequence[Limit], format_: str) -> int:
    if not records:
        return 3
    write_results(folder, records)
    devices = devices_of(records)
    if len(devices) > 1:
        each = ", ".join(f"{rows:,} on {name}" for name, rows in devices.items())
        say(f"rows are grouped by device, as times compare only within one: {each}")
    failures = [record for record in records if record.error]
    if failures:
        reason = failures[0].error.what if failures[0].error else ""
        warn(f"{len(failures):,} rows have no figures, such as {failures[0].target.shown}: {reason}")
    if len(failures) == len(records):
        _print_all(records, format_)
        say(f"no row has figures: no report; the reasons are in {folder / 'results.csv'}")
        return 3
    from analyzer.reporting.page import write_report
    from analyzer.sweeping.report import report_data

    write_report(report_data(records, limits, command=["analyze", *sys.argv[1:]]), report)
    _print_all(records, format_)  # last: the reader of a pipe may go away
    click.echo(str(report), err=format_ != "table")
    return 0


def _print_all(records: Sequence[Record], format_: str) -> None:
    if format_ == "json":
        text.show("[" + ",\n".join(record.to_json() for record in records) + "]")
    elif format_ == "jsonl":
        for record in records:
            text.show(record.to_json())
    elif format_ == "csv":
        text.show(to_csv(records).rstrip("\n"))
    elif format_ == "md":
        text.show(text.markdown(HEADINGS, [cells(record, records[0]) for record in records]))
