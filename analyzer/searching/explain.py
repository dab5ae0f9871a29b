"""Where a variant's parameters sit and what moves them: shares, elasticities, the cheapest ways under a budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from analyzer.architecture import ops
from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.network import trace
from analyzer.architecture.ops import Op, Scope
from analyzer.architecture.variant import PerStage, Variant
from analyzer.errors import AnalyzerError
from analyzer.figures import LAYERED
from analyzer.limits import Limit, hold_all, state_of
from analyzer.reading import exact, family
from analyzer.reading import saved as memory
from analyzer.records import Record
from analyzer.space.axes import axis

SHARED = tuple(figure.name for figure in LAYERED)
"""What stages and roles have shares of."""


@dataclass(frozen=True)
class Share:
    """What a stage or a role holds of each figure."""

    name: str
    figures: dict[str, int]


@dataclass(frozen=True)
class Elasticity:
    """How figures answer to a small step of one axis: exact differences, and relative change over relative step.

    An elasticity of 2 says that 1 % more of the axis makes about 2 % more of the figure. `variant` is the neighbour.
    """

    axis: str
    value: Any
    stepped: Any
    variant: Variant
    differences: dict[str, int]
    elasticities: dict[str, float]


@dataclass(frozen=True)
class AxisChange:
    """One axis set to another value, and the record that makes. `kind` is `layer`, `topology` or `size`."""

    axis: str
    value: Any
    kind: str
    record: Record

    @property
    def said(self) -> str:
        """`compression 0.25`."""
        return f"{self.axis} {text(self.value, ',' if self.axis == 'blocks' else '/')}"


def text(value: Any, between: str = ",") -> str:
    """An axis's value as the command takes it."""
    if isinstance(value, tuple):
        return between.join(map(text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


# -- shares ----------------------------------------------------------------------------------------------------


def shares(variant: Variant, batch: int = 1) -> tuple[list[Share], list[Share]]:
    """By stage and by role, in order of execution; each adds up to the totals exactly."""
    stages: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(SHARED, 0))
    roles: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(SHARED, 0))
    for scope, op, saved in memory.saved(trace(variant), batch):
        figures = {**exact.cost(op)._asdict(), "saved_bytes": saved}
        for table, key in ((stages, _stage(scope, op)), (roles, _role(scope, op))):
            for name in SHARED:
                table[key][name] += figures[name]
    return _sorted(stages.items()), _sorted(roles.items())


def _sorted(items: Iterable[tuple[str, dict[str, int]]]) -> list[Share]:
    return [Share(name, figures) for name, figures in items if any(figures.values())]


def _stage(scope: Scope, op: Op) -> str:
    parts = [part for part in scope.path_of(op).split(".") if part != "features"]
    if not parts or parts[0] in ("classifier", "fc"):
        return "head"
    if parts[0].startswith(("denseblock", "transition", "layer")):
        return parts[0]
    return "head" if parts[0] in ("norm5", "relu5", "avgpool") else "stem"


def _role(scope: Scope, op: Op) -> str:
    if isinstance(op, ops.Norm):
        return "BN"
    if isinstance(op, ops.Linear):
        return "classifier"
    if not isinstance(op, ops.Conv):
        return "activations and pools"
    if scope.kind == "Transition":
        return "transition"
    if _stage(scope, op) == "stem":
        return "stem"
    if scope.name == "downsample":
        return "shortcut"
    if op.kernel > 1:
        return f"{op.kernel}x{op.kernel}"
    first = next(step for step in scope.steps if isinstance(step, ops.Conv))
    return "1x1 in" if op is first else "1x1 out"


# -- elasticities ----------------------------------------------------------------------------------------------

STEPPED = ("growth", "ratio", "bn_size", "compression", "init", "block_config", "classes", "image")


def elasticities(variant: Variant, batch: int = 1) -> list[Elasticity]:
    """One for each numeric axis that the variant has, and each stage of what is said a stage.

    From exact counts of the variant and of its neighbour.
    """
    base = family.record(variant, batch, layers=False)
    found = []
    for name, said, value, stepped, changed in _neighbours(variant):
        other = _try(variant, name, changed, batch)
        if other is None:
            continue
        differences = {f: (getattr(other, f) or 0) - (getattr(base, f) or 0) for f in SHARED}
        step = float(Fraction(stepped) / Fraction(value) - 1)
        relative = {f: d / (getattr(base, f) or 1) / step for f, d in differences.items()}
        neighbour = Variant.from_dict(other.target.variant or {})
        found.append(Elasticity(said, value, stepped, neighbour, differences, relative))
    return found


def _neighbours(variant: Variant) -> Iterator[tuple[str, str, Any, Any, Any]]:
    """Field, what it is called, its value, the stepped one, and the field's whole value with that."""
    for name in STEPPED:
        whole, option = getattr(variant, name), axis(name).option
        if isinstance(whole, tuple):
            for i, value in enumerate(whole):
                stepped = value + 1 if name == "block_config" else _step(name, value)
                yield name, f"{option}, stage {i + 1}", value, stepped, (*whole[:i], stepped, *whole[i + 1 :])
        elif whole is not None and not isinstance(whole, str):
            stepped = _step(name, whole)
            yield name, option, whole, stepped, stepped


