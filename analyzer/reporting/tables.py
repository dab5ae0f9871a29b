"""What the page's tables and cards hold: text ready to be shown, with raw values beside it where a script sorts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from analyzer.reading.layers import tree
from analyzer.records import Measurement, Record, devices_of, fields_of
from analyzer.reporting.data import ReportData
from analyzer.reporting.figures import BY_NAME, LAYERED, Figure, times
from analyzer.reporting.judge import OVER, UNKNOWN, WITHIN, Check, checks, state
from analyzer.reporting.plots import budget_bar, layer_id
from analyzer.reporting.variants import value, varying
from analyzer.units import percent, seconds

CARDS = ("params", "macs", "saved_bytes", "peak_training_bytes", "peak_inference_bytes", "measured_images_per_s")
WORDS = {WITHIN: "✓ within", OVER: "✗ over", UNKNOWN: "? unknown"}
"""A state as an icon and a word: never a colour alone."""


@dataclass(frozen=True)
class Card:
    """A figure of the subject beside the baseline's and its limit."""

    figure: Figure
    value: str
    exact: str
    state: str
    verdict: str
    lines: tuple[str, ...]
    bar: Markup | None = None


def cards(data: ReportData) -> list[Card]:
    """A card for every figure that is known of the subject."""
    if data.subject is None:
        return []
    held = {check.figure.name: check for check in checks(data.subject, data.limits)}
    names = dict.fromkeys([*CARDS, *held])
    found = [BY_NAME[name] for name in names if name in BY_NAME]
    return [_card(figure, data, data.subject, held.get(figure.name)) for figure in found if _has(figure, data.subject)]


def _has(figure: Figure, subject: Record) -> bool:
    return figure.of(subject) is not None


def _card(figure: Figure, data: ReportData, subject: Record, check: Check | None) -> Card:
    known = figure.of(subject)
    base = figure.of(data.baseline)
    lines = []
    if base is not None and data.baseline.target != subject.target:
        lines.append(f"{times(known, base)} of {data.baseline.target.shown}: {figure.text(base)}")
    if figure.name == "macs" and subject.flops is not None:
        lines.append(f"= {subject.flops:,} FLOPs (2 × MACs)")
    if figure.name == "saved_bytes":
        lines.append(f"at batch {subject.batch:,}")
    if figure.unit == "rate" and subject.measured:
        lines += _measured_lines(subject)
    exact = figure.exact(known) if figure.unit != "rate" else ""
    bar, verdict = None, "no limit"
    if check is not None and check.value is not None:
        verdict = _margin(check)
        if check.limit.maximum == base and lines:
            lines[0] += ", the limit"
        else:
            lines.insert(0, f"limit {figure.text(check.limit.maximum)} ({check.limit.source})")
        bar = budget_bar(check.value, check.limit.maximum, f"{check.ratio} of the limit for {figure.label}")
    return Card(figure, figure.short(known), exact, check.state if check else "none", verdict, tuple(lines), bar)


def _margin(check: Check) -> str:
    assert check.value is not None
    left = check.limit.maximum - check.value
    if left < 0:
        return f"✗ over by {check.figure.text(-left)}"
    return f"✓ within, {percent(left, check.limit.maximum)} left" if check.limit.maximum else "✓ within"


def _measured_lines(subject: Record) -> list[str]:
    measured = subject.measured
    assert measured is not None
    lines = [f"on {measured.environment.device_name}, batch {measured.batch}"]
    if measured.baseline != subject.target.name:
        spread = f"{measured.ratio_low:.2f} to {measured.ratio_high:.2f}"
        lines.insert(0, f"takes {measured.ratio:.2f}× the baseline’s time ({_spread_words(measured)}: {spread})")
    return lines


def _spread_words(measured: Measurement) -> str:
    """What the ratio's ends are."""
    return "95 % interval" if measured.interval == "bootstrap95" else f"range of {measured.processes} processes"


