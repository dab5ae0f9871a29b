"""A compression from its plan to its end: what the command and Python both conduct."""

from __future__ import annotations

import copy

from analyzer.compressing.levers import LEVERS
from analyzer.compressing.plan import written
from analyzer.compressing.planning import CompressPlan, CompressWatch, State
from analyzer.compressing.result import Compressed
from analyzer.compressing.sizes import Counter
from analyzer.figures import known
from analyzer.targets.compressions import CompressionRecord, StepDone

SHOWN = ("params", "param_bytes", "buffer_bytes", "macs", "conv_activations")
"""Figures that a record has before and after."""


def compress(plan: CompressPlan, watch: CompressWatch) -> Compressed:
    """Carries a plan out; the original is left as it is. Raises UsageError where its budget is out of reach."""
    original = plan.original
    _warn_of_split(plan, watch)
    counter = Counter([original.images(1, "meta")], plan.budget.profile())
    state = State(
        plan, copy.deepcopy(original.model), plan.budget.limits(original.parent), counter, original.done,
        original.variant, original.epochs,
    )  # fmt: skip
    before = _figures(state)
    steps = []
    if plan.pictures is not None:
        steps.append(_done(state, "as it was", "nothing"))
    for step in plan.steps:
        if step.verb == "int8":  # of the file that the result is kept in: Compressed.quantize
            continue
        did = LEVERS[step.verb](state, step, watch)
        steps.append(_done(state, step.text, did))
        watch.say(f"{step.text}: {did}")
    record = CompressionRecord(
        source=original.name, source_digest=original.digest, source_epochs=original.epochs, plan=written(plan.steps),
        limits={limit.figure: limit.bound for limit in state.limits}, steps=tuple(steps), before=before,
        after=_figures(state), epochs=state.epochs, seed=plan.seed, left=state.left,
        variant=None if state.variant is None else state.variant.name,
        split=None if plan.pictures is None else plan.pictures.config.split,
    )  # fmt: skip
    classes = original.about.classes if original.about is not None else ()
    if plan.pictures is not None:
        classes = plan.pictures.config.classes
    return Compressed(state.model.eval(), state.done, record, original, state.variant, classes)


def _warn_of_split(plan: CompressPlan, watch: CompressWatch) -> None:
    made = None if plan.original.about is None else plan.original.about.compression
    before = None if made is None else made.record.split
    if before is not None and plan.pictures is not None and plan.pictures.config.split != before:
        watch.warn("its images were divided otherwise when it was compressed: some that test now may have trained it")


def _done(state: State, step: str, did: str) -> StepDone:
    pictures = state.plan.pictures
    accuracy = None if pictures is None else pictures.accuracy(state.model)
    return StepDone(step=step, did=did, figures=_figures(state), epochs=state.epochs, test_accuracy=accuracy)


def _figures(state: State) -> dict[str, int]:
    record = state.counter.record(state.model)
    names = dict.fromkeys([*SHOWN, *(limit.figure for limit in state.limits)])
    found = {name: known(name).of(record) for name in names}
    return {name: value for name, value in found.items() if value is not None}
