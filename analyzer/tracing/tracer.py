"""A dispatch mode that sees every operator a model runs, and adds its cost to the module that runs it."""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils._pytree import tree_any, tree_leaves, tree_map_only

from analyzer.errors import CountError
from analyzer.tracing.attribution import Failed, Modules, tensors_in
from analyzer.tracing.compiler import Watching
from analyzer.tracing.copying import META, placed
from analyzer.tracing.diagnosis import needs_values
from analyzer.tracing.elsewhere import AutocastError, functions_in
from analyzer.tracing.formulas import Formula, formula_of, higher_order_formula
from analyzer.tracing.free_operators import is_free
from analyzer.tracing.origins import Origin, Origins, UntouchableError, storage_key, tensors_of, written
from analyzer.tracing.shapes import Shapes
from analyzer.tracing.work import WorkSeen

if TYPE_CHECKING:
    from analyzer.tracing.stand_ins import StandIns

_PLAIN = Tensor.__torch_dispatch__
_CONVOLVES_BACK = {torch.ops.aten.convolution_backward.default}
READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default, torch.ops.aten.equal.default}
"""Operators that hand a tensor's values to Python."""
_DEVICE = torch.ops.prim.device.default
_AS_REAL = torch.ops.aten.view_as_real.default
BACKWARD = "backward pass"
"""Stands for the module of what the backward pass runs."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is to be done with an operator: count it by its formula, take it apart, or nothing.

    One that `views` its only tensor costs nothing, and its result comes from where that comes from: it is the same
    storage.
    """

    name: str
    formula: Formula | None
    free: bool
    composite: bool
    mutable: bool
    reads: bool
    views: bool


_known: dict[OpOverload, _Known] = {}


def _look_up(operator: OpOverload) -> _Known:
    known = _known.get(operator)
    if known is None:
        formula, free = formula_of(operator), is_free(operator)
        composite = formula is None and torch._C._dispatch_has_kernel_for_dispatch_key(
            operator._name, "CompositeImplicitAutograd"
        )
        name, mutable, reads = str(operator._schema.name), bool(operator._schema.is_mutable), operator in READS
        views = formula is None and not (composite or mutable or reads) and _views(operator)
        known = _known[operator] = _Known(name, formula, free, composite, mutable, reads, views)
    return known


def _views(operator: OpOverload) -> bool:
    schema = operator._schema
    tensors = [one for one in schema.arguments if "Tensor" in str(one.type)]
    alone = len(tensors) == len(schema.returns) == 1 and str(schema.returns[0].type) == "Tensor"
    return alone and str(tensors[0].type) == "Tensor" and schema.returns[0].alias_info is not None


