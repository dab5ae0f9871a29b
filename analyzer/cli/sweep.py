"""`analyze sweep`: build, count and measure every variant of some axes; write a report."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from analyzer.cli import text
from analyzer.cli.base import INTERRUPTED, Verb, say, warn
from analyzer.cli.load import warn_of_load
from analyzer.cli.options import (
    NewFile,
    TargetName,
    batch_option,
    device_option,
    executor_options,
    family_options,
    family_values,
    format_option,
    limit_options,
    limits_of,
    on_option,
    require_device,
    seconds_type,
    wait_option,
)
from analyzer.cli.predicted import basis
from analyzer.cli.progress import HEADINGS, GrowingTable, cells
from analyzer.cli.streams import tell
from analyzer.cli.summary import say_unmeasured, show_summary, show_trained
from analyzer.cli.training_options import training_of, training_options
from analyzer.cli.training_progress import TrainingBar
from analyzer.executors.workplace import Workplace
from analyzer.limits import Limit, default_limits
from analyzer.reading.flat import to_csv
from analyzer.reading.profiles import profile_at
from analyzer.records import Record, devices_of
from analyzer.space.grid import Grid, Listed
from analyzer.sweeping import run
from analyzer.sweeping.execution import SweepWatch, execute
from analyzer.sweeping.run import SweepFiles
from analyzer.targets.resolving import named, override
from analyzer.training.planning import TrainWatch


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
@wait_option
@executor_options
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    default=None,
    metavar="N",
    help="Processes that count, and --train runs at once.  [default: all cores, 1 run]",
)
@on_option
@limit_options
@click.option(
    "--train", "trained", is_flag=True, help="Train every row on --data: test accuracy and gap stand beside the costs."
)
@training_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where results go.  [default: reports/sweep-TIME]",
)
@click.option(
    "--report",
    type=NewFile(),
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

    The comparison is at the first one's classes and image. VARIANTS are presets or names such as `search` prints. Axes
    left out of --block, --growth and --compression take their usual values (both residual and dense; growth double for
    residual, 12, 16, 24, 32, 48; compression 0.25, 0.5, 1.0). --measure front times the article's network, DenseNet121
    and the Pareto front of params and MACs, within --time. Each finished row is kept in results.db in --out at once,
    whatever ends the run; the same command again does only what is missing. With --train rows have the data's classes;
    set --image.
    """
    folder = out or Path("reports") / datetime.now(UTC).strftime("sweep-%Y%m%dT%H%M%SZ")
    limits = limits_of(options)
    require_device(limits, options["on"])
    options |= {"device": device, "executor": executor, "jobs": jobs, "address": address}
    training = training_of(options, wanted=options.pop("trained"), by="--train")
    plan = run.plan(
        _grid(variants, family_values(options, many=True)),
        batch=options["batch"], measure=options["measure"], seconds=options["seconds"],
        profile=profile_at(options["on"], options["batch"]), where=Workplace(executor, jobs, device, address),
        files=SweepFiles(folder, resume, report, tuple(limits), ("analyze", *sys.argv[1:])),
        train=training,
    )  # fmt: skip
    say(_plan_text(plan))
    return 0 if dry_run else _execute(plan, folder, format_)


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
    trained = ""
    if plan.train is not None:
        many = len(plan.train.seeds)
        seeds = f"{many} seed{'s' * (many > 1)}"
        trained = f", then each trained {plan.train.recipe.epochs} epochs from {seeds} (said before it begins)"
    impossible = f", {len(plan.bad):,} impossible combinations" if plan.bad else ""
    return (
        f"{plan.rows:,} rows ({len(plan.variants):,} variants{impossible}, against DenseNet121 at "
        f"{plan.baseline.classes} classes and {plan.baseline.image} px), {measured[plan.measure]}; "
        f"about {plan.estimated_s:.0f} s in all{trained}"
    )


class _Told(SweepWatch):
    """Says a sweep's progress on stderr, and prints its table as it grows."""

    def __init__(self, plan: run.SweepPlan, *, table: bool) -> None:
        self.plan, self.on = plan, table
        self.hidden = 0
        self.table: GrowingTable | None = None

    def counting(self, there: int) -> None:
        if there:
            say(f"{self.plan.rows:,} rows, {there:,} already there")

    def counted(self, new: int, seconds: float) -> None:
        say(f"counted {new:,} rows in {seconds:.2f} s")

    def measuring(self, rows: Sequence[Record], chosen: Sequence[Record], there: int) -> GrowingTable:
        if chosen and rows[0].error:
            say(f"DenseNet121 makes no network at this image: times are against {chosen[0].target.shown}")
        if there:
            say(f"{len(chosen):,} rows to measure, {there:,} already there")
        if len(chosen) > there and self.plan.where.executor == "processes":
            warn_of_load(self.plan.where.device or "cpu", self.plan.seconds)
        limits, seconds = default_limits(self.plan.files.limits, rows[0]), self.plan.seconds
        self.table = GrowingTable(rows, chosen, on=self.on, limits=limits, seconds=seconds)
        self.hidden = self.table.hidden
        return self.table

    def starting(self, row: Record) -> None:
        if self.table is not None:
            self.table.doing(row)

    @contextlib.contextmanager
    def training(self) -> Iterator[TrainWatch]:
        with TrainingBar("table") as bar:
            yield TrainWatch(say, warn, bar.began, bar.step, bar.epoch)

    def finished(self, row: Record) -> None:
        if self.table is not None:
            self.table.finish(row)


def _execute(plan: run.SweepPlan, folder: Path, format_: str) -> int:
    told = _Told(plan, table=format_ == "table")
    done = execute(plan, told)
    if done.interrupted:
        say("interrupted: what is finished is kept")
    elif plan.profile is not None:
        say(f"~ is predicted {basis(plan.profile)}")
    if told.hidden and not done.interrupted:
        say(f"{told.hidden:,} more rows are in {folder / 'results.csv'}")
    if format_ == "table" and told.table is not None:
        text.hint_once(told.table.layout)
    if done.records:
        _say_doubts(done.records)
        if done.report is None:
            say(f"no row has figures: no report; the reasons are in {folder / 'results.csv'}")
    limits = default_limits(plan.files.limits, done.records[0]) if done.records else ()
    _print_all(done.records, format_, limits)  # last: the reader of a pipe may go away
    if format_ == "table" and done.records and done.report is not None:
        show_trained(done.records)
        show_summary(done.records, limits)
    if done.report is not None:
        (text.show if format_ == "table" else tell)(f"open {done.report}")
    if done.interrupted:
        return INTERRUPTED
    return 0 if done.report is not None else 3


def _say_doubts(records: Sequence[Record]) -> None:
    devices = devices_of(records)
    if len(devices) > 1:
        each = ", ".join(f"{rows:,} on {name}" for name, rows in devices.items())
        say(f"rows are grouped by device, as times compare only within one: {each}")
    failures = [record for record in records if record.error]
    if failures:
        reason = failures[0].error.what if failures[0].error else ""
        warn(f"{len(failures):,} rows have no figures, such as {failures[0].target.shown}: {reason}")
    say_unmeasured(records)


def _print_all(records: Sequence[Record], format_: str, limits: Sequence[Limit]) -> None:
    if format_ == "json":
        text.show_json("[" + ",\n".join(record.to_json() for record in records) + "]")
    elif format_ == "jsonl":
        for record in records:
            text.show_json(record.to_json())
    elif format_ == "csv":
        text.show(to_csv(records).rstrip("\n"))
    elif format_ == "md":
        text.show(text.markdown(HEADINGS, [cells(record, records[0], limits) for record in records]))
