"""What each step of a plan does to a network on its way, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from analyzer.compressing.naming import variant_of
from analyzer.compressing.plan import PlanStep
from analyzer.compressing.planning import CompressWatch, State
from analyzer.compressing.pruning import Pruned, PruneWish, prune
from analyzer.errors import UsageError
from analyzer.figures import known

if TYPE_CHECKING:
    from torch import nn

    from analyzer.architecture.variant import Variant
    from analyzer.limits import Limit
    from analyzer.training.run_records import Config, Epoch


def _prune(state: State, step: PlanStep, watch: CompressWatch) -> str:
    criterion, scope = step.words
    wish = PruneWish(criterion, scope, state.plan.seed)  # type: ignore[arg-type]
    if criterion == "taylor":
        state.plan.images().gradients(state.model)
    limits = state.aim(step)
    made = prune(state.model, state.stand_ins(), wish, limits, state.counter)
    for layer in made.left.keys() - state.left.keys():
        watch.say(f"not pruned: {layer}: {made.left[layer]}")
    if made.cuts.modules:
        state.done = state.done.then(made.cuts)
        parent = state.plan.original.parent
        state.variant = None if parent is None else variant_of(made.model, parent)
    state.model, state.left = made.model, {**state.left, **made.left}
    return _told(made, limits, state.variant)


def _told(made: Pruned, limits: Sequence[Limit], variant: Variant | None) -> str:
    """What went, and how near each side of the limits is."""
    if made.one_more is None:
        return "nothing had to go"
    sides = ", ".join(
        f"{known(limit.figure).label} {known(limit.figure).exact(value)} of {known(limit.figure).exact(limit.bound)} "
        f"(one channel more: {known(limit.figure).exact(other)})"
        for limit, value, other in zip(limits, made.values, made.one_more, strict=True)
    )  # fmt: skip
    is_one = f"; it is {variant.name}" if variant is not None else ""
    return (
        f"{made.removed:,} of {made.removable:,} channels went: {sides}; the original with them at zero gives the "
        f"same, to {made.verified.difference:.1e}{is_one}"
    )


def _finetune(state: State, step: PlanStep, watch: CompressWatch) -> str:
    assert step.epochs is not None
    state.model, told = _trained(state, step.epochs, watch)
    state.epochs = None if state.epochs is None else state.epochs + step.epochs
    return told


def _trained(state: State, epochs: int, watch: CompressWatch) -> tuple[nn.Module, str]:
    from analyzer.compressing.tuning import trained

    lines: list[str] = []

    def told(config: Config, epoch: Epoch) -> None:
        lines.append(f"loss {epoch.log_train_loss:.3f}, {100 * epoch.log_train_accuracy:.1f} % right as it trained")
        watch.say(f"epoch {epoch.epoch} of {epochs}: {lines[-1]}")

    made = trained(state.model, state.plan.images(), epochs, told)
    return made, f"{epochs} epochs: {lines[-1]}"


def _recalibrate(state: State, step: PlanStep, watch: CompressWatch) -> str:
    from analyzer.compressing.tuning import recalibrate

    count = recalibrate(state.model, state.plan.images())
    if not count:
        raise UsageError("has no batch norm to recalibrate", where=step.text, fix="leave it out")
    return f"statistics of {count} batch norms taken anew"


def _int8(state: State, step: PlanStep, watch: CompressWatch) -> str:
    raise UsageError(
        "is made of an exported network", where=step.text, fix="leave it out, then: analyze export OUT --int8"
    )


LEVERS: dict[str, Callable[[State, PlanStep, CompressWatch], str]] = {
    "prune": _prune, "finetune": _finetune, "recalibrate": _recalibrate, "int8": _int8,
}  # fmt: skip
"""By a step's verb: each changes the state, and gives a sentence."""
