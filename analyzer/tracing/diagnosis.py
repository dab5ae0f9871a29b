"""A forward that raised -> an error that names the module, the shapes it got and those it wants."""

from __future__ import annotations

from typing import Any

from torch import nn

from analyzer.errors import AnalyzerError, CountError, lines_of
from analyzer.tracing.attribution import Failed

_SPATIAL = {1: "L", 2: "H, W", 3: "D, H, W"}


def wanted(module: nn.Module) -> str | None:
    """The shape of input that a torch layer takes; None for a module that doesn't say."""
    match module:
        case nn.modules.conv._ConvNd():
            return f"(N, {module.in_channels}, {_SPATIAL[len(module.kernel_size)]})"
        case nn.modules.batchnorm._NormBase():
            return f"(N, {module.num_features}, …)"
        case nn.GroupNorm():
            return f"(N, {module.num_channels}, …)"
        case nn.Linear():
            return f"(…, {module.in_features})"
        case nn.LayerNorm():
            return f"(…, {', '.join(map(str, module.normalized_shape))})"
        case nn.RNNBase() | nn.RNNCellBase():
            return f"(…, {module.input_size})"
        case nn.MultiheadAttention():
            return f"(…, {module.embed_dim})"
        case nn.Embedding() | nn.EmbeddingBag():
            return "integers: --input name=1,7:int64"
        case nn.Bilinear():
            return f"(…, {module.in1_features}) and (…, {module.in2_features})"
    return None


def diagnose(error: Exception, failed: Failed | None, root: str) -> CountError:
    """The error to show for one that a model's forward raised. `root` is what the model itself is called."""
    if isinstance(error, AnalyzerError):
        return CountError(error.what, where=error.where, fix=error.fix)
    where = (failed.path if failed else "") or root
    kind = type(failed.module).__name__ if failed else root
    got = " and ".join(map(_shape, failed.inputs)) if failed else ""
    message = _first_line(error)
    if "Expected more than 1 value per channel" in message:
        return CountError(
            "batch normalisation gets one value a channel and can't train",
            where=where,
            fix="use batch 2 or more, or a larger image",
        )
    if "CUDA" in message:
        return CountError(f"{kind} can't be run: {message}", where=where, fix=NEEDS_NO_GPU)
    if failed is None or isinstance(error, TypeError):
        return CountError(
            f"{kind} can't be run: {message}", where=where, fix="check the inputs: their number and names"
        )
    wants = wanted(failed.module)
    if wants is not None:
        return CountError(f"{kind} got {got or 'nothing'} and wants {wants}: {message}", where=where, fix=_FIX)
    return CountError(f"{kind} fails{f' on {got}' if got else ''}: {message}", where=where, fix=_FIX)


def needs_values(error: Exception) -> bool:
    """Whether an error comes from a tensor's having no values, and not from the model or its input."""
    text = "\n".join(lines_of(error)).lower()
    of_fakes = type(error).__module__.startswith("torch._subclasses")
    return isinstance(error, NotImplementedError) or of_fakes or any(word in text for word in _VALUELESS)


_VALUELESS = ("meta", "data-dependent", "unallocated storage", "no fake impl")
NEEDS_NO_GPU = "leave the device to whoever uses the model (no .cuda() in it): counting needs no GPU"
_FIX = "give inputs of the shape and dtype that the model takes (--input)"


def _shape(shape: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _first_line(error: BaseException) -> str:
    lines = lines_of(error)
    if not lines:
        return type(error).__name__
    line = lines[-1] if "TorchScript" in lines[0] else lines[0]
    return f"{type(error).__name__}: {line[:200]}"
