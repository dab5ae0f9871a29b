"""Results of the common operators on meta.

torch's own kernels there are Python: they take ten times as long, and import torch's compiler. A rule answers for what
it knows, plain tensors on meta of known layout; for all else, wrong arguments too, it gives None, and torch runs or
refuses the operator; what its kernel on meta takes and no real one does is refused here. Each is tested equal to what
torch's kernel makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload

from analyzer.tracing import layouts
from analyzer.tracing.copying import META

Rule = Callable[..., Any]
RULES: dict[OpOverload, Rule] = {}
_aten = torch.ops.aten


def _rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for operators by name and overload; one that a torch doesn't have is left out."""

    def register(rule: Rule) -> Rule:
        for name in " ".join(names).split():
            base, _, overload = name.partition(".")
            operator = getattr(getattr(_aten, base, None), overload or "default", None)
            if operator is not None:
                RULES[operator] = rule
        return rule

    return register


def _on_meta(value: Any) -> bool:
    kind = type(value)
    return (kind is Tensor or kind is nn.Parameter) and value.is_meta and value.layout is torch.strided


def _in_order(value: Any) -> bool:
    """Whether a value is a tensor on meta that is laid out in the order of its dimensions, and in no other."""
    return _on_meta(value) and value.stride() == layouts.in_order(value.shape)


def _made(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=META)


def _elementwise(shape: tuple[int, ...], dtype: torch.dtype, *operands: Tensor) -> Tensor | None:
    if all(_in_order(one) and one.shape == shape for one in operands):
        return _made(shape, dtype)
    if 1 in shape:  # whose stride means nothing: some kernels keep it, others don't
        return None
    strides = [layouts.expanded(shape, one.shape, one.stride()) for one in operands]
    return torch.empty_strided(shape, layouts.elementwise(shape, strides), dtype=dtype, device=META)


# -- elementwise -----------------------------------------------------------------------------------------------


@_rule("relu gelu silu sigmoid tanh hardswish hardsigmoid leaky_relu elu mish softplus exp log sqrt rsqrt")
@_rule("neg abs sin cos erf reciprocal square clamp clamp_min clamp_max pow.Tensor_Scalar")
def _same(x: Any, *arguments: Any, **_: Any) -> Tensor | None:
    """The operand's own dtype, where it is a floating-point one."""
    if not _on_meta(x) or not x.is_floating_point() or not all(type(given) in _PLAIN for given in arguments):
        return None
    return _elementwise(x.shape, x.dtype, x)


_PLAIN = (int, float, bool, type(None))


@_rule("hardtanh")
def _bounded(x: Any, low: Any = -1, high: Any = 1) -> Tensor | None:
    return _same(x, low, high) if low <= high else None  # which some releases of torch refuse


@_rule("add.Tensor sub.Tensor mul.Tensor div.Tensor add.Scalar sub.Scalar mul.Scalar div.Scalar rsub.Scalar")
def _binary(a: Any, b: Any, alpha: Any = 1) -> Tensor | None:
    """The dtype that both promote to, where that is a floating-point one."""
    found = _together(a, b)
    if found is None or type(alpha) not in _NUMBERS or not found[1].is_floating_point:
        return None
    return _elementwise(*found)


@_rule("gt.Tensor lt.Tensor ge.Tensor le.Tensor eq.Tensor ne.Tensor gt.Scalar lt.Scalar ge.Scalar le.Scalar eq.Scalar")
@_rule("ne.Scalar")
def _compared(a: Any, b: Any) -> Tensor | None:
    found = _together(a, b)
    if found is None or found[1].is_complex:
        return None
    shape, _, *operands = found
    return _elementwise(shape, torch.bool, *operands)


_NUMBERS = (int, float)


def _together(a: Any, b: Any) -> Any:
    """The shape and dtype of two operands together, and which of them are tensors; None where that isn't known."""
    if not _on_meta(a):
        return None
    if type(b) in _NUMBERS:
        return a.shape, torch.result_type(a, b), a
    if not _on_meta(b):
        return None
    shape = a.shape if a.shape == b.shape else layouts.broadcast(a.shape, b.shape)
    return None if shape is None else (shape, torch.result_type(a, b), a, b)


@_rule("relu_ silu_ sigmoid_ tanh_ hardswish_ hardsigmoid_ leaky_relu_ elu_ clamp_ clamp_min_")
@_rule("bernoulli_.float uniform_ fill_.Scalar zero_ erfinv_ exp_ sqrt_ log_ neg_")
def _itself(x: Any, *arguments: Any, **_: Any) -> Tensor | None:
    """What is changed in place is the result: its kernel on meta only says so."""
    plain = _on_meta(x) and x.is_floating_point() and all(type(given) in _PLAIN for given in arguments)
    return x if plain else None


@_rule("hardtanh_")
def _bounded_itself(x: Any, low: Any = -1, high: Any = 1) -> Tensor | None:
    return _itself(x, low, high) if low <= high else None


