"""Any target -> its Record: the one way in for the command and for Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from analyzer import family
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.records import Record
from analyzer.targets import FamilyTarget, ModuleTarget, Resolved, load, named, tensors

if TYPE_CHECKING:
    from torch import nn

    from analyzer.count.witnesses import Witness


def analyze(
    target: Variant | str | nn.Module,
    *,
    inputs: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    batch: int = 1,
    backward: bool = False,
    strict: bool = False,
) -> Record:
    """Every static figure of a variant, a preset's or variant's name, or any torch module.

    A module takes `inputs`: a shape such as `(1, 3, 224, 224)`, a tensor, or a sequence of either, and keyword
    inputs in `kwargs`; it is counted on the meta device and left as it was. `batch` is for a variant's saved bytes.
    Raises an AnalyzerError that says what, where and how to fix it.
    """
    if isinstance(target, str):
        target = named(target)
    if isinstance(target, Variant):
        if inputs is not None or kwargs:
            raise UsageError("a variant knows its input", where="inputs", fix="set its image and the batch")
        return family.record(target, batch)
    from analyzer.count.trace import count_module

    if inputs is None:
        raise UsageError("a module needs its inputs", where="inputs", fix="such as inputs=(1, 3, 224, 224)")
    named_inputs = {name: _tensor(value) for name, value in (kwargs or {}).items()}
    return count_module(
        target, _tensors(inputs), named_inputs, name=type(target).__name__, backward=backward, strict=strict
    )


def _tensors(inputs: Any) -> list[Any]:
    import torch

    if isinstance(inputs, torch.Tensor) or _is_shape(inputs):
        return [_tensor(inputs)]
    return [_tensor(value) for value in inputs]


def _is_shape(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(size, int) for size in value)


def _tensor(value: Any) -> Any:
    import torch

    return torch.empty(tuple(value), device="meta") if _is_shape(value) else value


def analyze_target(target: Resolved, *, batch: int = 1, backward: bool = False, strict: bool = False) -> Record:
    """The record of a resolved target. A model without inputs gets its params alone, and a note that says so."""
    if isinstance(target, FamilyTarget):
        if backward:
            raise UsageError("is for a model of your own", where="--backward", fix="leave it out")
        return family.record(target.variant, batch, label=target.label)
    return _analyze_module(target, batch, backward, strict)


def witnesses_of(target: Resolved, ours: Record) -> tuple[Witness, ...]:
    """What torchinfo, fvcore and torch's own counter say of a target, beside our record of it.

    Raises UsageError for a model without inputs.
    """
    from analyzer.count.witnesses import witnesses

    model = target.variant if isinstance(target, FamilyTarget) else load(target)
    if isinstance(model, Variant):
        import torch

        from analyzer.build import build

        image = torch.empty(1, 3, model.image, model.image, device="meta")
        return witnesses(build(model, device="meta"), [image], ours=ours)
    if isinstance(target, FamilyTarget) or not target.inputs:
        raise UsageError("need an input", where="--witnesses", fix="give --input, such as --input 1,3,224,224")
    args, keywords = tensors(target.inputs)
    return witnesses(model, args, keywords, ours=ours)


def _analyze_module(target: ModuleTarget, batch: int, backward: bool, strict: bool) -> Record:
    model = load(target)
    if isinstance(model, Variant):
        return family.record(model, batch, label=target.name)
    if not target.inputs:
        from analyzer.count.parameters import count_parameters

        return count_parameters(model, name=target.name)
    from analyzer.count.trace import count_module

    args, keywords = tensors(target.inputs)
    return count_module(
        model,
        args,
        keywords,
        name=target.name,
        backward=backward,
        strict=strict,
        rebuild=lambda: cast("nn.Module", load(target, device="cpu")),
    )
