"""What a trace is made of: symbolic tensors, one small frozen class an operation, and named scopes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Dim = Any
"""An int, or a NumPy int64 array with one entry a variant."""


@dataclass(frozen=True, slots=True)
class Value:
    """A symbolic activation of one sample: `channels` x `size` x `size`, or `channels` alone when `size` is None.

    `area` is size x size (1 when flat); `storage` names the memory it lives in, shared by views and by in-place
    results; `high` bounds `channels` from above as an exact int, whatever `channels` is.
    """

    id: int
    channels: Dim
    size: Dim
    area: Dim
    storage: int
    high: int

    @property
    def elements(self) -> Dim:
        """Elements of one sample."""
        return self.channels * self.area


@dataclass(frozen=True, slots=True)
class Op:
    """One recorded operation. `name` is its module's name in its scope; empty for a functional call."""

    name: str
    inputs: tuple[Value, ...]
    output: Value

    @property
    def x(self) -> Value:
        """The first input."""
        return self.inputs[0]


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """2d convolution, square kernel. `same` says that torch is told `padding="same"`; `padding` is its integer."""

    kernel: Dim
    stride: int
    padding: Dim
    groups: Dim
    bias: bool
    same: bool


@dataclass(frozen=True, slots=True)
class Norm(Op):
    """Batch normalisation with affine parameters and running statistics."""


@dataclass(frozen=True, slots=True)
class ReLU(Op):
    """Rectifier, in place or not."""

    inplace: bool


@dataclass(frozen=True, slots=True)
class MaxPool(Op):
    """Max pooling, square kernel; `ceil` lets the last window hang over the edge."""

    kernel: int
    stride: int
    padding: int
    ceil: bool


@dataclass(frozen=True, slots=True)
class AvgPool(Op):
    """Average pooling, square kernel, no padding."""

    kernel: int
    stride: int


@dataclass(frozen=True, slots=True)
class GlobalPool(Op):
    """Average over the whole image, to 1 x 1: torch's adaptive pool, or (`window`) one window as large as the image.

    The two differ in the last bit, and in that the window's backward keeps its input.
    """

    window: bool


@dataclass(frozen=True, slots=True)
class Flatten(Op):
    """A view of each sample as one vector."""


@dataclass(frozen=True, slots=True)
class Linear(Op):
    """Fully connected layer with bias."""


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """Concatenation along channels."""


@dataclass(frozen=True, slots=True)
class Add(Op):
    """Elementwise sum of two tensors of one shape; `inplace` writes it into the first."""

    inplace: bool


@dataclass(frozen=True, slots=True)
class Slice(Op):
    """Channels from `start` on, as many as the output has: a view."""

    start: Dim


@dataclass(frozen=True, slots=True)
class Shuffle(Op):
    """Channel shuffle over groups (Zhang et al. 2018), so that grouped convolutions mix."""

    groups: Dim


@dataclass(frozen=True, slots=True)
class Sigmoid(Op):
    """Elementwise logistic function, functional."""


@dataclass(frozen=True, slots=True)
class Scale(Op):
    """Elementwise product of an image and one factor a channel."""


@dataclass(frozen=True, slots=True)
class Dropout(Op):
    """Elementwise dropout, functional, active in training."""

    rate: float


@dataclass(slots=True)
class Scope:
    """A named group of steps, built as one module of class `kind`. Its result is the output of its last step."""

    name: str
    kind: str
    path: str
    steps: list[Op | Scope] = field(default_factory=list)

    def ops(self) -> Iterator[tuple[Scope, Op]]:
        """Every op below, in execution order, with the scope that holds it."""
        for step in self.steps:
            if isinstance(step, Scope):
                yield from step.ops()
            else:
                yield self, step

    def path_of(self, op: Op) -> str:
        """The dotted module path of one of this scope's own ops; a functional op belongs to the scope itself."""
        return ".".join(part for part in (self.path, op.name) if part)
