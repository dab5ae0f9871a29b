"""Columns -> figures of many variants at once: the same trace and definitions, run on int64 arrays.

int64 overflow is detected, never wrapped: while tracing, exact integer bounds are kept; where they allow a total
beyond int64, a float64 trace tells which variants are concerned.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from analyzer.architecture.axes import AXES, FIELDS
from analyzer.architecture.dims import INT64_MAX
from analyzer.architecture.net import Net
from analyzer.architecture.network import Columns, trace
from analyzer.errors import ArchitectureError
from analyzer.figures import FIGURES
from analyzer.reading import saved
from analyzer.reading.readings import Clock, Reading

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    from analyzer.later import np

Ints: TypeAlias = "npt.NDArray[np.int64]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"
Floats: TypeAlias = "npt.NDArray[np.float64]"
CHUNK = 32_768
"""Variants a pass: arrays of this length stay in a core's cache (measured; 4k and 64k are slower)."""

COUNTED = ("params", "macs", "conv_activations")
"""The figures that are counted where none are asked for."""

_SAFELY_BELOW = 2.0**62
_DIMENSIONS = tuple(axis.field for axis in AXES if axis.dimension)


@dataclass(frozen=True)
class ColumnCounts:
    """Figures of n variants by name, as int64 arrays of length n.

    Entries where `invalid` holds mean nothing: that variant makes no network or its figures are beyond int64, and
    the scalar form raises the reason. The figures of training mean nothing where `untrainable` holds (batch
    normalisation would get one value a channel); it is None where none of them was asked for.
    """

    figures: dict[str, Ints]
    invalid: Mask
    untrainable: Mask | None = None
    beside: Mapping[str, Floats] = field(default_factory=dict)

    def with_rows(self, rows: Ints, others: ColumnCounts) -> ColumnCounts:
        """These counts with those of some rows from elsewhere."""

        def joined(mine: Any, theirs: Any) -> Any:
            mine = mine.copy()
            mine[rows] = theirs
            return mine

        figures = {name: joined(column, others.figures[name]) for name, column in self.figures.items()}
        untrainable = others.untrainable
        if untrainable is not None:
            before = np.zeros(len(self.invalid), bool) if self.untrainable is None else self.untrainable
            untrainable = joined(before, untrainable)
        return replace(self, figures=figures, invalid=joined(self.invalid, others.invalid), untrainable=untrainable)


Shape = tuple[int, ...]


def shape(columns: Columns) -> Shape:
    """The shape that the columns' arrays have together: one axis, or one for each that varies on its own."""
    values = (getattr(columns, name) for name in FIELDS)
    arrays = [part.shape for value in values for part in _parts(value) if isinstance(part, np.ndarray)]
    return np.broadcast_shapes(*arrays) if arrays else (1,)


