"""The figures of a trace, one entry each: of one network as ints, of many variants as arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from analyzer.architecture.facts import FLOAT
from analyzer.architecture.net import Net
from analyzer.reading import exact, peak, saved

Clock = Callable[[Net], Any]
"""A trace's predicted nanoseconds an image."""


class Reading:
    """A trace that is read at a batch; what several figures share is counted once. Times are told by a `clock`."""

    def __init__(self, net: Net, batch: int = 1, clock: Clock | None = None) -> None:
        self.net, self.batch, self.clock = net, batch, clock

    @cached_property
    def cost(self) -> exact.Cost:
        """Params, MACs, conv activations. In scalar form raises ArchitectureError where one is beyond int64."""
        return exact.total(self.net)

    def figure(self, name: str) -> Any:
        """A figure: an int, or in array form ints or an int64 array."""
        return READINGS[name](self)

    @property
    def image_ns(self) -> Any:
        """Predicted nanoseconds an image, rounded."""
        assert self.clock is not None
        return rounded(self.clock(self.net))


READINGS: dict[str, Callable[[Reading], Any]] = {
    "params": lambda read: read.cost.params,
    "trainable_params": lambda read: read.cost.params,
    "macs": lambda read: read.cost.macs,
    "flops": lambda read: 2 * read.cost.macs,
    "conv_activations": lambda read: read.cost.conv_activations,
    "depth": lambda read: exact.depth(read.net),
    "saved_bytes": lambda read: saved.saved_bytes(read.net, read.batch),
    "peak_training_bytes": lambda read: peak.training_peak(read.net, read.batch).bytes,
    "peak_inference_bytes": lambda read: peak.inference_peak(read.net, read.batch).bytes,
    "param_bytes": lambda read: FLOAT * read.cost.params,
    "buffer_bytes": lambda read: exact.buffer_bytes(*exact.norm_channels(read.net)),
    "predicted_image_ns": lambda read: read.image_ns,
}
"""How each figure that exists in array form is read."""


def rounded(value: Any) -> Any:
    """The nearest whole number, in array form of each."""
    return round(value) if isinstance(value, (int, float)) else value.round()
