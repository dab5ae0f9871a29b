"""Budgets as exact numbers: what the configured texts mean, and what means nothing."""

from __future__ import annotations

import re
from datetime import date
from fractions import Fraction
from typing import Any, Literal

from analyzer.budget.figures import LAYERED, STATIC
from analyzer.budget.schema import FigureBudget, Model, Number, Waiver
from analyzer.errors import UsageError, did_you_mean
from analyzer.figures import FIGURES, known
from analyzer.structs import Frozen
from analyzer.units import parse_seconds

PREDICTED = FIGURES["predicted_latency_s"]
_PERCENT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?%")


class BudgetLimit(Frozen, frozen=True, kw_only=True):
    """A budget whose numbers are read: of a figure, of the layers of a group (None: of the model)."""

    figure: str
    group: str | None
    max: int | None
    min: int | None
    growth: Fraction | None
    growth_min: int
    max_ratio: Fraction | None
    of: str
    level: Literal["error", "warning"]
    message: str | None
    where: str

    def most_grown(self, base: int) -> int:
        """The most that the figure may be after growth from `base`, exactly."""
        assert self.growth is not None
        return base + max(int(base * self.growth), self.growth_min)


def limits(model: Model, where: str = "") -> list[BudgetLimit]:
    """Every budget of a model's counts, those of groups after its own. Raises UsageError on numbers that mean nothing.

    Those of predicted latency are read by predicted.py.
    """
    own = [(figure, budget) for figure, budget in model.budgets.items() if figure != PREDICTED.name]
    all_limits = [_limit(figure, None, budget, f"{where}.budgets.{figure}") for figure, budget in own]
    for group, budgets in model.groups.items():
        place = f"{where}.groups.{group}"
        all_limits += [_limit(figure, group, budget, f"{place}.{figure}") for figure, budget in budgets.items()]
    return all_limits


def _limit(figure: str, group: str | None, budget: FigureBudget, where: str) -> BudgetLimit:
    allowed = STATIC if group is None else LAYERED
    if figure not in allowed:
        what = f"layers have no {figure}" if figure in STATIC else f"unknown figure {figure[:60]!r}"
        raise UsageError(what, where=where, fix=did_you_mean(figure, allowed))
    if all(value is None for value in (budget.max, budget.min, budget.growth, budget.max_ratio)):
        raise UsageError("holds nothing", where=where, fix='say one of max, min, growth, max-ratio: { max = "8M" }')
    if budget.on is not None:
        raise UsageError("is counted, on no device", where=f"{where}.on", fix=f"budget {PREDICTED.name} there")
    if budget.growth is None and budget.growth_min is not None:
        raise UsageError("growth-min needs growth", where=where, fix='such as { growth = "5%", growth-min = "1k" }')
    if (budget.max_ratio is None) != (budget.of is None):
        raise UsageError(
            "max-ratio and of go together", where=where, fix='such as { max-ratio = 1.0, of = "densenet121" }'
        )
    most, least = (_number(getattr(budget, name), figure, f"{where}.{name}") for name in ("max", "min"))
    if most is not None and least is not None and least > most:
        raise UsageError(f"min {least:,} is above max {most:,}", where=where, fix="exchange them")
    return BudgetLimit(
        figure=figure, group=group, max=most, min=least, growth=_growth(budget.growth, f"{where}.growth"),
        growth_min=_number(budget.growth_min, figure, f"{where}.growth-min") or 0,
        max_ratio=_ratio(budget.max_ratio, f"{where}.max-ratio"), of=budget.of or "", level=budget.level or "error",
        message=budget.message, where=where,
    )  # fmt: skip


def _number(value: Number | None, figure: str, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        return known(figure).parse(value, where=where)
    if not 0 <= value < 2**63:
        raise UsageError(f"{value:,} is out of range", where=where, fix="use 0 to 2^63-1")
    return value


def _growth(value: Number | float | None, where: str) -> Fraction | None:
    if value is None:
        return None
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise UsageError(
            f"{value!r} is no growth",
            where=where,
            fix='write a share of the baseline, "5%"; an absolute one is growth-min',
        )
    return Fraction(match[1]) / 100


def _ratio(value: float | None, where: str) -> Fraction | None:
    if value is None:
        return None
    if not 0 <= value < 1e9:
        raise UsageError(f"{value!r} is no ratio", where=where, fix="write it as 1.0")
    return Fraction(repr(value))


def waived_up_to(waiver: Waiver, where: str) -> int | float | None:
    """The most that a waiver accepts (seconds of a predicted time); None: anything."""
    if waiver.figure == PREDICTED.name:
        return None if waiver.max is None else parse_seconds(str(waiver.max), where=f"{where}.max")
    return _number(waiver.max, waiver.figure, f"{where}.max")


def as_bound(value: int) -> str:
    """A number that is no smaller, in two or three digits: `44k` for 43,210."""
    for size, suffix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            step = size // 10 if value < 10 * size else size
            tenths = -(-value // step) * step * 10 // size
            return (f"{tenths // 10}" if tenths % 10 == 0 else f"{tenths / 10}") + suffix
    return str(value)


def as_text(value: Any) -> str:
    """A configured value as people write it."""
    if isinstance(value, date):
        return value.isoformat()
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
