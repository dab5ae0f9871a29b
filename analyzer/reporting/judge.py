"""Is it within budget: limits held against a record, and the one sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.records import Record
from analyzer.reporting.data import ReportLimit
from analyzer.reporting.figures import Figure, known, times

WITHIN, OVER, UNKNOWN = "within", "over", "unknown"


@dataclass(frozen=True)
class Check:
    """One limit held against one record."""

    figure: Figure
    limit: ReportLimit
    value: int | None

    @property
    def state(self) -> str:
        """`within`, `over`, or `unknown` where the figure is not known."""
        if self.value is None:
            return UNKNOWN
        return WITHIN if self.value <= self.limit.maximum else OVER

    @property
    def ratio(self) -> str:
        """How many times the limit."""
        return times(self.value, self.limit.maximum)


@dataclass(frozen=True)
class Judgement:
    """The state of all limits together, and the sentence that says it."""

    state: str
    checks: tuple[Check, ...]
    word: str
    sentence: str


def checks(record: Record, limits: Sequence[ReportLimit]) -> tuple[Check, ...]:
    """Every limit held against the record."""
    return tuple(Check(known(limit.figure), limit, getattr(record, limit.figure, None)) for limit in limits)


def state(record: Record, limits: Sequence[ReportLimit]) -> str:
    """`over` where any limit is exceeded, else `unknown` where any can't be judged, else `within`."""
    states = {check.state for check in checks(record, limits)}
    return OVER if OVER in states else UNKNOWN if UNKNOWN in states or not states else WITHIN


def judge(subject: Record | None, limits: Sequence[ReportLimit]) -> Judgement:
    """The verdict on a record; `unknown` without a record, without figures or without limits."""
    if subject is None:
        return Judgement(UNKNOWN, (), "No verdict", "No variant was named to be judged.")
    name = subject.target.shown
    if subject.error is not None:
        return Judgement(UNKNOWN, (), "No verdict", f"{name} has no figures: {subject.error.what}.")
    held = checks(subject, limits)
    if not held:
        return Judgement(UNKNOWN, (), "No budget", f"No limit was given for {name}.")
    result = state(subject, limits)
    word = {OVER: "Over budget", WITHIN: "Within budget", UNKNOWN: "Can’t be judged"}[result]
    return Judgement(result, held, word, f"{name} {_phrases(held)}.")


def _phrases(held: Sequence[Check]) -> str:
    over = [f"{c.ratio} the allowed {c.figure.label}" for c in held if c.state == OVER]
    within = [f"{c.figure.label} ({c.ratio})" for c in held if c.state == WITHIN]
    unknown = [c.figure.label for c in held if c.state == UNKNOWN]
    parts = [f"has {_and(over)}"] if over else []
    if within:
        parts.append(f"stays within the limit for {_and(within)}")
    if unknown:
        parts.append(f"has no figure for {_and(unknown)}")
    return "; it ".join(parts)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
