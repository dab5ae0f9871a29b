"""Our modules are taken as they are by torch.fx and torch.export, on random variants of every block."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import ArchitectureError, VariantError
from analyzer.exporting.exportee import exportee
from analyzer.exporting.generated import generated

STEMS = ("imagenet", "deep", "small", "strided")


def made(variant: Variant) -> torch.nn.Module:
    """The variant's network in evaluation mode, its running statistics no longer 0 and 1."""
    model = build(variant)
    drawn = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(generator=drawn)
            module.running_var.uniform_(0.5, 2, generator=drawn)
    return model.eval()


def images(variant: Variant, batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, variant.image, variant.image, generator=torch.Generator().manual_seed(batch))


@st.composite
def small(draw: st.DrawFn) -> Variant:
    block = BLOCKS[draw(st.sampled_from(sorted(BLOCKS)))]
    depth = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    fields = {"growth": draw(st.sampled_from([4, 8, 12])), "kernel": draw(st.sampled_from([1, 3, 5]))}
    if block.family.has_transitions:
        fields["drop"] = draw(st.sampled_from([0.0, 0.25]))
    return Variant(
        block=block.name, block_config=tuple(depth), init=8, stem=draw(st.sampled_from(STEMS)),
        image=draw(st.integers(32, 48)), classes=3, **fields,
    )  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(small())
def test_fx_traces_any_variant_to_the_bit(variant: Variant) -> None:
    try:
        model = made(variant)
    except (ArchitectureError, VariantError):
        assume(False)
    graph = torch.fx.symbolic_trace(model)
    assert [node.target for node in graph.graph.nodes if node.op == "placeholder"] == ["x"]
    assert not any(isinstance(node.target, str) and node.target == "getattr" for node in graph.graph.nodes)
    for batch in (1, 3):
        with torch.no_grad():
            assert torch.equal(graph(images(variant, batch)), model(images(variant, batch)))


@pytest.mark.parametrize(("block", "stem"), [
    ("residual", "imagenet"), ("dense", "deep"), ("harmonic", "small"), ("csp", "strided"), ("squeeze", "imagenet"),
    ("shuffle", "small"), ("bottleneck", "imagenet"), ("vovnet", "small"),
])  # fmt: skip
def test_an_exported_program_takes_any_batch_to_the_bit(block: str, stem: str) -> None:
    variant = Variant(block=block, block_config=(2,), growth=8, init=8, stem=stem, image=32, classes=3)
    model = made(variant)
    program = torch.export.export(model, (images(variant, 2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for batch in (1, 2, 5):
        with torch.no_grad():
            assert torch.equal(program.module()(images(variant, batch)), model(images(variant, batch)))


def test_the_window_over_the_whole_image_averages_a_smaller_one_and_refuses_a_larger() -> None:
    """Its size is a number in the graph, and never averages a part of an image in silence."""
    model = made(Variant(block_config=(1,), growth=4, init=8, image=64, stem="imagenet", classes=3))
    smaller = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.classifier(model.features(smaller).mean((2, 3)))
        assert torch.allclose(model(smaller), expected, atol=1e-6)
        with pytest.raises(RuntimeError, match="shapes"):
            model(torch.randn(2, 3, 128, 128))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(small())
def test_any_variant_is_written_out_as_a_module_to_the_bit(variant: Variant) -> None:
    try:
        model = made(variant)
    except (ArchitectureError, VariantError):
        assume(False)
    text = generated(exportee(model, (1, 3, variant.image, variant.image), name=variant.name))
    names: dict = {"__file__": "net.py"}
    exec(text.code, names)  # noqa: S102 - its text is what is tested
    again = names["Network"]()
    again.load_state_dict(text.tensors)
    assert again.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(again.eval()(images(variant, 2)), model(images(variant, 2)))
