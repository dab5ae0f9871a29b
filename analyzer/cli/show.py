"""`analyze show`: one model's layers and what each costs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import Verb, say, warn
from analyzer.cli.channel_map import show_map
from analyzer.cli.memory import show_memory
from analyzer.cli.options import (
    Count,
    NewFile,
    TargetName,
    batch_option,
    family_options,
    family_values,
    format_option,
    model_options,
    on_option,
    timeout_option,
    training_of,
    training_options,
)
from analyzer.cli.predicted import say_basis, show_predicted
from analyzer.errors import CountError, UsageError
from analyzer.figures import FIGURES, LAYERED, SHARED
from analyzer.files import csv_text
from analyzer.layout import figure_cell, percent_cell
from analyzer.reading.family import baseline_or_none
from analyzer.reading.layers import LayerNode, tree
from analyzer.reading.peak import DEFAULT, Training
from analyzer.reading.prediction import MemoryPrediction, no_peaks
from analyzer.reading.profiles import profile_at
from analyzer.records import Record, standing_of
from analyzer.targets.analysis import analyze_target, predict, witnesses_of
from analyzer.targets.files import Costed, resolve_costed
from analyzer.targets.isolation import SECONDS
from analyzer.targets.resolving import FamilyTarget, ModuleTarget

if TYPE_CHECKING:
    from analyzer.tracing.witnesses import Witness

MACS = FIGURES["macs"]
DROPPED = (7, 9, 6, 2, 4, 1, 8)
"""Columns of the layers in the order in which they go where there is no room; params and MACs stay."""
ALWAYS = ("macs", "saved_bytes")
"""Totals that are shown where they are not known, too: the notes say why they are not."""


@click.command("show", cls=Verb)
@click.argument("target", required=False, type=TargetName())
@family_options(many=False)
@batch_option
@model_options
@on_option
@click.option(
    "--depth", type=click.IntRange(0), default=3, show_default=True, help="Levels of the layer tree to print."
)
@click.option("--backward", is_flag=True, help="Count the backward pass too (a model of your own).")
@click.option("--witnesses", is_flag=True, help="What torchinfo, fvcore and torch's counter say, and why they differ.")
@click.option("--report", type=NewFile(), metavar="FILE", help="Write an HTML report too.")
@click.option("--peak", is_flag=True, help="Peak memory as these say, where it stands, and what is alive then:")
@training_options
@timeout_option
@click.option("--map", "of_map", is_flag=True, help="Of a compressed checkpoint: what was cut, and from where.")
@click.option("--cpu-memory", type=Count(), metavar="BYTES",
              help="The most that a run for values may take.  [default: half of what is free]")  # fmt: skip
@click.option("--strict", is_flag=True, help="An operator that can't be counted is an error (exit 3).")
@format_option("table", "json", "csv", "md")
def command(
    target: str | None, inputs: tuple[str, ...], kwargs: tuple[str, ...], depth: int, format_: str, **options: Any
) -> None:
    """Layers of TARGET with params, MACs, activations and shares, its totals, and how it compares with DenseNet121.

    TARGET is a preset (article, densenet121, ...), a variant's name, package.module:attr or path/file.py:attr, or a
    file: .safetensors, .onnx. Options of the family override a preset's; without TARGET they alone say the variant.
    Counting a model of your own runs its code; a file is read, and nothing in it is run.
    """
    if options.pop("of_map"):
        show_map(target, format_)
        return
    profile = profile_at(options.pop("on"), options["batch"])
    batch, backward, strict = options.pop("batch") or 1, options.pop("backward"), options.pop("strict")
    peak, training = options.pop("peak"), training_of(options)
    if not peak and training != DEFAULT:
        raise UsageError("say how a peak is reached", where="--dtype and the like", fix="add --peak")
    wanted, report, most = options.pop("witnesses"), options.pop("report"), options.pop("cpu_memory")
    resolved = resolve_costed(target, family_values(options, many=False), kwargs=kwargs, inputs=inputs)
    resolved = replace(resolved, cpu_memory=most) if isinstance(resolved, ModuleTarget) else resolved
    seconds = options.pop("timeout") or SECONDS
    record = analyze_target(resolved, batch=batch, backward=backward, strict=strict, seconds=seconds, profile=profile)
    baseline = _baseline(resolved, batch)
    memory, record = _with_memory(resolved, record, training, seconds) if peak else (None, record)
    if memory is not None and training == DEFAULT:
        peaks = (memory.peak_training_bytes, memory.peak_inference_bytes)
        record = msgspec.structs.replace(record, peak_training_bytes=peaks[0], peak_inference_bytes=peaks[1])
    _tell_notes(resolved, record, memory)
    seen = witnesses_of(resolved, record, seconds=seconds) if wanted else ()
    if format_ == "json":
        text.show_json(_json(record, seen if wanted else None, memory))
    else:
        _print(record, baseline, depth, format_)
        if memory is not None:
            show_memory(memory, format_)
        if wanted:
            _print_witnesses(seen, format_)
    if report is not None:
        _write_report(record, baseline, seen, report, memory or _default_memory(resolved, record))


def _baseline(resolved: Costed, batch: int) -> Record | None:
    """What a variant is compared with; None for DenseNet121 itself, and for anything else."""
    if not isinstance(resolved, FamilyTarget):
        return None
    baseline = baseline_or_none(resolved.variant, batch)
    if baseline is None:
        say(f"note: not compared: DenseNet121 makes no network at {resolved.variant.image} px")
        return None
    return None if baseline.target.variant == resolved.variant else baseline


def _tell_notes(resolved: Costed, record: Record, memory: MemoryPrediction | None) -> None:
    for note in (*record.notes, *(memory.notes if memory else ())):
        say(f"note: {note}")
    if not isinstance(resolved, FamilyTarget):
        say(f"what could not be seen: {record.unseen or 'nothing'}")
    if record.predicted is not None:
        say_basis(record.predicted)
    if record.uncounted:
        calls = ", ".join(f"{u.operator} in {u.module or 'the root'} ({u.calls}x)" for u in record.uncounted[:8])
        warn(f"not counted, so MACs are a lower bound: {calls}")


def _with_memory(
    resolved: Costed, record: Record, training: Training, seconds: float
) -> tuple[MemoryPrediction | None, Record]:
    """The memory, and the record; where only the memory can't be told, the record says so and the counts stand."""
    try:
        return predict(resolved, record, training, seconds=seconds), record
    except CountError as error:
        return None, record.remarked(no_peaks(error))


