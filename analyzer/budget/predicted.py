"""Budgets of predicted latency: held to a device's profile, a warning where nothing else is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from analyzer.budget.limits import PREDICTED
from analyzer.budget.schema import FigureBudget, Model
from analyzer.budget.verdict import Budgeted, Finding
from analyzer.errors import UsageError
from analyzer.measurements import PredictedLatency
from analyzer.reading.family import with_latency
from analyzer.reading.profiles import profile_at
from analyzer.records import standing_of
from analyzer.structs import Frozen
from analyzer.units import parse_seconds

if TYPE_CHECKING:
    from analyzer.budget.model_check import Held


class PredictedLimit(Frozen, frozen=True, kw_only=True):
    """The most seconds that a batch may take by the profile of the device `on`; `batch` of None is the profile's."""

    on: str
    max_s: float
    batch: int | None
    level: Literal["error", "warning"]
    message: str | None
    where: str


def predicted_limits(model: Model, where: str = "") -> list[PredictedLimit]:
    """A model's budgets of predicted latency. Raises UsageError on what means nothing."""
    if any(PREDICTED.name in budgets for budgets in model.groups.values()):
        raise UsageError(f"layers have no {PREDICTED.name}", where=f"{where}.groups", fix="budget the whole model's")
    budget = model.budgets.get(PREDICTED.name)
    return [] if budget is None else [_limit(budget, model.batch, f"{where}.budgets.{PREDICTED.name}")]


def _limit(budget: FigureBudget, batch: int | None, where: str) -> PredictedLimit:
    fix = 'such as { max = "60ms", on = "rtx4090" }'
    if budget.on is None or budget.max is None:
        raise UsageError("needs max, and the device it is predicted on", where=where, fix=fix)
    given = (budget.min, budget.growth, budget.growth_min, budget.max_ratio, budget.of)
    if any(value is not None for value in given):
        raise UsageError("a prediction has a max alone", where=where, fix=fix)
    seconds = parse_seconds(str(budget.max), where=f"{where}.max")
    return PredictedLimit(
        on=budget.on, max_s=seconds, batch=batch, level=budget.level or "warning", message=budget.message, where=where
    )


def hold_predicted(held: Held, limits: Sequence[PredictedLimit]) -> Iterator[tuple[Budgeted | None, Finding | None]]:
    """A line of each limit, and what was found where the model is beyond it. Raises UsageError for no such device."""
    for limit in limits:
        profile = profile_at(limit.on, limit.batch)
        assert profile is not None
        record = with_latency(held.counted.record, profile)
        predicted = record.predicted
        if predicted is None:
            what = f"{PREDICTED.label} can't be told: the model was not counted on an input"
            yield None, held.found("configuration", "error", what, fix="such as input = [1, 3, 224, 224]")
            continue
        standing = standing_of(record, PREDICTED)
        line = Budgeted(figure=PREDICTED.name, value=predicted.latency_s, limit=limit.max_s, standing=standing)
        yield line, _exceeded(held, limit, predicted, standing) if predicted.latency_s > limit.max_s else None


def _exceeded(held: Held, limit: PredictedLimit, predicted: PredictedLatency, standing: str) -> Finding:
    text = PREDICTED.text
    over = text(predicted.latency_s - limit.max_s)
    told = f"{over} above the limit {text(limit.max_s)}"
    where = f"{PREDICTED.label} on {limit.on}, batch {predicted.batch:,}"
    return held.found(
        "excess", limit.level, f"{where}: {text(predicted.latency_s)}, {told}", figure=PREDICTED.name,
        value=predicted.latency_s, limit=limit.max_s, standing=standing, message=limit.message,
        fix="make it smaller (`analyze explain --on` says where the time goes), or raise max",
    )  # fmt: skip