# -- trust -----------------------------------------------------------------------------------------------------


def trust(data: ReportData) -> list[tuple[bool, str]]:
    """Statements on how far the figures can be trusted, each with whether it is good news."""
    said: list[tuple[bool, str]] = []
    if data.baseline.error is not None:
        said.append((False, f"{data.baseline.target.shown} has no figures here: {data.baseline.error.what}."))
    pair = [row for row in (data.subject, data.baseline) if row is not None and row.layers]
    if pair:
        names = " and ".join(dict.fromkeys(row.target.shown for row in pair))
        adds_up = all(_adds_up(row) for row in pair)
        said.append(
            (True, f"Counts are exact, no estimates: the layers of {names} were summed here and equal the totals.")
            if adds_up
            else (False, f"The layers of {names} do not add up to the totals: do not rely on this report.")
        )
    else:
        said.append((True, "Counts are exact integers, computed from the architecture."))
    if data.subject is not None and data.subject.uncounted:
        said.append((False, "Some operators have no formula: the counts are a lower bound."))
    measured = [row for row in data.records if row.measured]
    said.append(
        (True, f"Times of {len(measured):,} models are measured, with the spread over processes.")
        if measured
        else (True, "Nothing here was timed: speed is no part of the verdict.")
    )
    devices = devices_of(measured)
    if len(devices) > 1:
        names = ", ".join(f"{rows:,} on {name}" for name, rows in devices.items())
        said.append((False, f"Times are of unlike devices ({names}) and compare only within one."))
    return said


def _adds_up(row: Record) -> bool:
    for figure in LAYERED:
        parts = [getattr(layer, figure.name) for layer in row.layers or ()]
        total = getattr(row, figure.name)
        if total is not None and (None in parts or sum(parts) != total):
            return False
    return True


# -- layers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerLine:
    """A module's row: its totals with everything below it."""

    id: str
    level: int
    path: str
    name: str
    type: str
    output: str
    parent: bool
    cells: tuple[tuple[int | None, str, str], ...]


def layer_lines(record: Record) -> list[LayerLine]:
    """Every module in execution order, parents first: per figure the raw value, its text, its share."""
    whole = tree(record.layers or ())
    lines = []
    for level, node in whole.walk():
        cells = tuple(
            (node.totals[f.name], f.text(node.totals[f.name]), percent(node.totals[f.name], whole.totals[f.name]))
            for f in LAYERED
        )
        output = " × ".join(map(str, node.row.output)) if node.row and node.row.output else ""
        kind = node.row.type if node.row else ""
        name = node.name or record.target.shown
        lines.append(LayerLine(layer_id(node.path), level, node.path, name, kind, output, bool(node.children), cells))
    return lines


def variants(data: ReportData) -> list[Record]:
    """The good rows but for the baseline, which is there to compare with."""
    return [row for row in data.records if not row.error and row.target != data.baseline.target]


def fields(data: ReportData) -> list[str]:
    """The fields in which the variants differ: columns of the table, axes of the plots."""
    return varying(variants(data))


# -- variants --------------------------------------------------------------------------------------------------

STATIC_ROWS = 250
"""Rows that the page holds without a script; beyond these the front and what is named above it."""


@dataclass(frozen=True)
class VariantLine:
    """A variant's row of the table, as text."""

    name: str
    title: str
    mark: str
    fields: tuple[str, ...]
    cells: tuple[str, ...]
    state: str


def variant_lines(data: ReportData, fields: Sequence[str], figures: Sequence[Figure]) -> list[VariantLine]:
    """The rows of all good records, or of those that matter where there are too many for a page without a script."""
    good = [row for row in data.records if not row.error]
    if len(good) > STATIC_ROWS:
        keep = {*data.front, data.baseline.target.name, *([data.subject.target.name] if data.subject else [])}
        good = [row for row in good if row.target.name in keep][:STATIC_ROWS]
    return [_variant_line(row, data, fields, figures) for row in good]