def at(columns: Columns, index: int) -> Columns:
    """One variant of the columns, as plain Python numbers."""
    place = np.unravel_index(index, shape(columns))

    def pick(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(pick(part) for part in value)
        return np.broadcast_to(value, shape(columns))[place].item() if isinstance(value, np.ndarray) else value

    return Columns(**{name: pick(getattr(columns, name)) for name in FIELDS})


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@dataclass(frozen=True)
class Wanted:
    """The figures that are wanted, those of memory at `batch`, predicted times by `clock` (see latency.py)."""

    batch: int
    figures: Collection[str]
    clock: Clock | None = None

    def reading(self, net: Net) -> Reading:
        """A trace, read so."""
        return Reading(net, self.batch, self.clock)


@functools.cache
def _keep_at_hand() -> None:
    """Once a block of this size was freed, glibc keeps as much at hand, and a pass's arrays are not fetched from the
    system anew each time (up to half of the time of a count).
    """
    np.empty(31 * 2**20, np.uint8)


def count_columns(
    columns: Columns, batch: int = 1, figures: Collection[str] = COUNTED, *, clock: Clock | None = None,
    beside: Callable[[Net], Mapping[str, Any]] | None = None,
) -> ColumnCounts:  # fmt: skip
    """Counts the figures that are wanted of every variant of the columns, those of memory at `batch`.

    `clock` is needed for predicted times. `beside` gives what else is wanted of a trace of them all, layer by layer.
    """
    _keep_at_hand()
    size, wanted = shape(columns), Wanted(batch, figures, clock)
    columns = replace(columns, init=_array(columns.init, np.int64, size))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if beside is None and not any(FIGURES[name].standing == "replayed" for name in figures):
            return _short_or_long(columns, size, wanted)
        counts, net = _count(columns, size, wanted)
        more = {} if beside is None else beside(net)
        return replace(counts, beside={name: _spread(value, np.float64, size) for name, value in more.items()})


def _array(value: Any, dtype: type, size: Shape) -> Any:
    """A dimension as an array: one that all variants share has one entry."""
    array: npt.NDArray[Any] = np.asarray(value, dtype)
    return array if array.ndim else array.reshape([1] * len(size))


def _spread(value: Any, dtype: type, size: Shape) -> Any:
    """One entry a variant, in order."""
    return np.broadcast_to(np.asarray(value, dtype), size).reshape(-1)


def _short_or_long(columns: Columns, size: Shape, wanted: Wanted) -> ColumnCounts:
    """Counts the variants whose stages go on evenly the short way, the others layer by layer."""
    try:
        counts, net = _count(columns, size, wanted, short=True)
    except Exception:  # what a layer can't do with a series, it does with numbers; a defect of its own is met again
        return _long(columns, size, wanted)
    regular = _spread(net.regular, bool, size)
    if regular.all():
        return counts
    rows = np.flatnonzero(~regular)
    if len(rows) == len(regular):
        return _long(columns, size, wanted)
    return counts.with_rows(rows, _long(_rows(columns, rows, size), (len(rows),), wanted))


def _long(columns: Columns, size: Shape, wanted: Wanted) -> ColumnCounts:
    """Counts layer by layer; of unlike depths, those of equal ones together."""
    if not any(isinstance(depth, np.ndarray) for depth in columns.block_config):
        return _count(columns, size, wanted)[0]
    depths = np.column_stack([_spread(depth, np.int64, size) for depth in columns.block_config])
    counts = ColumnCounts(
        {name: np.zeros(len(depths), np.int64) for name in wanted.figures}, np.zeros(len(depths), bool)
    )
    for each in np.unique(depths, axis=0):
        rows = np.flatnonzero((depths == each).all(axis=1))
        alike = replace(_rows(columns, rows, size), block_config=tuple(each.tolist()))
        counts = counts.with_rows(rows, _count(alike, (len(rows),), wanted)[0])
    return counts


def _rows(columns: Columns, rows: Ints, size: Shape) -> Columns:
    """Some of the columns' variants."""
    places = np.unravel_index(rows, size)

    def chosen(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(chosen(part) for part in value)
        return np.broadcast_to(value, size)[places] if isinstance(value, np.ndarray) else value

    return Columns(**{name: chosen(getattr(columns, name)) for name in FIELDS})


def _count(columns: Columns, size: Shape, wanted: Wanted, *, short: bool = False) -> tuple[ColumnCounts, Net]:
    net = trace(columns, short=short)
    invalid = _spread(net.invalid, bool, size).copy()
    if _bound(net, wanted.batch, wanted.figures) > INT64_MAX:
        invalid |= _overflows(columns, size, wanted, short)
        net = trace(_arrays(columns, size, np.int64), short=short)
    read = wanted.reading(net)
    trains = any(FIGURES[name].training for name in wanted.figures)
    untrainable = ~_spread(saved.trainable(net, wanted.batch), bool, size) if trains else None
    counted = {name: _spread(read.figure(name), np.int64, size) for name in wanted.figures}
    return ColumnCounts(counted, invalid, untrainable), net


def _bound(net: Net, batch: int, figures: Collection[str]) -> int:
    """An exact int above every figure, whatever the variant.

    Of an activation's elements, at most 16 bytes are saved (fp32, int64 indices), and 64 alive (with gradients and
    their sums); of a parameter's, 32 (gradient, Adam's state, transients). Each parameter but BN's does some MACs.
    """
    counts = 8 * (net.high_macs + net.high_elements)
    if not any(FIGURES[name].batched for name in figures):
        return counts
    return 64 * batch * net.high_elements + 4 * counts


def _overflows(columns: Columns, size: Shape, wanted: Wanted, short: bool) -> Mask:
    """Which variants have a figure beyond int64: by float64, exactly by Python ints where that is too close."""
    read = wanted.reading(trace(_arrays(columns, size, np.float64), short=short))
    values = [*read.cost, *(read.figure(name) for name in wanted.figures)]
    largest = np.max([_spread(value, np.float64, size) for value in values], axis=0)
    unknown = ~_spread(read.net.regular, bool, size)
    risky: Mask = ~(largest < _SAFELY_BELOW) | unknown  # NaN is risky too
    close = risky & ((largest < 4 * _SAFELY_BELOW) | unknown)
    for index in np.flatnonzero(close):
        risky[index] = not _fits(at(columns, int(index)), wanted)
    return risky


def _arrays(columns: Columns, size: Shape, dtype: type) -> Columns:
    """The columns with every dimension as an array of `dtype`, the ones that all variants share too.

    A product of shared Python ints beyond int64 can't be added to an int64 array, and one of int64 arrays wraps
    unseen in a float64 trace.
    """

    def array(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(array(part) for part in value)
        return value if value is None or isinstance(value, str) else _array(value, dtype, size)

    return replace(columns, **{name: array(getattr(columns, name)) for name in _DIMENSIONS})


def _fits(one: Columns, wanted: Wanted) -> bool:
    try:
        read = wanted.reading(trace(one))
        return all(value <= INT64_MAX for value in (*read.cost, *map(read.figure, wanted.figures)))
    except ArchitectureError:
        return False
