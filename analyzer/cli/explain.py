"""`analyze explain`: where the figures sit and what moves them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from analyzer.answers import AnswerTable
from analyzer.cli import text
from analyzer.cli.base import Verb, say
from analyzer.cli.options import (
    TargetName,
    batch_option,
    family_options,
    family_values,
    format_option,
    limit_options,
    limits_of,
    on_option,
    require_device,
)
from analyzer.cli.predicted import basis
from analyzer.errors import UsageError
from analyzer.figures import FIGURES
from analyzer.reading.profiles import profile_at
from analyzer.records import fields_of, standings
from analyzer.searching.explain import SHARED, AxisChange
from analyzer.searching.explained import IMAGE, Explained, explained
from analyzer.targets.resolving import FamilyTarget, resolve


@click.command("explain", cls=Verb)
@click.argument("target", required=False, type=TargetName())
@family_options(many=False)
@batch_option
@limit_options
@on_option
@format_option("table", "json", "md")
def command(target: str | None, format_: str, **options: Any) -> None:
    """Where TARGET's parameters sit, what moves them, and the mildest single changes that meet a budget.

    The budget is --max-params and its like; without one, DenseNet121's own params at the same classes and image.
    TARGET is a variant of the family: a preset, a variant's name, or options alone.
    """
    profile = profile_at(options["on"], options["batch"])
    batch, limits = options.pop("batch") or 1, limits_of(options)
    require_device(limits, options.pop("on"))
    resolved = resolve(target, family_values(options, many=False))
    if not isinstance(resolved, FamilyTarget):
        raise UsageError("explains variants of the family", where=target or "target", fix="use show for other models")
    variant = resolved.variant
    found = explained(variant, batch, limits, profile, resolved.label)
    if not found.budget:
        say(f"note: no budget: DenseNet121 makes no network at {variant.image} px; give --max-params")
    if profile is not None:
        say(f"times are predicted {basis(profile)}")
    if format_ == "json":
        text.show_json(_json(found))
    else:
        _print(found, format_)


def _json(found: Explained) -> str:
    def changes(axis_changes: Sequence[AxisChange]) -> list[dict[str, Any]]:
        return [
            {"axis": c.axis, "value": c.value, "kind": c.kind, "name": c.record.target.name}
            | {figure: getattr(c.record, figure) for figure in SHARED}
            | ({IMAGE.name: IMAGE.of(c.record)} if c.record.predicted else {})
            for c in axis_changes
        ]

    record = found.record
    return json.dumps(
        {
            "schema": 1,
            "target": {"name": record.target.name, "variant": fields_of(record)},
            "batch": record.batch,
            **{figure: getattr(record, figure) for figure in SHARED},
            "stages": [{"name": s.name, **s.figures} for s in found.stages],
            "roles": [{"name": s.name, **s.figures} for s in found.roles],
            "elasticities": [
                {"axis": e.axis, "value": e.value, "stepped": e.stepped, "differences": e.differences, **e.elasticities}
                for e in found.elasticities
            ],
            "levers": changes(found.levers),
            "budget": {limit.figure: limit.bound for limit in found.budget},
            "cheapest": changes(found.cheapest),
            **_time(found),
        }
    )


def _time(found: Explained) -> dict[str, Any]:
    if found.record.predicted is None:
        return {}
    parts = [{"kind": kind, "seconds": seconds} for kind, seconds in found.time]
    return {"predicted": msgspec.to_builtins(found.record.predicted), "time": parts}


def _print(found: Explained, format_: str) -> None:
    for table in found.tables():
        _show(table, format_)
    if found.budget and not found.cheapest:
        say("no single change meets the budget: combine some (analyze search)")
    known = standings([FIGURES[name] for name in SHARED], [found.record])
    text.show_words(f"Known: {known}, of every variant here." if format_ == "table" else f"Known: {known}.\n")
    for finding in found.findings():
        text.show_words(finding)


def _show(table: AnswerTable, format_: str) -> None:
    if not table.rows:
        return
    if format_ == "md":
        text.show(f"### {table.title}\n\n{text.markdown(table.headings, table.rows)}\n")
        return
    text.show(table.title, bold=True)
    text.show_table(table.headings, table.rows, left=table.left, drop=table.drop)
    text.show("")
