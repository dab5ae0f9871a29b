"""Is it within budget: the one sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.limits import Judged, Limit, hold_all, state_of
from analyzer.records import Record
from analyzer.reporting.text import times


@dataclass(frozen=True)
class Judgement:
    """The state of all limits together, and the sentence that says it."""

    state: str
    checks: tuple[Judged, ...]
    word: str
    sentence: str


def judge(subject: Record | None, limits: Sequence[Limit], *, compared: bool = False) -> Judgement:
    """The verdict on a record; `unknown` without a record, without figures or without limits.

    `compared`: the limits are another network's own figures and no budget, so it is bigger or not.
    """
    if subject is None:
        return Judgement("unknown", (), "No verdict", "No variant was named to be judged.")
    name = subject.target.shown
    if subject.error is not None:
        return Judgement("unknown", (), "No verdict", f"{name} has no figures: {subject.error.what}.")
    held = hold_all(subject, limits)
    if not held:
        return Judgement("unknown", (), "No budget", f"No limit was given for {name}.")
    result = state_of(held)
    if compared:
        bigger = [each.figure.label for each in held if each.state == "over"]
        more = "Bigger" + (f" in {_and(bigger)}" if 0 < len(bigger) < len(held) else "")
        word = {"over": more, "within": "Not bigger", "unknown": "Can’t be compared"}[result]
        return Judgement(result, held, word, f"{name} has {_and([_beside(each) for each in held])}.")
    word = {"over": "Over budget", "within": "Within budget", "unknown": "Can’t be judged"}[result]
    return Judgement(result, held, word, f"{name} {_phrases(held)}.")


def ratio(judged: Judged) -> str:
    """How many times the limit."""
    return times(judged.value, judged.limit.bound)


def _beside(judged: Judged) -> str:
    known = judged.state != "unknown"
    return f"{ratio(judged)} the {judged.figure.label}" if known else f"no figure for {judged.figure.label}"


def _phrases(held: Sequence[Judged]) -> str:
    over = [f"{ratio(j)} the {_allowed(j)} {j.figure.label}" for j in held if j.state == "over"]
    within = [f"{j.figure.label} ({ratio(j)})" for j in held if j.state == "within"]
    unknown = [j.figure.label for j in held if j.state == "unknown"]
    parts = [f"has {_and(over)}"] if over else []
    if within:
        parts.append(f"stays within the limit for {_and(within)}")
    if unknown:
        parts.append(f"has no figure for {_and(unknown)}")
    return "; it ".join(parts)


def _allowed(judged: Judged) -> str:
    return "allowed" if judged.limit.side == "most" else "least allowed"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
