"""The tables of a race of sides, as text ready to be shown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from analyzer import units
from analyzer.figures import FIGURES, Figure
from analyzer.reporting.text import difference, share
from analyzer.training.comparing import widened

if TYPE_CHECKING:
    from analyzer.compressing.advice import Advice, RaceRow
    from analyzer.compressing.sides import SidePoint
    from analyzer.training.statistics import Estimate

COUNTED = ("params", "macs", "param_bytes", "saved_bytes", "predicted_image_ns")
STILL = ("network, not trained", "test accuracy", "to the original as it was", "size")
BILL = ("", "epochs", "images", "CPU time")


def figures_of(advice: Advice) -> list[Figure]:
    """The costs that are known, those of the budget among them."""
    known = dict.fromkeys([*COUNTED, *advice.sides.limits])
    return [FIGURES[name] for name in known if any(name in row.point.figures for row in advice.rows)]


def headings(advice: Advice) -> tuple[str, ...]:
    """Of the table by side."""
    return (
        "side", "how", *(figure.label for figure in figures_of(advice)), "measured, one image",
        "test accuracy (95 %)", "to uncompressed, trained on", "to from scratch", "epochs", "images",
        "MACs of training", "CPU time", "runs",
    )  # fmt: skip


def side_rows(advice: Advice, rows: Sequence[RaceRow]) -> list[tuple[str, ...]]:
    """A row a point; differences are in points, over runs and images, and bills those of one network."""
    return [tuple(_row(advice, row)) for row in rows]


def _row(advice: Advice, row: RaceRow) -> Iterator[str]:
    point = row.point
    yield from (point.side + leading(advice, row), point.how)
    yield from (figure.text(point.figures.get(figure.name)) for figure in figures_of(advice))
    yield measured(point)
    yield share(row.test)
    yield widest(row.to_original)
    yield widest(row.to_scratch)
    yield from (f"{row.bill.epochs:,}", f"{row.bill.images:,}", units.count(point.work))
    least = "" if point.anew or advice.parent.cpu_s is not None else "more than "
    yield from (least + units.seconds(row.bill.cpu_s), row.state)


def leading(advice: Advice, row: RaceRow) -> str:
    """A mark at who leads."""
    return " ★" if row == advice.leader else ""


def measured(point: SidePoint) -> str:
    """`1.2 ms, 0.61× the original’s`."""
    if point.times is None:
        return "–"
    middle, low, high = point.times.ratio
    return f"{1000 * statistics.median(point.times.second_s):.3g} ms, {middle:.2f}× ({low:.2f} to {high:.2f})"


def widest(estimates: Sequence[Estimate]) -> str:
    """The difference with the wider of its intervals: over runs, over runs and images."""
    return difference(widened(estimates[-1], estimates[0]) if estimates else None)


SHORT = ("side", "how", "params", "MACs", "test accuracy", "to uncompressed", "to scratch", "CPU time", "runs")


def short_rows(advice: Advice) -> list[tuple[str, ...]]:
    """The table by side as a terminal has it."""
    return [
        (
            row.point.side + leading(advice, row), row.point.how, FIGURES["params"].text(row.point.figures["params"]),
            FIGURES["macs"].text(row.point.figures.get("macs")), share(row.test), widest(row.to_original),
            widest(row.to_scratch), units.seconds(row.bill.cpu_s), row.state,
        )
        for row in advice.rows
    ]  # fmt: skip


def still_rows(advice: Advice) -> list[tuple[str, ...]]:
    """A row a network that was not trained."""
    size = FIGURES["param_bytes"]
    return [
        (one.still.how, f"{100 * one.still.accuracy:.1f} %", difference(one.to_original),
         size.text(one.still.figures.get("param_bytes")))
        for one in advice.stills
    ]  # fmt: skip


def bill_rows(advice: Advice) -> list[tuple[str, ...]]:
    """What the original took, and what the race did: its rows' sum is all that was spent."""
    parent, spent = advice.parent, advice.spent
    before = "not known" if parent.cpu_s is None else units.seconds(parent.cpu_s)
    making = sum(one.still.cpu_s for one in advice.stills)
    sides = [
        (f"{row.point.side}: {row.point.how}", f"{row.spent.epochs:,}", f"{row.spent.images:,}",
         units.seconds(row.spent.cpu_s))
        for row in (*advice.rows, *advice.others)
    ]  # fmt: skip
    return [
        ("the original, before", f"{parent.epochs:,}", f"{parent.images:,}", before),
        ("networks that are not trained", "0", "0", units.seconds(making)),
        *sides,
        ("the race, all of it", f"{spent.epochs:,}", f"{spent.images:,}", units.seconds(spent.cpu_s)),
    ]


ENDED = {
    "parted": "It ended when intervals parted the best side from all others.",
    "pairs": "It ended when as many pairs as were asked were run.",
    "hours": "It ended when its hours were spent.",
    "interrupted": "It was interrupted; the same command goes on.",
    "diverged": "It ended as no side could be trained.",
}


def remarks(advice: Advice) -> list[str]:
    """What is to be known of the race."""
    listed = ", ".join(f"{count:,} {side}" for side, count in advice.sides.listed.items())
    return [
        ENDED.get(advice.ended, ""),
        f"Points under the budget: {listed}; of each lever the one that keeps most raced.",
        *(f"Left out: {what}: {why}" for what, why in advice.sides.left_out.items()),
        "All that begin with the original’s weights share them: intervals are over what trains them further, and over "
        "images, not over other originals.",
    ]


def rendered_markdown(advice: Advice) -> str:
    """The advice as Markdown."""
    from analyzer.reporting.markdown_text import escape, table

    lines = [f"## From which side: {escape(advice.sides.source)}", "", f"**{escape(advice.sentence)}**", ""]
    lines += [*table(headings(advice), side_rows(advice, advice.rows), left=2)]
    lines += [*table(STILL, still_rows(advice)), *table(BILL, bill_rows(advice))]
    lines += [f"- {escape(remark)}" for remark in remarks(advice) if remark]
    return "\n".join(lines) + "\n"
