"""What each step of a plan does to a network on its way, and what is said of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.compressing.bases import rebase
from analyzer.compressing.naming import variant_of
from analyzer.compressing.plan import PlanStep
from analyzer.compressing.planning import CompressWatch, State
from analyzer.compressing.pruning import Pruned, PruneWish, prune
from analyzer.errors import UsageError
from analyzer.figures import known
from analyzer.shown import silent
from analyzer.targets.resolving import named
from analyzer.units import epochs_of

if TYPE_CHECKING:
    from analyzer.architecture.variant import Variant
    from analyzer.limits import Limit
    from analyzer.training.run_records import Config, Epoch
    from analyzer.training.trainer import Trainer


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
        rebase(state)
        state.done = state.done.then(made.cuts)
        state.variant = None if state.parent is None else variant_of(made.model, state.parent)
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
    return _trained(state, step.epochs or 0, watch)


def _distill(state: State, step: PlanStep, watch: CompressWatch) -> str:
    from analyzer.compressing.distilling import Distiller

    teacher = copy.deepcopy(state.plan.original.model)

    def taught(trainer: Trainer) -> None:
        trainer.stepper = Distiller(trainer, teacher, step.words[0])

    hint = step.words[0]
    # What bridges the stages is thrown away with the step, so that it can't go on from an epoch.
    told = _trained(state, step.epochs or 0, watch, taught, durable=hint == "logits")
    return f"from {state.plan.original.name}, {told}"


def _scratch(state: State, step: PlanStep, watch: CompressWatch) -> str:
    """The control: as long as the weights that it replaces were trained, their source's training included."""
    from analyzer.compressing.tuning import drawn_anew

    epochs = step.epochs or state.epochs
    if not epochs:
        raise UsageError("does not know for how long", where=step.text, fix="say the epochs, such as scratch 20")
    state.model, state.epochs = drawn_anew(state), 0
    return f"weights drawn anew, {_trained(state, epochs, watch)}"


def _trained(
    state: State, epochs: int, watch: CompressWatch, prepared: Callable[[Trainer], None] = silent, durable: bool = True
) -> str:
    from analyzer.compressing.tuning import trained

    lines: list[str] = []

    def told(config: Config, epoch: Epoch) -> None:
        lines.append(f"loss {epoch.log_train_loss:.3f}, {100 * epoch.log_train_accuracy:.1f} % right as it trained")
        watch.say(f"epoch {epoch.epoch} of {epochs}: {lines[-1]}")

    folder = None if state.kept is None or not durable else state.kept.training(len(state.steps))
    state.model = trained(state.model, state.plan.images(), epochs, told, prepared, folder)
    state.epochs = None if state.epochs is None else state.epochs + epochs
    return ": ".join([epochs_of(epochs), *lines[-1:]])


def _inherit(state: State, step: PlanStep, watch: CompressWatch) -> str:
    from analyzer.compressing.inheriting import inherited, narrowed

    if state.variant is None:
        raise UsageError("is of variants, and this network is none", where=step.text, fix="put it first, or prune")
    own = state.variant
    if step.target is None:
        variant = narrowed(own, state.limits, state.counter.profile)
    else:
        variant = replace(named(step.target), classes=own.classes, image=own.image)
    made, kept, lacks = inherited(state.model, variant, state.stand_ins(), state.counter.args)
    rebase(state)
    state.model, state.done, state.variant = made, state.done.then(kept), variant
    fewer = f", {lacks} convolutions fewer" if lacks else ""
    return f"it is {variant.name}, with weights of {own.name}{fewer}"


def _svd(state: State, step: PlanStep, watch: CompressWatch) -> str:
    from analyzer.compressing.factoring import as_lowrank, factor, lowrank_of, lowrank_ranks

    pictures = state.plan.images()
    seen = [images.cpu().to(state.stand_ins()[0].dtype) for images, _ in pictures.batches()]
    form = lowrank_of(state.variant, step.text) if step.words else None
    aim = lowrank_ranks(state.model) if form is not None else (state.aim(step), state.counter)
    made = factor(state.model, seen, aim)
    if not made.ranks.modules:
        return "nothing had to go"
    rebase(state)
    state.model = made.model if form is None else as_lowrank(made.model, form)
    state.done, state.variant = state.done.then(made.ranks), form
    path, worst = max(made.errors.items(), key=lambda each: each[1])
    mean = sum(made.errors.values()) / len(made.errors)
    return (
        f"{len(made.errors)} layers are of low rank; of their outputs' energy on images {100 * mean:.2f} % is lost in "
        f"the mean, {100 * worst:.2f} % at most ({path})" + (f"; it is {state.variant.name}" if state.variant else "")
    )


def _recalibrate(state: State, step: PlanStep, watch: CompressWatch) -> str:
    from analyzer.compressing.tuning import recalibrate

    count = recalibrate(state.model, state.plan.images())
    if not count:
        raise UsageError("has no batch norm to recalibrate", where=step.text, fix="leave it out")
    return f"statistics of {count} batch norms taken anew"


LEVERS: dict[str, Callable[[State, PlanStep, CompressWatch], str]] = {
    "prune": _prune, "svd": _svd, "inherit": _inherit, "finetune": _finetune, "distill": _distill, "scratch": _scratch,
    "recalibrate": _recalibrate,
}  # fmt: skip
"""By a step's verb: each changes the state, and gives a sentence."""
