"""Budgets inside a test suite: `assert_budget(model, ...)` and `@pytest.mark.budget(...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from analyzer import units
from analyzer.budget.figures import OF_A_RUN, PEAKS, STATIC
from analyzer.errors import UsageError, did_you_mean
from analyzer.records import Record

if TYPE_CHECKING:
    from torch import nn

    from analyzer.architecture.variant import Variant

LARGEST = 5
"""How many layers a failure names."""
RUN = {*OF_A_RUN, *PEAKS}
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
    held = _held({"max_params": max_params, "max_macs": max_macs, **limits})
    record = _record(model, inputs, kwargs, set(held))
    problems = [_problem(record, name, limit) for name, limit in held.items() if _known(record, name) > limit]
    if problems:
        raise AssertionError("\n".join([f"{record.target.shown} is over its budget", *problems]))


def _held(limits: Mapping[str, int | str | None]) -> dict[str, int]:
    for name in limits:
        if name not in _LIMITS:
            raise UsageError(f"unknown limit {name!r}", where=_WHERE, fix=did_you_mean(name, _LIMITS))
    held = {_LIMITS[name]: _whole(name, limit) for name, limit in limits.items() if limit is not None}
    if not held:
        raise UsageError("a budget without a limit holds nothing", where=_WHERE, fix="such as max_params='8M'")
    return held


def _whole(name: str, limit: int | str) -> int:
    if isinstance(limit, str):
        return units.parse_count(limit, where=name, figure=_LIMITS[name])
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


def _known(record: Record, name: str) -> int:
    value: int | None = getattr(record, name)
    if value is None:
        raise UsageError(f"{name} of {record.target.shown} are not known", where=_WHERE, fix="limit another figure")
    return value


def _problem(record: Record, name: str, limit: int) -> str:
    from analyzer.reporting.figures import known

    figure, value = known(name), _known(record, name)
    head = f"{figure.label}: {figure.exact(value)}, {figure.exact(value - limit)} above the limit {figure.exact(limit)}"
    costs = {row: getattr(row, name, None) or 0 for row in record.layers or ()}
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
    found = []
    for marker in request.node.iter_markers("budget"):
        if marker.args:
            raise UsageError("takes names, such as max_params='8M'", where="pytest.mark.budget", fix="say model=...")
        options = dict(marker.kwargs)
        found.append((_model(options.pop("model", "model"), request), options))
    request.node.stash[_models] = found


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