@_rule("normal_")
def _normal(x: Any, mean: float = 0, std: float = 1, **_: Any) -> Tensor | None:
    return _itself(x, mean, std) if std >= 0 else None


@_rule("add_.Tensor sub_.Tensor mul_.Tensor add_.Scalar sub_.Scalar mul_.Scalar copy_")
def _into(x: Any, other: Any, alpha: Any = 1) -> Tensor | None:
    found = _together(x, other)
    counts = type(other) is int and not x.is_complex() and x.dtype is not torch.bool
    fits = found is not None and tuple(found[0]) == tuple(x.shape) and type(alpha) in _NUMBERS
    return x if fits and (counts or (x.is_floating_point() and found[1].is_floating_point)) else None


@_rule("div_.Tensor div_.Scalar")
def _divided(x: Any, other: Any) -> Tensor | None:
    return _into(x, other) if _on_meta(x) and x.is_floating_point() else None


@_rule("masked_fill.Scalar")
def _masked(x: Any, mask: Any, value: Any) -> Tensor | None:
    if not (_in_order(x) and x.is_floating_point() and _on_meta(mask) and mask.dtype is torch.bool):
        return None
    return _made(x.shape, x.dtype) if layouts.broadcast(x.shape, mask.shape) == tuple(x.shape) else None


# -- new tensors -----------------------------------------------------------------------------------------------


@_rule("empty_like zeros_like ones_like full_like")
def _alike(x: Any, *_: Any, dtype: Any = None, layout: Any = None, device: Any = None, **rest: Any) -> Tensor | None:
    if not _in_order(x) or layout not in (None, torch.strided) or device not in (None, META) or any(rest.values()):
        return None
    return _made(x.shape, dtype or x.dtype)


@_rule("clone _to_copy")
def _copied(x: Any, *, memory_format: Any = None, **options: Any) -> Tensor | None:
    if memory_format not in (None, torch.preserve_format, torch.contiguous_format):
        return None
    if memory_format is torch.contiguous_format and not options and _on_meta(x):
        return _made(x.shape, x.dtype)
    found: Tensor | None = _alike(x, **options)
    return found


@_rule("cat")
def _cat(parts: Any, dim: int = 0) -> Tensor | None:
    """Tensors of one dtype, alike but for one dimension."""
    first = parts[0]
    if not all(map(_in_order, parts)) or not -first.dim() <= dim < first.dim():
        return None
    shape, total = list(first.shape), 0
    for part in parts:
        if part.dtype is not first.dtype or part.dim() != len(shape):
            return None
        total, shape[dim] = total + part.shape[dim], part.shape[dim]
        if list(part.shape) != shape:
            return None
    shape[dim] = total
    return _made(shape, first.dtype)


@_rule("embedding")
def _embedding(weight: Any, indices: Any, *_: Any) -> Tensor | None:
    if not (_on_meta(weight) and _in_order(indices) and weight.dim() == 2):
        return None
    if indices.dtype not in _INDICES:  # torch 2.11's kernel on meta takes them, as no real one does
        raise RuntimeError(f"an embedding is looked up by integers, not by {indices.dtype}")
    return _made((*indices.shape, weight.shape[1]), weight.dtype)


_INDICES = (torch.int64, torch.int32)


# -- products --------------------------------------------------------------------------------------------------


@_rule("mm")
def _mm(a: Any, b: Any) -> Tensor | None:
    fits = _on_meta(a) and _on_meta(b) and a.dim() == b.dim() == 2 and a.dtype is b.dtype
    return _made((a.shape[0], b.shape[1]), a.dtype) if fits and a.shape[1] == b.shape[0] else None


@_rule("addmm")
def _addmm(bias: Any, a: Any, b: Any, **_: Any) -> Tensor | None:
    made = _mm(a, b)
    if made is None or not _on_meta(bias) or bias.dtype is not made.dtype:
        return None
    return made if layouts.broadcast(made.shape, bias.shape) == tuple(made.shape) else None


@_rule("bmm")
def _bmm(a: Any, b: Any) -> Tensor | None:
    fits = _on_meta(a) and _on_meta(b) and a.dim() == b.dim() == 3 and a.dtype is b.dtype
    alike = fits and a.shape[0] == b.shape[0] and a.shape[2] == b.shape[1]
    return _made((a.shape[0], a.shape[1], b.shape[2]), a.dtype) if alike else None


