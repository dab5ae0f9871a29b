"""The work that times follow: the family's reading against the traced one, arrays against scalars, kinds by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import example, given, reject, settings
from torch import nn
from torch.nn import functional as F
from variants import variants

from analyzer.architecture.network import PRESETS, trace
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import ArchitectureError
from analyzer.reading.family import columns_of
from analyzer.reading.vector import count_columns
from analyzer.reading.work import KINDS, OF_A_BATCH, convolution_kinds, seconds, seconds_of, work
from analyzer.tracing.trace import count_module

DEAR = {f"{kind} {part}": 1e-9 * (i + 1) for i, kind in enumerate(KINDS) for part in ("macs", "moved", "idle", "calls")}
"""Made-up seconds a unit of some work."""


def traced(model: nn.Module, *shape: int) -> dict[str, float]:
    found = count_module(model, [torch.empty(*shape, device="meta")], name="m", follows_work=True).work
    assert found is not None
    return found


def of_variant(variant: Variant) -> dict[str, float]:
    return {name: float(value) for name, value in work(trace(variant)).items() if value}


@settings(max_examples=25, deadline=None)
@example(Variant(block="shuffle", block_config=(2, 3), growth=16, groups=2, init=24, image=64))
@example(Variant(block="separable", block_config=(2, 2), growth=12, init=5, kernel=5, image=64))
@example(Variant(block="squeeze", block_config=(2,), growth=16, init=4, stem="deep", image=64))
@given(variants(buildable=True))
def test_both_readings_are_one(variant: Variant) -> None:
    try:
        trace(variant)
    except ArchitectureError:
        reject()
    assert traced(build(variant, device="meta"), 1, 3, variant.image, variant.image) == of_variant(variant)


@pytest.mark.parametrize("name", ["article", "densenet121", "resnext50_32x4d", "vovnet39a"])
def test_presets_at_a_batch(name: str) -> None:
    variant = PRESETS[name]
    assert traced(build(variant, device="meta"), 3, 3, variant.image, variant.image) == of_variant(variant)


def like(chance: random.Random, block: str, deep: bool) -> list[Variant]:
    """Variants of one structure, whose stages are deep enough to be recorded as repetitions."""
    depths = (6, 5) if deep else (2, 1)
    return [
        Variant(
            block=block, block_config=depths, growth=chance.choice([12, 24, 64, 100]), init=chance.choice([8, 24, 66]),
            image=chance.choice([64, 96, 160]), classes=chance.choice([2, 1000]),
        )
        for _ in range(40)
    ]  # fmt: skip


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("block", ["residual", "dense", "separable", "csp", "harmonic", "add", "vovnet", "bottleneck"])
def test_many_variants_at_once_are_each_alone(block: str, deep: bool) -> None:
    group = like(random.Random(block), block, deep)
    for short in (False, True):
        try:
            net = trace(columns_of(group), short=short)
            together = np.broadcast_to(seconds(net, 4, DEAR), len(group))
        except Exception:
            assert short  # then the variants are read layer by layer
            continue
        regular = np.broadcast_to(net.regular, len(group))
        for i, variant in enumerate(group):
            if regular[i]:
                assert together[i] == pytest.approx(seconds_of(of_variant(variant), 4, DEAR), rel=1e-12)
                assert together[i] == pytest.approx(float(seconds(trace(variant), 4, DEAR)), rel=1e-12)


def test_a_count_has_the_times_of_each() -> None:
    """Deep residual networks have series of widths, which a tile of 64 channels asks layer by layer."""
    group = like(random.Random(1), "residual", True) + like(random.Random(2), "residual", True)
    found = count_columns(
        columns_of(group), 1, ["params", "predicted_image_ns"], clock=lambda net: 1e9 * seconds(net, 1, DEAR)
    )
    for i, variant in enumerate(group):
        assert not found.invalid[i]
        expected = 1e9 * seconds_of(of_variant(variant), 1, DEAR)
        assert found.figures["predicted_image_ns"][i] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("inputs", "kernel", "stride", "groups", "kind"),
    [
        (3, 7, 2, 1, "image convolution"), (4, 1, 1, 1, "image convolution"), (5, 1, 1, 1, "1x1 convolution"),
        (64, 3, 1, 1, "larger convolution"), (64, 3, 1, 2, "grouped convolution"),
        (64, 3, 1, 64, "depthwise convolution"), (64, 3, 2, 64, "strided depthwise"), (64, 5, 1, 64, "large depthwise"),
        (64, 7, 2, 64, "strided depthwise"), (1, 3, 1, 1, "image convolution"),
    ],
)  # fmt: skip
def test_kinds_of_convolutions(inputs: int, kernel: int, stride: int, groups: int, kind: str) -> None:
    assert [each for each, _ in convolution_kinds(inputs, kernel, stride, groups)] == [kind]
    layer = nn.Conv2d(inputs, 64, kernel, stride=stride, groups=groups, padding=kernel // 2, bias=False)
    found = traced(layer, 1, inputs, 8, 8)
    assert {name.rpartition(" ")[0] for name in found} == {kind}
    out = 64 * (8 // stride) ** 2
    assert found[f"{kind} macs"] == out * inputs // groups * kernel**2
    assert found[f"{kind} moved"] == inputs * 64 + out


def test_a_tile_is_idle_where_channels_are_missing() -> None:
    layer = nn.Conv2d(16, 80, 3, padding=1, bias=False)
    assert traced(layer, 2, 16, 8, 8)["larger convolution idle"] == 16 * 9 * 64 * 48


class Attends(nn.Module):
    """One head over 10 positions of 8, by torch's function."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(x, x, x)


def test_attention_is_one_operator() -> None:
    found = traced(Attends(), 2, 1, 10, 8)
    assert found == {
        "attention macs": 2 * 10 * 10 * 8, "attention moved": 4 * 80, "attention made": 80, "attention calls": 1,
    }  # fmt: skip


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised in each forward (Qiao et al. 2019)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight / self.weight.std(), padding=1)


def test_what_no_input_reaches_is_done_once_a_batch() -> None:
    one, four = (traced(Standardised(8, 8, 3, bias=False), batch, 8, 6, 6) for batch in (1, 4))
    assert one == four
    assert one["elementwise weights"] == (576 + 1) + (576 + 1 + 576)
    assert one["larger convolution weights"] == 576
    assert set(OF_A_BATCH) == {"weights", "calls"}


def test_products_of_data_norms_copies_and_means_are_apart() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.linear(self.norm(x))
            scores = torch.softmax(y @ y.transpose(1, 2), -1)
            return torch.cat([scores @ y, torch.roll(y, 1, 1)], 1).mean(1)

    found = traced(Mixed(), 1, 5, 8)
    assert found["product macs"] == 5 * 64
    assert found["data product macs"] == 2 * 5 * 5 * 8
    assert found["row norm moved"] == 2 * 40 + 2 * 25
    assert found["concat moved"] == 2 * 80
    assert found["mean moved"] == 80 + 8
    assert found["copy calls"] >= 1


def test_a_recurrent_layer_counts_all_its_steps() -> None:
    short, long = (traced(nn.LSTM(8, 8, batch_first=True), 1, steps, 8) for steps in (10, 20))
    assert long["product calls"] > short["product calls"] > 0
    assert long["product macs"] == pytest.approx(2 * short["product macs"], rel=1e-9)
