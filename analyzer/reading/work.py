"""The work that a device's time follows, by kind of operator: of a trace of the family, or of what any model ran.

One definition for both: `parts` says what an operator's work is, `convolution_kinds` tells convolutions apart. A trace
is read in scalar and in array form; tracing/work.py reads what a module ran. The parts of a kind are

- of every sample: `macs`; those that convolutions do beside, on units that are not made for their widths (`uneven`:
  the MACs of one whose widths are no multiples of 8; `idle`: what a tile of 64 output channels does for nothing);
  elements `moved`, read and written; `made`, written to memory of their own (not in place); `compared`, which max
  pooling looks at;
- of a batch, however large: elements of `weights`, and `calls` of operators.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from analyzer.architecture.dims import Run, Series, Truth, above, anywhere, everywhere, is_one
from analyzer.architecture.facts import Kind, Op
from analyzer.architecture.net import Net
from analyzer.reading.tally import Tally

CONVOLUTIONS = (
    "image convolution", "1x1 convolution", "larger convolution", "grouped convolution", "depthwise convolution",
    "strided depthwise", "large depthwise",
)  # fmt: skip
"""Depthwise ones are apart where they are strided, or larger than 3x3."""
DEPTHWISE = CONVOLUTIONS[-3:]
KINDS = (
    *CONVOLUTIONS, *(kind for kind in get_args(Kind) if kind != "convolution"), "data product", "attention", "row norm",
)  # fmt: skip
"""A product is of data and a weight, a data product of two that are computed; a row norm is a softmax, or normalises
each sample by itself (layer norm). The family has none of the last three."""
OF_A_SAMPLE = ("macs", "uneven", "idle", "moved", "made", "compared")
OF_A_BATCH = ("weights", "calls")
PARTS = (*OF_A_SAMPLE, *OF_A_BATCH)
IMAGE = 4
"""Channels of an image at most: a convolution of so few leaves a device's fast units half empty."""
TILE = 64
"""Output channels that a GPU's kernel computes together."""

Work = dict[str, Any]
"""`1x1 convolution macs` -> how many: an int, or an array with one entry a variant."""


class Amount(NamedTuple):
    """So many at each of so many places; a series of a repetition can't be multiplied, so they stay apart."""

    each: Any
    area: Any = 1


class OperatorWork(NamedTuple):
    """What an operator's work follows from, of one sample: MACs, elements that it reads and writes, whether it writes
    in place, elements compared and of weights; a convolution's input and output channels and, where it is not grouped,
    the values that each of its results is a product of.
    """

    macs: Amount
    read: tuple[Amount, ...]
    written: Amount
    in_place: bool = False
    compared: Amount = Amount(0)
    weights: Any = 0
    widths: tuple[Any, Any, Any] | None = None


class Summed(NamedTuple):
    """What is added up over the layers of a run already."""

    total: Any


def parts(operator: OperatorWork, wanted: Container[str] = PARTS) -> Iterator[tuple[str, Amount]]:
    """An operator's work, part by part, those that are `wanted`."""
    if "macs" in wanted:
        yield "macs", operator.macs
    if operator.widths is not None:
        inputs, outputs, lowered = operator.widths
        if "uneven" in wanted:
            yield "uneven", Amount(in_each_layer(_uneven, operator.macs.each, inputs, outputs), operator.macs.area)
        if "idle" in wanted and lowered is not None:
            # Alike in all layers, it multiplies a series as it is.
            idle = in_each_layer(_idle, lowered, outputs) if isinstance(outputs, Series) else _idle(lowered, outputs)
            yield "idle", Amount(idle, operator.written.area)
    if "moved" in wanted:
        for read in operator.read:
            yield "moved", read
        yield "moved", operator.written
    if "made" in wanted and not operator.in_place:
        yield "made", operator.written
    if "compared" in wanted:
        yield "compared", operator.compared
    if "weights" in wanted:
        yield "weights", Amount(operator.weights)
    if "calls" in wanted:
        yield "calls", Amount(1)


def _uneven(macs: Any, inputs: Any, outputs: Any) -> Any:
    """The MACs of a convolution whose widths, an image's aside, are no multiples of 8."""
    return macs * (((inputs > IMAGE) & (inputs % 8 != 0)) | (outputs % 8 != 0))


def _idle(lowered: Any, outputs: Any) -> Any:
    """The MACs at each position that the last tile does for channels that are not there."""
    return lowered * (-outputs % TILE)


def in_each_layer(amount: Callable[..., Any], *dims: Any) -> Any:
    """An amount of some dimensions: of series the sum over the layers, each by itself, as one that all layers share."""
    run = next((dim.run for dim in dims if isinstance(dim, Series)), None)
    if run is None:
        return amount(*dims)
    layers = range(run.most)
    each = (amount(*(dim.at(i) if isinstance(dim, Series) else dim for dim in dims)) * (run.count > i) for i in layers)
    return Summed(sum(each))


