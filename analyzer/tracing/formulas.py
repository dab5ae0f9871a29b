"""Operator -> multiply-accumulates: what each one costs, from the shapes of its tensors.

The formulas are keyed by the operator's qualified name (`aten::mm`), so that an operator of a package that is not
installed can have one. torch's own flop registry answers for the rest. A product of complex numbers counts as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils.flop_counter import flop_registry

from analyzer.tracing.origins import stored_parts

Macs = Callable[..., int]
"""Called with the operator's output, then its own positional arguments."""

Kind = Literal["convolution", "product", "other"]


@dataclass(frozen=True, slots=True)
class Formula:
    """MACs of one operator. `kind` says when its output is an activation: a convolution's where it takes data, a matrix
    product's where it is of data and a weight. `convention` explains a figure that is agreed on rather than executed.
    `addend` says that the first operand is only added; `factors` how many tensors after it are multiplied.
    """

    macs: Macs
    kind: Kind
    convention: str | None = None
    addend: bool = False
    factors: int = 2


FORMULAS: dict[str, Formula] = {}


def _formula(
    kind: Kind, *names: str, convention: str | None = None, addend: bool = False, factors: int = 2
) -> Callable[[Macs], Macs]:
    def register(macs: Macs) -> Macs:
        for name in names:
            FORMULAS[name if "::" in name else f"aten::{name}"] = Formula(macs, kind, convention, addend, factors)
        return macs

    return register


def formula_of(operator: OpOverload) -> Formula | None:
    """The operator's formula, its in-place form's too; torch's registry where this module has none."""
    name = operator._schema.name
    known = FORMULAS.get(name) or FORMULAS.get(name.removesuffix("_"))
    if known is not None or operator._overloadpacket not in flop_registry:
        return known
    return _registered(operator._overloadpacket)


def higher_order_formula(operator: HigherOrderOperator) -> Formula | None:
    """torch's own formula of an operator that takes functions (flex attention), if it has one."""
    return _registered(operator) if operator in flop_registry else None


