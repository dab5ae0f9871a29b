"""What a trace is made of: symbolic values, named scopes, and `Op`, the facts that every operation states of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from analyzer.architecture.dims import Dim, Run

PLAIN = (int, bool, float, str, type(None))
FLOAT, INDEX = 4, 8
"""Bytes of an fp32 number, and of an index or counter (int64)."""


@dataclass(frozen=True, slots=True)
class Value:
    """A symbolic activation of one sample: `channels` x `size` x `size`, or `channels` alone when `size` is None.

    `area` is size x size (1 when flat); `storage` names the memory it lives in, shared by views and by in-place
    results; `high` bounds `channels` from above as an exact int, whatever `channels` is.
    """

    id: int
    channels: Dim
    size: Dim | None
    area: Dim
    storage: int
    high: int

    @property
    def elements(self) -> Dim:
        """Elements of one sample."""
        return self.channels * self.area

    def shape(self, batch: int) -> tuple[int, ...]:
        """The shape of one network's tensor, with its batch."""
        sizes = () if self.size is None else (int(self.size), int(self.size))
        return (batch, int(self.channels), *sizes)


PartKind = Literal["stem", "stage", "transition", "head"]


class Part(NamedTuple):
    """A part of a network, as its assembly says it: the stem, the first stage, the first transition, the head."""

    kind: PartKind
    number: int | None = None

    def __str__(self) -> str:
        return self.kind if self.number is None else f"{self.kind} {self.number}"


# -- what an op says of itself ---------------------------------------------------------------------------------

Kind = Literal["convolution", "product", "norm", "activation", "concat", "pool", "mean", "copy", "elementwise"]
"""What an op's time is told under; convolutions are told apart by their widths (reading/work.py)."""


