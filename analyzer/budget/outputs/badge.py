"""The verdict as a badge: one figure beside its limit, in an SVG whose description says all that was found."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from analyzer.budget.outputs import facts
from analyzer.budget.verdict import Budgeted, Verdict
from analyzer.figures import FIGURES
from analyzer.shown import plain

_COLORS = {True: "#2a7d2e", False: "#b3261e"}
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img">
<title>{label}: {message}</title>
<desc>{found}</desc>
<rect width="{width}" height="20" rx="3" fill="#444"/>
<rect x="{left}" width="{right}" height="20" rx="3" fill="{color}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="6" y="14">{label}</text>
<text x="{text}" y="14">{message}</text>
</g>
</svg>
"""
_CHARACTER, _MARGIN = 7, 12


def render(verdict: Verdict) -> str:
    """The figure that the verdict's badge names, of the first model that has it; else whether all is within budget."""
    shown = next(_shown(verdict), None)
    label, message = shown or ("model budgets", "within" if verdict.exit_code == 0 else "over")
    left, right = (_CHARACTER * len(text) + _MARGIN for text in (label, message))
    told = [f"{finding.level} {facts.title(finding)}: {facts.sentence(finding)}" for finding in verdict.findings]
    found = "\n".join([facts.headline(verdict), *told])
    return _SVG.format(
        width=left + right, left=left, right=right, text=left + 6, color=_COLORS[verdict.exit_code == 0],
        label=escape(label), message=escape(message), found=escape(found),
    )  # fmt: skip


def _shown(verdict: Verdict) -> Iterator[tuple[str, str]]:
    for model in verdict.models:
        for line in model.figures:
            if line.figure == verdict.badge and line.group is None and line.figure in FIGURES:
                own = f"{plain(model.name)} " if len(verdict.models) > 1 else ""
                yield f"{own}{FIGURES[line.figure].label}", _beside_limit(line)


def _beside_limit(line: Budgeted) -> str:
    """`2,500 of 2,000, exact`; of a prediction its error alone: the description has the band."""
    text = FIGURES[line.figure].text
    beside = f" of {text(line.limit)}" if line.limit is not None else ""
    known = facts.standing(line).partition(" (")[0]
    return f"{text(line.value)}{beside}" + (f", {known}" if known else "")
