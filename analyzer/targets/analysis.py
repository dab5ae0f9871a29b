"""Any target -> its Record: the one way in for the command and for Python."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from analyzer.architecture.variant import Variant
from analyzer.errors import TargetError, UsageError
from analyzer.reading import family
from analyzer.reading.peak import Training
from analyzer.reading.prediction import MemoryPrediction, predict_memory
from analyzer.records import Record
from analyzer.targets.inputs import as_tensors, named_tensors, tensors
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, Resolved, load, named

if TYPE_CHECKING:
    from torch import nn

    from analyzer.tracing.witnesses import Witness


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

    A module takes `inputs`: a shape such as `(1, 3, 224, 224)`, a tensor, or a sequence of either (`()` for none), and
    keyword inputs in `kwargs`, as they are but for a `Shape`; it is counted on the meta device and left as it was.
    `batch` is for a variant's saved bytes.
    Raises an AnalyzerError that says what, where and how to fix it.
    """
    if isinstance(target, str):
        target = named(target)
    if isinstance(target, Variant):
        if inputs is not None or kwargs:
            raise UsageError("a variant knows its input", where="inputs", fix="set its image and the batch")
        return family.record(target, batch)
    from analyzer.tracing.trace import count_module

    if inputs is None and kwargs is None:
        raise UsageError("a module needs its inputs", where="inputs", fix="such as inputs=(1, 3, 224, 224)")
    return count_module(
        target, as_tensors(inputs), named_tensors(kwargs), name=type(target).__name__, backward=backward, strict=strict
    )


def analyze_target(target: Resolved, *, batch: int = 1, backward: bool = False, strict: bool = False) -> Record:
    """The record of a resolved target. A model without inputs gets its params alone, and a note that says so."""
    if isinstance(target, FamilyTarget):
        if backward:
            raise UsageError("is for a model of your own", where="--backward", fix="leave it out")
        return family.record(target.variant, batch, label=target.label)
    if batch != 1:
        raise UsageError("is for the family", where="--batch", fix="say a model's own batch in its --input")
    with users_code(target):
        return _analyze_module(target, batch, backward, strict)


def predict(target: Resolved, record: Record, training: Training) -> MemoryPrediction:
    """The memory of a resolved target whose record is known, with the timeline of a training step."""
    if isinstance(target, FamilyTarget):
        return predict_memory(target.variant, record.batch, training, timeline=True)
    with users_code(target):
        model = load(target)
        if isinstance(model, Variant):
            return predict_memory(model, record.batch, training, timeline=True)
        if not target.inputs:
            raise UsageError("needs an input", where="--peak", fix="give --input, such as --input 1,3,224,224")
        args, kwargs = tensors(target.inputs)
        from analyzer.tracing.prediction import predict_module

        return predict_module(model, args, kwargs, record, training)


@contextlib.contextmanager
def users_code(target: ModuleTarget) -> Iterator[None]:
    """Runs a user's code: what it prints goes to stderr, beside our data; where it exits, a TargetError says so."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SystemExit as error:
        raise TargetError(
            f"the model's own code exits the program (code {error.code})", where=target.name, fix="remove that call"
        ) from error
    except (KeyboardInterrupt, Exception):
        raise
    except BaseException as error:  # pytest's skip, asyncio's cancellation: nothing that we wait for
        what = f"the model's own code raises {type(error).__name__}: {error}"
        raise TargetError(what, where=target.name, fix="make it import and construct on its own first") from error


def witnesses_of(target: Resolved, ours: Record) -> tuple[Witness, ...]:
    """What torchinfo, fvcore and torch's own counter say of a target, beside our record of it.

    Raises UsageError for a model without inputs.
    """
    if isinstance(target, FamilyTarget):
        return _witnesses_of_variant(target.variant, ours)
    with users_code(target):
        return _witnesses_of_module(target, ours)


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


def _analyze_module(target: ModuleTarget, batch: int, backward: bool, strict: bool) -> Record:
    model = load(target)
    if isinstance(model, Variant):
        return family.record(model, batch, label=target.name)
    if not target.inputs:
        from analyzer.tracing.parameters import count_parameters

        return count_parameters(model, name=target.name)
    from analyzer.tracing.trace import count_module

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
