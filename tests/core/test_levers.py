"""Blocks beyond the article's and DenseNet's: their arithmetic by hand, on networks small enough to write out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.reading.family import record

C, G, H = 12, 8, 16
"""Channels in, growth, hidden width (bn_size 2)."""


def layer_params(variant: Variant) -> int:
    """Parameters of everything in the first stage but its transition."""
    rows = record(variant).layers or ()
    return sum(row.params for row in rows if row.path.startswith("features.denseblock1."))


def one_stage(block: str, depth: int, **fields: object) -> Variant:
    hidden = {} if BLOCKS[block].bn_size is None else {"bn_size": 2}
    return Variant(block=block, block_config=(depth,), growth=G, init=C, stem="small", image=16, **(hidden | fields))


def dense(inputs: int, growth: int = G, hidden: int = H) -> int:
    """DenseNet-B's layer by hand."""
    return 2 * inputs + inputs * hidden + 2 * hidden + 9 * hidden * growth


@pytest.mark.parametrize(
    ("variant", "params"),
    [
        (one_stage("dense", 2), dense(C) + dense(C + G)),
        # 1x1, depthwise 3x3, pointwise.
        (one_stage("separable", 1), 2 * C + C * H + 2 * H + 9 * H + H * G),
        # grouped 3x3: a quarter of the weights; the shuffle has none.
        (one_stage("shuffle", 1, groups=4), 2 * C + C * H + 2 * H + 9 * H * G // 4),
        # squeeze-and-excitation of G channels through G // 4, with biases.
        (one_stage("squeeze", 1), dense(C) + (G * (G // 4) + G // 4) + ((G // 4) * G + G)),
        (one_stage("lowrank", 1), 2 * C + C * (H // 4) + (H // 4) * H + 2 * H + 9 * H * G),
        # log-dense: layer 1 gets x0; 2: x1, x0; 3: x2, x1; 4: x3, x2, x0.
        (one_stage("logdense", 4), dense(C) + dense(G + C) + dense(2 * G) + dense(2 * G + C)),
        # harmonic: widths 8, 12 (12.8 floored, made even), 8, 20 (20.48), links 0; 1,0; 2; 3,2,0.
        (
            one_stage("harmonic", 4),
            dense(C) + dense(G + C, 12, H) + dense(12) + dense(G + 12 + C, 20, H),
        ),
        # cross-stage: half of 12 passes by, 6 + 2 x 8 = 22 leave the layers, a 1x1 halves them.
        (one_stage("csp", 2), dense(6) + dense(6 + G) + 2 * 22 + 22 * 11),
    ],
    ids=lambda value: value.block if isinstance(value, Variant) else "",
)
def test_parameters_by_hand(variant: Variant, params: int) -> None:
    assert layer_params(variant) == params
    model = build(variant)
    assert sum(p.numel() for p in model.features.denseblock1.parameters()) == params


def test_harmonic_stage_gives_its_odd_layers_and_the_last() -> None:
    model = build(one_stage("harmonic", 4))
    assert model.features.norm5.num_features == G + G + 20


def test_csp_passes_its_first_half_by_untouched() -> None:
    stage = build(one_stage("csp", 2)).eval().features.denseblock1
    x = torch.randn(1, C, 16, 16)
    with torch.no_grad():
        assert torch.equal(stage(x)[:, : C // 2], x[:, : C // 2])


def test_adding_keeps_the_width_after_a_stages_first_layer() -> None:
    variant = Variant(block="add", block_config=(3,), init=16, stem="small", image=16)
    stage = build(variant).eval().features.denseblock1
    widths = [16, 32, 32]
    for layer, width in zip(stage, widths, strict=True):
        assert layer.norm1.num_features == width
    x = torch.randn(1, 32, 16, 16)
    with torch.no_grad():
        for conv in (stage[1].conv3,):
            nn.init.zeros_(conv.weight)
        assert torch.equal(stage[1](x), x)  # the branch is 0: identity


def test_squeeze_scales_each_new_channel() -> None:
    layer = build(one_stage("squeeze", 1)).eval().features.denseblock1.denselayer1
    x = torch.randn(1, C, 16, 16)
    with torch.no_grad():
        nn.init.zeros_(layer.se.fc2.weight)
        nn.init.constant_(layer.se.fc2.bias, 100.0)  # sigmoid 1: plain dense layer
        expected = layer.conv2(layer.relu2(layer.norm2(layer.conv1(layer.relu1(layer.norm1(x))))))
        assert torch.allclose(layer(x)[:, C:], expected)


def test_per_stage_ratio_and_compression() -> None:
    variant = Variant(block_config=(1, 1, 1), growth=G, init=64, ratio=(0.5, 0.25, 0.125), compression=(0.5, 0.25))
    model = build(variant, device="meta")
    assert model.features.denseblock1.denselayer1.conv1.out_channels == 32
    assert model.features.transition1.conv.out_channels == 36
    assert model.features.denseblock2.denselayer1.conv1.out_channels == 9
    assert model.features.transition2.conv.out_channels == 11
    assert model.features.denseblock3.denselayer1.conv1.out_channels == 1
