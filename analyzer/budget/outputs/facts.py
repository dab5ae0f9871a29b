"""What every format says of a finding, as plain one-line text: the sinks escape it, and none leaves a part out."""

from __future__ import annotations

import hashlib
from collections import Counter

from analyzer import units
from analyzer.budget.blame import PayerGroup, grouped
from analyzer.budget.verdict import Budgeted, Finding, ModelVerdict, Verdict, how_known
from analyzer.figures import Figure, known
from analyzer.shown import plain
from analyzer.structs import Number

SHOWN_CHANGES = 5
_OUTSIDE = ("excess", "growth", "ratio", "waived", "waiver-expired")


def headline(verdict: Verdict) -> str:
    """`Over budget: 2 errors and 1 warning in 3 models`."""
    levels = Counter(finding.level for finding in verdict.findings)
    counts = [_several(levels[level], level) for level in ("error", "warning") if levels[level]]
    models = _several(len(verdict.models), "model")
    if not counts:
        return f"Within budget: {models}"
    return f"{_outcome(verdict)}: {' and '.join(counts)} in {models}"


def _outcome(verdict: Verdict) -> str:
    if verdict.exit_code == 0:
        return "Within budget"
    over = any(finding.exit_code == 1 for finding in verdict.findings)
    if not over or verdict.exit_code not in (1, 4):
        return "Can't be judged"
    unheld = any(finding.kind == "no-baseline" for finding in verdict.findings)
    return "Over budget (and no baseline)" if unheld else "Over budget"


