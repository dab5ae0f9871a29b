"""Any target -> its Record: the one way in for the command and for Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.reading import family
from analyzer.reading.family import with_latency
from analyzer.reading.latency import Profile
from analyzer.reading.peak import Training
from analyzer.reading.profiles import profile_at
from analyzer.records import Record
from analyzer.targets.files import Costed, FileTarget, is_file_name, record_of_file, resolve_costed
from analyzer.targets.inputs import as_tensors, named_tensors, tensors
from analyzer.targets.isolation import SECONDS, isolated
from analyzer.targets.loading import load
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, named

if TYPE_CHECKING:
    from torch import nn

    from analyzer.reading.prediction import MemoryPrediction
    from analyzer.tracing.witnesses import Witness


def analyze(
    target: Variant | str | nn.Module, *, inputs: Any = None, kwargs: Mapping[str, Any] | None = None, batch: int = 1,
    backward: bool = False, strict: bool = False, on: str | None = None, cpu_memory: int | None = None,
) -> Record:  # fmt: skip
    """Every static figure of a variant, a preset's or variant's name, a network's file, or any torch module.

    A module takes `inputs`: a shape such as `(1, 3, 224, 224)`, a tensor, or a sequence of either (`()` for none), and
    keyword inputs in `kwargs`, as they are but for a `Shape`; it is counted on the meta device and left as it was.
    One whose values must be known runs on CPU within `cpu_memory` bytes of weights and inputs (None: half of what is
    free). `batch` is for a variant's saved bytes. `on` names a device whose profile predicts latency (`rtx4090`, or a
    file). Raises an AnalyzerError that says what, where and how to fix it.

    >>> import analyzer as an
    >>> an.analyze("article")
    Record('article', batch 1: 149,871,874 params, 18,622,955,520 MACs, 100.24 MiB saved bytes)
    >>> from torch import nn
    >>> an.analyze(nn.Conv2d(3, 8, 3, bias=False), inputs=(1, 3, 6, 6)).macs  # 8 maps of 4 x 4, 27 each
    3456
    """
    if isinstance(target, str) and is_file_name(target):
        refuse_inputs(inputs, kwargs)
        return analyze_target(resolve_costed(target), batch=batch, backward=backward, strict=strict)
    if isinstance(target, str):
        target = named(target)
    if isinstance(target, Variant):
        refuse_inputs(inputs, kwargs)
        return family.record(target, batch, profile=profile_at(on))
    from analyzer.tracing.room import OnCpu
    from analyzer.tracing.trace import count_module

    args, keywords = inputs_of(inputs, kwargs)
    name, profile = type(target).__name__, profile_at(on)
    record = count_module(
        target, args, keywords, name=name, backward=backward, strict=strict, follows_work=profile is not None,
        on_cpu=OnCpu(memory=cpu_memory),
    )  # fmt: skip
    return record if profile is None else with_latency(record, profile)


def refuse_inputs(inputs: Any, kwargs: Mapping[str, Any] | None) -> None:
    """UsageError where a variant is given inputs."""
    if inputs is not None or kwargs:
        raise UsageError("a variant knows its input", where="inputs", fix="set its image and the batch")


def inputs_of(inputs: Any, kwargs: Mapping[str, Any] | None) -> tuple[list[Any], dict[str, Any]]:
    """A module's inputs as tensors. Raises UsageError where there are none."""
    if inputs is None and kwargs is None:
        raise UsageError("a module needs its inputs", where="inputs", fix="such as inputs=(1, 3, 224, 224)")
    return as_tensors(inputs), named_tensors(kwargs)


