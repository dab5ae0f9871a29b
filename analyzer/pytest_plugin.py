"""Budgets inside a test suite: `assert_budget(model, ...)` and `@pytest.mark.budget(...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from analyzer import units
from analyzer.budget.figures import OF_PARAMETERS, PEAKS, STATIC
from analyzer.errors import UsageError, did_you_mean
from analyzer.figures import known
from analyzer.limits import Judged, Limit, hold_all
from analyzer.records import Record, standing_of

if TYPE_CHECKING:
    from torch import nn

    from analyzer.architecture.variant import Variant

LARGEST = 5
"""How many layers a failure names."""
RUN = set(STATIC) - set(OF_PARAMETERS)
"""Figures that need an input."""
_LIMITS = {f"max_{name}": name for name in STATIC}
_WHERE = "assert_budget"
_models = pytest.StashKey[list[tuple[Any, dict[str, Any]]]]()


def assert_budget(
    model: nn.Module | Variant | str,
    *,
    inputs: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    max_params: int | str | None = None,
    max_macs: int | str | None = None,
    **limits: int | str | None,
) -> None:
    """Fails where the model costs more than its limits (inclusive): integers, or text such as `"8M"` or `"32 MiB"`.

    `limits` are `max_` and any other static figure, such as `max_saved_bytes`. `inputs` are those of
    `analyzer.analyze`; params and bytes of parameters need none. Raises AssertionError that names the largest layers,
    UsageError on limits that mean nothing, CountError where the model can't be fully counted.
    """
    __tracebackhide__ = True
    asked = _limits({"max_params": max_params, "max_macs": max_macs, **limits})
    record = _record(model, inputs, kwargs, {limit.figure for limit in asked})
    judged = hold_all(record, asked)
    for each in judged:
        _require_known(each, record)
    problems = [_problem(each, record) for each in judged if each.state == "over"]
    if problems:
        raise AssertionError("\n".join([f"{record.target.shown} is over its budget", *problems]))


def _limits(limits: Mapping[str, int | str | None]) -> list[Limit]:
    for name in limits:
        if name not in _LIMITS:
            raise UsageError(f"unknown limit {name!r}", where=_WHERE, fix=did_you_mean(name, _LIMITS))
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if not given:
        raise UsageError("a budget without a limit holds nothing", where=_WHERE, fix="such as max_params='8M'")
    return [Limit(figure=_LIMITS[name], bound=_whole(name, limit), source=name) for name, limit in given.items()]


def _whole(name: str, limit: int | str) -> int:
    if isinstance(limit, str):
        return known(_LIMITS[name]).parse(limit, where=name)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise UsageError(f"{limit!r} is not a number of them", where=name, fix="write it as 8_000_000 or '8M'")
    return limit


def _record(model: Any, inputs: Any, kwargs: Mapping[str, Any] | None, figures: set[str]) -> Record:
    from analyzer.architecture.variant import Variant
    from analyzer.targets.analysis import analyze

    if isinstance(model, (str, Variant)) or inputs is not None or kwargs:
        record = analyze(model, inputs=inputs, kwargs=kwargs, strict=bool(figures & RUN))
        own = not isinstance(model, (str, Variant))
        return _with_peaks(record, model, inputs, kwargs) if own and figures & set(PEAKS) else record
    if needing := sorted(figures & RUN):
        raise UsageError(f"{needing[0]} need inputs", where=_WHERE, fix="such as inputs=(1, 3, 224, 224)")
    from analyzer.tracing.parameters import count_parameters

    return count_parameters(model, name=type(model).__name__)


def _with_peaks(record: Record, model: nn.Module, inputs: Any, kwargs: Mapping[str, Any] | None) -> Record:
    from analyzer.targets.inputs import as_tensors, named_tensors
    from analyzer.tracing.prediction import with_peaks

    return with_peaks(record, model, as_tensors(inputs), named_tensors(kwargs))


def _require_known(judged: Judged, record: Record) -> None:
    if judged.state == "unknown":
        what = f"{judged.limit.figure} of {record.target.shown} are not known"
        raise UsageError(what, where=_WHERE, fix="limit another figure")


def _problem(judged: Judged, record: Record) -> str:
    figure, value, limit = judged.figure, judged.value, judged.limit
    above = figure.exact(limit.beyond(value))
    known_as = standing_of(record, figure)
    head = f"{figure.label}: {figure.exact(value)} ({known_as}), {above} above the limit {figure.exact(limit.bound)}"
    costs = {row: figure.of(row) or 0 for row in record.layers or ()}
    largest = sorted((row for row in costs if costs[row]), key=lambda row: -costs[row])[:LARGEST]
    lines = [
        f"  {row.path or '(root)'} ({row.type}): {figure.exact(costs[row])}, {units.percent(costs[row], value)}"
        for row in largest
    ]
    heading = ["  the largest layers are" if lines else "  no single layer pays for it"]
    return "\n".join([head, *heading, *lines, "  make these smaller, or raise the limit on purpose"])


# -- the marker ------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers",
        "budget(model='model', inputs=None, max_params=None, max_macs=None, ...): fail where a model costs more; "
        "model is a fixture's name, a module, or a function that makes one",
    )


@pytest.fixture(autouse=True)
def _budgeted_models(request: pytest.FixtureRequest) -> None:
    """Finds the marked models while fixtures can still be asked for; the test itself then fails on them."""
    budgeted = []
    for marker in request.node.iter_markers("budget"):
        if marker.args:
            raise UsageError("takes names, such as max_params='8M'", where="pytest.mark.budget", fix="say model=...")
        options = dict(marker.kwargs)
        budgeted.append((_model(options.pop("model", "model"), request), options))
    request.node.stash[_models] = budgeted


def _model(said: str | Callable[[], Any] | Any, request: pytest.FixtureRequest) -> Any:
    if isinstance(said, str):
        return request.getfixturevalue(said)
    module = hasattr(said, "named_modules") and not isinstance(said, type)
    return said() if callable(said) and not module else said


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Holds the marked models to their budgets, before the test's own body."""
    __tracebackhide__ = True
    for model, options in item.stash.get(_models, []):
        assert_budget(model, **options)
