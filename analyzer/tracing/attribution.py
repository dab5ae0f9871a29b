"""Which module runs: the forwards of a copied model keep a stack of paths, and a row of figures for each path.

The copy's own `forward` attributes are replaced, so that no hook of the user's and no global one is touched, and a
direct call of a child's `forward` is seen too.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

Shape = tuple[int, ...]


@dataclass(slots=True)
class ModuleTally:
    """What one module ran itself in one pass: MACs, elements of conv and linear outputs, bytes it saved first."""

    macs: int = 0
    conv_activations: int = 0
    saved_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The innermost module whose forward raised `error`, and the shapes of the tensors it was given."""

    error: BaseException
    path: str
    module: nn.Module
    inputs: tuple[Shape, ...]


class Modules:
    """The modules of a copy by path, the stack of those that run, and the rows of the pass that runs.

    `rows` is in the order in which modules first ran an operator themselves; `outputs` has each module's last result,
    which `leaving` is called with while the module still runs. `elsewhere` names threads that ran a module.
    """

    def __init__(self, model: nn.Module) -> None:
        self.by_path = dict(model.named_modules())
        self.tensors = registered(self.by_path.values())
        self.stack = [""]
        self.rows: dict[str, ModuleTally] = {}
        self.outputs: dict[str, Shape | None] = {}
        self.failed: Failed | None = None
        self.leaving: Callable[[Any], None] = ignore
        self.elsewhere: dict[str, None] = {}
        self._thread = threading.get_ident()
        for path, module in self.by_path.items():
            self._wrap(path, module)

    def begin(self) -> None:
        """Forgets the rows of the pass before."""
        self.stack, self.rows, self.outputs, self.failed, self.elsewhere = [""], {}, {}, None, {}

    @property
    def path(self) -> str:
        """The path of the module that runs; the root's is empty."""
        return self.stack[-1]

    @property
    def row(self) -> ModuleTally:
        """The row of the module that runs."""
        path = self.stack[-1]
        row = self.rows.get(path)
        if row is None:
            row = self.rows[path] = ModuleTally()
        return row

    def begin_row(self) -> None:
        """The module that runs has run an operator itself: it has a row."""
        if self.stack[-1] not in self.rows:
            self.rows[self.stack[-1]] = ModuleTally()

    def _wrap(self, path: str, module: nn.Module) -> None:
        forward = module.forward

        @functools.wraps(forward)
        def attributed(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                self.elsewhere[f"thread {threading.current_thread().name}"] = None
                return forward(*args, **kwargs)
            self.stack.append(path)
            try:
                result = forward(*args, **kwargs)
            except Exception as error:
                if self.failed is None or self.failed.error is not error:
                    self.failed = Failed(error, path, module, shapes((args, kwargs)))
                raise
            finally:
                self.stack.pop()
            self.outputs[path] = result_shape(result)
            self.leaving(result)
            return result

        # A scripted module has no forward of its own to replace: its operators are its caller's.
        vars(module)["forward"] = attributed


def registered(modules: Iterable[nn.Module]) -> list[Tensor]:
    """The parameters of modules, then their buffers, each once."""
    modules = list(modules)
    holders = [module._parameters for module in modules] + [module._buffers for module in modules]
    return list({id(tensor): tensor for held in holders for tensor in held.values() if tensor is not None}.values())


def ignore(_result: Any) -> None:
    """What is done as a module is left, where nothing is to be done."""


def result_shape(result: Any) -> Shape | None:
    """The shape of a result, of its first tensor where it is nested; None where it holds no tensor."""
    if isinstance(result, Tensor):
        return sizes(result)
    return next((sizes(tensor) for tensor in tensors_in(result)), None)


def sizes(tensor: Tensor) -> Shape:
    """A tensor's shape; that of all its rows together where it is nested."""
    return tuple((tensor.values() if tensor.is_nested else tensor).shape)


def shapes(values: Any) -> tuple[Shape, ...]:
    """Shapes of the tensors in nested values, in order."""
    return tuple(sizes(tensor) for tensor in tensors_in(values))


def tensors_in(values: Any) -> Iterator[Tensor]:
    """The tensors in nested containers, dataclasses and objects of any class, in order."""
    yield from _tensors_in(values, set())


def _tensors_in(values: Any, seen: set[int]) -> Iterator[Tensor]:
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor):
            yield leaf
        elif not isinstance(leaf, _PLAIN) and id(leaf) not in seen:
            seen.add(id(leaf))
            yield from _tensors_in(_parts(leaf), seen)


_PLAIN = (str, bytes, int, float, complex, type(None), type, nn.Module, FunctionType, MethodType, ModuleType)


def _parts(value: Any) -> list[Any]:
    """What an object holds: its items where it is a container of its own kind, and its attributes."""
    parts: list[Any] = []
    if isinstance(value, Mapping):
        parts += list(value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        parts += list(value)
    if dataclasses.is_dataclass(value):
        parts += [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    elif hasattr(value, "__dict__"):
        parts += list(vars(value).values())
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        parts += [getattr(value, name, None) for name in ((names,) if isinstance(names, str) else names)]
    return parts
