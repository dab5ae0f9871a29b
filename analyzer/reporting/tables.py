"""What the page's tables and cards hold: text ready to be shown, with raw values beside it where a script sorts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from analyzer.figures import FIGURES, SHARED, Figure
from analyzer.limits import Judged, State, hold_all, state_of
from analyzer.reading.comparison import unlike
from analyzer.reading.layers import tree
from analyzer.records import Record, fields_of, standing_of
from analyzer.reporting.data import ReportData
from analyzer.reporting.icicle import shown_name
from analyzer.reporting.judge import ratio
from analyzer.reporting.plots import budget_bar, layer_id
from analyzer.reporting.text import times
from analyzer.reporting.timings import measured_trust, ratio_words
from analyzer.reporting.variants import value, varying
from analyzer.units import percent

SIDE_BY_SIDE = tuple(sorted((f for f in FIGURES.values() if f.place != "detail"), key=lambda f: f.place != "headline"))
"""What has a card, and columns where models stand side by side: the headline figures first."""
WORDS: dict[State, str] = {"within": "✓ within", "over": "✗ over", "unknown": "? unknown"}
"""A state as an icon and a word: never a colour alone."""
BESIDE: dict[State, str] = {"within": "not bigger", "over": "bigger", "unknown": "? unknown"}
"""As WORDS, where the limits are another network's own figures and no budget."""


@dataclass(frozen=True)
class Card:
    """A figure of the subject beside the baseline's and its limit."""

    figure: Figure
    value: str
    standing: str
    exact: str
    state: str
    verdict: str
    lines: tuple[str, ...]
    bar: Markup | None = None


def cards(data: ReportData) -> list[Card]:
    """A card for every figure that is known of the subject."""
    if data.subject is None:
        return []
    held = by_figure(hold_all(data.subject, data.limits))
    known = [figure for figure in carded(held) if figure.of(data.subject) is not None]
    return [_card(figure, data, data.subject, held.get(figure.name)) for figure in known]


def by_figure(judged: Iterable[Judged]) -> dict[str, Judged]:
    """The limit of each figure; of two the one that is nearer to not being met."""
    return {each.limit.figure: each for each in sorted(judged, key=lambda each: each.used)}


def carded(held: Mapping[str, Judged]) -> list[Figure]:
    """What has a card: what stands side by side, and what has a limit."""
    return [*SIDE_BY_SIDE, *(f for f in FIGURES.values() if f.name in held and f not in SIDE_BY_SIDE)]


def _card(figure: Figure, data: ReportData, subject: Record, judged: Judged | None) -> Card:
    known = figure.of(subject)
    base = figure.of(data.baseline)
    lines = []
    if base is not None and data.baseline.target != subject.target and figure.standing != "measured":
        lines.append(f"{times(known, base)} of {data.baseline.target.shown}: {figure.text(base)}")
    if figure.name == "macs" and subject.flops is not None:
        lines.append(f"= {subject.flops:,} FLOPs (2 × MACs)")
    if figure.batched:
        lines.append(f"at batch {subject.batch:,}")
    if figure.unit == "rate":
        lines += _predicted_lines(subject) if figure.standing == "predicted" else _measured_lines(subject)
    exact = figure.exact(known) if figure.unit != "rate" else ""
    bar, verdict = None, "no limit"
    if judged is not None and judged.value is not None:
        verdict, limit = (_more(judged) if data.compared else _margin(judged)), judged.limit
        if limit.bound == base and lines:
            lines[0] += "" if data.compared else ", the limit"
        else:
            least = "at least " if limit.side == "least" else ""
            lines.insert(0, f"limit {least}{figure.text(limit.bound)} ({limit.source})")
        bar = budget_bar(judged.value, limit.bound, f"{ratio(judged)} of the limit for {figure.label}")
    return Card(
        figure,
        figure.brief(known),
        standing_of(subject, figure),
        exact,
        judged.state if judged else "none",
        verdict,
        tuple(lines),
        bar,
    )


def _margin(judged: Judged) -> str:
    limit, beyond = judged.limit, judged.limit.beyond(judged.value)
    if beyond > 0:
        return f"✗ {'over' if limit.side == 'most' else 'under'} by {judged.figure.text(beyond)}"
    return f"✓ within, {percent(-beyond, limit.bound)} left" if limit.bound else "✓ within"


def _more(judged: Judged) -> str:
    """How much more or less than the other's, where that is no limit."""
    beyond = judged.limit.beyond(judged.value)
    return f"{judged.figure.text(abs(beyond))} {'more' if beyond > 0 else 'less'}" if beyond else "the same"


def _measured_lines(subject: Record) -> list[str]:
    measured = subject.measured
    if measured is None:
        return []
    lines = [f"measured on {measured.environment.device_name}, batch {measured.batch}"]
    if measured.baseline != subject.target.name:
        lines.insert(0, f"takes {ratio_words(measured)} the baseline’s time")
    return lines


def _predicted_lines(subject: Record) -> list[str]:
    """For where."""
    predicted = subject.predicted
    if predicted is None:
        return []
    lines = [f"predicted for {predicted.device_name}, batch {predicted.batch:,}"]
    lines += [predicted.settings] if predicted.settings else []
    return [*lines, *(f"beyond the fit: {outside}" for outside in predicted.outside)]


def every_figure(data: ReportData) -> list[tuple[Figure, Any, Any, str]]:
    """Every figure that is known of the subject: its value, the baseline's, how many times that is."""
    if data.subject is None:
        return []
    pairs = [(figure, figure.of(data.subject), figure.of(data.baseline)) for figure in FIGURES.values()]
    return [(figure, value, base, against(figure, value, base)) for figure, value, base in pairs if value is not None]


def against(figure: Figure, value: Any, base: Any) -> str:
    """How many times the baseline's; of what is measured the one ratio is that of interleaved pairs."""
    return "–" if figure.standing == "measured" else times(value, base)


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
            (
                True,
                f"Counts are exact, no estimates: the layers of {names} were summed here and equal the totals; "
                "peaks are replayed, tensor by tensor.",
            )
            if adds_up
            else (False, f"The layers of {names} do not add up to the totals: do not rely on this report.")
        )
    else:
        said.append((True, "Counts are exact integers, computed from the architecture; peaks are replayed."))
    if data.subject is not None and data.subject.uncounted:
        said.append((False, "Some operators have no formula: the counts are a lower bound."))
    said += [(False, sentence) for sentence in unlike([data.baseline, data.subject])] if data.subject else []
    return [*said, *measured_trust(data.records)]


def _adds_up(row: Record) -> bool:
    for figure in SHARED:
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
            for f in SHARED
        )
        output = " × ".join(map(str, node.row.output)) if node.row and node.row.output else ""
        kind = node.row.type if node.row else ""
        name = shown_name(node, record.target.shown)
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


def words_of(data: ReportData) -> dict[State, str]:
    """What a state is called in its tables."""
    return BESIDE if data.compared else WORDS


def _variant_line(row: Record, data: ReportData, fields: Sequence[str], figures: Sequence[Figure]) -> VariantLine:
    variant = fields_of(row)
    cells: list[str] = []
    for figure in figures:
        cells += [figure.text(figure.of(row)), against(figure, figure.of(row), figure.of(data.baseline))]
    word = words_of(data)[state_of(hold_all(row, data.limits))] if data.limits else "–"
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
    return [figure for figure in SIDE_BY_SIDE if any(figure.of(row) is not None for row in data.records)]


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