class TorchCall(NamedTuple):
    """A torch.nn module by its class name and arguments, or a function by its name in torch and what follows its
    inputs.

    A function's name is dotted (`nn.functional.gelu`), or one of building/modules.py's own.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = {}


class Beside(NamedTuple):
    """What an op makes beside its result and keeps for the backward pass: `elements` things of `each` bytes.

    `each` of None is the activations' own itemsize; `per_sample` says whether there are as many for every sample.
    """

    elements: Dim
    each: int | None
    per_sample: bool

    def bytes(self, batch: int, itemsize: int) -> Dim:
        """Of a batch, with activations of `itemsize` bytes."""
        each = self.each or itemsize
        return (each * batch if self.per_sample else each) * self.elements


class Autograd(NamedTuple):
    """torch's own habits at an op, which its peaks follow (derivatives.yaml, autocast_mode.cpp; see reading/replay.py).

    gradient: what its backward pass gives each input: `own`, a gradient as large as the input; `passed`, the incoming
        one itself; `part`, a view of the incoming one; `product`, one as large as the result, summed over the image
        for a factor.
    keeps_first: whether all that it keeps is there before its result is.
    lowered: whether it computes in low precision under autocast, with copies of its parameters.
    infers_beside: whether what it makes beside its result is made in inference too.
    """

    gradient: Literal["own", "passed", "part", "product"]
    keeps_first: bool
    lowered: bool
    infers_beside: bool


@dataclass(frozen=True, slots=True)
class Op(ABC):
    """One recorded operation. `name` is its module's name in its scope; empty for a functional call.

    Every fact is abstract: a class that leaves one out can't be recorded (a TypeError that names it).
    """

    name: str
    inputs: tuple[Value, ...]
    output: Value

    @property
    def x(self) -> Value:
        """The first input."""
        return self.inputs[0]

    @property
    def kept(self) -> tuple[Value, ...]:
        """The values that autograd keeps of it for the backward pass."""
        return {"inputs": self.inputs, "result": (self.output,), "nothing": ()}[self.keeps]

    @property
    def widths(self) -> tuple[object, ...]:
        """All that its parameters follow from: ops of the same have as many. An array counts as itself."""
        dims: list[Any] = [self.output.channels, *[getattr(self, name) for name in type(self).__slots__]]
        dims += [x.channels for x in self.inputs]
        return (type(self), *[dim if type(dim) in PLAIN else id(dim) for dim in dims])

    @property
    def areas(self) -> tuple[object, ...]:
        """What beside its widths its figures follow from."""
        dims = [self.output.area, *[x.area for x in self.inputs]]
        return tuple([dim if type(dim) is int else id(dim) for dim in dims])

    # what it costs: see reading/exact.py

    @property
    @abstractmethod
    def weightless(self) -> bool:
        """Whether it has no parameters, does no MACs and is no layer that counts."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[Dim, ...]:
        """Elements of each parameter, in the order of its module's: weight, then bias."""

    @abstractmethod
    def macs(self, parameters: tuple[Dim, ...]) -> Dim:
        """Multiply-accumulates of one sample. `parameters` are its own, as MACs are made from their products."""

    def macs_each(self, parameters: tuple[Dim, ...]) -> Dim | None:
        """Multiply-accumulates at each position of the result, where there are as many at all, so that a search counts
        them apart from the image. None: nothing is known of that.
        """
        return None

    @property
    @abstractmethod
    def is_layer(self) -> bool:
        """Whether it counts as a layer of a network's depth, and its results as conv activations."""

    @property
    @abstractmethod
    def normalised(self) -> Dim | None:
        """Channels that it normalises over the batch: each has a running mean and variance, the op a step counter, and
        training needs more than one value in each. None: it normalises nothing.
        """

    # memory: see reading/saved.py and reading/replay.py

    @property
    @abstractmethod
    def keeps(self) -> Literal["inputs", "result", "nothing"]:
        """Which of its values autograd keeps for the backward pass."""

    @property
    @abstractmethod
    def beside(self) -> Beside | None:
        """What it makes and keeps that is no activation of the trace; None: nothing."""

    @property
    @abstractmethod
    def is_view(self) -> bool:
        """Whether its result is a view of its first input."""

    @property
    @abstractmethod
    def overwrites(self) -> bool:
        """Whether it writes its result into its first input: in place."""

    @property
    @abstractmethod
    def trains_only(self) -> bool:
        """Whether it hands on its input in inference, and does nothing."""

    @property
    @abstractmethod
    def autograd(self) -> Autograd:
        """torch's habits at it."""

    # time: see reading/work.py

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """What its time is tabled under."""

    @property
    @abstractmethod
    def compared(self) -> Dim:
        """Elements of one sample that it looks at to find the largest."""

    # words and modules

    @property
    @abstractmethod
    def role(self) -> str:
        """What it is for, where a network's figures are told by role."""

    @property
    @abstractmethod
    def module(self) -> TorchCall | None:
        """Its class in torch.nn and that class's arguments; None where it is always functional."""

    @property
    @abstractmethod
    def function(self) -> TorchCall | None:
        """Its function, for an op without a name; None where it is always a module."""


class Weightless(Op):
    """An op without parameters that does no MACs and is no layer that counts. All other facts are its own to state."""

    __slots__ = ()
    weightless = True
    parameters = ()
    is_layer = False
    normalised = None
    role = "activations and pools"

    def macs(self, parameters: tuple[Dim, ...]) -> Dim:
        """None."""
        return 0


class Rearranging(Weightless):
    """A Weightless op that joins or moves values and computes nothing: it keeps nothing, is
    never in place and always functional."""

    __slots__ = ()
    keeps = "nothing"
    beside = None
    overwrites = trains_only = False
    compared = 0
    module = None


# -- scopes ----------------------------------------------------------------------------------------------------


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

    @property
    def output(self) -> Value:
        """What its module returns: the output of its last step."""
        return self.steps[-1].output

    def path_of(self, op: Op) -> str:
        """The dotted module path of one of this scope's own ops; a functional op belongs to the scope itself."""
        return ".".join(part for part in (self.path, op.name) if part)


@dataclass(slots=True)
class Repetition(Scope):
    """Steps that are recorded once for all layers of a run: each layer reads what the one before it gives.

    The first of them gets `enters` and the last gives `leaves`; recorded are `x` and `gives` of every layer.
    """

    run: Run = field(kw_only=True)
    enters: Value = field(kw_only=True)
    x: Value = field(kw_only=True)
    gives: Value = field(kw_only=True)
    leaves: Value = field(kw_only=True)

    @property
    def output(self) -> Value:
        """What the last layer gives."""
        return self.leaves
