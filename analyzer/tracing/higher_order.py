"""torch's functions that take functions, run as they are written: one branch, each round, attention by its products.

torch would compile them, out of the tracer's sight. Their code is replaced for as long as a model runs, so that every
name of theirs, whenever it was imported, is the one that runs.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from analyzer.errors import CountError

MOST_ROUNDS = 10_000
"""Rounds of a while_loop before it is taken for an endless one."""
FLEX = "torch.nn.attention.flex_attention"


def _cond(pred: Any, true_fn: Any, false_fn: Any, operands: Any = ()) -> Any:
    return (true_fn if pred else false_fn)(*operands)


def _while_loop(cond_fn: Any, body_fn: Any, carried_inputs: Any) -> Any:
    carried = tuple(carried_inputs)
    for _ in range(MOST_ROUNDS):
        if not cond_fn(*carried):
            return carried
        made = body_fn(*carried)
        carried = tuple(made) if isinstance(made, (list, tuple)) else (made,)
    raise CountError(f"torch.while_loop has no end on these values: {MOST_ROUNDS:,} rounds", fix="give other inputs")


def _scan(combine_fn: Any, init: Any, xs: Any, *, dim: int = 0, reverse: bool = False) -> Any:
    """As torch's own eager form, but for the round that it makes to learn the shapes."""
    from torch.utils._pytree import tree_leaves, tree_map

    steps = range(tree_leaves(xs)[0].shape[dim])
    carry, made = init, []
    for step in reversed(steps) if reverse else steps:
        carry, y = combine_fn(carry, tree_map(lambda x, step=step: x.select(dim, step), xs))
        made.append(y)
    if reverse:
        made.reverse()
    return carry, tree_map(lambda *ys: _stacked(ys, dim), *made)


def _stacked(ys: Any, dim: int) -> Tensor:
    out = torch.stack(ys)
    return out.movedim(0, dim) if dim < out.dim() else out


def _associative_scan(
    combine_fn: Any, xs: Any, dim: int, reverse: bool = False, combine_mode: str = "pointwise"
) -> Any:
    from torch._higher_order_ops.associative_scan import _fake_associative_scan

    return _fake_associative_scan(combine_fn, xs, dim, reverse)  # type: ignore[no-untyped-call]


def _map(f: Any, xs: Any, *args: Any) -> Any:
    from torch.utils._pytree import tree_leaves, tree_map

    made = [f(tree_map(lambda x, i=i: x[i], xs), *args) for i in range(tree_leaves(xs)[0].shape[0])]
    return tree_map(lambda *ys: torch.stack(ys), *made)


_FLEX_OPTIONS = ("score_mod", "block_mask", "scale", "enable_gqa", "return_lse", "kernel_options")
"""flex_attention's arguments after query, key and value, in torch's order."""


def _flex_attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Scores, the model's own change of them, softmax, values. A mask saves nothing."""
    said = dict(zip(_FLEX_OPTIONS, args, strict=False)) | kwargs
    score_mod, block_mask, scale = said.get("score_mod"), said.get("block_mask"), said.get("scale")
    return_lse, return_aux = said.get("return_lse", False), said.get("return_aux")
    if said.get("enable_gqa"):
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    places = _places(scores)
    if score_mod is not None:
        scores = score_mod(scores, *places)
    if block_mask is not None:
        scores = torch.where(block_mask.mask_mod(*places), scores, -math.inf)
    weights, sums = torch._safe_softmax(scores, -1), scores.logsumexp(-1) if return_lse or return_aux else None
    out = weights.to(value.dtype) @ value
    if return_aux is not None:
        from torch.nn.attention.flex_attention import AuxOutput

        return out, AuxOutput(
            lse=sums if return_aux.lse else None, max_scores=scores.amax(-1) if return_aux.max_scores else None
        )
    return (out, sums) if return_lse else out


def _places(scores: Tensor) -> list[Tensor]:
    """Sample, head, query and key of each score, to be broadcast."""
    return [
        torch.arange(size, device=scores.device).view([-1 if i == axis else 1 for i in range(4)])
        for axis, size in enumerate(scores.shape)
    ]


_WRITTEN_OUT: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._higher_order_ops.cond", "cond"): _cond,
    ("torch._higher_order_ops.while_loop", "while_loop"): _while_loop,
    ("torch._higher_order_ops.scan", "scan"): _scan,
    ("torch._higher_order_ops.associative_scan", "associative_scan"): _associative_scan,
    ("torch._higher_order_ops.map", "map"): _map,
    (FLEX, "flex_attention"): _flex_attention,
}


def stand_in(place: str, name: str) -> Callable[..., Any]:
    """What runs in the place of one of torch's functions."""
    return _WRITTEN_OUT[place, name]


def _template(*args: Any, **kwargs: Any) -> Any:
    from analyzer.tracing.higher_order import stand_in

    return stand_in("PLACE", "NAME")(*args, **kwargs)


def _code(place: str, name: str) -> CodeType:
    words = {"PLACE": place, "NAME": name}
    consts = tuple(
        words.get(value, value) if isinstance(value, str) else value for value in _template.__code__.co_consts
    )
    return _template.__code__.replace(co_consts=consts, co_name=name)


@contextlib.contextmanager
def written_out() -> Iterator[None]:
    """Those functions run as they are written."""
    replaced = []
    for place, name in _WRITTEN_OUT:
        module = sys.modules.get(place) or (None if place == FLEX else importlib.import_module(place))
        if module is not None:
            function = getattr(module, name)
            replaced.append((function, function.__code__))
            function.__code__ = _code(place, name)
    try:
        yield
    finally:
        for function, code in replaced:
            function.__code__ = code