class Tracer(Watching):  # type: ignore[no-untyped-call]
    """Counts MACs, conv activations and uncounted operators of what runs inside, module by module.

    Tensors that a forward makes are put on the device `home` whatever device it names; `shapes` remembers meta's.
    `origins` knows weights from data. In the backward pass (`backward` is true) only `backward_macs` grows. `made` are
    the tensors that operators made; `valueless` is an error of a tensor's having no values, which the model may have
    swallowed; `read_values` says whether it read any. `work` adds to `work_done` what the forward's time follows, where
    that is asked for.
    """

    supports_higher_order_operators = True

    def __init__(
        self, modules: Modules, origins: Origins, home: torch.device | None = None, shapes: Shapes | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.modules = modules
        self.shapes, self.home = shapes, home
        self.stand_ins: StandIns | None = None
        self.origins = origins
        self.by_operator: Counter[tuple[str, str]] = Counter()
        self.uncounted: Counter[tuple[str, str]] = Counter()
        self.conventions: dict[str, None] = {}
        self.wrote_out_attention = False
        self.backward = False
        self.backward_macs = 0
        self.goes_back = self.one_of_three = self.convolves_complex = False
        self._made_complex = origins.begins_complex
        self._repeats: set[Any] = set()
        self.on_meta = self.passed_by = False
        self.notes: dict[str, None] = {}
        self.valueless: Exception | None = None
        self.read_values = False
        self.made: list[weakref.ref[Tensor]] = []
        self.work_done: Counter[str] = Counter()
        self.work: WorkSeen | None = None
        self._outside: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operator and counts it."""
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return self._run_higher_order(func, args, kwargs)
        if types and any(kind.__torch_dispatch__ is not _PLAIN and kind.__name__ != "FakeTensor" for kind in types):
            return NotImplemented  # a subclass takes it apart into operators on what it holds
        if func is _DEVICE:  # a fake tensor tells its device by it
            return func(*args, **kwargs)
        known = _look_up(func)
        if known.composite:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        if known.views:
            return self._seen(func, func(*args, **kwargs))
        operands = tensors_of((*args, *kwargs.values()) if kwargs else args)
        reached = self._reached(operands)
        if self.home is not None and "device" in kwargs:
            kwargs = placed(kwargs, self.home)
        if known.mutable:
            self._keep_outside(written(func, args, kwargs))
        try:
            out = self._run(func, args, kwargs)
        except Exception as error:
            self.note_valueless(error)
            raise
        self.read_values |= known.reads
        if self.backward:
            self._count_backward(func, known, args, kwargs, out)
            return out
        results = self._made_of(operands, out)
        if known.mutable:
            results += written(func, args, kwargs)
        if self.work is not None:
            self.work.see(func, known.formula, args, kwargs, out)
        depth = reached[1] + self._count(func, known, args, kwargs, out)
        self.origins.follow(func, (reached[0], depth), results)
        return out

    def _seen(self, func: OpOverload, view: Tensor) -> Tensor:
        self.made.append(weakref.ref(view))
        if not self.backward:
            self.modules.begin_row()
        self._made_complex |= func is _AS_REAL or view.is_complex()
        return view

    def _made_of(self, operands: list[Tensor], out: Any) -> list[Tensor]:
        """The results; remembers those that are new, and whether numbers are complex."""
        results = _results(out)
        for result in results:
            self._made_complex |= result.is_complex()
            for operand in operands:
                if result is operand:
                    break
            else:
                self.made.append(weakref.ref(result))
        return results

    def follow_work(self) -> None:
        """Asks for the work that the forward's time follows."""
        self.work = WorkSeen(self.origins, self.work_done)

    def note_valueless(self, error: Exception) -> None:
        """Keeps an error that comes from a tensor's having no values: the model may swallow it, and go another way."""
        if self.valueless is None and needs_values(error):
            self.valueless = error
            if self.modules.failed is None:
                path = self.modules.path
                self.modules.failed = Failed(error, path, self.modules.by_path[path], ())

    def _keep_outside(self, changed: list[Tensor]) -> None:
        """Remembers the values of tensors that are not the copy's and are about to be written to (a global counter)."""
        for tensor in changed:
            if not self.origins.knows(tensor) and tensor.device != META and id(tensor) not in self._outside:
                self._outside[id(tensor)] = tensor, tensor.detach().clone()

    @contextlib.contextmanager
    def outside_restored(self) -> Iterator[None]:
        """Writes those values back at the end."""
        try:
            yield
        finally:
            for tensor, before in self._outside.values():
                tensor.detach().copy_(before)

    @contextlib.contextmanager
    def as_one_convolution(self) -> Iterator[None]:
        """A complex convolution, of which torch makes three real ones: the first counts."""
        self.one_of_three, self._found = True, False
        try:
            yield
        finally:
            self.one_of_three = False

    def is_repeated(self, weight: Any) -> bool:
        """Whether a convolution is the second or third of a complex one."""
        if not self.one_of_three:
            return False
        if self._found:
            self._repeats.add(_place(weight))
        self._found, found = True, self._found
        return found

    def finish(self, result: Any) -> None:
        """The forward is over: names what it would do later, and what follows is its backward pass.

        Raises CountError for a forward that did nothing and returns no tensor.
        """
        later = functions_in(tree_leaves(result))
        if not self.made and not any(True for _ in tensors_in(result)):
            raise CountError(
                f"the forward runs no operator and returns {type(result).__name__}, so there is nothing to count",
                where="the root",
                fix="count a model whose forward computes its result",
            )
        for name in later:
            self.uncounted[self.modules.path, f"function {name}, which is returned"] += 1
        self.backward = True

    def autocasts(self, device: str, *, on: bool) -> None:
        """The forward enters autocast. Raises AutocastError where its tensors are on meta, which it passes by."""
        if not on and device != "cpu":
            self.notes[f"autocast for {device} is off where there is none, and left out"] = None
        if on and self.on_meta:
            self.passed_by = True
            raise AutocastError

    def leaves(self, tensor: Tensor, where: str) -> None:
        """Names data that is handed to code whose work isn't seen (numpy); a list is for control flow."""
        self.read_values = True
        if self.stand_ins is not None:
            self.stand_ins.require_known(tensor)
        if where != "tolist" and self.origins.of(tensor) is Origin.DATA and not self.backward:
            self.uncounted[self.modules.path, where] += 1
            self.origins.lose(tensor)

    def _reached(self, operands: list[Tensor]) -> tuple[Origin, int]:
        """Where they come from and how deep they lie. Raises CountError where one is the original's."""
        try:
            return self.origins.reached(operands)
        except UntouchableError:
            raise CountError(
                "the forward reaches the model itself where a copy of it is run",
                where=self.modules.path or "the root",
                fix="reach modules and parameters through self, not through a closure or a global",
            ) from None

    def _run(self, func: OpOverload, args: Any, kwargs: Any) -> Any:
        if self.stand_ins is not None:
            return self.stand_ins.run(func, args, kwargs)
        if self.shapes is None:
            return func(*args, **kwargs)
        try:
            return self.shapes.run(func, args, kwargs)
        except RuntimeError:
            # A constant of the forward's own (`torch.tensor([…])`) has values, and so is on CPU: meet it on meta.
            if func._schema.is_mutable or not tree_any(_is_real, (args, kwargs)):
                raise
            args, kwargs = tree_map_only(Tensor, lambda t: t.to("meta"), (args, kwargs))
            return func(*args, **kwargs)

    def _run_higher_order(self, func: HigherOrderOperator, args: Any, kwargs: Any) -> Any:
        """An operator that takes functions and was not written out: a formula, or uncounted."""
        formula = higher_order_formula(func)
        if formula is None:
            self.uncounted[BACKWARD if self.backward else self.modules.path, f"higher_order::{func._name}"] += 1
        elif self.backward:
            self.backward_macs += formula.macs(None, *args, **kwargs)
        else:
            macs = formula.macs(None, *args, **kwargs)
            self.modules.row.macs += macs
            self.by_operator[self.modules.path, f"higher_order::{func._name}"] += macs
        return NotImplemented

    def _count(self, func: OpOverload, known: _Known, args: Any, kwargs: Any, out: Any) -> bool:
        """Whether the operator is a layer: a convolution of data, or a product of data with a weight."""
        row, formula = self.modules.row, known.formula
        if formula is None:
            if not known.free:
                self.uncounted[self.modules.path, known.name] += 1
            elif func is torch.ops.aten._safe_softmax.default:
                self.wrote_out_attention = True
            return False
        if formula.kind == "convolution":
            self.convolves_complex |= self._made_complex
            if self.is_repeated(args[1]):
                return False
        macs = formula.macs(out, *args, **kwargs)
        row.macs += macs
        self.by_operator[self.modules.path, known.name] += macs
        self._note(formula, args)
        layer = self._is_layer(formula, args)
        if layer:
            row.conv_activations += sum(result.numel() for result in _results(out))
        return layer

    def _count_backward(self, func: OpOverload, known: _Known, args: Any, kwargs: Any, out: Any) -> None:
        if known.formula is not None and not (func in _CONVOLVES_BACK and _place(args[2]) in self._repeats):
            self.backward_macs += known.formula.macs(out, *args, **kwargs)
            self._note(known.formula, args)
        elif known.formula is None and not known.free:
            self.uncounted[BACKWARD, known.name] += 1

    def _note(self, formula: Formula, args: Any) -> None:
        if formula.convention is not None:
            self.conventions[formula.convention] = None
        elif self.one_of_three or (
            self._made_complex and formula.kind == "product" and any(t.is_complex() for t in tensors_of(args[:2]))
        ):
            self.conventions["complex products: a complex multiply-accumulate counts as one"] = None

    def _is_layer(self, formula: Formula, args: Any) -> bool:
        if formula.kind == "other":
            return False
        factors = tensors_of(args[formula.addend : formula.addend + formula.factors])
        origins = [self.origins.of(factor) for factor in factors]
        return Origin.DATA in origins and (formula.kind == "convolution" or Origin.WEIGHT in origins)


def _results(out: Any) -> list[Tensor]:
    return [out] if isinstance(out, Tensor) else tensors_of(out if isinstance(out, (list, tuple)) else (out,))


def _place(tensor: Tensor) -> tuple[int | None, int]:
    return storage_key(tensor), int(tensor.storage_offset())


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type != "meta"
