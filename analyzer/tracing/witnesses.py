"""What torchinfo, fvcore and torch's own counter say of a model, beside ours, and why they differ, by operator.

Each runs on a copy, so that it can't change the model; one that crashes or isn't installed is a row that says so.
"""

from __future__ import annotations

import contextvars
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from analyzer.errors import CountError, words_of
from analyzer.records import Record
from analyzer.structs import Frozen
from analyzer.tracing.copying import Convert, copy_inputs, copy_model, to_cpu, to_meta
from analyzer.tracing.formulas import FORMULAS
from analyzer.tracing.passes import Pass
from analyzer.tracing.running import Ladder, untouched
from analyzer.tracing.surroundings import Surroundings

Counted = tuple[int, list[tuple[int, str]]]
"""What a counter reports, in its own unit, and the parts of its difference to ours in MACs, with reasons."""


class Explanation(Frozen, frozen=True, kw_only=True):
    """A part of a difference to our MACs (positive: the witness counts more), and where it comes from."""

    macs: int
    reason: str


class Witness(Frozen, frozen=True, kw_only=True):
    """One counter's figure, under its own name for it, and as MACs. The explanations add up to the difference.

    `error` says why there is no figure.
    """

    name: str
    version: str | None
    reports: str
    figure: int | None = None
    macs: int | None = None
    difference: int | None = None
    ratio: float | None = None
    explanations: tuple[Explanation, ...] = ()
    error: str | None = None


