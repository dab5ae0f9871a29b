"""What a sweep comes to: how many are within budget, the best of them, the verdict, what was not measured."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.cli import text
from analyzer.cli.base import warn
from analyzer.cli.progress import PREDICTED_RATE, RATE, RATIO, SIGNS, time_cell
from analyzer.figures import FIGURES, HEADLINE, known
from analyzer.layout import ShownCell, figure_cell
from analyzer.limits import Judged, Limit, hold_all, state_of
from analyzer.records import Record, standing_of, standings
from analyzer.reporting.judge import judge
from analyzer.sweeping.choosing import pareto_names, subject_of

BEST = 10
CAPACITY = FIGURES["conv_activations"]
"""What the best within a budget have most of: a network's capacity, where nothing is trained."""
TRAINED = (FIGURES["test_accuracy"], FIGURES["generalisation_gap"], FIGURES["training_cpu_s"])
HEADINGS = ("", "variant", CAPACITY.heading, *(figure.heading for figure in HEADLINE), "limit used", "time x base")


def show_summary(records: Sequence[Record], limits: Sequence[Limit]) -> None:
    """The count, the best ten and the verdict, on stdout after the table; the first row is the baseline."""
    rows = [row for row in records[1:] if row.error is None]
    held = {row.target.name: hold_all(row, limits) for row in rows}
    within = [row for row in rows if state_of(held[row.target.name]) == "within"]
    bounds = "; ".join(map(bound_text, limits))
    source = ", ".join(dict.fromkeys(limit.source for limit in limits))
    text.show("")
    text.show_words(f"Within budget: {len(within):,} of {len(rows):,} ({source}: {bounds})", "heading")
    used = {name: max((each.used for each in judged), default=0.0) for name, judged in held.items()}
    if within:
        best = sorted(within, key=lambda row: -(CAPACITY.of(row) or 0))
        text.show_words(f"The {min(BEST, len(best))} with the most {CAPACITY.label} of those:")
    else:
        best = sorted(rows, key=lambda row: used[row.target.name])
        text.show_words(f"The {min(BEST, len(best))} that come nearest:")
    lines = [_line(row, held[row.target.name], used[row.target.name]) for row in best[:BEST]]
    timed = any(row.measured for row in best[:BEST])
    shown_columns = len(HEADINGS) - (not timed)
    text.show_table(HEADINGS[:shown_columns], [line[:shown_columns] for line in lines], left=2, drop=(5, 2, 6, 4))
    shown = [*HEADLINE, RATIO, RATE, PREDICTED_RATE]
    text.show_words(f"Known: {standings(shown, records)}")
    subject = subject_of(records)
    if subject is not None:
        verdict = judge(subject, limits)
        sign = {"over": "✗", "within": "✓"}.get(verdict.state, "?")
        text.show_words(f"{sign} {verdict.word}: {verdict.sentence}", verdict.state)


def show_trained(records: Sequence[Record]) -> None:
    """The trained rows, the most accurate first, on stdout; nothing where none is."""
    rows = sorted((row for row in records if row.trained), key=lambda row: -(TRAINED[0].of(row) or 0.0))
    if not rows:
        return
    front = set(pareto_names(records))
    shown = [FIGURES["params"], FIGURES["macs"], *TRAINED]
    lines = [
        (row.target.shown, "front" if row.target.name in front else "", *(figure_cell(f, f.of(row)) for f in shown),
         standing_of(row, TRAINED[0]))
        for row in rows
    ]  # fmt: skip
    text.show("")
    text.show_table(
        ("trained", "", *(figure.heading for figure in shown), "test accuracy is"), lines, left=2, drop=(6, 3)
    )


def bound_text(limit: Limit) -> str:
    """`params ≤ 8,000,000`."""
    figure = known(limit.figure)
    return f"{figure.label} {'≤' if limit.side == 'most' else '≥'} {figure.text(limit.bound)}"


def _line(row: Record, held: Sequence[Judged], used: float) -> list[str]:
    sign = SIGNS[state_of(held)]
    return [
        ShownCell(sign.short, style=sign.style),
        row.target.shown,
        figure_cell(CAPACITY, CAPACITY.of(row)),
        *(figure_cell(figure, figure.of(row)) for figure in HEADLINE),
        f"{100 * used:.0f} %",
        time_cell(row),
    ]


def say_unmeasured(records: Sequence[Record]) -> None:
    """Which of the chosen rows have no times, and why, each reason once."""
    reasons: dict[str, list[str]] = {}
    for row in records:
        for reason in row.unmeasured:
            reasons.setdefault(reason, []).append(row.target.shown)
    for reason, names in reasons.items():
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        were = "was" if len(names) == 1 else "were"
        warn(f"{len(names):,} {were} not measured ({', '.join(names[:3])}{more}): {reason}")
