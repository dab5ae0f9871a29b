"""Where a variant's parameters sit and what moves them: shares, elasticities, the cheapest ways under a budget."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, get_args

from analyzer.architecture.axes import AXES, Axis, Change, alternatives
from analyzer.architecture.facts import Op, Part, Scope
from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError
from analyzer.figures import LAYERED
from analyzer.limits import Limit, hold_all, state_of
from analyzer.reading import exact, family
from analyzer.reading import saved as memory
from analyzer.reading.latency import Profile
from analyzer.reading.work import seconds_of, work
from analyzer.records import Record, variant_of

SHARED = tuple(figure.name for figure in LAYERED)
"""What stages and roles have shares of."""
KINDS = get_args(Change)[1:]
AT_ONCE = 64
"""Values of an axis that are counted together: from a few on, many cost what one does."""


@dataclass(frozen=True)
class Share:
    """What a stage or a role holds of each figure."""

    name: str
    figures: dict[str, int]


@dataclass(frozen=True)
class Elasticity:
    """How figures answer to a small step of one axis: exact differences, and relative change over relative step.

    An elasticity of 2 says that 1 % more of the axis makes about 2 % more of the figure. `variant` is the neighbour, in
    its canonical form: a step of one stage from growth 1/2 to 2/2 is growth 2. `value` and `stepped` are the stage's.
    """

    axis: str
    value: Any
    stepped: Any
    variant: Variant
    differences: dict[str, int]
    elasticities: dict[str, float]


@dataclass(frozen=True)
class AxisChange:
    """One axis set to another value, and the record that makes. `kind` is `layer`, `topology` or `size`.

    `value` is canonical, as the record's variant has it: the same in every stage is one number. `between` separates its
    parts, as in the axis's option.
    """

    axis: str
    value: Any
    kind: str
    record: Record
    between: str

    @property
    def said(self) -> str:
        """`compression 0.25`."""
        return f"{self.axis} {text(self.value, self.between)}"


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
    net = trace(variant)
    for scope, op, saved in memory.saved(net, batch):
        figures, part = {**exact.cost(op)._asdict(), "saved_bytes": saved}, net.part_of(op)
        for table, key in ((stages, str(part)), (roles, _role(scope, op, part))):
            for name in SHARED:
                table[key][name] += int(figures[name])
    return _sorted(stages.items()), _sorted(roles.items())


def shares_of_time(variant: Variant, profile: Profile) -> list[tuple[str, float]]:
    """Kind of operator -> the seconds of its predicted time at the profile's batch, the largest first."""
    done = work(trace(variant))
    each: dict[str, float] = defaultdict(float)
    for name, value in done.items():
        each[name.rpartition(" ")[0]] += seconds_of({name: value}, profile.batch, profile.coefficients)
    return sorted(((kind, time) for kind, time in each.items() if time), key=lambda pair: -pair[1])


def _sorted(items: Iterable[tuple[str, dict[str, int]]]) -> list[Share]:
    return [Share(name, figures) for name, figures in items if any(figures.values())]


def _role(scope: Scope, op: Op, part: Part | None) -> str:
    if op.kind != "convolution":
        return op.role
    if part is not None and part.kind in ("transition", "stem"):
        return part.kind
    if scope.name == "downsample":
        return "shortcut"
    if op.role != "1x1":
        return op.role
    first = next(step for step in scope.steps if not isinstance(step, Scope) and step.kind == "convolution")
    return "1x1 in" if op is first else "1x1 out"


# -- elasticities ----------------------------------------------------------------------------------------------


def elasticities(variant: Variant, batch: int = 1) -> list[Elasticity]:
    """One for each numeric axis that the variant has, and each stage of what is said a stage.

    From exact counts of the variant and of its neighbour.
    """
    base = family.record(variant, batch, layers=False)
    made = {(said, value, stepped): other for said, value, stepped, other in _neighbours(variant)}
    found = []
    for (said, value, stepped), other in zip(made, family.records(list(made.values()), batch), strict=True):
        if other.error is not None:
            continue
        differences = {f: (getattr(other, f) or 0) - (getattr(base, f) or 0) for f in SHARED}
        step = float(Fraction(stepped) / Fraction(value) - 1)
        relative = {f: d / (getattr(base, f) or 1) / step for f, d in differences.items()}
        found.append(Elasticity(said, value, stepped, variant_of(other), differences, relative))
    return found


