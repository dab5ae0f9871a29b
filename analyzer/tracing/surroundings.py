"""What a model's code can write to beside its copy: globals, class attributes, closures, defaults, caches.

Taken down before a model runs and put back after, so that no tensor of a count is found there by the user's own run.
Only code that is not torch's, numpy's or Python's own is looked at, and of a cache that can only be emptied
(`functools.lru_cache`) all goes where the run put something in.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import operator
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import PurePath
from typing import Any

from torch import Tensor, nn

from analyzer.errors import CountError
from analyzer.tracing.randomness import generator_kinds, set_state, state_of

_NOT_USERS = {*sys.stdlib_module_names, "torch", "numpy", "analyzer", "functorch", "torchgen"} - {"__main__"}
_HOLDERS = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, threading.local, types.SimpleNamespace)
_LEAVES = (str, bytes, int, float, complex, type(None), Tensor, types.ModuleType)
_CACHE = type(functools.lru_cache(int))
_SHARED = (type, types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial, _CACHE)
"""What of a module's own attributes a deep copy shares with the original."""
_MOST = 50_000
"""Objects that are looked at, at most: a model's own code is far smaller."""


class Surroundings:
    """The state around a model as it was found; `restore` puts it back. `generators` are the random ones in it."""

    def __init__(self, model: nn.Module) -> None:
        self.generators: list[Any] = []
        self._generator_kinds = generator_kinds()
        self._undo: list[Callable[[], None]] = []
        self._mappings: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._looks: dict[type, Callable[[Any], None] | None] = {}
        self._leaves: set[type] = set()
        self._kept: list[Any] = []  # an id is an object's for as long as it lives
        modules = list(model.modules())
        self._seen = {id(module) for module in modules}
        self._queue: deque[Any] = deque(dict.fromkeys(map(type, modules)))
        self._add(held for module in modules for held in _shared_by(module))
        with uncollected():
            self._look_around()

    def restore(self) -> None:
        """Puts back what has changed."""
        for mapping, before in self._mappings:
            _reset_mapping(mapping, before)
        for undo in self._undo:
            undo()

    def _add(self, values: Iterable[Any]) -> None:
        """Has values looked at later; a registry of a package holds a hundred thousand that have nothing in them."""
        leaves = self._leaves
        self._queue.extend([value for value in values if type(value) not in leaves])

    def _look_around(self) -> None:
        queue, seen, kept, looks = self._queue, self._seen, self._kept, self._looks
        while queue and len(seen) < _MOST:
            value = queue.popleft()
            if id(value) in seen:
                continue
            kind = type(value)
            if kind not in looks:
                looks[kind] = self._look_of(value)
            look = looks[kind]
            if look is None:
                self._leaves.add(kind)
                continue
            seen.add(id(value))
            kept.append(value)
            look(value)

    def _look_of(self, value: Any) -> Callable[[Any], None] | None:
        """How values of this one's type are looked at; None where nothing is in them."""
        if isinstance(value, _LEAVES):
            return None
        if type(value) in self._generator_kinds:
            return self._look_at_generator
        for kinds, look in (
            (types.BuiltinFunctionType, self._look_at_builtin),
            (type, self._look_at_class),
            (types.MethodType, self._look_at_method),
            (types.FunctionType, self._look_at_function),
            (_CACHE, self._look_at_cache),
            (dict, self._look_at_mapping),
            ((list, set, deque), self._look_at_collection),
            (tuple, self._add),
            (functools.partial, self._look_at_partial),
            ((property, functools.cached_property, staticmethod, classmethod), self._look_at_descriptor),
        ):
            if isinstance(value, kinds):
                return look
        return self._look_at_instance if isinstance(value, _HOLDERS) or _is_users(type(value)) else None

    def _look_at_generator(self, value: Any) -> None:
        self.generators.append(value)
        self._undo.append(functools.partial(set_state, value, state_of(value)))

    def _look_at_builtin(self, value: Any) -> None:
        self._add((value.__self__,))  # what it is a method of, where it is one

    def _look_at_method(self, value: Any) -> None:
        self._add((value.__func__, value.__self__))

    def _look_at_mapping(self, value: Any) -> None:
        held = dict(dict.items(value))  # what is there: a subclass may make more as it is asked
        self._mappings.append((value, held))
        self._add(held.values())

    def _look_at_collection(self, value: Any) -> None:
        held = list(value)
        self._undo.append(functools.partial(_reset_collection, value, held))
        self._add(held)

    def _look_at_partial(self, value: Any) -> None:
        self._add((value.func, *value.args, value.keywords))

    def _look_at_descriptor(self, value: Any) -> None:
        self._add((getattr(value, "fget", None), getattr(value, "func", getattr(value, "__func__", None))))

    def _look_at_class(self, kind: type) -> None:
        for base in kind.__mro__:
            if _is_users(base) and (base is kind or id(base) not in self._seen):
                self._seen.add(id(base))
                self._undo.append(functools.partial(_reset_class, base, dict(vars(base))))
                self._add(vars(base).values())
                module = sys.modules.get(base.__module__)
                if module is not None:
                    self._queue.append(vars(module))

    def _look_at_function(self, function: Any) -> None:
        if not _is_users(function):
            return
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):
                self._undo.append(functools.partial(_reset_cell, cell, cell.cell_contents))
                self._queue.append(cell.cell_contents)
        self._add((function.__globals__, function.__defaults__, function.__kwdefaults__, vars(function)))

    def _look_at_cache(self, cache: Any) -> None:
        misses = cache.cache_info().misses

        def clear() -> None:
            if cache.cache_info().misses != misses:
                cache.cache_clear()

        self._undo.append(clear)
        self._queue.append(cache.__wrapped__)

    def _look_at_instance(self, value: Any) -> None:
        kind = type(value)
        own = getattr(value, "__dict__", None)
        self._queue.extend((kind, *(() if own is None else (own,))))
        for base in kind.__mro__:
            slots = vars(base).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, name):
                    self._undo.append(functools.partial(_reset_slot, value, name, getattr(value, name)))
                    self._queue.append(getattr(value, name))


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is looked for meanwhile: what a count makes on meta is small, and the heap that torch has is not."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _shared_by(module: nn.Module) -> Iterator[Any]:
    """What a deep copy of a module shares with it of its own attributes."""
    for value in vars(module).values():
        if isinstance(value, dict):
            yield from [held for held in dict.values(value) if isinstance(held, _SHARED)]
        elif type(value) in (list, tuple):
            yield from [held for held in value if isinstance(held, _SHARED)]
        elif isinstance(value, _SHARED):
            yield value


