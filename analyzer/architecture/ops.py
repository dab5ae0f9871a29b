"""The operations that a trace is made of, one small frozen class each, with all that is known of it (facts.py).

Adding one: a class here, a method of `Net` in net.py that records it, and nothing else.
"""

from __future__ import annotations

# ruff: noqa: D102 - what each fact means stands once, in facts.py
from dataclasses import dataclass, field
from typing import Literal

from analyzer.architecture.dims import Dim, is_one
from analyzer.architecture.facts import FLOAT, INDEX, Autograd, Beside, Kind, Op, Rearranging, TorchCall, Weightless

MULTIPLIES = Autograd("own", keeps_first=True, lowered=True, infers_beside=False)
EARLY = Autograd("own", keeps_first=True, lowered=False, infers_beside=False)
LATE = Autograd("own", keeps_first=False, lowered=False, infers_beside=False)
PASSES = Autograd("passed", keeps_first=False, lowered=False, infers_beside=False)


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """2d convolution, square kernel."""

    kernel: Dim
    stride: int
    padding: Dim
    groups: Dim
    bias: bool

    is_layer = True
    normalised = None
    keeps = "inputs"
    beside = None
    weightless = is_view = overwrites = trains_only = False
    autograd = MULTIPLIES
    kind = "convolution"
    compared = 0
    function = None

    @property
    def parameters(self) -> tuple[Dim, ...]:
        inputs = self.x.channels if is_one(self.groups) else self.x.channels // self.groups
        weight = inputs * self.output.channels
        if not is_one(self.kernel):
            weight = weight * (self.kernel * self.kernel)
        return (weight, self.output.channels) if self.bias else (weight,)

    def macs(self, parameters: tuple[Dim, ...]) -> Dim:
        return parameters[0] * self.output.area

    def macs_each(self, parameters: tuple[Dim, ...]) -> Dim:
        return parameters[0]

    @property
    def role(self) -> str:
        return f"{self.kernel}x{self.kernel}"

    @property
    def module(self) -> TorchCall:
        widths = (self.x.channels, self.output.channels, self.kernel, self.stride, self.padding)
        return TorchCall("Conv2d", widths, {"groups": self.groups, "bias": self.bias})


@dataclass(frozen=True, slots=True)
class Linear(Op):
    """Fully connected layer with bias."""

    is_layer = True
    normalised = None
    keeps = "inputs"
    beside = None
    weightless = is_view = overwrites = trains_only = False
    autograd = MULTIPLIES
    kind = "product"
    compared = 0
    role = "classifier"
    function = None

    @property
    def parameters(self) -> tuple[Dim, ...]:
        return self.x.channels * self.output.channels, self.output.channels

    def macs(self, parameters: tuple[Dim, ...]) -> Dim:
        return parameters[0]

    @property
    def module(self) -> TorchCall:
        return TorchCall("Linear", (self.x.channels, self.output.channels))


@dataclass(frozen=True, slots=True)
class Norm(Op):
    """Batch normalisation with affine parameters and running statistics."""

    weightless = is_layer = False
    keeps = "inputs"
    is_view = overwrites = trains_only = False
    autograd = LATE
    kind = "norm"
    compared = 0
    role = "BN"
    function = None

    @property
    def parameters(self) -> tuple[Dim, ...]:
        return self.x.channels, self.x.channels

    def macs(self, parameters: tuple[Dim, ...]) -> Dim:
        return 0

    @property
    def normalised(self) -> Dim:
        return self.x.channels

    @property
    def beside(self) -> Beside:
        """Each channel's mean and 1/std, in fp32 whatever the activations are."""
        return Beside(self.x.channels, 2 * FLOAT, per_sample=False)

    @property
    def module(self) -> TorchCall:
        return TorchCall("BatchNorm2d", (self.x.channels,))


@dataclass(frozen=True, slots=True)
class ReLU(Weightless):
    """Rectifier, in place or not."""

    overwrites: bool = field()

    keeps = "result"
    beside = None
    is_view = trains_only = False
    autograd = LATE
    kind = "activation"
    compared = 0

    @property
    def module(self) -> TorchCall:
        return TorchCall("ReLU", options={"inplace": self.overwrites})

    @property
    def function(self) -> TorchCall:
        return TorchCall("nn.functional.relu", options={"inplace": self.overwrites})


@dataclass(frozen=True, slots=True)
class Sigmoid(Weightless):
    """Elementwise logistic function."""

    keeps = "result"
    beside = None
    is_view = overwrites = trains_only = False
    autograd = LATE
    kind = "activation"
    compared = 0
    module = None
    function = TorchCall("sigmoid")


