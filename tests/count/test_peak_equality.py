"""Predicted peaks against torch's own storages, to the byte and in every phase: random variants, all ways to train.

The witnesses are a tracker of storages on meta (lifetimes.py), on fake tensors where autocast is on, and the same
tracker on real tensors on the CPU.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))
from variants import BUILT_IN, variants

from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import ArchitectureError
from analyzer.reading import peak
from analyzer.reading.heap import KINDS
from analyzer.reading.peak import Peak, Training, inference_peak, training_peak
from analyzer.reading.saved import saved_bytes
from analyzer.tracing import training_step
from analyzer.tracing.attribution import Modules
from analyzer.tracing.lifetimes import Lifetimes, module_peaks
from analyzer.tracing.saved import SavedBytes

AXES: dict[str, list[dict[str, Any]]] = {
    "precision": [{"dtype": dtype} for dtype in get_args(peak.Dtype)]
    + [{"autocast": low} for low in ("bfloat16", "float16")],
    "optimizer": [{"optimizer": name} for name in get_args(peak.Optimizer)],
    "form": [{"form": form} for form in get_args(peak.Form)],
    "gradients": [{}, {"zero_grad": "after_forward"}, {"accumulate": 2}, {"accumulate": 3}],
    "decay": [{"weight_decay": False}, {"weight_decay": True}],
    "checkpoint": [{"checkpoint": False}, {"checkpoint": True}],
}
"""All that a Training says, value by value."""


@st.composite
def trainings(draw: st.DrawFn) -> Training:
    """Any that is verified."""
    return Training(**{k: v for axis in AXES.values() for k, v in draw(st.sampled_from(axis)).items()})


def crossed() -> list[tuple[str, Training, int]]:
    """Every block with every optimizer in every form, the other axes and the variant drawn at random: 168 cases."""
    cases = []
    for seed, (block, optimizer, form) in enumerate(itertools.product(BUILT_IN, AXES["optimizer"], AXES["form"])):
        draw = random.Random(seed)
        others = [draw.choice(AXES[name]) for name in ("precision", "gradients", "decay", "checkpoint")]
        fields = {k: v for part in (optimizer, form, *others) for k, v in part.items()}
        cases.append((block, Training(**fields), seed))
    return cases


def drawn(block: str, seed: int) -> tuple[Variant, int]:
    """A small variant of a block that trains, and a batch."""
    draw = random.Random(-seed)
    densenet = block not in ("bottleneck", "vovnet")
    variant = Variant(
        block=block,
        block_config=tuple(draw.randint(1, 3) for _ in range(draw.randint(1, 3))),
        growth=draw.choice([8, 12, 24, "double"] if densenet else [8, 24, "double"]),
        init=draw.choice([8, 16, 24]),
        compression=draw.choice([0.5, 1.0]) if densenet else None,
        drop=draw.choice([0.0, 0.25]) if densenet else 0.0,
        kernel=draw.choice([1, 3, 5]),
        groups=2 if block == "shuffle" else 1,
        stem=draw.choice(["imagenet", "deep", "small", "strided"]),
        classes=draw.randint(1, 1200),
        image=draw.randint(64, 90),
    )
    return variant, draw.randint(2, 5)


def phases(found: Peak) -> dict[str, int]:
    """The most bytes in each phase of a step; what checkpointing runs again is part of the backward pass."""
    most: dict[str, int] = defaultdict(int)
    for moment in found.moments:
        phase = "backward" if moment.phase == "recompute" else moment.phase
        most[phase] = max(most[phase], int(moment.live_bytes))
    return dict(most)


def require_equal(variant: Variant, batch: int, training: Training) -> None:
    """The whole step, each of its phases, and inference, against torch on meta."""
    net = trace(variant)
    # A tracker is a dispatch mode, under which torch adds gradients out of place.
    predicted = training_peak(net, batch, training, accumulates_in_place=False, timeline=True)
    model = build(variant, device="meta", checkpoint_layers=training.checkpoint).to(getattr(torch, training.dtype))
    images = torch.empty(batch, 3, variant.image, variant.image, device="meta", dtype=getattr(torch, training.dtype))
    found = module_peaks(model, [images], training=training)
    assert found.training is not None, found.notes
    assert predicted.bytes == found.training.bytes
    require_equal_phases(predicted, found.training)
    require_like_kinds(predicted, found.training)
    assert training_peak(net, batch, training).bytes <= predicted.bytes
    assert inference_peak(net, batch, training).bytes == found.inference.bytes


def require_equal_phases(predicted: Peak, found: Peak) -> None:
    """A phase in which torch runs nothing that a tracker sees (a fused step) is in the prediction alone."""
    ours, theirs = phases(predicted), phases(found)
    assert {"forward", "loss", "backward"} <= set(theirs)
    assert {phase: ours[phase] for phase in theirs} == theirs


def require_like_kinds(predicted: Peak, found: Peak) -> None:
    """What weights, state and gradients take while both tell them, in every phase of both."""
    assert all(sum(moment.kinds) == moment.live_bytes for moment in found.moments)
    lasting = [KINDS.index(kind) for kind in ("weights", "optimizer")]
    ours, theirs = ({m.phase: {m.kinds[i] for i in lasting} for m in one.moments} for one in (predicted, found))
    assert {phase: ours[phase] for phase in theirs} == theirs
    gradients = KINDS.index("gradients")
    ours, theirs = ({m.kinds[gradients] for m in one.moments if m.phase == "loss"} for one in (predicted, found))
    assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("block", BUILT_IN)
def test_every_block_with_every_optimizer_in_every_form(block: str) -> None:
    cases = [case for case in crossed() if case[0] == block]
    assert len(cases) == 12
    for _, training, seed in cases:
        require_equal(*drawn(block, seed), training)


def test_those_cases_cross_every_two_values_of_a_training() -> None:
    def values(training: Training) -> set[str]:
        return {f"{name} {value}" for name, axis in AXES.items() for value in axis if _says(training, value)}

    met = {pair for _, training, _ in crossed() for pair in itertools.combinations(sorted(values(training)), 2)}
    names = {name: [f"{name} {value}" for value in axis] for name, axis in AXES.items()}
    wanted = {
        tuple(sorted(pair))
        for a, b in itertools.combinations(names, 2)
        for pair in itertools.product(names[a], names[b])
    }
    assert met == wanted


def _says(training: Training, value: dict[str, Any]) -> bool:
    if "dtype" in value:
        return training.dtype == value["dtype"] and training.autocast == "none"
    if not value:
        return training.accumulate == 1 and training.zero_grad == "before_forward"
    return all(getattr(training, key) == of for key, of in value.items())


RANDOM = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
@RANDOM
@given(variants(buildable=True), st.integers(1, 33), trainings())
def test_random_variants_in_random_training_need_what_torch_says(
    variant: Variant, batch: int, training: Training
) -> None:
    try:
        training_peak(trace(variant), batch, training)
    except ArchitectureError:
        assume(False)
    require_equal(variant, batch, training)


@pytest.mark.slow
@RANDOM
@given(variants(buildable=True), st.integers(1, 33))
def test_random_variants_in_the_default_training_need_what_torch_says(variant: Variant, batch: int) -> None:
    try:
        training_peak(trace(variant), batch)
    except ArchitectureError:
        assume(False)
    require_equal(variant, batch, Training())


def test_factors_gradients_are_summed_once_what_was_run_again_has_gone() -> None:
    """Found at random: the incoming gradient lives on in a concatenation's, so each byte after it shows."""
    variant = Variant(
        block="squeeze", block_config=(1,), growth="double", bn_size=1, init=4, stem="deep", drop=0.25, image=88
    )
    for checkpoint in (False, True):
        for autocast in get_args(peak.Autocast):
            require_equal(variant, 4, Training(optimizer="sgd", checkpoint=checkpoint, autocast=autocast))


