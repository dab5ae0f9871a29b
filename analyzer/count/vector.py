"""Columns -> figures of many variants at once: the same trace and definitions, run on int64 arrays.

int64 overflow is detected, never wrapped: while tracing, exact integer bounds are kept; where they allow a total
beyond int64, a float64 trace tells which variants are concerned.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.architecture.net import INT64_MAX
from analyzer.architecture.network import Columns, trace
from analyzer.count import exact, memory
from analyzer.errors import ArchitectureError

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
CHUNK = 16_384
"""Variants a pass: arrays of this length stay in a core's cache (measured; 4k and 64k are slower)."""

_SAFELY_BELOW = 2.0**62
_DIMENSIONS = ("growth", "bn_size", "init", "classes", "image")


@dataclass(frozen=True)
class Counts:
    """Figures of n variants as int64 arrays of length n.

    Entries where `invalid` holds mean nothing: that variant makes no network or its figures are beyond int64, and
    the scalar form raises the reason. `saved_bytes` is None where it was not asked for, and means nothing where
    `untrainable` holds (batch normalisation would get one value a channel).
    """

    params: Ints
    macs: Ints
    conv_activations: Ints
    norm_channels: Ints
    norms: int
    invalid: Mask
    saved_bytes: Ints | None = None
    untrainable: Mask | None = None


def length(columns: Columns) -> int:
    """How many variants the columns hold (1 where every field is a scalar)."""
    values = (getattr(columns, field.name) for field in fields(columns) if field.name != "block_config")
    return max((len(part) for value in values for part in _parts(value) if isinstance(part, np.ndarray)), default=1)


def at(columns: Columns, index: int) -> Columns:
    """One variant of the columns, as plain Python numbers."""

    def pick(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(pick(part) for part in value)
        return value[index].item() if isinstance(value, np.ndarray) else value

    return Columns(
        **{
            field.name: value if field.name == "block_config" else pick(value)
            for field in fields(columns)
            for value in [getattr(columns, field.name)]
        }
    )


def _parts(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def count_columns(columns: Columns, batch: int | None = None) -> Counts:
    """Counts every variant of the columns; with `batch`, their saved bytes at that batch too."""
    size = length(columns)
    columns = replace(columns, init=np.broadcast_to(np.asarray(columns.init, np.int64), size))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _count(columns, size, batch)


def _count(columns: Columns, size: int, batch: int | None) -> Counts:
    net = trace(columns)
    invalid = np.broadcast_to(np.asarray(net.invalid, bool), size).copy()
    bytes_bound = 16 * (batch or 1) * net.high_elements
    if max(4 * net.high_macs, bytes_bound) > INT64_MAX:
        invalid |= _overflows(columns, size, batch)
        net = trace(_arrays(columns, size, np.int64))
    totals = exact.total(net)

    def full(value: Any) -> Ints:
        return np.broadcast_to(np.asarray(value, np.int64), size)

    norm_channels, norms = exact.norm_channels(net)
    return Counts(
        params=full(totals.params),
        macs=full(totals.macs),
        conv_activations=full(totals.conv_activations),
        norm_channels=full(norm_channels),
        norms=norms,
        invalid=invalid,
        saved_bytes=None if batch is None else full(memory.saved_bytes(net, batch)),
        untrainable=None if batch is None else np.broadcast_to(~np.asarray(memory.trainable(net, batch)), size),
    )


def _overflows(columns: Columns, size: int, batch: int | None) -> Mask:
    """Which variants have a figure beyond int64: by float64, exactly by Python ints where that is too close."""
    net = trace(_arrays(columns, size, np.float64))
    figures = [*exact.total(net), *([] if batch is None else [memory.saved_bytes(net, batch)])]
    largest = np.broadcast_to(np.max([np.broadcast_to(f, size) for f in figures], axis=0), size)
    risky = ~(largest < _SAFELY_BELOW)  # NaN is risky too
    close = risky & (largest < 4 * _SAFELY_BELOW)
    for index in np.flatnonzero(close):
        risky[index] = not _fits(at(columns, int(index)), batch)
    return risky


def _arrays(columns: Columns, size: int, dtype: type) -> Columns:
    """The columns with every dimension as an array of `dtype`, the ones that all variants share too.

    A product of shared Python ints beyond int64 can't be added to an int64 array, and one of int64 arrays wraps
    unseen in a float64 trace.
    """

    def array(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(array(part) for part in value)
        return value if value is None or isinstance(value, str) else np.broadcast_to(np.asarray(value, dtype), size)

    return replace(columns, **{name: array(getattr(columns, name)) for name in _DIMENSIONS})


def _fits(one: Columns, batch: int | None) -> bool:
    try:
        net = trace(one)
        exact.total(net)
    except ArchitectureError:
        return False
    return batch is None or memory.saved_bytes(net, batch) <= INT64_MAX
