"""Small real stand-ins for values: masks, lengths and routes are real numbers, weights and features stay on meta.

What a forward decides by (positions, masks, which expert a token goes to) is small, and integer or boolean. Such
tensors are real here, from the forward's own constants and its integer inputs on; where one follows from features,
which have no values, these count as zeros. So a model's path is seen without its weights. A branch on features is no
mask and no route: it needs their values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves, tree_map_only

from analyzer.tracing.copying import META, to_cpu, to_meta
from analyzer.tracing.shapes import Shapes

MOST = 1 << 22
"""Elements of a tensor that has values, at most."""
_CPU = torch.device("cpu")


def to_stand_in(tensor: Tensor) -> Tensor:
    """A copy: with its values (zeros where it has none) where it is small and no floating-point one, else on meta."""
    return to_cpu(tensor) if _decides(tensor) and tensor.layout is torch.strided else to_meta(tensor)


def _decides(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.is_quantized) and tensor.numel() <= MOST


class StandIns:
    """Runs operators, each on meta or for real."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self._guessed: dict[int, Any] = {}  # storages of what follows from zeros in the place of features, kept alive

    def require_known(self, tensor: Tensor) -> None:
        """NotImplementedError where Python is handed a truth or a number of features: it may branch on it."""
        counts = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype is torch.bool)
        if not counts and (tensor.is_meta or tensor.untyped_storage()._cdata in self._guessed):
            raise NotImplementedError("the forward branches on features, whose values are on meta")

    def run(self, func: OpOverload, args: Any, kwargs: Any) -> Any:
        """The operator's result. Raises what torch raises; NotImplementedError where it takes values of features."""
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(tensor.layout is not torch.strided for tensor in given):
            raise NotImplementedError("a sparse tensor is its indices' values, which are on meta")
        if func in _READS:
            for tensor in given:
                self.require_known(tensor)
        out = self._run(func, args, kwargs, given)
        if any(tensor.is_meta or tensor.untyped_storage()._cdata in self._guessed for tensor in given):
            for result in tree_leaves(out):
                if isinstance(result, Tensor) and not result.is_meta:
                    storage = result.untyped_storage()
                    self._guessed[storage._cdata] = storage
        return out

    def _run(self, func: OpOverload, args: Any, kwargs: Any, given: list[Tensor]) -> Any:
        if all(not tensor.is_meta for tensor in given):
            return self._on_real(func, args, kwargs, made=not given)
        if func._schema.is_mutable and not args[0].is_meta:
            return func(*_real(args), **_placed(_real(kwargs), _CPU))
        try:
            out = self._on_meta(func, args, kwargs)
        except (NotImplementedError, RuntimeError):
            known = func.namespace == "aten"  # any other operator's work, too, may be a matter of values
            if not known or func._schema.is_mutable or sum(tensor.numel() for tensor in given) > MOST:
                raise
            return func(*_real(args), **_placed(_real(kwargs), _CPU))  # its result's shape is a matter of values
        return self._with_values(func, args, kwargs, out)

    def _on_real(self, func: OpOverload, args: Any, kwargs: Any, *, made: bool) -> Any:
        """For real; what the forward makes of nothing stays on meta where it is large."""
        if made and "device" in kwargs:
            ghost = func(*args, **_placed(kwargs, META))
            if isinstance(ghost, Tensor) and ghost.numel() > MOST:
                return ghost
        try:
            return func(*args, **_placed(kwargs, _CPU))
        except NotImplementedError:  # a kernel of a GPU's alone (histc of integers)
            return self._on_meta(func, args, kwargs)

    def _on_meta(self, func: OpOverload, args: Any, kwargs: Any) -> Any:
        if func in _INDEXED:
            args = (args[0], [_positions(index) for index in args[1]], *args[2:])
            args = (args[0], [part for index in args[1] for part in index], *args[2:])
        ghosts = tree_map_only(Tensor, lambda tensor: tensor if tensor.is_meta else to_meta(tensor), (args, kwargs))
        return self.shapes.run(func, ghosts[0], _placed(ghosts[1], META))

    def _with_values(self, func: OpOverload, args: Any, kwargs: Any, out: Any) -> Any:
        """Its integer and boolean results for real, where they are new and small."""
        results = [out] if isinstance(out, Tensor) else out
        if func._schema.is_mutable or not isinstance(results, (list, tuple)):
            return out
        if any(one.alias_info is not None for one in func._schema.returns):
            return out
        wanted = [isinstance(one, Tensor) and _decides(one) for one in results]
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not any(wanted) or sum(tensor.numel() for tensor in given) > MOST:
            return out
        real = func(*_real(args), **_placed(_real(kwargs), _CPU))
        if isinstance(out, Tensor):
            return real
        return type(out)(one if takes else ghost for ghost, one, takes in zip(out, real, wanted, strict=True))


_READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default, torch.ops.aten.equal.default}
_INDEXED = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default}


def _positions(index: Any) -> Any:
    """A boolean index of values as the positions that it selects, one for each of its dimensions."""
    if isinstance(index, Tensor) and index.dtype is torch.bool and not index.is_meta:
        return index.nonzero().unbind(1)
    return (index,)


def _real(values: Any) -> Any:
    return tree_map_only(Tensor, lambda tensor: to_cpu(tensor).detach() if tensor.is_meta else tensor, values)


def _placed(kwargs: Any, device: torch.device) -> Any:
    return {**kwargs, "device": device} if kwargs.get("device") is not None else kwargs
