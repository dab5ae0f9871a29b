"""The compression study's page from its stored races: the answer with intervals, a table, plots, its limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from analyzer import units
from analyzer.compressing.advice import Advice, listed
from analyzer.figures import FIGURES
from analyzer.reporting.advice_page import priced
from analyzer.reporting.advice_tables import leading, measured, widest
from analyzer.reporting.page import template_text
from analyzer.reporting.text import share

TITLES = {
    "init-32-whole": "init 32 under DenseNet121's budget",
    "init-32-half": "init 32 under half of DenseNet121's budget",
    "densenet121-half": "DenseNet121 under half of its own budget",
}
HEADS = ("race", "side", "how", "params", "MACs", "measured, one image", "test accuracy", "to uncompressed, trained on",
         "to from scratch", "CPU time", "runs")  # fmt: skip


def page(races: Mapping[str, Advice]) -> str:
    """The whole page as Markdown."""
    parts = [
        *_head(races), "",
        "## The answer", "", *_answers(races), "",
        "## By side", "", *_table(races), "",
        "## Accuracy against params", "", *(f"![{TITLES[name]}]({name}.svg)\n" for name in races),
        "## Not trained", "", *_stills(races), "",
        "## What this can't tell", "", *_limits(races),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _head(races: Mapping[str, Advice]) -> Iterator[str]:
    first = next(iter(races.values()))
    spent = sum(one.spent.cpu_s for one in races.values())
    points = sum(len(one.sides.points) for one in races.values())
    yield "# From which side does one compress?"
    yield ""
    yield (
        "Made by `make study-compress` from the races that are stored beside it. The article ends with the question; "
        "declared before the first step (`tests/study/compress_study.py`) is how it is asked here: each side begins "
        f"with the original that the training study left after {first.parent.epochs} epochs, and is trained "
        f"{first.sides.extra} more; from scratch for all of these together, or for as much work. "
        f"{first.sides.margin:g} points would matter. Validation images chose who went on and who leads (★), test "
        "images chose nothing."
    )
    yield ""
    yield f"{len(races)} races of {points} points, {spent / 3600:.1f} CPU-hours. Intervals are of 95 %."


def _answers(races: Mapping[str, Advice]) -> Iterator[str]:
    leaders = [one.leader for one in races.values() if one.leader is not None]
    if leaders:
        sides = Counter(leader.point.side for leader in leaders).most_common()
        leads = listed([f"{side} in {count} of {len(leaders)}" for side, count in sides])
        yield (
            f"Who leads on validation images: {leads}. "
            "To the uncompressed network, trained on for as many epochs as those that begin with its weights, that is "
            f"{listed([widest(leader.to_original) for leader in leaders])} points of test accuracy."
        )
        yield ""
    for name, one in races.items():
        yield f"- **{TITLES[name]}** ([report]({name}.html)): {one.sentence}{_of_these(one)}"


def _of_these(one: Advice) -> str:
    """What images alone show of the very networks that were trained; nothing of what other seeds would come to."""
    found = [(each.side, each.estimates[1]) for each in one.against if len(each.estimates) > 1]
    better = [(side, over.low) for side, over in found if over.low is not None and over.low > 0]
    others = [side for side, _ in found if side not in dict(better)]
    if not better:
        return ""
    least = min(low for _, low in better)
    but = f", and not told from {listed(others)}" if others else ""
    return (
        f" Over images alone, so of the very networks that were trained, it is better than "
        f"{listed([side for side, _ in better])} by {least:.1f} points or more{but}."
    )


def _table(races: Mapping[str, Advice]) -> Iterator[str]:
    yield f"| {' | '.join(HEADS)} |"
    yield f"| --- | --- | --- {'| ---: ' * (len(HEADS) - 3)}|"
    for name, one in races.items():
        for row in one.rows:
            cells = (
                TITLES[name], row.point.side + leading(one, row), row.point.how, f"{row.point.figures['params']:,}",
                f"{row.point.figures.get('macs', 0):,}", measured(row.point), share(row.test), widest(row.to_original),
                widest(row.to_scratch), units.span(row.bill.cpu_s), row.state,
            )  # fmt: skip
            yield f"| {' | '.join(cells)} |"


def _stills(races: Mapping[str, Advice]) -> Iterator[str]:
    yield "| race | network | test accuracy | parameter bytes |"
    yield "| --- | --- | ---: | ---: |"
    for name, one in races.items():
        for each in one.stills:
            size = FIGURES["param_bytes"].text(each.still.figures.get("param_bytes"))
            yield f"| {TITLES[name]} | {each.still.how} | {100 * each.still.accuracy:.1f} % | {size} |"


def _limits(races: Mapping[str, Advice]) -> Iterator[str]:
    yield (
        "- One original each: all but those from scratch share its weights, so intervals are over what trains them "
        "further and over images, not over originals."
    )
    pairs = [row.runs for one in races.values() for row in one.rows if row.finished]
    if pairs:
        many = " to ".join(map(str, sorted({min(pairs), max(pairs)})))
        yield (
            f"- {many} pairs of runs: an interval over runs is as wide as that (over two of them "
            "12.7 standard errors to each side)."
        )
    yield "- Of each side one point, and few epochs: a side that needs longer to recover is seen too early."
    yield (
        "- One data set, small images. Times are of this machine, in eager PyTorch on one thread, of one image; the "
        "uncompressed network's are of itself beside itself: what they are off 1.00 is noise."
    )
    left = [f"{what} ({why})" for one in races.values() for what, why in one.sides.left_out.items()]
    if left:
        yield f"- Left out: {'; '.join(dict.fromkeys(left))}."


def plot(advice: Advice) -> str:
    """Accuracy against params as a drawing that stands alone: the page's for a wide screen."""
    drawn = str(priced(advice)[0][1]) if priced(advice) else '<svg viewBox="0 0 1 1"></svg>'
    head, rest = drawn[drawn.index("<svg") : drawn.index("</svg>") + len("</svg>")].split(">", 1)
    style = f"<style><![CDATA[{template_text('style.css')}]]></style>"
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{rest}\n'
