"""`analyze explain`: where the figures sit and what moves them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from analyzer import units
from analyzer.architecture.variant import Variant
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
from analyzer.figures import FIGURES, known
from analyzer.layout import figure_cell, percent_cell
from analyzer.limits import Limit
from analyzer.reading import family
from analyzer.reading.profiles import profile_at
from analyzer.records import Record, fields_of, standings
from analyzer.searching import explain
from analyzer.searching.explain import SHARED, AxisChange, Share
from analyzer.targets.resolving import FamilyTarget, resolve

LEAST = (9, 7, 6, 1)
"""Columns of changes in the order in which they go where there is no room."""
IMAGE = FIGURES["predicted_image_ns"]
# Fewer parameters, more memory: a budget for one is none for the other.
CONTRAST = Variant(block="residual", block_config=(6, 12, 24, 16), growth=32, bn_size=1)


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
    found = explain.explained(variant, batch, limits, profile, resolved.label)
    if not found.budget:
        say(f"note: no budget: DenseNet121 makes no network at {variant.image} px; give --max-params")
    data = {name: getattr(found, name) for name in ("stages", "roles", "elasticities", "levers", "cheapest", "time")}
    if profile is not None:
        say(f"times are predicted {basis(profile)}")
    if format_ == "json":
        text.show_json(_json(found.record, found.budget, data))
    else:
        _print(variant, found.record, found.budget, data, format_)


def _json(record: Record, budget: Sequence[Limit], data: dict[str, Any]) -> str:
    def changes(axis_changes: Sequence[AxisChange]) -> list[dict[str, Any]]:
        return [
            {"axis": c.axis, "value": c.value, "kind": c.kind, "name": c.record.target.name}
            | {figure: getattr(c.record, figure) for figure in SHARED}
            | ({IMAGE.name: IMAGE.of(c.record)} if c.record.predicted else {})
            for c in axis_changes
        ]

    return json.dumps(
        {
            "schema": 1,
            "target": {"name": record.target.name, "variant": fields_of(record)},
            "batch": record.batch,
            **{figure: getattr(record, figure) for figure in SHARED},
            "stages": [{"name": s.name, **s.figures} for s in data["stages"]],
            "roles": [{"name": s.name, **s.figures} for s in data["roles"]],
            "elasticities": [
                {"axis": e.axis, "value": e.value, "stepped": e.stepped, "differences": e.differences, **e.elasticities}
                for e in data["elasticities"]
            ],
            "levers": changes(data["levers"]),
            "budget": {limit.figure: limit.bound for limit in budget},
            "cheapest": changes(data["cheapest"]),
            **_time(record, data.get("time", [])),
        }
    )


def _time(record: Record, shares: Sequence[tuple[str, float]]) -> dict[str, Any]:
    if record.predicted is None:
        return {}
    parts = [{"kind": kind, "seconds": seconds} for kind, seconds in shares]
    return {"predicted": msgspec.to_builtins(record.predicted), "time": parts}


def _print(variant: Variant, record: Record, budget: Sequence[Limit], data: dict[str, Any], format_: str) -> None:
    for title, key in (("by stage", "stages"), ("by role", "roles")):
        shares = _shares(data[key], record)
        _table(f"Where the figures of {record.target.shown} sit, {title}", *shares, format_, drop=(8, 6, 5, 4))
    if record.predicted is not None:
        whole = record.predicted.latency_s
        rows = [(kind, units.seconds(time), units.percent(time, whole)) for kind, time in data["time"]]
        title = f"Where the predicted time of a batch of {record.predicted.batch:,} goes, by kind of operator"
        _table(title, ("kind", "time", "share"), rows, format_)
    headings = ("axis", "from", "to", *(f"{FIGURES[f].label} per 1 %" for f in SHARED))
    rows = [
        (e.axis, explain.text(e.value), explain.text(e.stepped), *(f"{e.elasticities[f]:+.2f} %" for f in SHARED))
        for e in data["elasticities"]
    ]
    _table("What 1 % more of an axis does (exact differences over a small step)", headings, rows, format_)
    levers, cheapest = (_changes(data[key], record) for key in ("levers", "cheapest"))
    _table("One change at a time: what is left of each figure", *levers, format_, drop=LEAST)
    limits = ", ".join(_said(limit) for limit in budget)
    _table(f"The mildest single changes that meet the budget ({limits})", *cheapest, format_, drop=LEAST)
    if budget and not data["cheapest"]:
        say("no single change meets the budget: combine some (analyze search)")
    known = standings([FIGURES[name] for name in SHARED], [record])
    text.show_words(f"Known: {known}, of every variant here." if format_ == "table" else f"Known: {known}.\n")
    for finding in _findings(variant, record, data["levers"]):
        text.show_words(finding)


def _said(limit: Limit) -> str:
    figure = known(limit.figure)
    return f"{figure.label} at {limit.side} {figure.text(limit.bound)}"


def _shares(shares: Sequence[Share], record: Record) -> text.Table:
    headings = ["part"]
    for figure in SHARED:
        headings += [FIGURES[figure].label, "share"]
    rows = []
    for share in shares:
        cells = [share.name]
        for figure in SHARED:
            value = share.figures[figure]
            cells += [figure_cell(FIGURES[figure], value, unit=True), percent_cell(value, getattr(record, figure))]
        rows.append(cells)
    return headings, rows


def _changes(changes: Sequence[AxisChange], record: Record) -> text.Table:
    headings = ["change", "kind"]
    for figure in SHARED:
        headings += [FIGURES[figure].label, "left"]
    if record.predicted is not None:
        headings += [IMAGE.label, "left"]
    rows = []
    for change in changes:
        cells = [change.said, change.kind]
        for figure in SHARED:
            value = getattr(change.record, figure)
            cells += [figure_cell(FIGURES[figure], value, unit=True), percent_cell(value, getattr(record, figure))]
        if record.predicted is not None:
            time = IMAGE.of(change.record)
            cells += [IMAGE.text(time), units.percent(time, IMAGE.of(record))]
        rows.append(cells)
    return headings, rows


def _table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], format_: str, drop: Sequence[int] = ()
) -> None:
    if not rows:
        return
    if format_ == "md":
        text.show(f"### {title}\n\n{text.markdown(headings, rows)}\n")
        return
    text.show(title, bold=True)
    text.show_table(headings, rows, drop=drop)
    text.show("")


def _findings(variant: Variant, record: Record, levers: Sequence[AxisChange]) -> list[str]:
    """What the figures say in words; each sentence is made from figures of this run."""
    sentences = []
    integer = [c for c in levers if c.axis == "growth"]
    if variant.growth == "double" and integer:
        least = integer[-1]
        sentences.append(
            f"Doubling growth is the cause: with {least.said} and nothing else changed "
            f"{units.percent(least.record.params, record.params)} of the parameters are left."
        )
    kinds = (("layer", "inside the layer"), ("topology", "of the topology"), ("size", "of stem width and depth"))
    for kind, name in kinds:
        left = [100 * (c.record.params or 0) / (record.params or 1) for c in levers if c.kind == kind]
        if left:
            sentences.append(f"Changes {name} keep {min(left):.2g} to {max(left):.2g} % of the parameters.")
    contrast = family.record(CONTRAST, record.batch, layers=False)
    baseline = family.baseline_or_none(variant, record.batch)
    beside = f" (DenseNet121 {units.mib(baseline.saved_bytes)})" if baseline is not None else ""
    more = (contrast.saved_bytes or 0) > (record.saved_bytes or 0)
    if more and (contrast.params or 0) < (record.params or 0):
        sentences.append(
            f"A parameter budget is not a memory budget: {contrast.target.name} has {units.short(contrast.params)} "
            f"params and {units.short(contrast.macs)} MACs, and saves {units.mib(contrast.saved_bytes)} against "
            f"{units.mib(record.saved_bytes)} here{beside} at batch {record.batch}."
        )
    return sentences