def witnesses(
    model: nn.Module, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, *, ours: Record
) -> tuple[Witness, ...]:
    """torchinfo, fvcore and torch's FlopCounterMode on copies of the model, beside `ours`.

    As their users run them: torchinfo puts a model in evaluation mode, fvcore takes it in the mode it has (and counts
    more for batch normalisation in training); torch's counter is given evaluation mode, as ours.
    Inputs as for count_module. Raises CountError only where the model can't be counted by us either.
    """
    inputs = (tuple(args), dict(kwargs or {}))
    with untouched(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = Ladder(model, inputs).run(training=False)
        return tuple(
            _witness(name, reports, per_mac, count, model, inputs, own, ours)
            for name, reports, per_mac, count in (
                ("torchinfo", "mult-adds", 1, _torchinfo),
                ("fvcore", "flops, by which it means MACs", 1, _fvcore),
                ("torch", "FLOPs, two a MAC", 2, _flop_counter),
            )
        )


def _witness(
    name: str, reports: str, per_mac: int, count: Callable[..., Counted], model: nn.Module, inputs: Any, own: Pass,
    ours: Record,
) -> Witness:  # fmt: skip
    installed = _version(name)
    if installed is None:
        return Witness(name=name, version=None, reports=reports, error=f"not installed: pip install {name}")
    try:
        figure, parts = _on_a_copy(count, model, inputs, own)
    except Exception as error:
        return Witness(name=name, version=installed, reports=reports, error=words_of(error)[:200])
    macs = figure // per_mac
    difference = macs - (ours.macs or 0)
    rest = difference - sum(part for part, _ in parts)
    if rest:
        parts.append((rest, "not explained"))
    return Witness(
        name=name,
        version=installed,
        reports=reports,
        figure=figure,
        macs=macs,
        difference=difference,
        ratio=macs / ours.macs if ours.macs else None,
        explanations=tuple(Explanation(macs=part, reason=reason) for part, reason in parts if part),
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _on_a_copy(count: Callable[..., Counted], model: nn.Module, inputs: Any, own: Pass) -> Counted:
    """The counter on meta; on CPU, as its users run it, where it can't be run there."""
    surroundings = Surroundings(model)
    try:
        return contextvars.copy_context().run(count, *_copies(model, inputs, to_meta), own)
    except Exception:
        surroundings.restore()
        return contextvars.copy_context().run(count, *_copies(model, inputs, to_cpu), own)
    finally:
        surroundings.restore()


def _copies(model: nn.Module, inputs: Any, convert: Convert) -> tuple[nn.Module, Any, Any]:
    args, kwargs = copy_inputs(inputs, convert)
    return copy_model(model, convert).module, args, kwargs


def _by_module(own: Pass) -> dict[str, int]:
    return {path: row.macs for path, row in own.rows.items()}


# -- torchinfo -------------------------------------------------------------------------------------------------


def _torchinfo(model: nn.Module, args: Any, kwargs: Any, own: Pass) -> Counted:
    import torchinfo

    device = next(
        (tensor.device for tensor in (*model.parameters(), *args, *kwargs.values()) if hasattr(tensor, "device")), "cpu"
    )
    # A keyword of the model's may be one of torchinfo's own: alone, keywords go in as a dictionary.
    data, rest = (list(args), kwargs) if args else (dict(kwargs), {})
    result = torchinfo.summary(model, input_data=data, device=device, verbose=0, mode="eval", **rest)
    torchinfo.torchinfo.clear_cached_forward_pass()  # it would keep our copy, and give it for a model of the like name
    paths = {id(module): path for path, module in model.named_modules()}
    theirs: Counter[str] = Counter()
    for layer in result.summary_list:
        if layer.is_leaf_layer:
            theirs[paths.get(layer.layer_id, "")] += layer.macs
    return int(result.total_mult_adds), _explain_modules(model, theirs, _by_module(own))


def _explain_modules(model: nn.Module, theirs: Mapping[str, int], ours: Mapping[str, int]) -> list[tuple[int, str]]:
    """Differences module by module, added up by layer type and reason."""
    modules = dict(model.named_modules())
    parts: Counter[str] = Counter()
    for path in dict.fromkeys([*theirs, *ours]):
        difference = theirs.get(path, 0) - ours.get(path, 0)
        kind = type(modules[path]).__name__
        parts[_module_reason(kind, modules[path], theirs.get(path, 0), ours.get(path, 0))] += difference
    return [(macs, reason) for reason, macs in parts.items() if macs]


def _module_reason(kind: str, module: nn.Module, theirs: int, ours: int) -> str:
    if ours == 0:
        return f"{kind}: counted, though it multiplies no matrices"
    if theirs == 0:
        return f"{kind}: products that it runs itself are not seen, because only calls of leaf modules are"
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        return f"{kind}: each weight counted at each position of the output, not of the input"
    if theirs < ours:
        return f"{kind}: weights counted once a sample, not at each position and call"
    if getattr(module, "bias", None) is not None:
        return f"{kind}: bias counted"
    return f"{kind}: counted by another formula"


# -- fvcore ----------------------------------------------------------------------------------------------------


def _fvcore(model: nn.Module, args: Any, kwargs: Any, own: Pass) -> Counted:
    from fvcore.nn import FlopCountAnalysis

    if kwargs:
        raise CountError("takes no keyword inputs")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    analysis = FlopCountAnalysis(model, args).tracer_warnings("none")
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    figure = int(analysis.total())
    parts: list[tuple[int, str]] = []
    theirs = Counter(_own_parts(analysis.by_module()))
    for operator, macs in analysis.by_operator().items():
        if operator not in _FVCORE_PRODUCTS:
            parts.append((int(macs), f"{operator}: counted, though it multiplies no matrices"))
    for path, counts in _own_operators(analysis.by_module_and_operator()).items():
        theirs[path] -= sum(int(macs) for operator, macs in counts.items() if operator not in _FVCORE_PRODUCTS)
    return figure, parts + _skipped(analysis, theirs, own)


_FVCORE_PRODUCTS = {"conv", "linear", "matmul", "mm", "addmm", "bmm", "einsum"}


def _own_parts(totals: Mapping[str, Any]) -> dict[str, int]:
    """Each module's share without its children's, from totals that hold them."""
    own = {path: int(macs) for path, macs in totals.items()}
    for path, macs in totals.items():
        if path:
            own[path.rpartition(".")[0]] = own.get(path.rpartition(".")[0], 0) - int(macs)
    return own


def _own_operators(totals: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    operators = {operator for counts in totals.values() for operator in counts}
    parts = {op: _own_parts({path: counts.get(op, 0) for path, counts in totals.items()}) for op in operators}
    return {path: {op: parts[op].get(path, 0) for op in operators} for path in totals}


def _skipped(analysis: Any, theirs: Mapping[str, int], own: Pass) -> list[tuple[int, str]]:
    """What it lacks, module by module, by the operators that it had no handle for there."""
    parts: Counter[str] = Counter()
    ours = _by_module(own)
    skipped = _own_operators({path: analysis.unsupported_ops(path) for path in analysis.by_module()})
    for path in dict.fromkeys([*theirs, *ours]):
        difference = theirs.get(path, 0) - ours.get(path, 0)
        parts[_skip_reason(skipped.get(path, {}), difference)] += difference
    return [(macs, reason) for reason, macs in parts.items() if macs]


def _skip_reason(skipped: Mapping[str, int], difference: int) -> str:
    if difference > 0:
        return "counted by another formula, or in another module"
    products = sorted(op for op, n in skipped.items() if n and (op in _SKIPPED_PRODUCTS or op in FORMULAS))
    return f"{', '.join(products)}: skipped" if products else "products of calls that it does not see"


_SKIPPED_PRODUCTS = {
    "aten::_convolution_mode", "aten::scaled_dot_product_attention", "aten::lstm", "aten::gru", "aten::rnn_tanh",
    "aten::rnn_relu", "aten::lstm_cell", "aten::gru_cell", "aten::rnn_tanh_cell", "aten::bilinear", "aten::cdist",
    "aten::grid_sampler", "aten::fft_fft", "aten::fft_rfft", "aten::fft_irfft", "aten::tensordot", "aten::conv_tbc",
    "aten::_native_multi_head_attention", "aten::_transformer_encoder_layer_fwd", "aten::baddbmm", "aten::dot",
    "aten::mv", "aten::linalg_multi_dot", "aten::chain_matmul", "aten::fft_rfft2", "aten::fft_irfft2", "aten::fft_fft2",
    "aten::affine_grid_generator", "aten::inner",
}  # fmt: skip
"""Names, in a script graph, of operators that multiply and that fvcore has no handle for."""


# -- torch -----------------------------------------------------------------------------------------------------


def _flop_counter(model: nn.Module, args: Any, kwargs: Any, own: Pass) -> Counted:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(*args, **kwargs)
    figure = int(counter.get_total_flops())
    theirs = {str(op).replace(".", "::"): int(f) // 2 for op, f in counter.get_flop_counts().get("Global", {}).items()}
    ours: Counter[str] = Counter()
    for (_, operator), macs in own.by_operator.items():
        ours[operator] += macs
    parts = []
    for operator in dict.fromkeys([*ours, *theirs]):
        difference = theirs.get(operator, 0) - ours[operator]
        reason = "no formula, counted as 0" if operator not in theirs else "counted by another formula"
        parts.append((difference, f"{operator}: {reason}"))
    return figure, [part for part in parts if part[0]]