def _step(name: str, value: Any) -> Any:
    """About a sixteenth more, so that floors of widths average out; downwards where there is no more."""
    if isinstance(value, float):
        more = value * (1 + 1 / 16)
        return value * (1 - 1 / 16) if name == "compression" and more > 1 else more
    if name == "image":
        return value + 32
    return value + max(1, value // 16)


def _try(variant: Variant, name: str, value: Any, batch: int) -> Record | None:
    """The record of the variant with one axis changed; None where that makes no network."""
    changes: dict[str, Any] = {name: value}
    if name in ("ratio", "bn_size"):
        changes = {"ratio": None, "bn_size": None, name: value}
    try:
        return family.record(replace(variant, **changes), batch, layers=False)
    except AnalyzerError:
        return None


# -- single changes --------------------------------------------------------------------------------------------


def levers(variant: Variant, batch: int = 1) -> list[AxisChange]:
    """What a usual step of each axis does, each the whole variant with that one change.

    `layer`: the hidden width, groups and kernel inside a layer; `topology`: growth and compression, which say how
    widths rise from layer to layer; `size`: stem width and depth.
    """
    return [change for name, value, kind in _usual(variant) for change in _changed(variant, name, value, kind, batch)]


def _usual(v: Variant) -> Iterator[tuple[str, Any, str]]:
    if isinstance(v.ratio, float):
        yield "ratio", v.ratio / 2, "layer"
        yield "ratio", v.ratio / 4, "layer"
    if v.bn_size is not None and v.bn_size > 1:
        yield "bn_size", v.bn_size // 2, "layer"
    yield "groups", v.groups * 4, "layer"
    if v.kernel > 1:
        yield "kernel", 1, "layer"
    if BLOCKS[v.block].family == "densenet":
        yield "compression", v.compression / 2 if isinstance(v.compression, float) else None, "topology"
    if v.growth == "double":
        yield "growth", 64, "topology"
        yield "growth", 32, "topology"
    elif isinstance(v.growth, int):
        yield "growth", max(1, v.growth // 2), "topology"
    yield "init", max(1, v.init // 2), "size"
    for stage, depth in enumerate(v.block_config):
        if depth > 1:
            yield "block_config", (*v.block_config[:stage], depth - 1, *v.block_config[stage + 1 :]), "size"


def _changed(variant: Variant, name: str, value: Any, kind: str, batch: int) -> Iterator[AxisChange]:
    record = None if value is None else _try(variant, name, value, batch)
    if record is not None:
        yield AxisChange(axis(name).option, value, kind, record)


def cheapest(variant: Variant, limits: Sequence[Limit], batch: int = 1) -> list[AxisChange]:
    """For each axis the mildest value that alone meets every limit, the one that keeps most MACs first.

    Mildest is the first in the order away from the variant's own value. Every figure of each is exact.
    """
    found = []
    for name, values, kind in _ranges(variant):
        for value in values:
            record = _try(variant, name, value, batch)
            if record is not None and state_of(hold_all(record, limits)) == "within":
                found.append(AxisChange(axis(name).option, value, kind, record))
                break
    return sorted(found, key=lambda change: -(change.record.macs or 0))


def _ranges(v: Variant) -> Iterator[tuple[str, Iterable[Any], str]]:
    """Values of each axis from mild to strong."""
    if v.ratio is not None:
        yield "ratio", [_scaled(v.ratio, i / 32) for i in range(31, 0, -1)], "layer"
    if v.bn_size is not None:
        yield "bn_size", range(v.bn_size - 1, 0, -1), "layer"
    yield "groups", [v.groups * 2**i for i in range(1, 9)], "layer"
    yield "kernel", range(v.kernel - 2, 0, -2), "layer"
    yield "init", range(v.init - 1, 0, -1), "size"
    if BLOCKS[v.block].family == "densenet" and isinstance(v.compression, float):
        steps = int(v.compression * 100)
        yield "compression", [i / 100 for i in range(steps, 0, -1) if i / 100 < v.compression], "topology"
    elif isinstance(v.compression, tuple):
        yield "compression", [_scaled(v.compression, i / 32) for i in range(31, 0, -1)], "topology"
    if v.growth == "double":
        yield "growth", range(512, 0, -1), "topology"
    elif isinstance(v.growth, int):
        yield "growth", range(v.growth - 1, 0, -1), "topology"
    elif isinstance(v.growth, tuple):
        yield "growth", [tuple(max(1, g * i // 32) for g in v.growth) for i in range(31, 0, -1)], "topology"
    yield "block_config", _shallower(v.block_config), "size"


def _scaled(value: PerStage, factor: float) -> PerStage:
    """A share, or one of every stage, times a factor, in four decimals."""
    if isinstance(value, tuple):
        return tuple(max(round(part * factor, 4), 0.0001) for part in value)
    return value * factor


def _shallower(depths: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """One layer less, the deepest stage first, until every stage has one."""
    now = list(depths)
    while max(now) > 1:
        now[max(range(len(now)), key=lambda i: (now[i], i))] -= 1
        yield tuple(now)