def convolution_kinds(inputs: Any, kernel: Any, stride: int, groups: Any) -> Iterator[tuple[str, Truth]]:
    """The kind of a convolution from its input channels; in array form each kind that some variants' is, and whose."""
    grouped, whole = _split(True, above(groups, 1))
    whole, image = _split(whole, above(inputs, IMAGE)) if whole is not False else (False, False)
    pointwise, larger = _split(whole, kernel == 1)
    depthwise, grouped = _split(grouped, _alone(inputs, groups)) if grouped is not False else (False, False)
    strided, depthwise = (depthwise, False) if stride > 1 else (False, depthwise)
    large, depthwise = _split(depthwise, above(kernel, 3)) if depthwise is not False else (False, False)
    each = (image, pointwise, larger, grouped, depthwise, strided, large)
    for kind, whose in zip(CONVOLUTIONS, each, strict=True):
        if whose is not False:
            yield kind, whose


def _alone(inputs: Any, groups: Any) -> Any:
    return True if inputs is groups else inputs // groups == 1


def _split(whose: Truth, condition: Any) -> tuple[Truth, Truth]:
    """Those of which a condition holds, and the others; nearly always it is all of them, or none."""
    if everywhere(condition):
        condition = True
    elif not anywhere(condition):
        condition = False
    if condition is True or condition is False:
        return (whose, False) if condition else (False, whose)
    return (False, False) if whose is False else (whose & condition, whose & ~condition)


# -- of a trace ------------------------------------------------------------------------------------------------


Term = tuple[str, str, Any, Any, "Run | None", Truth]
"""A part of an op's work: its kind and part, how much at how many places, in which run's layers, of which variants."""


def operators(net: Net) -> Iterator[tuple[Op, OperatorWork]]:
    """Every operator that does something in an inference, as it was recorded."""
    for _, op in net.recorded():
        if not op.is_view and not op.trains_only:
            yield op, operator_of(net, op)


def operator_of(net: Net, op: Op) -> OperatorWork:
    """What an op's work follows from."""
    parameters = net.parameters_of(op)
    each = None if op.weightless else op.macs_each(parameters)
    return OperatorWork(
        macs=Amount(op.macs(parameters)) if each is None else Amount(each, op.output.area),
        read=tuple(Amount(x.channels, x.area) for x in op.inputs),
        written=Amount(op.output.channels, op.output.area),
        in_place=op.overwrites,
        compared=Amount(op.compared),
        weights=parameters[0] if op.is_layer else 0,
        widths=_widths(op) if op.kind == "convolution" else None,
    )


def _widths(op: Any) -> tuple[Any, Any, Any]:
    lowered = op.x.channels if is_one(op.kernel) else op.x.channels * (op.kernel * op.kernel)
    return op.x.channels, op.output.channels, lowered if is_one(op.groups) else None


def kinds_of(op: Any) -> Iterable[tuple[str, Truth]]:
    """An op's kind; of a convolution in array form each, and whose."""
    if op.kind == "convolution":
        return convolution_kinds(op.x.channels, op.kernel, op.stride, op.groups)
    return ((op.kind, True),)


def terms(net: Net, wanted: Container[str] = PARTS) -> Iterator[Term]:
    """All work of a trace, the parts that are `wanted`."""
    for op, operator in operators(net):
        run = net.run_of(op)
        for kind, whose in kinds_of(op):
            for part, (each, area) in parts(operator, wanted):
                if isinstance(each, Summed):
                    yield kind, part, each.total, area, None, whose
                elif each.__class__ is not int or each:
                    yield kind, part, each, area, run, whose


def work(net: Net) -> Work:
    """A trace's work by kind and part; those that it has none of are left out."""
    tallies: dict[str, Tally] = {}
    for kind, part, each, area, run, whose in terms(net):
        times: Any = 1 if whose is True else whose
        tallies.setdefault(f"{kind} {part}", Tally()).add(each, times, run, area)
    return {name: tally.total for name, tally in tallies.items()}


def seconds(net: Net, batch: int, coefficients: Mapping[str, float]) -> Any:
    """A trace's time at a batch, by seconds a unit of each part of each kind; in array form one a variant."""
    tally = Tally()
    rates: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
    for name, value in coefficients.items():
        kind, _, part = name.rpartition(" ")
        if value and kind in rates:
            rates[kind][part] = value * times_of(name, batch)
    wanted = {part for each in rates.values() for part in each}
    known: dict[Any, tuple[float, Any, Any, Any]] = {}  # a value is read and written by several operators
    for kind, part, each, area, run, whose in terms(net, wanted):
        rate = rates[kind].get(part)
        if rate is None:
            continue
        if whose is not True:
            tally.add(each, whose * rate, run, area)
            continue
        key = id(each), id(area), run
        before = known.get(key)
        known[key] = (rate if before is None else before[0] + rate, each, area, run)
    for rate, each, area, run in known.values():
        tally.add(each, rate, run, area)
    return tally.total


def seconds_of(done: Mapping[str, float], batch: int, coefficients: Mapping[str, float]) -> float:
    """The time of a batch of what is known as `Work` of one sample, plainly added up."""
    each = [(name, value) for name, value in done.items() if name in coefficients]
    return float(sum(coefficients[name] * value * times_of(name, batch) for name, value in each))


def of_a_sample(done: Mapping[str, int], batch: int) -> dict[str, float]:
    """The work of one sample from that of a batch; what is done once a batch stays."""
    return {name: value / times_of(name, max(batch, 1)) for name, value in done.items()}


def times_of(name: str, batch: int) -> int:
    """How often a part's work is done in a batch: for every sample, or once."""
    return 1 if name.rpartition(" ")[2] in OF_A_BATCH else batch
