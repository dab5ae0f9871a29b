"""Networks made smaller: compress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.architecture.variant import Variant
from analyzer.compressing.budgets import Budget
from analyzer.compressing.plan import DEFAULT, plan_of
from analyzer.errors import UsageError
from analyzer.shown import silent, to_stderr
from analyzer.training.recipe import recipe

if TYPE_CHECKING:
    from torch import nn

    from analyzer.compressing.original import Original
    from analyzer.compressing.result import Compressed


def compress(
    model: nn.Module | Variant | str, budget: Budget | None = None, plan: str | Sequence[str] = DEFAULT, *,
    out: str | Path | None = None, data: Any = None, split: str | Path | None = None,
    inputs: Sequence[int] | None = None, seed: int = 0, kwargs: Mapping[str, Any] | None = None, device: str = "auto",
    quiet: bool = False, **training: Any,
) -> Compressed:  # fmt: skip
    """Makes a network smaller, by the steps of a plan, until it meets a budget as the exact counter counts it.

    `model` is a checkpoint's file, a variant or its name, `path.py:attr@weights` of one's own (with its `kwargs`), or a
    torch module; those of one's own take `inputs`, the shape of their image: (1, 3, 224, 224). It is left as it is.
    `plan` is a text such as `prune l2 global, finetune 5, recalibrate`: prune CRITERION SCOPE [SHARE], svd [SHARE],
    inherit [VARIANT], finetune N, distill N [logits|features], scratch [N], recalibrate, int8. What learns from images
    takes `data` as `train` does, divided by a `split` file, else as the checkpoint's run was, on a `device`; `training`
    are the fields of training.recipe.Recipe but epochs. Returns `.model`, `.map`, `.record`; `.save(path)` writes a
    checkpoint, `.quantize(path)` ONNX and int8. With `out` the checkpoint is written there, and what was interrupted
    goes on from its last finished step or epoch.

    Raises UsageError where the budget is out of reach or a step lacks what it needs, TargetError where the network
    can't be followed.
    """
    from analyzer.compressing.execution import compress as execute
    from analyzer.compressing.pictures import pictures_of
    from analyzer.compressing.planning import CompressPlan, CompressWatch, require_possible

    say = silent if quiet else to_stderr
    steps, learns = plan_of(plan), recipe(training)
    budget = budget or Budget()
    require_possible(steps, budget, data is not None, out is not None)
    place = None if out is None else Path(out)
    asked = CompressPlan(
        original=_original(model, inputs, kwargs), budget=budget, steps=steps, seed=seed, out=place, data=data,
        device=device,
    )  # fmt: skip
    if data is not None:
        places: dict[str, Any] = {"seed": seed, "split": None if split is None else Path(split), "device": device}
        asked = replace(asked, pictures=pictures_of(data, asked.original, learns, **places, say=say, warn=say))
    return execute(asked, CompressWatch(say, say))


def _original(
    model: nn.Module | Variant | str, inputs: Sequence[int] | None, kwargs: Mapping[str, Any] | None
) -> Original:
    from analyzer.compressing.original import of_module, of_variant, original_of

    if isinstance(model, Variant):
        return of_variant(model)
    if isinstance(model, str):
        shape = [] if inputs is None else [",".join(map(str, inputs))]
        return original_of(model, inputs=shape, kwargs=[f"{name}={value}" for name, value in (kwargs or {}).items()])
    if inputs is None:
        raise UsageError("a module needs its input", where="inputs", fix="such as inputs=(1, 3, 224, 224)")
    return of_module(model, inputs)
