"""A model and its inputs -> copies to run, so that the user's own are never touched.

On meta a copy has the shapes, dtypes, ties and modes of the original and no memory; the original's storage is not
even read. On CPU it has the original's values.
"""

from __future__ import annotations

import contextlib
import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import CellType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from analyzer.errors import CountError, words_of
from analyzer.tracing.attribution import registered
from analyzer.tracing.randomness import generator_kinds, global_generators

Convert = Callable[[Tensor], Tensor]
META = torch.device("meta")


def placed(kwargs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A factory's keywords, with its result on another device; what is not on the CPU can't be pinned."""
    return {**kwargs, "device": device, **({"pin_memory": False} if kwargs.get("pin_memory") else {})}


def to_meta(tensor: Tensor) -> Tensor:
    """A tensor of the same shape, strides, dtype and `requires_grad` without memory."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        return tensor.detach().to("meta")
    made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
    return made.requires_grad_() if tensor.requires_grad else made


def to_cpu(tensor: Tensor) -> Tensor:
    """The tensor's values on CPU; zeros where it has none (it is on meta)."""
    if tensor.device.type == "meta":
        made = torch.zeros(tensor.shape, dtype=tensor.dtype)
    else:
        made = tensor.detach().to("cpu", copy=True)
    return made.requires_grad_(tensor.requires_grad)


class Fakes:
    """Tensors on meta that say that they are on the CPU, so that autocast sees them."""

    def __init__(self) -> None:
        from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

        self.mode: Any = FakeTensorMode(allow_non_fake_inputs=True)
        self._kind: Any = FakeTensor

    def __call__(self, tensor: Tensor) -> Tensor:
        """A copy of a tensor."""
        made: Tensor = self._kind(self.mode, to_meta(tensor).detach(), torch.device("cpu"))
        return made.requires_grad_(tensor.requires_grad)


class _Converting(TorchFunctionMode):
    """Makes `deepcopy` convert the tensors that it meets outside of parameters and buffers."""

    def __init__(self, convert: Convert) -> None:
        super().__init__()
        self.convert = convert

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = self.convert(tensor)
            return memo[id(tensor)]
        if func is Tensor.clone:  # how a Parameter copies itself
            return self.convert(args[0].detach())
        with torch._C.DisableTorchFunction():
            return func(*args, **(kwargs or {}))


@dataclass(frozen=True, slots=True)
class ModelCopy:
    """A copy of a model, the tensors that it holds without registering them (a plain list's, an attribute's), and the
    random generators.
    """

    module: nn.Module
    held: list[Tensor]
    generators: list[Any]


def copy_model(model: nn.Module, convert: Convert) -> ModelCopy:
    """A deep copy whose tensors went through `convert` (to_meta, to_cpu); tied parameters stay tied.

    What can't be copied (a lock, an open file) is shared with the original. Raises CountError where a module itself
    can't be copied.
    """
    memo: dict[int, Any] = {id(tensor): _converted(tensor, convert) for tensor in registered(model.modules())}
    memo.update({id(value): value for value in global_generators()})
    try:
        return _deepcopy(model, memo, convert)
    except Exception:
        shared = {id(value): value for value in _uncopyable(model)}
    try:
        return _deepcopy(model, {**memo, **shared}, convert)
    except Exception as error:
        raise CountError(
            f"the model can't be copied: {words_of(error)}",
            where=type(model).__name__,
            fix="make it survive copy.deepcopy, because it is counted on a copy",
        ) from error


def _deepcopy(model: nn.Module, memo: dict[int, Any], convert: Convert) -> ModelCopy:
    memo = dict(memo)
    with _Converting(convert):
        copied: nn.Module = _copied(model, memo)
    modules = list(copied.modules())
    for module in modules:
        own = vars(module)
        for holder in (own, *[value for value in own.values() if type(value) is OrderedDict and value]):
            for name in [name for name, value in holder.items() if type(value) is FunctionType and value.__closure__]:
                holder[name] = _rebound(holder[name], memo)
    made, kinds = {id(tensor) for tensor in registered(modules)}, generator_kinds()
    others = [value for value in memo.values() if id(value) not in made]
    held = [value for value in others if isinstance(value, Tensor)]
    return ModelCopy(copied, held, [value for value in others if type(value) in kinds])


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """What `deepcopy` makes of a module, by the same protocol and without its detour for each plain attribute."""
    known: nn.Module | None = memo.get(id(module))
    if known is not None:
        return known
    own = "__deepcopy__" in vars(module) or hasattr(type(module), "__deepcopy__")
    made = None if own else module.__reduce_ex__(4)
    if not isinstance(made, tuple) or any(part is not None for part in made[3:]) or not _is_state(made):
        deep: nn.Module = copy.deepcopy(module, memo)
        return deep
    make, arguments, state = made[:3]
    copied: nn.Module = make(*arguments)
    memo[id(module)] = copied
    state = dict(state)
    for name, value in state.items():
        kind = type(value)
        if kind in _CONTAINERS and not value:  # most of a module's attributes: hooks that it has not
            state[name] = memo.setdefault(id(value), kind())
        elif kind not in _ATOMS:
            state[name] = _copied_value(value, memo)
    copied.__setstate__(state)  # type: ignore[no-untyped-call]
    return copied


def _is_state(made: tuple[Any, ...]) -> bool:
    plain = all(type(argument) in _ATOMS or isinstance(argument, type) for argument in made[1])
    return plain and len(made) > 2 and type(made[2]) is dict


def _copied_value(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    known = memo.get(id(value))
    if known is not None:
        return known
    if kind in (dict, OrderedDict) and all(type(key) is str for key in value):
        copied = memo[id(value)] = kind()
        for key, part in value.items():
            copied[key] = part if type(part) in _ATOMS else _copied_value(part, memo)
        return copied
    if kind in (list, set, tuple) and all(type(part) in _ATOMS for part in value):
        if kind is not tuple:
            value = memo[id(value)] = kind(value)
        return value
    return _copied(value, memo) if isinstance(value, nn.Module) else copy.deepcopy(value, memo)


_CONTAINERS = {dict, OrderedDict, list, set}
_ATOMS = {type(None), bool, int, float, complex, str, bytes, type, torch.dtype}
"""Types of what `deepcopy`, too, hands on as it is."""


def _rebound(function: FunctionType, memo: dict[int, Any]) -> FunctionType:
    """A function of a module's or a hook, which `deepcopy` takes as it is, over what its closure became in the copy."""
    if id(function) in memo and memo[id(function)] is not function:
        known_copy: FunctionType = memo[id(function)]
        return known_copy
    cells = tuple(CellType() for _ in function.__closure__ or ())
    rebound = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    rebound.__kwdefaults__ = function.__kwdefaults__
    rebound.__dict__.update(function.__dict__)
    memo[id(function)] = rebound
    for old, new in zip(function.__closure__ or (), cells, strict=True):
        with contextlib.suppress(ValueError):  # a cell that is still empty
            value = old.cell_contents
            closes = isinstance(value, FunctionType) and value.__closure__
            new.cell_contents = _rebound(value, memo) if closes else memo.get(id(value), value)
    return rebound


def _converted(tensor: Tensor, convert: Convert) -> Tensor:
    needs = tensor.requires_grad
    made = convert(tensor.detach())
    if isinstance(tensor, nn.Parameter):
        made = nn.Parameter(made, requires_grad=needs)
    elif made.requires_grad is not needs:
        made.requires_grad_(needs)
    if tensor.__dict__:
        made.__dict__.update(tensor.__dict__)  # what a user hung on it
    return made


def _uncopyable(model: nn.Module) -> list[Any]:
    """What `deepcopy` refuses in the attributes of modules: locks, files, generators; the innermost of each."""
    memo: dict[int, Any] = {id(module): module for module in model.modules()}
    found: list[Any] = []
    with _Converting(to_meta):
        for module in model.modules():
            for name, value in vars(module).items():
                if name not in ("_parameters", "_buffers", "_modules") and not isinstance(value, _COPYABLE):
                    _refused(value, memo, found)
    return found


_COPYABLE = (bool, int, float, str, bytes, type(None), Tensor)


def _refused(value: Any, memo: dict[int, Any], found: list[Any]) -> None:
    try:
        copy.deepcopy(value, memo)
    except Exception:
        memo[id(value)] = value
        parts: list[Any] = []
        if isinstance(value, dict):
            parts = list(value.values())
        elif isinstance(value, (list, tuple, set)):
            parts = list(value)
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            parts = list(vars(value).values())
        before = len(found)
        for part in parts:
            _refused(part, memo, found)
        if len(found) == before:
            found.append(value)


def copy_inputs(inputs: Any, convert: Convert) -> Any:
    """Nested inputs with their tensors converted, one given twice still one; objects of other classes are copied too.

    Raises CountError where an object can't be.
    """
    memo: dict[int, Any] = {}

    def once(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            if id(leaf) not in memo:
                memo[id(leaf)] = convert(leaf)
            return memo[id(leaf)]
        if isinstance(leaf, PackedSequence):  # its batches' sizes are no data: a kernel reads them
            order, back = (
                None if part is None else once(part) for part in (leaf.sorted_indices, leaf.unsorted_indices)
            )
            return PackedSequence(once(leaf.data), leaf.batch_sizes.clone(), order, back)
        if isinstance(leaf, (str, bytes, int, float, complex, type(None), torch.dtype, torch.device)):
            return leaf
        with _Converting(convert):
            try:
                return copy.deepcopy(leaf, memo)
            except Exception as error:
                raise CountError(
                    f"an input of type {type(leaf).__name__} can't be copied: {words_of(error)}",
                    where="inputs",
                    fix="give tensors, or objects that survive copy.deepcopy",
                ) from error

    return tree_map(once, inputs, is_leaf=lambda value: isinstance(value, PackedSequence))
