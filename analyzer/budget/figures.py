"""The figures that a budget may hold: all that are known of a model before it runs, in total or of some layers."""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.reading.layers import SUMMED
from analyzer.records import LayerRow, Record

OF_PARAMETERS = ("params", "trainable_params", "param_bytes", "buffer_bytes")
"""Figures that need no input."""
OF_A_RUN = ("macs", "flops", "conv_activations", "depth", "saved_bytes")
PEAKS = ("peak_training_bytes", "peak_inference_bytes")
"""Figures that cost a run of their own, so that a model of one's own has them only where they are asked for."""
STATIC = (*OF_PARAMETERS, *OF_A_RUN, *PEAKS)
LAYERED = ("params", "macs", "flops", "conv_activations", "saved_bytes")
"""Figures that add up over layers."""
TRACKED = ("params", "macs", "saved_bytes")
"""Figures that are shown of every model, with a budget or without."""


def of_row(row: LayerRow, figure: str) -> int | None:
    """One layer's share of a figure of LAYERED."""
    if figure == "flops":
        return None if row.macs is None else 2 * row.macs
    value: int | None = getattr(row, figure)
    return value


def of_rows(rows: Iterable[LayerRow], figure: str) -> int | None:
    """A figure of some layers together; None where one of them lacks it."""
    total = 0
    for row in rows:
        value = of_row(row, figure)
        if value is None:
            return None
        total += value
    return total


def of_record(record: Record, figure: str) -> int | None:
    """A figure of a model; None where it is not known."""
    value: int | None = getattr(record, figure)
    return value


assert set(SUMMED) < set(LAYERED)
