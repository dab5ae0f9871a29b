"""The traced figures of built variants are the family's own, row for row: two routes to every figure."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import ArchitectureError
from analyzer.reading.family import record
from analyzer.tracing.trace import count_module

BATCH_FIGURES = ("macs", "conv_activations")
FIXED_FIGURES = ("params", "trainable_params", "param_bytes", "buffer_bytes", "saved_bytes", "depth")


def traced(variant, batch, **options):
    image = torch.empty(batch, 3, variant.image, variant.image, device="meta")
    return count_module(build(variant, device="meta"), [image], name=variant.name, **options)


def assert_agree(variant, batch):
    ours, own = traced(variant, batch), record(variant, batch)
    assert {f: getattr(ours, f) for f in FIXED_FIGURES} == {f: getattr(own, f) for f in FIXED_FIGURES}
    assert {f: getattr(ours, f) for f in BATCH_FIGURES} == {f: batch * getattr(own, f) for f in BATCH_FIGURES}
    assert ours.uncounted == ()
    assert ours.inputs == own.inputs
    for row, expected in zip(ours.layers, own.layers, strict=True):
        assert (row.path, row.type, row.output, row.params, row.saved_bytes) == (
            expected.path, expected.type, expected.output, expected.params, expected.saved_bytes
        )  # fmt: skip
        assert (row.macs, row.conv_activations) == (batch * expected.macs, batch * expected.conv_activations)


@st.composite
def variants(draw):
    block = draw(st.sampled_from(["residual", "dense", "basic", "bottleneck"]))
    options = {
        "block": block,
        "block_config": tuple(draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))),
        "init": draw(st.sampled_from([4, 8, 12])),
        "stem": draw(st.sampled_from(["imagenet", "deep", "small"])),
        "image": draw(st.sampled_from([64, 97])),
        "kernel": draw(st.sampled_from([1, 3, 5])),
        "growth": draw(st.sampled_from(["double", 16])),
        "classes": draw(st.integers(1, 7)),
    }
    if block != "bottleneck":
        options["drop"] = draw(st.sampled_from([0, 0.2]))
        options["compression"] = draw(st.sampled_from([0.25, 0.5, 1.0]))
    return Variant(**options)


@settings(max_examples=25, deadline=None)
@given(variants(), st.integers(1, 3))
def test_random_variants(variant, batch):
    try:
        record(variant, batch)
    except ArchitectureError:
        return
    assert_agree(variant, batch)


def test_the_article_network():
    assert_agree(PRESETS["article"], 32)
    ours = traced(PRESETS["article"], 1, backward=True)
    assert ours.macs == 18_622_955_520
    assert ours.training_macs == 55_750_852_608  # 3 x forward, less the first convolution's input gradient
    assert traced(PRESETS["article"], 32).saved_bytes == 3_348_708_608


def test_densenet121():
    assert_agree(PRESETS["densenet121"], 2)
    assert traced(PRESETS["densenet121"], 1, backward=True).training_macs == 8_384_471_040
    assert traced(PRESETS["densenet121"], 32).saved_bytes == 4_171_897_600