def _default_memory(resolved: Costed, record: Record) -> MemoryPrediction | None:
    return predict(resolved, record, DEFAULT) if isinstance(resolved, FamilyTarget) else None


def _json(record: Record, seen: Sequence[Witness] | None, memory: MemoryPrediction | None) -> str:
    if seen is None and memory is None:
        return record.to_json()
    data = record.to_dict()
    if memory is not None:
        data["memory"] = msgspec.to_builtins(memory)
    if seen is not None:
        data["witnesses"] = msgspec.to_builtins(seen)
    return json.dumps(data)


def _print_witnesses(seen: Sequence[Witness], format_: str) -> None:
    headings = ("witness", "version", "reports", "its figure", "as MACs", "minus ours", "ratio")
    rows = [
        (
            w.name,
            w.version or "–",
            w.reports,
            units.count(w.figure),
            units.count(w.macs),
            MACS.signed(w.difference),
            "–" if w.ratio is None else f"{w.ratio:.4f}x",
        )
        for w in seen
    ]
    reasons = [f"{w.name}: {w.error}" for w in seen if w.error]
    reasons += [f"{w.name}: {MACS.signed(e.macs)} {e.reason}" for w in seen for e in w.explanations]
    if format_ == "md":
        text.show("\n" + text.markdown(headings, rows) + "\n\n" + "\n".join(f"- {text.escaped(r)}" for r in reasons))
    elif format_ == "table":
        text.show("")
        text.show_table(headings, rows, left=3)
        for reason in reasons:
            text.show_words(f"  {reason}")


def _write_report(
    record: Record, baseline: Record | None, seen: Sequence[Witness], path: Path, memory: MemoryPrediction | None
) -> None:
    from analyzer.reporting.data import WitnessFigure
    from analyzer.reporting.page import write_report
    from analyzer.reporting.record_page import page_of

    rows = tuple(
        WitnessFigure(
            tool=f"{w.name} {w.version or ''}".strip(),
            figure="macs",
            theirs=w.macs,
            ours=record.macs,
            why=w.error or "; ".join(f"{MACS.signed(e.macs)} {e.reason}" for e in w.explanations),
        )
        for w in seen
    )
    write_report(page_of(record, baseline, memory, command=["analyze", *sys.argv[1:]], witnesses=rows), path)
    say(str(path))


def _print(record: Record, baseline: Record | None, depth: int, format_: str) -> None:
    root = tree(record.layers or ())
    if format_ == "csv":
        rows = [
            (row.path, row.type, text.shape(row.output), *(f.of(row) for f in LAYERED)) for row in record.layers or ()
        ]
        text.show(csv_text(("path", "type", "output", *(f.name for f in LAYERED)), rows).rstrip("\n"))
        return
    headings = ["layer", "type", "output"]
    for figure in LAYERED:
        headings += [figure.heading, "share"] if figure in SHARED else [figure.heading]
    lines = [_line(level, node, root) for level, node in root.walk(depth)]
    totals = _totals(record, baseline)
    if format_ == "md":
        text.show(f"**{text.title(record)}**\n\n{text.markdown(headings, lines)}\n\n{text.markdown(*totals)}")
    else:
        text.show(text.title(record) + "\n")
        text.show_table(headings, lines, left=3, drop=DROPPED)
        text.show("")
        text.show_table(*totals, left=2)
    if record.predicted is not None:
        show_predicted(record, format_)


def _line(level: int, node: LayerNode, root: LayerNode) -> list[str]:
    name = "  " * level + (node.name or "(model)")
    cells = [name, node.row.type if node.row else "", text.shape(node.row.output) if node.row else ""]
    for figure in LAYERED:
        value = node.totals[figure.name]
        cells.append(figure_cell(figure, value))
        if figure in SHARED:
            cells.append(percent_cell(value, root.totals[figure.name]))
    return cells


def _totals(record: Record, baseline: Record | None) -> text.Table:
    headings = ["total", "known", record.target.shown]
    rows = []
    for figure in FIGURES.values():
        value = figure.of(record)
        if not figure.static or (value is None and figure.name not in ALWAYS):
            continue
        row = [figure.label + (f" at batch {record.batch}" if figure.batched else "")]
        row += [standing_of(record, figure), figure_cell(figure, value, unit=True)]
        if baseline is not None:
            base = figure.of(baseline)
            row += [figure_cell(figure, base, unit=True), units.ratio(value, base)]
        rows.append(row)
    if baseline is not None:
        headings += [baseline.target.shown, "ratio"]
    return headings, rows