# -- real tensors ----------------------------------------------------------------------------------------------


MOST = 1 << 30
"""Bytes that real tensors may take: a growth that doubles at each of nine layers makes a network of 20 GB."""


def on_real_tensors(variant: Variant, batch: int, training: Training) -> Peak:
    """A second step on the CPU, every storage that an operator hands out counted."""
    model: nn.Module = build(variant, checkpoint_layers=training.checkpoint).to(getattr(torch, training.dtype))
    modules = Modules(model)
    tracker = Lifetimes(modules, "cpu")
    images = torch.randn(batch, 3, variant.image, variant.image, dtype=getattr(torch, training.dtype))
    targets = [torch.zeros(batch, dtype=torch.long)]
    for tensor in (*modules.tensors, images, *targets):
        tracker.see(tensor)
    with tracker:
        optimizer = training_step.make_optimizer(list(model.parameters()), training)
        for _ in range(2):
            tracker.begin("optimizer")
            training_step._step(model, [images], {}, training, tracker, optimizer, targets)
    return Peak(tracker.peak, tuple(tracker.moments))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(variants(buildable=True), st.integers(1, 4), trainings())
def test_real_tensors_need_it_too(variant: Variant, batch: int, training: Training) -> None:
    """Of a model that is bf16 throughout the CPU keeps BN's statistics in bf16, where CUDA and meta do in fp32."""
    training = replace(training, dtype="float32")
    try:
        predicted = training_peak(trace(variant), batch, training, accumulates_in_place=False, timeline=True)
    except ArchitectureError:
        assume(False)
    assume(predicted.bytes <= MOST)
    found = on_real_tensors(variant, batch, training)
    assert predicted.bytes == found.bytes
    require_equal_phases(predicted, found)


# -- saved -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(variants(buildable=True), st.integers(1, 4))
def test_what_the_replay_keeps_is_what_is_counted_as_saved(variant: Variant, batch: int) -> None:
    try:
        net = trace(variant)
        kept = peak.saved_bytes(net, batch)
    except ArchitectureError:
        assume(False)
    assert kept == saved_bytes(net, batch)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(variants(buildable=True), st.integers(1, 4), st.sampled_from(get_args(peak.Autocast)))
def test_what_the_replay_keeps_is_what_autograd_packs(variant: Variant, batch: int, autocast: peak.Autocast) -> None:
    """torch's saved-tensor hooks on real tensors. Under autocast the weights' copies are kept, and not the weights."""
    training = Training(autocast=autocast)
    try:
        kept = peak.saved_bytes(trace(variant), batch, training)
        assume(training_peak(trace(variant), batch, training).bytes <= MOST)
    except ArchitectureError:
        assume(False)
    modules = Modules(build(variant))
    modules.begin()
    images = torch.randn(batch, 3, variant.image, variant.image)
    with SavedBytes(modules, modules.tensors, goes_back=True), training_step.autocast(training):
        modules.by_path[""](images)
    assert kept == sum(row.saved_bytes for row in modules.rows.values())
