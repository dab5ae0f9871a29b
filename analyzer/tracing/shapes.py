"""Results of operators on meta, fast: torch computes them in Python, for a network's like layers again and again.

The common operators have rules of our own. The result of any other that makes new tensors depends on the shapes,
strides and dtypes of what it gets alone, so it is computed once for each.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

from analyzer.tracing.compiler import Watching
from analyzer.tracing.copying import META
from analyzer.tracing.shape_rules import RULES, Rule

_Made = tuple[tuple[torch.Size, tuple[int, ...], torch.dtype], ...]


class _UnknownError(Exception):
    """An argument whose effect on the result isn't known from its shape."""


class Shapes:
    """Runs operators on meta and remembers the shapes of what they made."""

    def __init__(self) -> None:
        self._made: dict[Any, tuple[type, _Made] | None] = {}

    def run(self, operator: OpOverload, args: Any, kwargs: Any) -> Any:
        """The operator's result; computed by torch the first time."""
        rule, makes = _known(operator)
        if rule is not None:
            out = rule(*args, **kwargs)
            if out is not None:
                return out
        if not makes:
            return operator(*args, **kwargs)
        try:
            key = (operator, _key(args), _key(tuple(kwargs.items())))
        except _UnknownError:
            return operator(*args, **kwargs)
        known = self._made.get(key)
        if known is not None:
            kind, made = known
            tensors = [_make(*description) for description in made]
            return tensors[0] if kind is Tensor else kind(tensors)
        out = operator(*args, **kwargs)
        if key not in self._made:
            self._made[key] = _described(args, out)
        return out


class Quick(Watching):
    """Runs what is made on meta by the rules: a network's initialisers, above all."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes = Shapes()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operator."""
        kwargs = kwargs or {}
        return (
            func(*args, **kwargs) if types or not isinstance(func, OpOverload) else self.shapes.run(func, args, kwargs)
        )


@functools.cache
def _known(operator: OpOverload) -> tuple[Rule | None, bool]:
    """Its rule, and whether it makes new tensors: nothing is a view or written in place."""
    schema = operator._schema
    return RULES.get(operator), not (schema.is_mutable or any(one.alias_info is not None for one in schema.returns))


def _key(value: Any) -> Any:
    """What of an argument a result depends on. Raises _UnknownError where that isn't its shape or plain value."""
    kind = type(value)
    if kind is Tensor or kind is nn.Parameter:
        if value.device != META or value.layout != torch.strided or value.is_complex():
            raise _UnknownError
        return value.shape, value.stride(), value.dtype
    if kind is list or kind is tuple:
        return tuple([_key(part) for part in value])
    if value is None or kind in _PLAIN:
        return kind, value  # 1, 1.0 and True are equal, and give other dtypes
    raise _UnknownError


_PLAIN = {int, float, bool, str, torch.dtype, torch.device, torch.layout, torch.memory_format}


def _make(size: torch.Size, stride: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty_strided(size, stride, dtype=dtype, device=META)


def _described(args: Any, out: Any) -> tuple[type, _Made] | None:
    """The shapes of new tensors; None for a result that is a view all the same, or is no tensor."""
    parts = (out,) if type(out) is Tensor else out
    if not isinstance(parts, (list, tuple)) or not all(type(p) is Tensor and p.device == META for p in parts):
        return None
    if any(part.layout != torch.strided or part.is_complex() for part in parts):
        return None
    made = tuple((part.shape, part.stride(), part.dtype) for part in parts)
    # Some operators are views against their schema (`_unsafe_view`, `unsafe_split`): their storages tell.
    storages = [part.untyped_storage() for part in parts]
    taken = {leaf.untyped_storage()._cdata for leaf in tree_leaves(args) if isinstance(leaf, Tensor)}
    own = {storage._cdata for storage in storages}
    sizes = [_make(*description).untyped_storage().nbytes() for description in made]
    if own & taken or len(own) < len(storages) or sizes != [storage.nbytes() for storage in storages]:
        return None
    return Tensor if type(out) is Tensor else type(out), made
