"""The work that a forward's time follows, from the operators that it ran: the traced reading of reading/work.py."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from analyzer.reading.work import Amount, OperatorWork, convolution_kinds, parts
from analyzer.tracing.formulas import Formula
from analyzer.tracing.origins import Origin, Origins, tensors_of
from analyzer.tracing.replacing import replaced

_KINDS = {
    "norm": "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
    "_batch_norm_with_update _batch_norm_no_update batch_norm_elemt quantized_batch_norm",
    "row norm": "native_layer_norm native_group_norm _fused_rms_norm _softmax _safe_softmax _log_softmax softmax "
    "log_softmax _masked_softmax",
    "activation": "relu relu6 hardtanh silu gelu sigmoid hardswish hardsigmoid leaky_relu elu celu selu mish softplus "
    "softshrink hardshrink tanh _prelu_kernel prelu log_sigmoid_forward glu threshold clamp_min clamp",
    "concat": "cat stack _chunk_cat",
    "pool": "max_pool2d_with_indices max_pool2d avg_pool2d avg_pool1d avg_pool3d adaptive_max_pool2d "
    "max_pool3d_with_indices",
    "mean": "mean sum amax amin _adaptive_avg_pool2d _adaptive_avg_pool3d",
    "copy": "clone _to_copy copy contiguous constant_pad_nd reflection_pad2d replication_pad2d roll flip index "
    "index_select gather repeat im2col col2im pixel_shuffle pixel_unshuffle channel_shuffle",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_HANDED_ON = {"_unsafe_view", "_reshape_alias", "lift_fresh", "alias", "detach", "_local_scalar_dense", "is_nonzero"}
"""Operators that hand a tensor on, and do nothing with it."""


class WorkSeen:
    """Adds up the work of the operators of a forward.

    What follows from no input (a weight that is standardised) is done once a batch, so its elements are weights'.
    """

    def __init__(self, origins: Origins, total: Counter[str]) -> None:
        self.origins, self.total = origins, total
        self._attends = False

    def see(self, func: OpOverload, formula: Formula | None, args: Any, kwargs: Any, out: Any) -> None:
        """An operator that ran, before its results are known to the origins."""
        operands = tensors_of((*args, *kwargs.values()))
        results = tensors_of(out if isinstance(out, (list, tuple)) else (out,))
        if not operands or not results or _is_view(func):
            return
        name = func._schema.name.partition("::")[2].removesuffix("_")
        macs = 0 if formula is None else formula.macs(out, *args, **kwargs)
        data = [tensor for tensor in operands if self.origins.of(tensor) is Origin.DATA]
        if self._attends:
            self.total["attention macs"] += macs
        elif not data:
            self.total["elementwise weights"] += sum(tensor.numel() for tensor in (*operands, results[0]))
            self.total["elementwise calls"] += 1
        else:
            operator = _operator(name, func, formula, macs, args, data, results)
            kind = _kind(name, formula, args)
            self._add("data product" if kind == "product" and not operator.weights else kind, operator)

    @contextlib.contextmanager
    def attention(self) -> Iterator[None]:
        """Attention, of which torch makes products and a softmax here and a GPU one kernel."""
        before, self._attends = self._attends, True
        try:
            yield
        finally:
            self._attends = before

    def attended(self, inputs: list[Tensor], result: Tensor) -> None:
        """Attention is done: what its kernel reads and writes."""
        read = tuple(Amount(tensor.numel()) for tensor in inputs)
        self._add("attention", OperatorWork(macs=Amount(0), read=read, written=Amount(result.numel())))

    def _add(self, kind: str, operator: OperatorWork) -> None:
        for part, amount in parts(operator):
            if amount.each:
                self.total[f"{kind} {part}"] += int(amount.each) * int(amount.area)


def _is_view(func: OpOverload) -> bool:
    returns = func._schema.returns
    if any(result.alias_info is not None and not result.alias_info.is_write for result in returns):
        return True
    return func._schema.name.partition("::")[2] in _HANDED_ON


def _kind(name: str, formula: Formula | None, args: Any) -> str:
    if formula is None:
        return _KIND_OF.get(name, "elementwise")
    if formula.kind == "convolution" and isinstance(args[1], Tensor):
        return next(kind for kind, _ in convolution_kinds(*_widths(args)))
    return "attention" if "attention" in name else "product"


def _widths(args: Any) -> tuple[int, int, int, int]:
    """A convolution's input channels, its largest kernel size and stride, its groups."""
    x, weight, *_ = args
    inputs = int(x.shape[1])
    groups = int(args[8]) if len(args) > 8 else inputs // max(int(weight.shape[1]), 1)
    stride = max(args[3], default=1) if len(args) > 8 else 1
    return inputs, max(weight.shape[2:], default=1), stride, groups


def _operator(
    name: str, func: OpOverload, formula: Formula | None, macs: int, args: Any, data: list[Tensor],
    results: list[Tensor],
) -> OperatorWork:  # fmt: skip
    out = results[0]
    weights, widths = 0, None
    if formula is not None and formula.kind != "other":
        factors = tensors_of(args[formula.addend : formula.addend + formula.factors])
        weights = sum(factor.numel() for factor in factors if not any(factor is tensor for tensor in data))
        if formula.kind == "convolution" and isinstance(args[1], Tensor):
            inputs, _, _, groups = _widths(args)
            outputs = int(out.shape[1])
            widths = (inputs, outputs, macs // max(outputs, 1) if groups == 1 else None)
    window = args[1] if name.startswith("max_pool") else ()
    compared = out.numel() * _size(window, out.dim() - 2) if window else 0
    return OperatorWork(
        macs=Amount(macs),
        read=tuple(Amount(tensor.numel()) for tensor in data),
        written=Amount(out.numel()),
        in_place=any(out is tensor for tensor in data) or func._schema.is_mutable,
        compared=Amount(compared),
        weights=weights,
        widths=widths,
    )


def _size(window: Any, dims: int) -> int:
    """Elements of a pool's window."""
    size = 1
    for each in window if len(window) == dims else [*window] * dims:
        size *= int(each)
    return size


@contextlib.contextmanager
def attention_seen(work: WorkSeen | None) -> Iterator[None]:
    """Attention that the forward calls by torch's function counts as the one kernel that a GPU makes of it."""
    if work is None:
        yield
        return
    original = torch.nn.functional.scaled_dot_product_attention

    def attends(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with work.attention():
            result = original(query, key, value, *args, **kwargs)
        work.attended([query, key, value], result)
        return result

    with replaced(torch.nn.functional, "scaled_dot_product_attention", attends):
        yield