@_rule("_grouped_mm")
def _grouped_mm(a: Any, b: Any, offsets: Any = None, bias: Any = None, dtype: Any = None) -> Tensor | None:
    """Of any dtype: torch's kernel on meta takes that of one GPU's alone. Rows stand 16 bytes apart, or a multiple."""
    if not (_on_meta(a) and _on_meta(b) and {a.dim(), b.dim()} <= {2, 3} and a.dtype is b.dtype):
        return None
    if bias is not None or (offsets is None) != (a.dim() == b.dim() == 3) or a.shape[-1] != b.shape[-2]:
        return None
    rows, columns = a.shape[-2], b.shape[-1]
    batch = offsets.shape[:1] if a.dim() == b.dim() == 2 else a.shape[:1] if a.dim() == b.dim() else ()
    apart = 16 // a.element_size()
    wide = -(-columns // apart) * apart
    strides = (rows * wide, wide, 1)[-2 - len(batch) :]
    return torch.empty_strided((*batch, rows, columns), strides, dtype=dtype or a.dtype, device=META)


@_rule("convolution")
def _convolution(x: Any, weight: Any, bias: Any, *rest: Any) -> Tensor | None:
    """Not transposed, of a batch that is not empty."""
    stride, padding, dilation, transposed, _output_padding, groups = rest
    if transposed or not (_in_order(x) and _in_order(weight)) or x.dim() != weight.dim() or x.dtype is not weight.dtype:
        return None
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups or 0 in x.shape or x.dim() < 3:
        return None
    if bias is not None and (not _on_meta(bias) or bias.shape != weight.shape[:1] or bias.dtype is not x.dtype):
        return None
    image = _windows(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return None if image is None else _made((x.shape[0], weight.shape[0], *image), x.dtype)


def _windows(
    image: Sequence[int], window: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> list[int] | None:
    """How often a window fits into an image along each side; None where it doesn't."""
    n = len(image)
    strides, pads, steps = (list(each) * n if len(each) == 1 else each for each in (stride, padding, dilation))
    sizes = []
    for size, wide, step, pad, apart in zip(image, window, strides, pads, steps, strict=True):
        if step < 1 or pad < 0 or apart < 1:
            return None
        sizes.append((size + 2 * pad - apart * (wide - 1) - 1) // step + 1)
    return sizes if all(size > 0 for size in sizes) else None


# -- averages --------------------------------------------------------------------------------------------------


@_rule("max_pool2d_with_indices")
def _max_pool(
    x: Any, kernel: Any, stride: Any = (), padding: Any = (0,), dilation: Any = (1,), ceil_mode: bool = False
) -> Any:
    window = list(kernel) * 2 if len(kernel) == 1 else list(kernel)
    if ceil_mode or not _in_order(x) or x.dim() != 4 or 0 in x.shape or not x.is_floating_point():
        return None
    if any(2 * pad > wide for pad, wide in zip(list(padding) * 2, window, strict=False)):
        return None
    image = _windows(x.shape[2:], window, stride or window, padding, dilation)
    if image is None:
        return None
    shape = (*x.shape[:2], *image)
    return _made(shape, x.dtype), _made(shape, torch.int64)


@_rule("_adaptive_avg_pool2d")
def _adaptive(x: Any, size: Sequence[int]) -> Tensor | None:
    known = _in_order(x) and x.dim() == 4 and 0 not in x.shape and x.is_floating_point() and len(size) == 2
    return _made((*x.shape[:2], *size), x.dtype) if known else None


@_rule("mean.dim sum.dim_IntList")
def _reduced(x: Any, dims: Any, keepdim: bool = False, *, dtype: Any = None) -> Tensor | None:
    """Over the last dimensions, of a floating-point tensor."""
    if not _in_order(x) or not x.is_floating_point() or dtype is not None or not dims:
        return None
    axes = sorted(dim % x.dim() for dim in dims if -x.dim() <= dim < x.dim()) if x.dim() else []
    if len(axes) != len(dims) or axes != list(range(x.dim() - len(axes), x.dim())):
        return None
    kept = x.shape[: x.dim() - len(axes)]
    return _made((*kept, *(1,) * len(axes)) if keepdim else kept, x.dtype)


@_rule("_softmax _log_softmax _safe_softmax")
def _softmax(x: Any, dim: int, other: Any = None) -> Tensor | None:
    known = _in_order(x) and x.is_floating_point() and -x.dim() <= dim < x.dim() and not other
    return _made(x.shape, x.dtype) if known else None


_WIDE = (torch.float32, torch.float64)


@_rule("native_layer_norm")
def _layer_norm(x: Any, shape: Sequence[int], weight: Any, bias: Any, _epsilon: float) -> Any:
    """In a precision that the statistics have, too."""
    own = len(shape)
    if not _in_order(x) or x.dtype not in _WIDE or not 0 < own <= x.dim() or list(x.shape[-own:]) != list(shape):
        return None
    if not all(part is None or (_on_meta(part) and list(part.shape) == list(shape)) for part in (weight, bias)):
        return None
    kept = (*x.shape[:-own], *(1,) * own)
    return _made(x.shape, x.dtype), _made(kept, x.dtype), _made(kept, x.dtype)


@_rule("native_batch_norm")
def batch_norm(x: Any, _weight: Any, _bias: Any, _mean: Any, _var: Any, training: bool, *_: Any) -> Any:
    """The result, and in training each channel's mean and inverse deviation, which are at least float32."""
    if not x.is_meta:
        return None
    precision = torch.promote_types(x.dtype, torch.float32)
    kept = (x.shape[1] if training else 0,)
    last = x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    out = _made(x.shape, x.dtype)
    out = out.contiguous(memory_format=torch.channels_last) if last else out
    return out, _made(kept, precision), _made(kept, precision)
