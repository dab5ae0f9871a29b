"""Where a tensor comes from: the model's own weights, the forward's inputs, or neither.

Told by storage: a view is what it is a view of, and what takes data in place is data from then on.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves


class Origin(IntEnum):
    """What a tensor's values depend on; of several the greatest holds."""

    CONSTANT = 0
    """Nothing but the code: made by the forward from nothing."""
    WEIGHT = 1
    """The model's own tensors, and no input."""
    DATA = 2
    """An input."""


class UntouchableError(Exception):
    """An operator reaches a tensor of the original."""


_FACTORIES = {
    "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros", "empty_like", "full_like", "ones_like",
    "zeros_like", "rand_like", "randn_like", "randint_like",
}  # fmt: skip
"""Operators that take the shape of a tensor, and not its values."""


class Origins:
    """The origin, and the depth, of every storage of one pass; depth is the layers on the longest path to it.

    `begins_complex` says whether any of them is of complex numbers;
    `made` are what the forward's own constants count as: its data where it is given no tensor at all. `strays` are
    parameters that it reaches elsewhere (a global, a closure), which nobody told of. `untouchable` are the original's
    tensors, which no operator may reach: UntouchableError.
    """

    def __init__(self, weights: Iterable[Tensor], data: Iterable[Tensor], untouchable: Iterable[Tensor] = ()) -> None:
        self.untouchable = {storage_key(tensor) for tensor in untouchable} - {None}
        self._of: dict[int, tuple[Origin, int]] = {}
        self._alive: list[Tensor] = []  # a storage's key is its address
        for tensor in weights:
            self._start(tensor, Origin.WEIGHT)
        given = list(data)
        self.begins_complex = any(tensor.is_complex() for tensor in (*self._alive, *given))
        for tensor in given:
            self._start(tensor, Origin.DATA)
        self.made = Origin.CONSTANT if given else Origin.DATA
        self.strays: dict[int, nn.Parameter] = {}
        self._lost = 0

    def _start(self, tensor: Tensor, origin: Origin) -> None:
        self._alive.append(tensor)
        for key in storage_keys(tensor):
            self._of[key] = origin, 0

    def of(self, tensor: Any) -> Origin:
        """The origin of a tensor; a parameter that nobody told of is a weight all the same."""
        keys = storage_keys(tensor)
        if len(keys) == 1:
            return (self._of.get(keys[0]) or self._look_up(keys[0], tensor))[0]
        return max((self._look_up(key, tensor)[0] for key in keys), default=self.made)

    def reached(self, tensors: Iterable[Tensor]) -> tuple[Origin, int]:
        """The greatest origin of the tensors, and the depth of the deepest."""
        origin, depth = None, 0
        for tensor in tensors:
            for key in storage_keys(tensor) or (None,):
                known = self._of.get(key) if key is not None else (self.made, 0)
                own, deep = known or self._look_up(key, tensor)
                if origin is None or own > origin:
                    origin = own
                if deep > depth:
                    depth = deep
        return (self.made if origin is None else origin), depth

    def depth(self, tensors: Iterable[Tensor]) -> int:
        """Layers on the longest path to any of the tensors."""
        return max((self._look_up(key, t)[1] for t in tensors for key in storage_keys(t)), default=0)

    def take_as_data(self, tensor: Tensor) -> None:
        """A state that a layer starts from is its data, though the forward makes it of nothing."""
        for key in storage_keys(tensor):
            self._of[key] = max((Origin.DATA, 0), self._look_up(key, tensor))

    def deepen(self, tensor: Tensor, depth: int) -> None:
        """Data of a depth that is known otherwise."""
        for key in storage_keys(tensor):
            self._of[key] = Origin.DATA, depth

    def knows(self, tensor: Tensor) -> bool:
        """Whether the tensor is the copy's, an input, or was made in this pass."""
        return any(key in self._of for key in storage_keys(tensor))

    def lose(self, tensor: Tensor) -> None:
        """Data leaves torch: what comes from nowhere from now on may be it, come back."""
        self.made = Origin.DATA
        self._lost = max(self._lost, self.depth([tensor]))

    def _look_up(self, key: int | None, tensor: Tensor) -> tuple[Origin, int]:
        known = None if key is None else self._of.get(key)
        if known is None:
            if key in self.untouchable:
                raise UntouchableError
            known = self.made, self._lost
            if isinstance(tensor, nn.Parameter):
                self.strays[id(tensor)] = tensor
                known = Origin.WEIGHT, 0
                if key is not None:
                    self._of[key] = known
        return known

    def follow(self, operator: OpOverload, reached: tuple[Origin, int], results: Iterable[Tensor]) -> None:
        """Hands what an operator's operands are on to its results, and to what it writes in place.

        Set for every result, so that a storage at the address of one that is gone inherits nothing.
        """
        if reached[0] is Origin.WEIGHT and operator._schema.name.removeprefix("aten::") in _FACTORIES:
            reached = self.made, 0
        for tensor in results:
            for key in storage_keys(tensor):
                self._of[key] = reached


def written(operator: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that an operator changes in place without returning them (`_foreach_add_`)."""
    places = _written_places(operator)
    return tensors_of(args[place] if place < len(args) else kwargs.get(name) for place, name in places)


@functools.cache
def _written_places(operator: OpOverload) -> list[tuple[int, str]]:
    """The arguments that an operator writes to: their positions and names."""
    arguments = enumerate(operator._schema.arguments)
    return [(place, one.name) for place, one in arguments if one.alias_info is not None and one.alias_info.is_write]


def tensors_of(values: Iterable[Any]) -> list[Tensor]:
    """The tensors of an operator's arguments or results: themselves, or in lists."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += [part for part in value if isinstance(part, Tensor)]
    return found


def storage_key(tensor: Tensor) -> int | None:
    """What tells a tensor's storage from every other that is alive; None where it has none of its own (sparse)."""
    try:
        key: int = tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return None
    return key


def storage_keys(tensor: Tensor) -> tuple[int, ...]:
    """The keys of the storage that a tensor is in; of the values' where it is sparse."""
    if tensor.layout is torch.strided:
        try:
            return (tensor.untyped_storage()._cdata,)
        except (NotImplementedError, RuntimeError):
            return ()
    return tuple(key for part in stored_parts(tensor)[-1:] if (key := storage_key(part)) is not None)


def wrapped_parts(tensor: Tensor) -> list[Any] | None:
    """What a wrapper subclass (one without data of its own) holds; None for any other tensor."""
    if type(tensor) in (Tensor, nn.Parameter) or not torch._C._dispatch_keys(tensor).has(torch._C.DispatchKey.Python):
        return None
    if is_traceable_wrapper_subclass(tensor):
        names, _ = tensor.__tensor_flatten__()
        return [getattr(tensor, name) for name in names]
    return list(tree_leaves(list(vars(tensor).values())))


def stored_parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """The dense tensors that a tensor is made of: a sparse one's indices, then its values; any other one itself."""
    if tensor.layout == torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return (tensor,)
