"""A compression from its plan to its end: what the command and Python both conduct."""

from __future__ import annotations

import copy
from dataclasses import replace

import msgspec

from analyzer.compressing.levers import LEVERS
from analyzer.compressing.plan import written
from analyzer.compressing.planning import CompressPlan, CompressWatch, State, quantized_paths
from analyzer.compressing.result import Compressed
from analyzer.compressing.sizes import Counter
from analyzer.compressing.unfinished import BEFORE, Unfinished, finished, unfinished
from analyzer.figures import known
from analyzer.targets.compressions import CompressionRecord, StepDone

SHOWN = ("params", "param_bytes", "buffer_bytes", "macs", "conv_activations")
"""Figures that a record has before and after."""


def compress(plan: CompressPlan, watch: CompressWatch) -> Compressed:
    """Carries a plan out, from where the same plan was interrupted; the original is left as it is.

    Raises UsageError where its budget is out of reach, or another plan was interrupted at the same place.
    """
    _warn_of_split(plan, watch)
    if plan.out is None:
        return _carried_out(plan, watch, None)
    with unfinished(plan.out) as kept:
        try:
            made = _carried_out(plan, watch, kept)
            made.save(plan.out)
            watch.say(f"{plan.out}: {made.name}")
            if plan.quantizes:
                made = replace(made, exported=made.quantize(quantized_paths(plan.out)[0], plan.data, watch.say))
        except KeyboardInterrupt:
            if kept.holds:
                watch.say(f"{kept.folder} has what is finished: the same command goes on from there")
            raise
    return made


def _carried_out(plan: CompressPlan, watch: CompressWatch, kept: Unfinished | None) -> Compressed:
    """The network after the plan's steps, int8 aside; each is kept when it is done."""
    original = plan.original
    counter = Counter([original.images(1, "meta")], plan.budget.profile())
    state = State(
        plan, copy.deepcopy(original.model), plan.budget.limits(original.parent), counter, original.parent,
        original.done, original.variant, original.epochs, kept=kept,
    )  # fmt: skip
    before = _figures(state)
    if kept is not None:
        kept.take_up(state, _record(state, before))
    begun = len(finished(state.steps))
    if begun:
        watch.say(f"goes on after {state.steps[-1].step}")
    if not state.steps and plan.pictures is not None:
        state.steps.append(_done(state, BEFORE, "nothing"))
    made = _kept(state, before)
    for step in plan.steps[begun:]:
        if step.verb == "int8":  # of the file that the result is kept in
            continue
        did = LEVERS[step.verb](state, step, watch)
        state.steps.append(_done(state, step.text, did))
        made = _kept(state, before)
        watch.say(f"{step.text}: {did}")
    return made


def _kept(state: State, before: dict[str, int]) -> Compressed:
    """What there is so far; it is on the disk, where the result is to be."""
    original, pictures = state.plan.original, state.plan.pictures
    classes = original.about.classes if original.about is not None else ()
    if pictures is not None:
        classes = pictures.config.classes
    record = _record(state, before)
    made = Compressed(state.model.eval(), state.done, record, original, state.variant, state.parent, classes)
    if state.kept is not None:
        state.kept.keep(made)
    return made


def _record(state: State, before: dict[str, int]) -> CompressionRecord:
    plan, original, pictures = state.plan, state.plan.original, state.plan.pictures
    return CompressionRecord(
        source=original.name, source_digest=original.digest, source_epochs=original.epochs, plan=written(plan.steps),
        limits={limit.figure: limit.bound for limit in state.limits}, steps=tuple(state.steps), before=before,
        after=state.steps[-1].figures if state.steps else before, epochs=state.epochs, seed=plan.seed, left=state.left,
        variant=None if state.variant is None else state.variant.name,
        split=None if pictures is None else pictures.config.split,
        recipe=None if pictures is None else msgspec.json.decode(msgspec.json.encode(pictures.config.recipe)),
    )  # fmt: skip


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
