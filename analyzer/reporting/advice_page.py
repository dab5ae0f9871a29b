"""A race of sides -> one HTML file without a script: one sentence, plots against the budget, tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.figures import FIGURES
from analyzer.files import write_text
from analyzer.limits import Limit
from analyzer.reporting.advice_tables import (
    BILL,
    STILL,
    bill_rows,
    headings,
    remarks,
    side_rows,
    still_rows,
)
from analyzer.reporting.bought import COSTS, Titled
from analyzer.reporting.curves import Priced, against_cost, intervals, told_apart
from analyzer.reporting.data import now
from analyzer.reporting.notebook import framed
from analyzer.reporting.page import environment, scriptless
from analyzer.training.comparing import widened

if TYPE_CHECKING:
    from analyzer.compressing.advice import Advice


def write_advice(advice: Advice, path: str | Path) -> None:
    """Writes the page whole or not at all. Raises UsageError where it can't be written."""
    write_text(Path(path), render_advice(advice))


def render_advice(advice: Advice) -> str:
    """The page as HTML."""
    budget = [f"{FIGURES[name].label} {FIGURES[name].text(bound)}" for name, bound in advice.sides.limits.items()]
    said = {"title": f"From which side: {advice.sides.source}", "generated": now(), "budget": budget}
    return scriptless("advice.html.j2", {**_context(advice), **said})


def advice_html(advice: Advice) -> str:
    """The page's answer, plots and tables for a notebook's cell."""
    return framed(environment().get_template("advice_body.html.j2").render(_context(advice)))


def _context(advice: Advice) -> dict[str, Any]:
    return {
        "sentence": advice.sentence,
        "plots_": priced(advice),
        "differences": _differences(advice),
        "tables": _tables(advice),
        "remarks": [one for one in remarks(advice) if one],
    }


def _tables(advice: Advice) -> list[tuple[str, str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Each: its id, its title, headings, rows."""
    found = [
        ("sides", "By side", headings(advice), side_rows(advice, advice.rows)),
        ("others", "Other points", headings(advice), side_rows(advice, advice.others)),
        ("stills", "Not trained", STILL, still_rows(advice)),
        ("bill", "The bill", BILL, bill_rows(advice)),
    ]
    return [each for each in found if each[3]]


def priced(advice: Advice) -> Titled:
    """Test accuracy of each side against each figure of the budget, with 95 % intervals over runs."""
    units = {figure.name: (unit, words) for figure, unit, words in COSTS}
    found = []
    for name, bound in advice.sides.limits.items():
        figure, (unit, words) = FIGURES[name], units.get(name, (1, ""))
        rows = [row for row in advice.rows if row.test is not None and name in row.point.figures]
        short = told_apart([row.point.side for row in rows])
        points = [
            Priced(f"{row.point.side}, {row.point.how}", label, place, row.point.figures[name] / unit, row.test)
            for place, (row, label) in enumerate(zip(rows, short, strict=True)) if row.test is not None
        ]  # fmt: skip
        limit = Limit(figure=name, bound=bound, source="the budget")
        plot = against_cost(
            points, f"Test accuracy against {figure.label}", figure.label + words, (bound / unit, limit)
        )
        if plot is not None:
            found.append((f"Against {figure.label}", plot))
    return found


def _differences(advice: Advice) -> Any:
    """Each side's difference to the uncompressed network that was trained on; None where none is finished."""
    rows = [
        (row.point.side, widened(row.to_original[-1], row.to_original[0])) for row in advice.rows if row.to_original
    ]
    title = "Test accuracy less that of the uncompressed network, trained on; in points"
    return intervals(rows, advice.sides.margin, title) if rows else None