@dataclass(frozen=True, slots=True)
class Dropout(Weightless):
    """Elementwise dropout, active in training; it keeps its noise."""

    rate: float

    keeps = "nothing"
    is_view = overwrites = False
    trains_only = True
    autograd = EARLY
    kind = "elementwise"
    compared = 0
    module = None

    @property
    def beside(self) -> Beside:
        return Beside(self.output.elements, None, per_sample=True)

    @property
    def function(self) -> TorchCall:
        return TorchCall("nn.functional.dropout", (self.rate,))


@dataclass(frozen=True, slots=True)
class MaxPool(Weightless):
    """Max pooling, square kernel; `ceil` lets the last window hang over the edge. It keeps the largest's indices."""

    kernel: int
    stride: int
    padding: int
    ceil: bool

    keeps = "inputs"
    is_view = overwrites = trains_only = False
    autograd = Autograd("own", keeps_first=False, lowered=False, infers_beside=True)
    kind = "pool"
    function = None

    @property
    def beside(self) -> Beside:
        return Beside(self.output.elements, INDEX, per_sample=True)

    @property
    def compared(self) -> Dim:
        return self.kernel**2 * self.output.elements

    @property
    def module(self) -> TorchCall:
        return TorchCall("MaxPool2d", (self.kernel, self.stride, self.padding), {"ceil_mode": self.ceil})


@dataclass(frozen=True, slots=True)
class AvgPool(Weightless):
    """Average pooling, square kernel, no padding."""

    kernel: int
    stride: int

    keeps = "inputs"
    beside = None
    is_view = overwrites = trains_only = False
    autograd = EARLY
    kind = "pool"
    compared = 0
    function = None

    @property
    def module(self) -> TorchCall:
        return TorchCall("AvgPool2d", (self.kernel, self.stride))


@dataclass(frozen=True, slots=True)
class GlobalPool(Weightless):
    """Average over the whole image, to 1 x 1: torch's adaptive pool, or (`window`) one window as large as the image.

    The two differ in the last bit, and in that the window's backward keeps its input. The window's size is a number, as
    exporters want it; it averages a smaller image whole, and of a larger one leaves more than 1 x 1, which the
    classifier refuses.
    """

    window: bool

    beside = None
    is_view = overwrites = trains_only = False
    autograd = EARLY
    compared = 0

    @property
    def kind(self) -> Kind:
        return "pool" if self.window else "mean"

    @property
    def keeps(self) -> Literal["inputs", "nothing"]:
        return "inputs" if self.window else "nothing"

    @property
    def module(self) -> TorchCall | None:
        return None if self.window else TorchCall("AdaptiveAvgPool2d", (1,))

    @property
    def function(self) -> TorchCall:
        if self.window:
            return TorchCall("nn.functional.avg_pool2d", (self.x.size,), {"ceil_mode": True})
        return TorchCall("nn.functional.adaptive_avg_pool2d", (1,))


@dataclass(frozen=True, slots=True)
class Concat(Rearranging):
    """Concatenation along channels."""

    is_view = False
    autograd = Autograd("part", keeps_first=False, lowered=False, infers_beside=False)
    kind = "concat"
    function = TorchCall("concat")


@dataclass(frozen=True, slots=True)
class Add(Weightless):
    """Elementwise sum of two tensors of one shape; `overwrites` writes it into the first."""

    overwrites: bool = field()

    keeps = "nothing"
    beside = None
    is_view = trains_only = False
    autograd = PASSES
    kind = "elementwise"
    compared = 0
    module = None

    @property
    def function(self) -> TorchCall:
        return TorchCall("add_" if self.overwrites else "add")


@dataclass(frozen=True, slots=True)
class Scale(Weightless):
    """Elementwise product of an image and one factor a channel."""

    keeps = "inputs"
    beside = None
    is_view = overwrites = trains_only = False
    autograd = Autograd("product", keeps_first=True, lowered=False, infers_beside=False)
    kind = "elementwise"
    compared = 0
    module = None
    function = TorchCall("mul")


@dataclass(frozen=True, slots=True)
class Shuffle(Rearranging):
    """Channel shuffle over groups (Zhang et al. 2018), so that grouped convolutions mix."""

    groups: Dim

    is_view = False
    autograd = LATE
    kind = "copy"

    @property
    def function(self) -> TorchCall:
        return TorchCall("nn.functional.channel_shuffle", (self.groups,))


@dataclass(frozen=True, slots=True)
class Slice(Rearranging):
    """Channels from `start` on, as many as the output has: a view."""

    start: Dim

    is_view = True
    autograd = LATE
    kind = "elementwise"

    @property
    def function(self) -> TorchCall:
        return TorchCall("narrow", (1, self.start, self.output.channels))


@dataclass(frozen=True, slots=True)
class Flatten(Rearranging):
    """A view of each sample as one vector."""

    is_view = True
    autograd = PASSES
    kind = "elementwise"
    function = TorchCall("flatten", (1,))