def analyze_target(
    target: Costed, *, batch: int = 1, backward: bool = False, strict: bool = False, seconds: float = SECONDS,
    profile: Profile | None = None,
) -> Record:  # fmt: skip
    """The record of a target or of a network's file, with its predicted latency where a device's `profile` is given.

    A model without inputs gets its params alone, and a note that says so.
    """
    if isinstance(target, FamilyTarget):
        if backward:
            raise UsageError("is for a model of your own", where="--backward", fix="leave it out")
        return family.record(target.variant, batch, label=target.label, profile=profile)
    if isinstance(target, FileTarget):
        for option, said in {"--backward": backward, "--batch": batch != 1, "--on": profile is not None}.items():
            if said:
                raise _without_code(option)
        return record_of_file(target, strict=strict)
    if batch != 1 and profile is None:  # with one, it is the prediction's
        raise UsageError("is for the family", where="--batch", fix="say a model's own batch in its --input")
    follows = profile is not None
    found = isolated(lambda: _analyze_module(target, backward, strict, follows), Record, target, seconds=seconds)
    return found if profile is None else with_latency(found, profile)


def _without_code(option: str) -> UsageError:
    return UsageError("needs a network's code, not its file", where=option, fix="name the network itself")


def predict(target: Costed, record: Record, training: Training, *, seconds: float = SECONDS) -> MemoryPrediction:
    """The memory of a resolved target whose record is known, with the timeline of a training step. Raises UsageError
    for a network's file.
    """
    from analyzer.reading.prediction import MemoryPrediction, predict_memory

    if isinstance(target, FileTarget):
        raise _without_code("--peak")
    if isinstance(target, FamilyTarget):
        return predict_memory(target.variant, record.batch, training, timeline=True)
    return isolated(lambda: _predict_module(target, record, training), MemoryPrediction, target, seconds=seconds)


def _predict_module(target: ModuleTarget, record: Record, training: Training) -> MemoryPrediction:
    from analyzer.reading.prediction import predict_memory
    from analyzer.tracing.prediction import predict_module

    model = load(target)
    if isinstance(model, Variant):
        return predict_memory(model, record.batch, training, timeline=True)
    if not target.inputs:
        raise UsageError("needs an input", where="--peak", fix="give --input, such as --input 1,3,224,224")
    args, kwargs = tensors(target.inputs)
    return predict_module(model, args, kwargs, record, training)


def witnesses_of(target: Costed, ours: Record, *, seconds: float = SECONDS) -> tuple[Witness, ...]:
    """What torchinfo, fvcore and torch's own counter say of a target, beside our record of it.

    Raises UsageError for a model without inputs, or a network's file.
    """
    if isinstance(target, FileTarget):
        raise _without_code("--witnesses")
    if isinstance(target, FamilyTarget):
        return _witnesses_of_variant(target.variant, ours)
    from analyzer.tracing.witnesses import Witness

    return isolated(lambda: _witnesses_of_module(target, ours), tuple[Witness, ...], target, seconds=seconds)


def _witnesses_of_module(target: ModuleTarget, ours: Record) -> tuple[Witness, ...]:
    from analyzer.tracing.witnesses import witnesses

    model = load(target)
    if isinstance(model, Variant):
        return _witnesses_of_variant(model, ours)
    if not target.inputs:
        raise UsageError("need an input", where="--witnesses", fix="give --input, such as --input 1,3,224,224")
    args, keywords = tensors(target.inputs)
    return witnesses(model, args, keywords, ours=ours)


def _witnesses_of_variant(variant: Variant, ours: Record) -> tuple[Witness, ...]:
    import torch

    from analyzer.building.modules import build
    from analyzer.tracing.witnesses import witnesses

    image = torch.empty(1, 3, variant.image, variant.image, device="meta")
    return witnesses(build(variant, device="meta"), [image], ours=ours)


def _analyze_module(target: ModuleTarget, backward: bool, strict: bool, follows_work: bool) -> Record:
    model = load(target)
    if isinstance(model, Variant):
        return family.record(model, label=target.name)
    if not target.inputs:
        from analyzer.tracing.parameters import count_parameters

        return count_parameters(model, name=target.name)
    from analyzer.tracing.room import OnCpu
    from analyzer.tracing.trace import count_module

    args, keywords = tensors(target.inputs)
    return count_module(
        model,
        args,
        keywords,
        name=target.name,
        backward=backward,
        strict=strict,
        on_cpu=OnCpu(lambda: cast("nn.Module", load(target, device="cpu")), target.cpu_memory),
        follows_work=follows_work,
    )