def _registered(key: Any) -> Formula:
    flops = flop_registry[key]
    return Formula(lambda out, *args, **kwargs: int(flops(*args, **kwargs, out_val=out)) // 2, "other")


# -- matrix products -------------------------------------------------------------------------------------------


def _product(out: Tensor, a: Tensor, b: Tensor) -> int:
    """(…, m, k) @ (k, n) or (…, k, n); of a sparse matrix only the stored entries multiply."""
    if a.layout == b.layout == torch.strided:
        return out.numel() * a.shape[-1]
    if b.layout == torch.strided:
        return _stored(a) * int(b.shape[-1] if b.dim() > 1 else 1)
    if a.layout == torch.strided:
        return _stored(b) * (a.numel() // int(a.shape[-1]))
    if a.device.type == "meta" or b.device.type == "meta":
        raise NotImplementedError(
            "a product of two sparse matrices needs the values of their indices, which are on meta"
        )
    columns = torch.bincount(a.to_sparse_coo().coalesce().indices()[1], minlength=int(a.shape[-1]))  # type: ignore[no-untyped-call]
    rows = torch.bincount(b.to_sparse_coo().coalesce().indices()[0], minlength=int(b.shape[0]))  # type: ignore[no-untyped-call]
    return int((columns * rows).sum())


def _stored(sparse: Tensor) -> int:
    """Entries that a sparse tensor stores, in whole blocks where it is made of blocks."""
    return int(stored_parts(sparse)[-1].numel())


@_formula("product", "_foreach_mm")
def _foreach_mm(out: Sequence[Tensor], a: Sequence[Tensor], b: Sequence[Tensor], *_: Any) -> int:
    return sum(_product(*one) for one in zip(out, a, b, strict=True))


@_formula("product", "_sparse_sparse_matmul", "_sparse_mm_reduce_impl", "hspmm")
def _sparse_matmul(out: Any, a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    return _product(out, a, b)


@_formula("product", "sparse_sampled_addmm", addend=True)
def _sampled(_out: Tensor, sampled: Tensor, a: Tensor, *_: Any, **__: Any) -> int:
    """Only the entries that the sparse addend stores are computed."""
    return _stored(sampled) * int(a.shape[-1])


@_formula("product", "mm", "bmm", "mv", "_int_mm", "_scaled_mm", "_scaled_mm_v2", "_weight_int8pack_mm")
@_formula("product", "_weight_int4pack_mm", "_weight_int4pack_mm_for_cpu", "mkldnn_linear")
@_formula("product", "_mixed_dtypes_linear", "_sparse_semi_structured_linear")
def _mm(out: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    return _product(out, a, b)


@_formula("product", "addmm", "baddbmm", "addmv", "_addmm_activation", "_sparse_addmm", addend=True)
def _addmm(out: Tensor, _bias: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    return _product(out, a, b)


@_formula("product", "addbmm", addend=True)
def _addbmm(out: Tensor, _bias: Tensor, a: Tensor, _b: Tensor, *_: Any, **__: Any) -> int:
    return int(a.shape[0]) * out.numel() * a.shape[-1]


@_formula("product", "addr", addend=True)
def _addr(out: Tensor, *_: Any, **__: Any) -> int:
    return out.numel()


@_formula("product", "dot", "vdot")
def _dot(_out: Tensor, a: Tensor, _b: Tensor) -> int:
    return a.numel()


@_formula("product", "_grouped_mm", "_scaled_grouped_mm", "transformers::grouped_mm_fallback")
def _grouped_mm(_out: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> int:
    """Ragged groups share out the rows (or the inner size) among them; only two batched operands have a batch."""
    batch = a.shape[0] if a.dim() == b.dim() == 3 else 1
    return int(batch * a.shape[-2] * a.shape[-1] * b.shape[-1])


def _trilinear_size(*operands: tuple[Tensor, Sequence[int]]) -> int:
    """Elements of the operands' broadcast product, before any sum: one for each weight and sample in nn.Bilinear."""
    shapes = []
    for tensor, expand in operands:
        shape = list(tensor.shape)
        for position in sorted(expand):
            shape.insert(position, 1)
        shapes.append(shape)
    return math.prod(max(sizes) for sizes in zip(*shapes, strict=True))


@_formula(
    "product", "_trilinear", factors=3, convention="nn.Bilinear: one multiply-accumulate for each weight and sample"
)
def _trilinear(_out: Tensor, a: Tensor, b: Tensor, c: Tensor, *expand: Sequence[int]) -> int:
    return _trilinear_size((a, expand[0]), (b, expand[1]), (c, expand[2]))


# -- convolutions ----------------------------------------------------------------------------------------------


def _spatial(tensor: Tensor) -> int:
    return math.prod(tensor.shape[2:])


@_formula("convolution", "convolution", "_convolution", "convolution_overrideable")
def _convolution(out: Tensor, x: Tensor, weight: Tensor, *rest: Any, **__: Any) -> int:
    """Each weight once a sample and position: of the output, or of the input where the convolution is transposed."""
    _bias, _stride, _padding, _dilation, transposed, *_ = rest
    return int(x.shape[0]) * weight.numel() * _spatial(x if transposed else out)


@_formula("convolution", "cudnn_convolution", "mkldnn_convolution", "_slow_conv2d_forward", "slow_conv3d_forward")
@_formula("convolution", "slow_conv_dilated2d", "slow_conv_dilated3d", "_conv_depthwise2d", "conv_depthwise3d")
@_formula("convolution", "_nnpack_spatial_convolution", "cudnn_convolution_relu", "cudnn_convolution_add_relu")
def _plain_convolution(out: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return int(x.shape[0]) * weight.numel() * _spatial(out)


@_formula("convolution", "slow_conv_transpose2d", "slow_conv_transpose3d", "cudnn_convolution_transpose")
def _transposed_convolution(_out: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> int:
    return int(x.shape[0]) * weight.numel() * _spatial(x)


@_formula("convolution", "conv_tbc")
def _conv_tbc(out: Tensor, _x: Tensor, weight: Tensor, *_: Any) -> int:
    return out.numel() * int(weight.shape[0] * weight.shape[1])


@_formula("convolution", "torchvision::deform_conv2d", convention="deform_conv2d: the convolution, not its sampling")
def _deform_conv2d(out: Tensor, x: Tensor, weight: Tensor, *_: Any) -> int:
    return _plain_convolution(out, x, weight)


# -- backward passes of operators that have no decomposition ---------------------------------------------------


@_formula("other", "convolution_backward", "convolution_backward_overrideable")
def _convolution_backward(_out: Any, grad: Tensor, x: Tensor, weight: Tensor, *rest: Any, **__: Any) -> int:
    """The forward's products once for the input's gradient and once for the weight's, where each is asked for."""
    _bias, _stride, _padding, _dilation, transposed, _output_padding, _groups, mask = rest
    return sum(map(int, mask[:2])) * int(x.shape[0]) * weight.numel() * _spatial(x if transposed else grad)


@_formula("other", "conv_tbc_backward")
def _conv_tbc_backward(_out: Any, grad: Tensor, x: Tensor, weight: Tensor, *_: Any) -> int:
    return 2 * _conv_tbc(grad, x, weight)


@_formula("other", "_trilinear_backward")
def _trilinear_backward(_out: Any, _grad: Tensor, a: Tensor, b: Tensor, c: Tensor, *rest: Any) -> int:
    return sum(map(int, rest[-1])) * _trilinear(a, a, b, c, *rest[:3])


# -- attention -------------------------------------------------------------------------------------------------


@_formula("other", "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention")
@_formula("other", "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_cudnn_attention")
@_formula("other", "_scaled_dot_product_fused_attention_overrideable")
def _attention(_out: Any, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Scores, then the weighted values; a causal mask saves nothing."""
    return query.shape[:-1].numel() * int(key.shape[-2]) * int(query.shape[-1] + value.shape[-1])


@_formula("other", "_scaled_dot_product_flash_attention_for_cpu_backward")
def _attention_backward(_out: Any, _grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Scores again, then the gradients of weights, values, queries and keys."""
    return query.shape[:-1].numel() * int(key.shape[-2]) * int(3 * query.shape[-1] + 2 * value.shape[-1])


# -- recurrent kernels -----------------------------------------------------------------------------------------


@_formula("other", "mkldnn_rnn_layer")
def _mkldnn_rnn_layer(_out: Any, x: Tensor, w_input: Tensor, w_hidden: Tensor, *_: Any, **__: Any) -> int:
    return x.shape[:2].numel() * (w_input.numel() + w_hidden.numel())


# -- conventions -----------------------------------------------------------------------------------------------

DISTANCE = "distances: one multiply-accumulate for each pair and coordinate, whatever the norm"
FFT = "fft: n·⌈log2 n⌉/2 butterflies of 4 multiply-accumulates for n points, half of that where one side is real"
SAMPLING = "grid_sample: one multiply-accumulate for each point that is interpolated from, and channel"


@_formula("other", "_cdist_forward", "_euclidean_dist", convention=DISTANCE)
def _cdist(out: Tensor, a: Tensor, *_: Any) -> int:
    return out.numel() * int(a.shape[-1])


@_formula("other", "_cdist_backward", convention=DISTANCE)
def _cdist_backward(_out: Any, grad: Tensor, a: Tensor, *_: Any) -> int:
    return grad.numel() * int(a.shape[-1])


@_formula("other", "_pdist_forward", convention=DISTANCE)
def _pdist(out: Tensor, a: Tensor, *_: Any) -> int:
    return out.numel() * int(a.shape[-1])


@_formula("other", "_pdist_backward", convention=DISTANCE)
def _pdist_backward(_out: Any, grad: Tensor, a: Tensor, *_: Any) -> int:
    return grad.numel() * int(a.shape[-1])


def _fft(points: Tensor, dims: Sequence[int]) -> int:
    return points.numel() * sum(math.ceil(math.log2(points.shape[dim])) for dim in dims if points.shape[dim] > 1)


@_formula("other", "_fft_c2c", convention=FFT)
def _fft_complex(_out: Tensor, x: Tensor, dims: Sequence[int], *_: Any) -> int:
    return 2 * _fft(x, dims)


@_formula("other", "_fft_r2c", convention=FFT)
def _fft_from_real(_out: Tensor, x: Tensor, dims: Sequence[int], *_: Any) -> int:
    return _fft(x, dims)


@_formula("other", "_fft_c2r", convention=FFT)
def _fft_to_real(out: Tensor, _x: Tensor, dims: Sequence[int], *_: Any) -> int:
    return _fft(out, dims)


def _neighbours(dims: int, mode: int) -> int:
    """Points that a sample is interpolated from: (bi)linear, nearest (a copy), cubic."""
    return (2**dims, 0, 4**dims)[mode]


@_formula("other", "grid_sampler_2d", "grid_sampler_3d", "_grid_sampler_2d_cpu_fallback", convention=SAMPLING)
def _grid_sampler(out: Tensor, x: Tensor, _grid: Tensor, mode: int, *_: Any) -> int:
    return out.numel() * _neighbours(x.dim() - 2, mode)


@_formula("other", "grid_sampler_2d_backward", "grid_sampler_3d_backward", convention=SAMPLING)
def _grid_sampler_backward(_out: Any, grad: Tensor, x: Tensor, _grid: Tensor, mode: int, *rest: Any) -> int:
    return int(sum(map(int, rest[-1]))) * grad.numel() * _neighbours(x.dim() - 2, mode)


@_formula("product", "affine_grid_generator")
def _affine_grid(out: Tensor, theta: Tensor, *_: Any) -> int:
    return out.numel() * int(theta.shape[-1])


# -- quantized -------------------------------------------------------------------------------------------------


PACKED = "quantized: weights that are packed are no parameters of the model, so params leaves them out"
_LINEARS = ("", "_relu", "_leaky_relu", "_tanh", "_dynamic", "_relu_dynamic", "_dynamic_fp16", "_relu_dynamic_fp16")
_CONVS = tuple(f"quantized::conv{d}d{kind}" for d in (1, 2, 3) for kind in ("", "_relu", "_dynamic"))
_CELLS = ("lstm", "gru", "rnn_relu", "rnn_tanh")
_TRANSPOSED = tuple(f"quantized::conv_transpose{d}d{kind}" for d in (1, 2, 3) for kind in ("", "_dynamic"))


@_formula("convolution", *(f"quantized::linear{kind}" for kind in _LINEARS), convention=PACKED)
def _quantized_linear(out: Tensor, x: Tensor, *_: Any) -> int:
    return out.numel() * int(x.shape[-1])


@_formula("convolution", *_CONVS, "quantized::conv2d_add", "quantized::conv2d_add_relu", convention=PACKED)
def _quantized_conv(out: Tensor, _x: Tensor, packed_or_other: Any, *rest: Any) -> int:
    packed = packed_or_other if not isinstance(packed_or_other, Tensor) else rest[0]
    weight = packed.unpack()[0]
    return out.numel() * (int(weight.numel()) // int(weight.shape[0]))


@_formula("convolution", *_TRANSPOSED, convention=PACKED)
def _quantized_transposed(_out: Tensor, x: Tensor, packed: Any, *_: Any) -> int:
    return int(x.shape[0]) * int(packed.unpack()[0].numel()) * _spatial(x)


@_formula("other", *(f"quantized::quantized_{cell}_cell_dynamic" for cell in _CELLS), convention=PACKED)
def _quantized_cell(_out: Any, x: Tensor, hidden: Any, _w_input: Any, _w_hidden: Any, bias: Tensor, *_: Any) -> int:
    """One row of both weight matrices for each gate's bias."""
    state = hidden[0] if isinstance(hidden, (list, tuple)) else hidden
    return int(x.shape[0]) * bias.numel() * int(x.shape[-1] + state.shape[-1])
