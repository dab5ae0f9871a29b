"""Other counters beside ours: witnesses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analyzer.architecture.variant import Variant
from analyzer.targets.analysis import analyze, inputs_of, refuse_inputs, witnesses_of
from analyzer.targets.resolving import FamilyTarget, named

if TYPE_CHECKING:
    from torch import nn

    from analyzer.records import Record
    from analyzer.tracing.witnesses import Witness


def witnesses(
    model: Variant | str | nn.Module,
    inputs: Any = None,
    ours: Record | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
) -> tuple[Witness, ...]:
    """What torchinfo, fvcore and torch's own counter say of a model, each with its difference to our MACs explained.

    `inputs` and `kwargs` are a module's, as in `analyze`; a variant, or a preset's or variant's name, is counted on one
    image. `ours` is the record they stand beside (default: `analyze`'s of the same). The explanations of a witness add
    up to its difference; one that isn't installed, or fails, has an `error`. Each runs on a copy. They have
    no page of their own: they stand on their model's (`analyze show --witnesses --report`). Raises an AnalyzerError
    where the model can't be counted by us either.

    >>> import analyzer as an
    >>> small = an.Variant(block="dense", block_config=(1, 1), growth=4, image=32)
    >>> {one.name: one.difference for one in an.witnesses(small)}["torch"]
    0
    """
    if isinstance(model, (str, Variant)):
        refuse_inputs(inputs, kwargs)
        variant = named(model) if isinstance(model, str) else model
        return witnesses_of(FamilyTarget(variant), analyze(variant) if ours is None else ours)
    from analyzer.tracing.witnesses import witnesses as witnesses_of_module

    args, keywords = inputs_of(inputs, kwargs)
    record = analyze(model, inputs=inputs, kwargs=kwargs) if ours is None else ours
    return witnesses_of_module(model, args, keywords, ours=record)
