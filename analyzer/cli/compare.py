"""`analyze compare`: models side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import Verb, say
from analyzer.cli.completion import figures, words
from analyzer.cli.options import (
    NewFile,
    TargetName,
    batch_option,
    family_options,
    family_values,
    format_option,
    input_option,
    on_option,
)
from analyzer.cli.predicted import basis
from analyzer.errors import UsageError
from analyzer.figures import FIGURES, Figure, figure_named
from analyzer.layout import figure_cell, signed_cell
from analyzer.reading.comparison import LayerChange, compare_records, unlike
from analyzer.reading.latency import Profile
from analyzer.reading.profiles import profile_at
from analyzer.records import Record, standing_of
from analyzer.targets.analysis import analyze_target
from analyzer.targets.files import is_file_name, resolve_costed


@click.command("compare", cls=Verb)
@click.argument("targets", nargs=-1, required=True, type=TargetName())
@family_options(many=False)
@batch_option
@input_option
@on_option
@click.option(
    "--by",
    "by",
    default="params",
    show_default=True,
    metavar="FIGURE",
    shell_complete=words(figures),
    help="The figure whose layers are compared.",
)
@click.option(
    "--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Layers to print for each pair."
)
@click.option(
    "--report",
    type=NewFile(),
    metavar="FILE",
    help="Write an HTML report on the second against the first.",
)
@format_option("table", "json", "md")
def command(targets: tuple[str, ...], inputs: tuple[str, ...], by: str, top: int, format_: str, **options: Any) -> None:
    """Two or more TARGETs side by side: figures, ratios to the first, and the layers that carry the difference.

    Options of the family (--classes 2) apply to every target of the family; a file (.safetensors, .onnx) is what it is.
    """
    if len(targets) < 2:
        raise UsageError(
            "compares two targets or more", where="analyze compare", fix="such as: compare article densenet121"
        )
    by = figure_named(by, [figure for figure in FIGURES.values() if figure.summed], "--by").name
    profile = profile_at(options.pop("on"), options["batch"])
    batch, report = options.pop("batch") or 1, options.pop("report")
    values = family_values(options, many=False)
    records = [_record(name, values, inputs, batch, profile) for name in targets]
    for record in records:
        for note in record.notes:
            say(f"note: {record.target.shown}: {note}")
        for outside in record.predicted.outside if record.predicted else ():
            say(f"note: {record.target.shown}: outside of what the profile has seen: {outside}")
    for sentence in unlike(records):
        say(f"note: {sentence}")
    if profile is not None:
        say(f"times are predicted {basis(profile)}")
    changes = [compare_records(records[0], other, by) for other in records[1:]]
    if format_ == "json":
        text.show_json(_json(records, changes, by))
    else:
        _print(records, changes, by, top, format_)
    if report is not None:
        _write_report(records, report)


def _write_report(records: list[Record], path: Path) -> None:
    from analyzer.reporting.against import against
    from analyzer.reporting.data import now
    from analyzer.reporting.page import write_report

    write_report(against(records[0], records[1], command=["analyze", *sys.argv[1:]], generated=now()), path)
    say(str(path))


def _record(name: str, values: dict[str, Any], inputs: tuple[str, ...], batch: int, profile: Profile | None) -> Record:
    own, file = ":" in name, is_file_name(name)
    resolved = resolve_costed(name, {} if own or file else values, inputs=inputs if own else ())
    return analyze_target(resolved, batch=batch, profile=profile)


def _json(records: list[Record], changes: list[list[LayerChange]], by: str) -> str:
    import msgspec

    data = {
        "schema": 1,
        "records": [msgspec.structs.replace(record, layers=None).to_dict() for record in records],
        "by": by,
        "layers": [{"target": r.target.name, "changes": c} for r, c in zip(records[1:], changes, strict=True)],
    }
    return msgspec.json.encode(data).decode()


def _print(records: list[Record], changes: list[list[LayerChange]], by: str, top: int, format_: str) -> None:
    first, *others = records
    headings = ["figure", "known", first.target.shown]
    for other in others:
        headings += [other.target.shown, "difference", "ratio"]
    rows = []
    for figure in FIGURES.values():
        values = [figure.of(record) for record in records]
        if figure.standing == "measured" or all(value is None for value in values):
            continue
        base, *more = values
        known = dict.fromkeys(standing_of(r, figure) for r, v in zip(records, values, strict=True) if v is not None)
        cells: list[str] = [figure.label, " or ".join(known), figure_cell(figure, base, unit=True)]
        for value in more:
            difference = None if value is None or base is None else value - base
            cells += [figure_cell(figure, value, unit=True), signed_cell(figure, difference), units.ratio(value, base)]
        rows.append(cells)
    differences = [3 * i + 4 for i in range(len(others))]
    _table(headings, rows, format_, left=2, drop=differences)
    for other, change in zip(others, changes, strict=True):
        _print_layers(first, other, change, FIGURES[by], top, format_)


def _print_layers(
    first: Record, other: Record, changes: list[LayerChange], figure: Figure, top: int, format_: str
) -> None:
    pair = f"{other.target.shown} minus {first.target.shown}"
    text.show_words(f"\nlayers that carry the difference in {figure.label}: {pair}")
    carried = [change for change in changes if change.difference]
    rows = [
        [
            c.path or "(model)",
            *(figure_cell(figure, value, unit=True) for value in (c.before, c.after)),
            signed_cell(figure, c.difference),
        ]
        for c in carried[:top]
    ]
    _table(["layer", first.target.shown, other.target.shown, "difference"], rows, format_)
    if len(carried) > top:
        say(f"{len(carried) - top} more layers differ (--top)")


def _table(headings: list[str], rows: list[list[str]], format_: str, left: int = 1, drop: Sequence[int] = ()) -> None:
    if format_ == "md":
        text.show(text.markdown(headings, rows))
    else:
        text.show_table(headings, rows, left, drop)
