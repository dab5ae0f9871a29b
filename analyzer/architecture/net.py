"""Net: the primitives that record a network as a trace of ops (ops.py) in named scopes.

An architecture is a function that calls these primitives and reads like a `forward`. Channels and image sizes
are ints (one network) or int64 arrays (one entry a variant), so one run of the function describes one network
or a whole chunk of a search. Every figure is a reading of the recorded trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from analyzer.architecture.ops import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dim,
    Dropout,
    Flatten,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Op,
    ReLU,
    Scale,
    Scope,
    Shuffle,
    Sigmoid,
    Slice,
    Value,
)
from analyzer.errors import ArchitectureError

INT64_MAX = 2**63 - 1
_MODULES = (Conv, Norm, MaxPool, AvgPool, Linear)  # always modules, so always named


def is_array(dim: Dim) -> bool:
    """Whether a dimension holds one entry a variant."""
    return not isinstance(dim, (int, float))


def _finite(value: Any) -> int:
    """An int, also from a float64 trace that ran out of range: then one beyond every limit."""
    return int(value) if abs(value) < 1e300 else 10**300


def scaled(channels: Dim, factor: Any) -> Dim:
    """int(channels x factor): the float64 product, floored, as torchvision's and the article's code do it."""
    if is_array(channels) or is_array(factor):
        import numpy as np

        product = channels * factor
        # A float64 trace (an overflow check) stays float64.
        return np.floor(product) if getattr(channels, "dtype", None) == np.float64 else product.astype(np.int64)
    try:
        return int(channels * factor)
    except OverflowError:
        raise ArchitectureError(
            "a width is beyond any number", fix="use fewer layers, or an integer growth in place of double"
        ) from None


class Net:
    """Records a network while an architecture function runs.

    In array form (`vector`) `invalid` marks the variants that can't be built, and `high_macs` and `high_elements` bound
    the totals over all variants, as exact ints, so that int64 overflow is seen before it can wrap.
    """

    def __init__(self, *, vector: bool = False) -> None:
        self.vector = vector
        self.root = Scope("", "Network", "")
        self.layer_kind = ""  # class name of the modules that are its layers
        self.invalid: Any = False
        self.high_macs = 0
        self.high_elements = 0
        self._stack = [self.root]
        self._ids = 0
        self._consumed: set[int] = set()
        self._stale: dict[int, str] = {}
        self._kept: set[int] = set()  # values whose producer keeps them for backward, and views
        self._unread: dict[int, str] = {}
        self._names: list[set[str]] = [set()]
        self._bounds: dict[int, tuple[Any, int, int]] = {}
        self._areas: dict[int, tuple[Any, Dim]] = {}

    # -- structure ---------------------------------------------------------------------------------------------

    @contextmanager
    def scope(self, name: str, kind: str) -> Iterator[None]:
        """Steps recorded inside belong to a module `name` of class `kind`."""
        parent = self._stack[-1]
        self._claim(name, kind)
        scope = Scope(name, kind, f"{parent.path}.{name}" if parent.path else name)
        parent.steps.append(scope)
        self._stack.append(scope)
        self._names.append(set())
        try:
            yield
        finally:
            self._stack.pop()
            self._names.pop()
        if not scope.steps:
            raise ArchitectureError("records nothing", where=scope.path, fix="leave the scope out, or compute in it")

    def close(self) -> None:
        """Ends the recording. ArchitectureError where a result but the last is read by nothing: it would be counted."""
        for value, path in self._unread.items():
            if value != self.output_tensor.id:
                raise ArchitectureError("its result is never read", where=path, fix="use it, or leave it out")

    def ops(self) -> Iterator[tuple[Scope, Op]]:
        """Every op in execution order with its scope."""
        return self.root.ops()

    def path(self, name: str = "") -> str:
        """The dotted path of `name` in the scope that is being recorded."""
        return ".".join(part for part in (self._stack[-1].path, name) if part)

    @property
    def input_tensor(self) -> Value:
        """The image that enters the network."""
        return next(op.inputs[0] for _, op in self.ops())

    @property
    def output_tensor(self) -> Value:
        """What the network returns."""
        step: Op | Scope = self.root
        while isinstance(step, Scope):
            step = step.steps[-1]
        return step.output

    # -- limits ------------------------------------------------------------------------------------------------

    def bounds(self, dim: Dim) -> tuple[int, int]:
        """The least and the largest entry, as ints; an array's are computed once."""
        if not is_array(dim):
            return int(dim), int(dim)
        known = self._bounds.get(id(dim))
        if known is None:
            known = self._bounds[id(dim)] = (dim, _finite(dim.min()), _finite(dim.max()))
        return known[1], known[2]

    def require(self, ok: Any, name: str, what: Callable[[], str], fix: str) -> None:
        """Where `ok` is false: an error in scalar form, a mark in `invalid` in array form."""
        if ok is True:
            return
        if ok is False and not self.vector:
            raise ArchitectureError(what(), where=self.path(name) or "network", fix=fix)
        self.invalid = True if ok is False else self.invalid | ~ok

    def _claim(self, name: str, kind: str) -> None:
        """A child's name in the scope being recorded: one that a module can have, and no other child has."""
        names = self._names[-1]
        if not name or "." in name or name in names:
            what = f"two children are called {name!r}" if name in names else f"a {kind} can't be called {name!r}"
            raise ArchitectureError(what, where=self.path() or "network", fix="give each its own name, without a dot")
        names.add(name)

    def _one_size(self, *xs: Value) -> None:
        for x in xs[1:]:
            if x.size is not xs[0].size:
                self._equal("image sizes", x.size, xs[0].size)

    def _equal(self, what: str, a: Dim, b: Dim) -> None:
        if a is not b:
            self.require(a == b, "", lambda: f"{what} {a} and {b} don't fit", "make them equal before they meet")

    def _at_least_1(self, dim: Dim, name: str, what: str, fix: str) -> None:
        if isinstance(dim, float):
            raise ArchitectureError(f"{what} {dim}, no whole number", where=self.path(name), fix="use // or scaled")
        if self.bounds(dim)[0] < 1:
            self.require(dim >= 1, name, lambda: f"{what} {dim}", fix)

    def _divides(self, groups: Dim, channels: Dim, name: str) -> None:
        if is_array(groups) or groups != 1:
            self.require(
                channels % groups == 0,
                name,
                lambda: f"{channels} channels do not divide into {groups} groups",
                "choose groups that divide every width, or another growth",
            )

    # -- recording ---------------------------------------------------------------------------------------------

    def _tensor(self, channels: Dim, size: Dim, *, high: int | None = None, storage: int | None = None) -> Value:
        self._ids += 1
        if high is None:
            high = self.bounds(channels)[1]
        area: Dim = 1
        if size is not None:
            known = self._areas.get(id(size)) if is_array(size) else None
            area = known[1] if known else size * size
            if is_array(size):
                self._areas[id(size)] = (size, area)
            self.high_elements += high * self.bounds(size)[1] ** 2
        else:
            self.high_elements += high
        return Value(self._ids, channels, size, area, self._ids if storage is None else storage, high)

    def _record(self, op: Op) -> Value:
        if op.name or isinstance(op, _MODULES):
            self._claim(op.name, type(op).__name__)
        for x in op.inputs:
            self._unread.pop(x.id, None)
            if x.id in self._stale:
                raise ArchitectureError(
                    f"reads a value that {self._stale[x.id]} overwrote in place",
                    where=self.path(op.name),
                    fix="make that ReLU not in place, or put a norm before it",
                )
        if getattr(op, "inplace", False):
            x = op.x
            if x.id in self._consumed or x.id in self._kept:
                raise ArchitectureError(
                    "overwrites in place a value that another op has read",
                    where=self.path(op.name),
                    fix="pass inplace=False",
                )
            self._stale[x.id] = self.path(op.name)
        if isinstance(op, (ReLU, Flatten, Slice, Sigmoid)):
            self._kept.add(op.output.id)
        self._consumed.update(x.id for x in op.inputs)
        self._unread[op.output.id] = self.path(op.name)
        self._stack[-1].steps.append(op)
        return op.output

    def input(self, channels: Dim, size: Dim) -> Value:
        """The image: `channels` x `size` x `size`. Overwriting it in place is refused like any shared value."""
        x = self._tensor(channels, size)
        self._consumed.add(x.id)
        return x

    def _windowed(self, x: Value, name: str, kernel: Dim, stride: Dim, padding: Dim, *, up: bool = False) -> Dim:
        """The output size of a sliding window; an error where no window fits."""
        if up and padding == 0 and kernel > stride:
            # Rounding up adds a window that begins inside the image wherever kernel > stride and something is left.
            size = (x.size - kernel + stride - 1) // stride + 1
            self._at_least_1(size, name, f"the image is {x.size} px here and shrinks to", "use a larger image")
            return size
        if stride == 1 and not is_array(kernel) and 2 * padding == kernel - 1:
            return x.size
        size = (x.size + 2 * padding - kernel) // stride + 1
        self._at_least_1(
            size,
            name,
            f"the image is {x.size} px here and shrinks to",
            "use a larger image, fewer stages or stem small",
        )
        return size

    def conv(
        self,
        name: str,
        x: Value,
        out: Dim,
        kernel: Dim = 1,
        *,
        stride: int = 1,
        padding: int | str | None = None,
        groups: Dim = 1,
        bias: bool = False,
    ) -> Value:
        """Convolution to `out` channels. Padding defaults to kernel // 2; `"same"` is that, told to torch so."""
        same = padding == "same"
        if same and not is_array(kernel) and kernel % 2 == 0:
            raise ArchitectureError(f"kernel {kernel} is even", where=self.path(name), fix="use an odd kernel")
        pad = kernel // 2 if same or padding is None else padding
        self._at_least_1(out, name, "a width reaches", "raise the ratio, compression, growth or init")
        self._divides(groups, x.channels, name)
        self._divides(groups, out, name)
        y = self._tensor(out, self._windowed(x, name, kernel, stride, pad))
        work = x.high * y.high * self.bounds(kernel)[1] ** 2
        self.high_macs += work * self.bounds(y.size)[1] ** 2
        return self._record(Conv(name, (x,), y, kernel, stride, pad, groups, bias, same))

    def norm(self, name: str, x: Value) -> Value:
        """Batch normalisation."""
        return self._record(Norm(name, (x,), self._tensor(x.channels, x.size, high=x.high)))

    def relu(self, name: str, x: Value, *, inplace: bool = True) -> Value:
        """Rectifier. In place it must not touch a value that anything else reads: refused here, not at run time."""
        storage = x.storage if inplace else None
        return self._record(ReLU(name, (x,), self._tensor(x.channels, x.size, high=x.high, storage=storage), inplace))

    def max_pool(self, name: str, x: Value, kernel: int, *, stride: int, padding: int = 0, ceil: bool = False) -> Value:
        """Max pooling. Sizes round down, or up with `ceil` as long as the last window begins inside (torch's rule)."""
        size = self._windowed(x, name, kernel, stride, padding, up=ceil)
        y = self._tensor(x.channels, size, high=x.high)
        return self._record(MaxPool(name, (x,), y, kernel, stride, padding, ceil))

    def avg_pool(self, name: str, x: Value, kernel: int, *, stride: int) -> Value:
        """Average pooling without padding."""
        size = self._windowed(x, name, kernel, stride, 0)
        return self._record(AvgPool(name, (x,), self._tensor(x.channels, size, high=x.high), kernel, stride))

    def global_pool(self, x: Value, name: str = "", *, window: bool = False) -> Value:
        """Average over the image, to 1 x 1; a module when named."""
        return self._record(GlobalPool(name, (x,), self._tensor(x.channels, 1, high=x.high), window))

    def flatten(self, x: Value) -> Value:
        """A 1 x 1 image as a vector: a view."""
        return self._record(Flatten("", (x,), self._tensor(x.channels, None, high=x.high, storage=x.storage)))

    def linear(self, name: str, x: Value, out: Dim) -> Value:
        """Fully connected layer with bias, on a flat tensor."""
        if x.size is not None:
            raise ArchitectureError("reads an image", where=self.path(name), fix="pool it to 1 x 1 and flatten it")
        self._at_least_1(out, name, "a width reaches", "use at least one output")
        y = self._tensor(out, None)
        self.high_macs += x.high * y.high
        return self._record(Linear(name, (x,), y))

    def concat(self, *xs: Value) -> Value:
        """Concatenation along channels; all must have one image size."""
        self._one_size(*xs)
        channels = sum((x.channels for x in xs[1:]), start=xs[0].channels)
        return self._record(Concat("", xs, self._tensor(channels, xs[0].size, high=sum(x.high for x in xs))))

    def add(self, x: Value, y: Value, *, inplace: bool = True) -> Value:
        """x + y, of one shape, written into x when in place (`out += identity`)."""
        self._one_size(x, y)
        self._equal("channels", x.channels, y.channels)
        storage = x.storage if inplace else None
        return self._record(Add("", (x, y), self._tensor(x.channels, x.size, high=x.high, storage=storage), inplace))

    def split(self, x: Value, first: Dim) -> tuple[Value, Value]:
        """x as two views: its first channels, and the rest."""
        parts = []
        for start, channels in ((0, first), (first, x.channels - first)):
            self._at_least_1(channels, "", "a split leaves a width of", "use a larger init or growth")
            part = self._tensor(channels, x.size, high=x.high, storage=x.storage)
            parts.append(self._record(Slice("", (x,), part, start)))
        return parts[0], parts[1]

    def shuffle(self, x: Value, groups: Dim) -> Value:
        """Channels dealt out over the groups; no op with one group."""
        if not is_array(groups) and groups == 1:
            return x
        self._divides(groups, x.channels, "")
        self.require(
            x.channels // groups > 1,
            "",
            lambda: f"{groups} groups of one channel each leave nothing to shuffle",
            "use fewer groups, or block separable",
        )
        return self._record(Shuffle("", (x,), self._tensor(x.channels, x.size, high=x.high), groups))

    def sigmoid(self, x: Value) -> Value:
        """Logistic function."""
        return self._record(Sigmoid("", (x,), self._tensor(x.channels, x.size, high=x.high)))

    def scale(self, x: Value, factors: Value) -> Value:
        """Each channel of x times its factor (1 x 1)."""
        self._equal("channels", x.channels, factors.channels)
        return self._record(Scale("", (x, factors), self._tensor(x.channels, x.size, high=x.high)))

    def dropout(self, x: Value, rate: float) -> Value:
        """Dropout; no op at rate 0."""
        if rate == 0:
            return x
        return self._record(Dropout("", (x,), self._tensor(x.channels, x.size, high=x.high), rate))