def _is_users(value: Any) -> bool:
    home = getattr(value, "__module__", None)
    return isinstance(home, str) and _may_hold_tensors(home.partition(".")[0], len(sys.modules))


@functools.lru_cache(1024)
def _may_hold_tensors(package: str, _: int) -> bool:
    """Whether a package is a model's code: one that is installed and has nothing of torch's is not (a test runner).

    The second argument is the number of modules: another may have been imported since.
    """
    if package in _NOT_USERS:
        return False
    origin = getattr(getattr(sys.modules.get(package), "__spec__", None), "origin", None) or ""
    if not {"site-packages", "dist-packages"} & set(PurePath(origin).parts):
        return True
    inner = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == package]
    return any(_is_of_torch(value) for module in inner for value in list(getattr(module, "__dict__", {}).values()))


def _is_of_torch(value: Any) -> bool:
    """Whether a module, a class or an object's class is torch's (torch puts functions of its own into `inspect`)."""
    home = getattr(value if isinstance(value, type) else type(value), "__module__", None)
    if isinstance(value, types.ModuleType):
        home = value.__name__
    return isinstance(home, str) and home.partition(".")[0] == "torch"


def _reset_mapping(value: Any, before: Any) -> None:
    if _same(dict.keys(value), before) and _same(dict.values(value), before.values()):
        return
    now = dict(dict.items(value))
    for key in [key for key in now if key not in before]:
        del value[key]
    for key, held in before.items():
        if key not in now or now[key] is not held:
            value[key] = held


def _same(values: Collection[Any], others: Collection[Any]) -> bool:
    """Whether these are the same objects in the same order."""
    return len(values) == len(others) and all(map(operator.is_, values, others))


def _reset_collection(value: Any, before: Any) -> None:
    if _same(value, before):
        return  # a set's order is its own for as long as nothing is added
    value.clear()
    (value.update if isinstance(value, set) else value.extend)(before)


def _reset_class(kind: type, before: dict[str, Any]) -> None:
    for name in [name for name in vars(kind) if name not in before]:
        with contextlib.suppress(AttributeError, TypeError):
            delattr(kind, name)
    for name, held in before.items():
        if vars(kind).get(name) is not held:
            with contextlib.suppress(AttributeError, TypeError):
                setattr(kind, name, held)


def _reset_cell(cell: types.CellType, before: Any) -> None:
    cell.cell_contents = before


def _reset_slot(value: Any, name: str, before: Any) -> None:
    if getattr(value, name, None) is not before:
        with contextlib.suppress(AttributeError):
            setattr(value, name, before)


def require_gone(made: list[weakref.ref[Tensor]]) -> None:
    """CountError where a global of some module still holds what a run made; it is taken out of there.

    What only torch's own cycles hold (a graph's nodes) no code of the user's can reach.
    """
    if not any(ref() is not None for ref in made):
        return
    gc.collect()
    left = [tensor for tensor in [ref() for ref in made] if tensor is not None]
    holders = [holder for holder in _holders(left) if holder is not left]
    if not holders or not _is_global(holders):
        return
    for holder in holders:
        _drop(holder, left)
    raise CountError(
        "the forward keeps tensors of its own in a global that can't be put back as it was; they were removed from it",
        where="the forward's cache",
        fix="keep that cache in the module, in a global of its own code or in a functools.lru_cache",
    )


def _holders(values: list[Any]) -> list[Any]:
    if not values:
        return []
    return [holder for holder in gc.get_referrers(*values) if isinstance(holder, (dict, list, tuple, set, deque))]


def _is_global(holders: list[Any]) -> bool:
    """Whether one of the containers is a module's namespace, or lies in one, three containers deep."""
    spaces = {id(vars(module)) for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)}
    for _ in range(3):
        if any(id(holder) in spaces for holder in holders):
            return True
        inner, holders = holders, _holders(holders)
        holders = [holder for holder in holders if holder is not inner]
    return any(id(holder) in spaces for holder in holders)


def _drop(holder: Any, left: list[Tensor]) -> None:
    """Takes the tensors out of a container."""
    ids = {id(tensor) for tensor in left}
    if isinstance(holder, dict):
        for key in [key for key, value in holder.items() if id(value) in ids]:
            del holder[key]
    elif isinstance(holder, (list, deque)):
        kept = [value for value in holder if id(value) not in ids]
        holder.clear()
        holder.extend(kept)
