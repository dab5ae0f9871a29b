"""The recorder below `Net`: named scopes and parts, limits on dimensions, and the rules that each op is recorded
under.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from analyzer.architecture.dims import Array, Dim, IrregularError, Run, Series, Truth, bounds_of, is_array
from analyzer.architecture.facts import Op, Part, PartKind, Repetition, Scope, Value
from analyzer.errors import ArchitectureError


class Recorder:
    """Records ops while an architecture function runs; its primitives are `Net`'s (net.py).

    In array form (`vector`) `invalid` marks the variants that can't be built, and `high_macs` and `high_elements`
    bound the totals over all variants, as exact ints, so that int64 overflow is seen before it can wrap.
    """

    def __init__(self, *, vector: bool = False, short: bool = False) -> None:
        self.vector, self.short = vector, short
        self.root = Scope("", "Network", "")
        self.layer_kind = ""  # class name of the modules that are its layers
        self.invalid: Truth = False
        self.high_macs = 0
        self.high_elements = 0
        self._stack = [self.root]
        self._ids = 0
        self._consumed: set[int] = set()
        self._stale: dict[int, str] = {}
        self._kept: set[int] = set()  # values whose producer keeps them for backward, and views
        self._unread: dict[int, tuple[Scope, Op]] = {}
        self._names: list[set[str]] = [set()]
        self._bounds: dict[int, tuple[Array, int, int]] = {}  # by an array's id, which it keeps alive
        self._areas: dict[int, tuple[Array, Array]] = {}
        self._increments: dict[int, tuple[Dim, Dim, Dim]] = {}  # by a width's id: it, what it was, what came to it
        self._parameters: dict[int, tuple[Dim, ...]] = {}
        self._part: Part | None = None
        self._parts: dict[int, Part | None] = {}
        self._runs: list[Run] = []
        self._run: Run | None = None  # whose layers are being recorded as one
        self._repetitions: dict[int, Repetition] = {}

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

    @contextmanager
    def part(self, kind: PartKind, number: int | None = None) -> Iterator[None]:
        """Ops recorded inside belong to a part of the network, such as its second stage."""
        before, self._part = self._part, Part(kind, number)
        try:
            yield
        finally:
            self._part = before

    def part_of(self, op: Op) -> Part | None:
        """The part that an op was recorded in; None outside of any."""
        return self._parts[op.output.id]

    def repetition_of(self, op: Op) -> Repetition | None:
        """The repetition whose layers' ops an op stands for; None: it is one op."""
        return self._repetitions.get(op.output.id)

    def run_of(self, op: Op) -> Run | None:
        """The run whose layers each have such an op; None: it is one op."""
        repetition = self._repetitions.get(op.output.id)
        return None if repetition is None else repetition.run

    def parameters_of(self, op: Op) -> tuple[Dim, ...]:
        """An op's parameters, computed once."""
        known = self._parameters.get(op.output.id)
        if known is None:
            known = self._parameters[op.output.id] = op.parameters
        return known

    def close(self) -> None:
        """Ends the recording. ArchitectureError where a result but the last is read by nothing: it would be counted."""
        for value, (scope, op) in self._unread.items():
            if value != self.output_tensor.id:
                where = scope.path_of(op)
                raise ArchitectureError("its result is never read", where=where, fix="use it, or leave it out")

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
        return self.root.output

    # -- limits ------------------------------------------------------------------------------------------------

    def bounds(self, dim: Dim) -> tuple[int, int]:
        """The least and the largest entry, as ints; an array's are computed once."""
        if type(dim) is int:
            return dim, dim
        if not is_array(dim):
            return int(dim), int(dim)
        known = self._bounds.get(id(dim))
        if known is None:
            known = self._bounds[id(dim)] = (dim, *bounds_of(dim))
        return known[1], known[2]

    def require(self, ok: Truth, name: str, what: Callable[[], str], fix: str) -> None:
        """Where `ok` is false: an error in scalar form, a mark in `invalid` in array form."""
        if ok is True:
            return
        if ok is False and not self.vector:
            raise ArchitectureError(what(), where=self.path(name) or "network", fix=fix)
        if self._run is not None and is_array(self._run.count):
            ok = ok | (self._run.count < 1)  # a layer past a variant's depth makes nothing invalid
        self.invalid = True if isinstance(ok, bool) else self.invalid | ~ok

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
                self._equal("image sizes", self.size(x), self.size(xs[0]))

    def size(self, x: Value) -> Dim:
        """The size of a value that must be an image; an error where it is a vector."""
        if x.size is None:
            raise ArchitectureError(
                "reads a vector", where=self.path() or "network", fix="flatten after it, not before"
            )
        return x.size

    def _equal(self, what: str, a: Dim, b: Dim) -> None:
        if a is not b:
            self.require(a == b, "", lambda: f"{what} {a} and {b} don't fit", "make them equal before they meet")

    def _at_least_1(self, dim: Dim, name: str, what: str, fix: str) -> None:
        if isinstance(dim, float):
            raise ArchitectureError(f"{what} {dim}, no whole number", where=self.path(name), fix="use // or scaled")
        if self.bounds(dim)[0] < 1:
            self.require(dim >= 1, name, lambda: f"{what} {dim}", fix)

    def _grown(self, channels: Dim, more: Dim) -> Dim:
        """A width and what is put beside it; how it came about is remembered."""
        sum_ = channels + more
        if is_array(sum_):
            self._increments[id(sum_)] = (sum_, channels, more)
        return sum_

    def _divides(self, groups: Dim, channels: Dim, name: str) -> None:
        if is_array(groups) or groups != 1:
            self.require(
                channels.divides_into(groups) if isinstance(channels, Series) else channels % groups == 0,
                name,
                lambda: f"{channels} channels do not divide into {groups} groups",
                "choose groups that divide every width, or another growth",
            )

    # -- recording ---------------------------------------------------------------------------------------------

    def _tensor(self, channels: Dim, size: Dim | None, *, high: int | None = None, storage: int | None = None) -> Value:
        self._ids += 1
        if high is None:
            high = self.bounds(channels)[1]
        self.high_elements += self._layers() * (high if size is None else high * self.bounds(size)[1] ** 2)
        area = 1 if size is None else self._area(size) if is_array(size) else size * size
        return Value(self._ids, channels, size, area, self._ids if storage is None else storage, high)

    def _layers(self) -> int:
        """How many layers what is recorded now stands for, at most."""
        return 1 if self._run is None else self._run.most

    def _like(self, x: Value, *, inplace: bool = False) -> Value:
        """A result of the shape of x, in memory of its own or written into x."""
        return self._tensor(x.channels, x.size, high=x.high, storage=x.storage if inplace else None)

    def _area(self, size: Array) -> Array:
        """size x size, computed once."""
        known = self._areas.get(id(size))
        if known is None:
            known = self._areas[id(size)] = (size, size * size)
        return known[1]

    def _record(self, op: Op) -> Value:
        if op.name or op.function is None:
            self._claim(op.name, type(op).__name__)
        if (op.output.storage == op.x.storage) is not (op.is_view or op.overwrites):
            raise TypeError(f"{type(op).__name__} says is_view or overwrites, and its result's storage says otherwise")
        if op.is_layer:
            self.high_macs += self._layers() * self._most_macs(op)
        for x in op.inputs:
            if x.id in self._repetitions:
                raise IrregularError  # of one layer, outside its repetition
            self._unread.pop(x.id, None)
            if x.id in self._stale:
                raise ArchitectureError(
                    f"reads a value that {self._stale[x.id]} overwrote in place",
                    where=self.path(op.name),
                    fix="make that ReLU not in place, or put a norm before it",
                )
        if op.overwrites:
            self._overwrite(op)
        if op.is_view or op.keeps == "result":
            self._kept.add(op.output.id)
        for x in op.inputs:
            self._consumed.add(x.id)
        scope = self._stack[-1]
        self._unread[op.output.id] = (scope, op)
        self._parts[op.output.id] = self._part
        scope.steps.append(op)
        return op.output

    def _most_macs(self, op: Op) -> int:
        """A bound of a layer's MACs in any variant: every input channel meets every result through the whole kernel."""
        side = self.bounds(getattr(op, "kernel", 1))[1]
        if op.output.size is not None:
            side *= self.bounds(op.output.size)[1]
        return math.prod([x.high for x in op.inputs]) * op.output.high * side**2

    def _overwrite(self, op: Op) -> None:
        """Marks what an op in place overwrites; an error where anything else reads it."""
        if op.x.id in self._consumed or op.x.id in self._kept:
            raise ArchitectureError(
                "overwrites in place a value that another op has read",
                where=self.path(op.name),
                fix="pass inplace=False",
            )
        self._stale[op.x.id] = self.path(op.name)

    def input(self, channels: Dim, size: Dim) -> Value:
        """The image: `channels` x `size` x `size`. Overwriting it in place is refused like any shared value."""
        x = self._tensor(channels, size)
        self._consumed.add(x.id)
        return x