def _variant_line(row: Record, data: ReportData, fields: Sequence[str], figures: Sequence[Figure]) -> VariantLine:
    variant = fields_of(row)
    cells: list[str] = []
    for figure in figures:
        cells += [figure.text(figure.of(row)), times(figure.of(row), figure.of(data.baseline))]
    word = WORDS[state(row, data.limits)] if data.limits else "–"
    name = row.target.name
    return VariantLine(
        name,
        row.target.shown,
        mark_of(row, data),
        tuple(value(variant.get(field)) for field in fields),
        tuple(cells),
        word,
    )


def mark_of(row: Record, data: ReportData) -> str:
    """What a row is besides a variant: the subject, the baseline, on the front."""
    marks = []
    if data.subject is not None and row.target == data.subject.target:
        marks.append("subject")
    if row.target == data.baseline.target:
        marks.append("baseline")
    if row.target.name in data.front:
        marks.append("front")
    return ", ".join(marks)


def table_figures(data: ReportData) -> list[Figure]:
    """The figures that any record has, for the table of variants."""
    return [BY_NAME[name] for name in CARDS if any(BY_NAME[name].of(row) is not None for row in data.records)]


def notes(data: ReportData, named: int = 3) -> list[tuple[str, str]]:
    """Every note of the rows once, with the rows that it is about."""
    rows: dict[str, list[str]] = {}
    for row in data.records:
        for note in row.notes:
            rows.setdefault(note, []).append(row.target.shown)
    return [
        (note, ", ".join(names[:named]) + (f" and {len(names) - named:,} more" if len(names) > named else ""))
        for note, names in rows.items()
    ]


# -- measured --------------------------------------------------------------------------------------------------


def measured_lines(data: ReportData) -> Iterator[dict[str, Any]]:
    """A row a measured model, fastest first: throughput with its range, latency percentiles, ratio, warnings.

    Models that were measured on unlike devices stand apart, each with its device.
    """
    rows = [row for row in (*data.records, data.baseline, data.subject) if row is not None and row.measured]
    devices = list(devices_of(rows))
    unique = {row.target.name: row for row in rows}
    rated = sorted(unique.values(), key=lambda r: -(r.measured.measured_images_per_s if r.measured else 0))
    for row in sorted(rated, key=lambda r: devices.index(r.measured.environment.device_name) if r.measured else 0):
        measured = row.measured
        assert measured is not None
        times_s = sorted(measured.seconds_per_batch)
        rates = [measured.batch / t for t in times_s if t > 0]
        own = measured.baseline == row.target.name
        device = f" on {measured.environment.device_name}" if len(devices) > 1 else ""
        yield {
            "name": row.target.shown + device,
            "batch": measured.batch,
            "rate": f"{measured.measured_images_per_s:,.1f}",
            "range": f"{min(rates):,.1f} to {max(rates):,.1f}" if rates else "–",
            "latency": [seconds(_quantile(times_s, q)) for q in (50, 90, 99)],
            "rounds": len(times_s),
            "ratio": "1× (itself)" if own else f"{measured.ratio:.2f}×",
            "ratio_range": ""
            if own
            else f"{measured.ratio_low:.2f} to {measured.ratio_high:.2f}, {_spread_words(measured)}",
            "peak": BY_NAME["peak_inference_bytes"].text(measured.measured_peak_bytes),
            "predicted": BY_NAME["peak_inference_bytes"].text(row.peak_inference_bytes),
            "notes": (*(f"{c.kind}: {c.what}; {c.fix}" for c in measured.caveats), *measured.notes),
        }


def _quantile(ordered: Sequence[float], share: int) -> float | None:
    """The least value that this share of all values does not exceed; None where too few values can tell."""
    if len(ordered) * (100 - share) < 100:
        return None
    return ordered[-(-share * len(ordered) // 100) - 1]