def _several(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def compared(verdict: Verdict) -> str:
    """What the models were compared with, as a sentence."""
    return f"Compared with {plain(verdict.baseline) or 'nothing'}."


def figure_of(name: str | None) -> Figure:
    """The figure of a finding; one without a name counts."""
    return known(plain(name or ""))


def title(finding: Finding) -> str:
    """`tiny: params growth`, in a few words, for headings."""
    about = figure_of(finding.figure).label + " " if finding.figure else ""
    return f"{plain(finding.model)}: {about}{finding.kind}" if finding.model else f"{about}{finding.kind}"


def grown(value: Number | None, base: Number | None) -> Number | None:
    """Value minus baseline; None where either is not known."""
    return None if value is None or base is None else value - base


def growth(figure: Figure, value: Number | None, base: int | None) -> str:
    """`+9,600 (+5.0 %)` of the baseline; a dash where either is not known."""
    if value is None or base is None:
        return "–"
    share = units.change(value, base)
    return figure.signed(value - base) + (f" ({share})" if share else "")


def change(finding: Finding, paying: PayerGroup) -> str:
    """`features.conv2 (Conv2d): +9,600, from 1,200 to 10,800`; of equal ones `h.*.mlp (Linear), 12 layers: …`."""
    figure = figure_of(finding.figure)
    before, after = figure.text(paying.before), figure.text(paying.after)
    if paying.before is None:
        moved = f"new, {after}"
    elif paying.after is None:
        moved = f"removed, was {before}"
    else:
        moved = f"from {before} to {after}"
    several = f", {len(paying.payers):,} layers" if len(paying.payers) > 1 else ""
    name = f"{plain(paying.path) or '(root)'} ({plain(paying.payers[0].type)}){several}"
    return f"{name}: {figure.signed(paying.delta)}, {moved}"


def changes(finding: Finding) -> list[str]:
    """The modules that pay, repeated ones as one, the first few, and how many more there are."""
    groups = grouped(finding.changes)
    lines = [change(finding, paying) for paying in groups[:SHOWN_CHANGES]]
    more = len(groups) - len(lines)
    return [*lines, f"and {more:,} more"] if more else lines


def numbers(finding: Finding) -> list[tuple[str, str]]:
    """Figure, layers, value, how it is known, limit, baseline and growth, those that apply, by their names."""
    figure = figure_of(finding.figure)
    pairs = [("figure", figure.label if finding.figure else ""), ("layers", plain(finding.group or ""))]
    pairs += [("value", figure.exact(finding.value)), ("known", standing(finding))]
    pairs += [("limit", figure.exact(finding.limit)), _beyond(figure, finding)]
    pairs += [("baseline", figure.exact(finding.base)), ("growth", growth(figure, finding.value, finding.base))]
    return [(name, text) for name, text in pairs if text not in ("", "–")]


def standing(told: Finding | Budgeted) -> str:
    """How a value is known; empty where there is none."""
    return plain(how_known(told))


def _beyond(figure: Figure, finding: Finding) -> tuple[str, str]:
    over = grown(finding.value, finding.limit)
    if over is None or finding.kind not in _OUTSIDE:
        return "over", ""
    return "over" if over > 0 else "under", figure.exact(abs(over))


def lines(finding: Finding) -> list[str]:
    """The parts below a title: the numbers in one line, a line a module that pays, the others by name."""
    together = numbers(finding)
    told = {"model", "paid by", *(name for name, _ in together)}
    first = [", ".join(f"{name} {text}" for name, text in together)] if together else []
    others = [f"{name}: {text}" for name, text in parts(finding) if name not in told]
    return [*first, *(f"paid by: {line}" for line in changes(finding)), *others]


def parts(finding: Finding) -> list[tuple[str, str]]:
    """Everything about a finding but its sentence, by name: numbers, who pays, the fix, the message, the place."""
    pairs = [("model", plain(finding.model)), *numbers(finding)]
    pairs += [("paid by", "; ".join(changes(finding)))]
    pairs += [("fix", plain(finding.fix)), ("message", plain(finding.message or ""))]
    pairs += [("where", plain(finding.where)), ("at", place(finding))]
    return [(name, text) for name, text in pairs if text]


def sentence(finding: Finding) -> str:
    """The finding and all its parts in one line of plain text."""
    return ". ".join([plain(finding.what).rstrip("."), *(f"{name}: {text}" for name, text in parts(finding))])


def place(finding: Finding) -> str:
    """`net.py:12`, or nothing."""
    if not finding.file:
        return ""
    return f"{plain(finding.file)}:{finding.line}" if finding.line else plain(finding.file)


def location(verdict: Verdict, finding: Finding) -> tuple[str, int]:
    """File and line for formats that must have one: the configuration's first line where nothing nearer is known."""
    if file := plain(finding.file or ""):
        return file, max(finding.line or 1, 1)
    return plain(verdict.configuration) or "pyproject.toml", 1


def fingerprints(verdict: Verdict) -> list[str]:
    """One a finding, unique, the same for as long as what was found is: no number, line or order is in it."""
    seen: Counter[str] = Counter()
    digests = []
    for finding in verdict.findings:
        payer = finding.changes[0].path if finding.changes else finding.where
        key = "\0".join(map(plain, (finding.kind, finding.model, finding.figure or "", finding.group or "", payer)))
        digests.append(hashlib.sha256(f"{key}\0{seen[key]}".encode()).hexdigest())
        seen[key] += 1
    return digests


def row(budgeted: Budgeted) -> list[str]:
    """A figure's line: name, how it is known, value, baseline, growth, limit, and what is left of it."""
    figure = known(plain(budgeted.figure))
    name = figure.label + (f" of {plain(budgeted.group)}" if budgeted.group else "")
    value, base, limit = budgeted.value, budgeted.base, budgeted.limit
    left = "–" if value is None or limit is None else figure.signed(limit - value)
    numbers = [figure.text(value), figure.text(base), growth(figure, value, base), figure.text(limit), left]
    return [name, standing(budgeted), *numbers]


HEADINGS = ("figure", "known", "value", "baseline", "growth", "limit", "left")
WORDS = 2
"""So many columns are words, the others numbers."""


def name_of(model: ModelVerdict) -> str:
    """`tiny (net.py:build)`."""
    return f"{plain(model.name)} ({plain(model.target)})"
