"""`analyze measure`: throughput, latency and memory on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import INTERRUPTED, Verb, say, warn
from analyzer.cli.load import warn_of_load
from analyzer.cli.measuring_bar import MeasuringBar
from analyzer.cli.options import (
    NewFile,
    TargetName,
    device_option,
    family_options,
    family_values,
    format_option,
    model_options,
    seconds_type,
    wait_option,
)
from analyzer.figures import FIGURES
from analyzer.files import write_text
from analyzer.layout import ShownCell, ends_cell
from analyzer.measurements import Conditions, Measurement
from analyzer.measuring.execution import MeasurePlan, MeasureWatch, execute, execute_memory, plan
from analyzer.measuring.measure import SINGLES, MemoryMeasurement
from analyzer.measuring.protocol import Protocol
from analyzer.measuring.statistics import percentiles
from analyzer.reading.peak import Autocast
from analyzer.records import Record, standings
from analyzer.seals import line
from analyzer.sweeping.store import JsonlStore
from analyzer.targets.resolving import resolve

HEADINGS = (
    "model", "time x base", "95 %", "time", "images/s", "processes", "verdict", "batch", "batch-1 p50", "p90", "p99",
)  # fmt: skip


@click.command("measure", cls=Verb)
@click.argument("targets", nargs=-1, required=True, type=TargetName())
@click.option("--against", metavar="TARGET", help="The baseline.  [default: densenet121 at the same classes and image]")
@click.option("--batch", metavar="N", help="Images a batch, or auto.  [default: 2; 64 on CUDA]")
@device_option
@wait_option
@click.option("--training", is_flag=True, help="A training step with Adam in place of an inference forward.")
@click.option(
    "--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True,
    help="Of parameters and activations.",
)  # fmt: skip
@click.option("--autocast", type=click.Choice(get_args(Autocast)), default="none", show_default=True,
              help="What torch.autocast computes in, the parameters staying float32.")  # fmt: skip
@click.option("--channels-last", is_flag=True, help="In channels_last memory format.")
@click.option("--compile", is_flag=True, help="Under torch.compile.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads.  [default: torch's own choice]")
@click.option("--malloc", type=click.Choice(["default", "tuned"]), default="default", show_default=True,
              help="tuned keeps freed memory, as long-running servers do.")  # fmt: skip
@click.option("--flush-l2", is_flag=True, help="Empty CUDA's L2 cache before each time.")
@click.option("--time", "seconds", type=seconds_type, default="10m", show_default=True, metavar="T", help="At most.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=24, show_default=True, help="Processes at most.")
@click.option("--precision", type=click.FloatRange(0.001, 1), default=0.03, show_default=True,
              help="The interval's half-width, relative, at which to stop.")  # fmt: skip
@click.option("--memory", is_flag=True, help="What the allocator says, beside the prediction, in place of times.")
@click.option("--out", type=NewFile(), metavar="FILE",
              help="Where each row goes as soon as it is made, every raw time in it (JSON lines).  "
                   "[default: reports/measure-TIME.jsonl]")  # fmt: skip
@model_options
@family_options(many=False)
@format_option("table", "json", "jsonl", "md")
def command(targets: tuple[str, ...], format_: str, out: Path | None, **options: Any) -> int:
    """Times of TARGETs against a baseline on this machine, with what they are worth.

    Every round is a fresh process, which times both models in alternating pairs; the ratio is the median over processes
    with its 95 % interval. In inference each process also times the model alone at batch 1. Ctrl-C keeps the processes
    that are finished. Options of the family (--classes 2) apply to every target.
    """
    values = family_values(options, many=False)
    own = {"inputs": options.pop("inputs"), "kwargs": options.pop("kwargs")}
    resolved = [resolve(name, **own) if ":" in name else resolve(name, values) for name in targets]
    against, rounds = options.pop("against"), options.pop("rounds")
    protocol = Protocol(
        seconds=options.pop("seconds"), most=rounds, least=min(8, rounds), target=options.pop("precision"),
        singles=SINGLES,
    )  # fmt: skip
    device, batch, memory = options.pop("device"), options.pop("batch"), options.pop("memory")
    conditions = Conditions(mode="training" if options.pop("training") else "inference", **options)
    out = out or Path("reports") / datetime.now(UTC).strftime("measure-%Y%m%dT%H%M%SZ.jsonl")
    asked = plan(
        resolved, against=None if against is None else resolve(against, values), device=device, batch=batch,
        conditions=conditions, protocol=protocol, say=say, out=out,
    )  # fmt: skip
    return _memory(asked, out, format_) if memory else _times(asked, out, format_)


def _times(asked: MeasurePlan, out: Path, format_: str) -> int:
    conditions = asked.conditions
    warn_of_load(asked.device, asked.protocol.seconds)
    say(f"against {asked.baseline.name}, {conditions.mode}, {conditions.dtype}; at most {asked.protocol.seconds:g} s")
    with closing(JsonlStore(out)) as store, MeasuringBar(len(asked.subjects), asked.protocol.seconds) as bar:
        done = execute(asked, _Measuring(asked, bar, store).watch)
    if done.interrupted:
        say("interrupted: what is finished is kept")
    _print(done.records, format_)
    say(str(out))
    if done.interrupted:
        return INTERRUPTED
    return 3 if all(row.error for row in done.records) else 0


class _Measuring:
    """Keeps rows, and tells a bar of every process: a model is done after the least that it needs, or before."""

    def __init__(self, asked: MeasurePlan, bar: MeasuringBar, store: JsonlStore) -> None:
        self.bar, self.store, self.least = bar, store, asked.protocol.least
        self.begun: dict[str, float] = {}
        self.watch = MeasureWatch(say, self._doing, self._keep)

    def _doing(self, name: str, before: int) -> None:
        if name not in self.begun:
            self.bar.doing(name, len(self.begun) + 1)
        self.begun[name] = min(before / (self.least + 1), 0.95)
        self._share(f"{name}, process {before + 1}")

    def _keep(self, row: Record) -> None:
        self.store.put([row])
        self.begun[row.target.name] = 1
        self._share("")

    def _share(self, words: str) -> None:
        self.bar.share(sum(self.begun.values()) / self.bar.models, words)


def _print(rows: Sequence[Record], format_: str) -> None:
    if format_ == "json":
        text.show_json("[" + ",\n".join(row.to_json() for row in rows) + "]")
        return
    if format_ == "jsonl":
        for row in rows:
            text.show_json(row.to_json())
        return
    good = sorted((r for r in rows if r.measured), key=lambda r: r.measured.ratio if r.measured else 0.0)
    lines = [_line(row, row.measured) for row in good if row.measured]
    if format_ == "md":
        text.show(text.markdown(HEADINGS, lines))
    elif lines:
        text.show_table(HEADINGS, lines, drop=(10, 9, 8, 7, 6, 5))
        figures = [figure for figure in FIGURES.values() if figure.standing == "measured"]
        text.show_words(f"Known: {standings(figures, good)}")
    for row in rows:
        for caveat in row.measured.caveats if row.measured else ():
            warn(f"{row.target.name}: {caveat.kind}: {caveat.what}; {caveat.fix}")
        for note in row.measured.notes if row.measured else ():
            say(f"note: {row.target.name}: {note}")
        if row.error is not None:
            warn(f"{row.target.name}: {row.error.what}; {row.error.fix}")


def _line(row: Record, made: Measurement) -> tuple[str, ...]:
    singles = [units.seconds(t) for t in percentiles(made.latency_s)] if made.latency_s else ["–"] * 3
    low, ratio, high = (units.times(each) for each in (made.ratio_low, made.ratio, made.ratio_high))
    return (
        row.target.name,
        ShownCell(f"{ratio} ⚠" if made.caution else ratio),
        ShownCell(f"{'range ' if made.caution else ''}{low}–{high}", f"{low}–{high}"),
        ends_cell(row, FIGURES["measured_latency_s"]),
        ends_cell(row, FIGURES["measured_images_per_s"]),
        str(made.processes),
        made.verdict,
        str(made.batch),
        *singles,
    )


def _memory(asked: MeasurePlan, out: Path, format_: str) -> int:
    rows: list[MemoryMeasurement] = []

    def keep(row: MemoryMeasurement) -> None:
        rows.append(row)
        write_text(out, "".join(line(msgspec.to_builtins(each)) for each in rows))

    execute_memory(asked, MeasureWatch(keep_memory=keep, failed=lambda error: warn(str(error))))
    if format_ in ("json", "jsonl"):
        text.show_json(msgspec.json.encode(rows).decode())
        return 0 if rows else 3
    headings = ("model", "batch", "measured", "predicted", "difference", "why", "peak of each phase", "RSS")
    lines = [_memory_line(row) for row in rows]
    if not rows:
        return 3
    text.show(text.markdown(headings, lines)) if format_ == "md" else text.show_table(headings, lines)
    say(str(out))
    return 0


def _memory_line(row: MemoryMeasurement) -> tuple[str, ...]:
    predicted = row.predicted_allocated_bytes or row.predicted_bytes
    return (
        row.name,
        str(row.batch),
        units.mib(row.measured_bytes),
        units.mib(predicted),
        units.percent(row.measured_bytes - (predicted or row.measured_bytes), predicted),
        row.why,
        ", ".join(f"{phase} {units.mib(size)}" for phase, size in row.phases.items()),
        units.mib(row.rss_bytes),
    )