def _neighbours(variant: Variant) -> Iterator[tuple[str, Any, Any, Variant]]:
    """What an axis is called, its value, the stepped one, and the variant with that."""
    for axis, whole in _numbers(variant):
        for said, value, stepped, changed in _steps(axis, whole):
            other = _with(variant, axis, changed)
            if other is not None:
                yield said, value, stepped, other


def _steps(axis: Axis, whole: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """What an axis or a stage of it is called, its value, the stepped one, and the axis's whole value with that."""
    if axis.step is None:
        return
    if isinstance(whole, tuple):
        for i, value in enumerate(whole):
            stepped = axis.step(value)
            yield f"{axis.option}, stage {i + 1}", value, stepped, (*whole[:i], stepped, *whole[i + 1 :])
    elif whole:
        stepped = axis.step(whole)
        yield axis.option, whole, stepped, stepped


def _numbers(variant: Variant) -> Iterator[tuple[Axis, Any]]:
    """The axes whose value is a number, or one a stage."""
    values = ((axis, getattr(variant, axis.field)) for axis in AXES)
    return ((axis, value) for axis, value in values if value is not None and not isinstance(value, str))


def _with(variant: Variant, axis: Axis, value: Any) -> Variant | None:
    """The variant with one axis changed; None where there is none such."""
    changes: dict[str, Any] = dict.fromkeys(alternatives(axis.field))
    try:
        return replace(variant, **{**changes, axis.field: value})
    except AnalyzerError:
        return None


# -- single changes --------------------------------------------------------------------------------------------


def levers(variant: Variant, batch: int = 1, profile: Profile | None = None) -> list[AxisChange]:
    """What a usual step of each axis does, each the whole variant with that one change; its time too by a `profile`.

    `layer`: the hidden width, groups and kernel inside a layer; `topology`: growth and compression, which say how
    widths rise from layer to layer; `size`: stem width and depth.
    """
    found: list[AxisChange] = []
    for axis, value in _levers(variant):
        usual = (other for other in axis.usual(value) if other != value)
        found += _changed(variant, axis, usual, batch, profile)
    return found


def _levers(variant: Variant) -> list[tuple[Axis, Any]]:
    """The axes that can be changed, with their values: layers first, then topology, then size."""
    changed = [axis for kind in KINDS for axis in AXES if axis.change == kind]
    return [(axis, value) for axis in changed if (value := getattr(variant, axis.field)) is not None]


def _changed(
    variant: Variant, axis: Axis, values: Iterable[Any], batch: int, profile: Profile | None
) -> Iterator[AxisChange]:
    """The values of an axis that make networks, in their order; counted in array form, AT_ONCE at a time."""
    left = iter(values)
    while some := list(itertools.islice(left, AT_ONCE)):
        changed = [made for value in some if (made := _with(variant, axis, value)) is not None]
        for record in family.records(changed, batch, profile):
            if record.error is None:
                value = getattr(variant_of(record), axis.field)
                yield AxisChange(axis.option, value, axis.change, record, axis.values.between)


def cheapest(
    variant: Variant, limits: Sequence[Limit], batch: int = 1, profile: Profile | None = None
) -> list[AxisChange]:
    """For each axis the mildest value that alone meets every limit, the one that keeps most MACs first.

    Mildest is the first in the order away from the variant's own value. Every figure of each is exact.
    """
    found: list[AxisChange] = []
    for axis, value in _levers(variant):
        tried = _changed(variant, axis, axis.smaller(value), batch, profile)
        found += itertools.islice((change for change in tried if _meets(change.record, limits)), 1)
    return sorted(found, key=lambda change: -(change.record.macs or 0))


def meeting(
    variant: Variant, limits: Sequence[Limit], profile: Profile | None = None, most: int = 600
) -> Iterator[AxisChange]:
    """Every value of each axis (`most` of one) that alone meets every limit, from mild to strong."""
    for axis, value in _levers(variant):
        tried = _changed(variant, axis, itertools.islice(axis.smaller(value), most), 1, profile)
        yield from (made for made in tried if _meets(made.record, limits))


def _meets(record: Record, limits: Sequence[Limit]) -> bool:
    return state_of(hold_all(record, limits)) == "within"
