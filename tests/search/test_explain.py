"""Shares, elasticities and levers against independent counts, and what was found by hand for the article's network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, reject, settings
from variants import variants

from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import ArchitectureError
from analyzer.limits import at_most
from analyzer.reading.family import record
from analyzer.searching.explain import cheapest, elasticities, levers, shares
from analyzer.space.axes import axis
from analyzer.tracing.trace import count_module

ROOT = Path(__file__).parents[2]
ARTICLE = PRESETS["article"]
SOME = [ARTICLE, PRESETS["densenet121"], PRESETS["resnet50"], Variant(block="basic", growth=(4, 8, 8, 4), stem="deep")]


@pytest.mark.parametrize("variant", SOME, ids=str)
def test_shares_add_up_to_the_totals(variant: Variant) -> None:
    whole = record(variant, 3, layers=False)
    for table in shares(variant, 3):
        for figure in ("params", "macs", "conv_activations", "saved_bytes"):
            assert sum(share.figures[figure] for share in table) == getattr(whole, figure)


def test_roles_of_the_article_by_hand() -> None:
    roles = {share.name: share.figures["params"] for share in shares(ARTICLE)[1]}
    widths, n = [], 64
    for stage, depth in enumerate((2, 4, 3, 2)):
        for _ in range(depth):
            widths.append(n)
            n *= 2
        n = n // 2 if stage < 3 else n
    assert roles["1x1 in"] == sum(w * (w // 4) for w in widths)
    assert roles["3x3"] == sum(9 * (w // 4) ** 2 for w in widths)
    assert roles["1x1 out"] == sum((w // 4) * w for w in widths)
    assert roles["stem"] == 3 * 64 * 49
    assert roles["classifier"] == 2 * n + 2


def numel(variant: Variant) -> int:
    return sum(p.numel() for p in build(variant, device="meta").parameters())


@pytest.mark.parametrize("variant", SOME, ids=str)
def test_elasticities_are_differences_of_the_built_models(variant: Variant) -> None:
    found = elasticities(variant)
    stages = sum(len(value) for value in (variant.growth, variant.block_config) if isinstance(value, tuple))
    assert sum(", stage " in each.axis for each in found) == stages
    for each in found:
        assert each.differences["params"] == numel(each.variant) - numel(variant)
        step = each.stepped / each.value - 1
        assert each.elasticities["params"] == pytest.approx(each.differences["params"] / numel(variant) / step)


@given(variants(buildable=True))
@settings(max_examples=40, deadline=None)
def test_elasticities_differ_in_one_axis_and_are_what_counting_each_says(variant: Variant) -> None:
    try:
        base = built(variant)
    except ArchitectureError:
        reject()
    for each in elasticities(variant):
        field = axis(each.axis.partition(",")[0]).field
        changed = getattr(each.variant, field)
        assert replace(variant, **{field: changed}) == each.variant
        before, after = getattr(variant, field), changed
        if isinstance(before, tuple):
            ((before, after),) = [(b, a) for b, a in zip(before, after, strict=True) if a != b]
        assert (before, after) == (each.value, each.stepped)
        other = built(each.variant)
        for figure in ("params", "macs"):
            assert each.differences[figure] == other[figure] - base[figure]


def built(variant: Variant) -> dict[str, int]:
    """Params by the built module's own tensors, MACs by tracing it: witnesses that share nothing with the count."""
    model = build(variant, device="meta")
    macs = count_module(model, [torch.empty(1, 3, variant.image, variant.image, device="meta")], name="m").macs
    return {"params": sum(p.numel() for p in model.parameters()), "macs": macs}


def test_what_was_found_by_hand() -> None:
    by = {change.said: change.record for change in levers(ARTICLE)}
    assert by["compression 0.25"].params == pytest.approx(4.61e6, rel=2e-3)
    assert by["compression 0.25"].macs == pytest.approx(1.29e9, rel=5e-3)
    assert by["init 32"].params == pytest.approx(37.5e6, rel=2e-3)
    assert by["ratio 0.125"].params == pytest.approx(77.8e6, rel=2e-3)
    assert by["growth 32"].params < 0.002 * 149_871_874
    contrast = record(Variant(block_config=(6, 12, 24, 16), growth=32, bn_size=1))
    assert contrast.params == pytest.approx(2.38e6, rel=3e-3)
    assert contrast.macs == pytest.approx(1.06e9, rel=5e-3)
    assert contrast.saved_bytes == pytest.approx(113e6, rel=5e-3)


def test_the_mildest_change_is_just_under_the_budget() -> None:
    limit = 6_955_906
    for change in cheapest(ARTICLE, at_most({"params": limit})):
        assert change.record.params <= limit
        if change.axis in ("init", "growth"):
            field = {change.axis: change.value + 1}
            assert record(replace(ARTICLE, **field), layers=False).params > limit


def test_changes_of_what_is_said_a_stage() -> None:
    variant = Variant(block_config=(2, 2), growth=(64, 128), ratio=(0.5, 0.25), compression=(0.75,), init=32)
    base = record(variant, layers=False)
    found = {change.axis: change for change in cheapest(variant, at_most({"params": base.params * 3 // 4}))}
    for name in ("growth", "ratio"):
        values, own = found[name].value, getattr(variant, name)
        shares = {round(after / before, 1) for after, before in zip(values, own, strict=True)}
        assert len(shares) == 1
        assert found[name].record.params <= base.params * 3 // 4
    assert "/" in found["growth"].said
    assert found["blocks"].said.count(",") == 1


def test_the_command(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "analyzer", "explain", "article"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for said in ("Doubling growth is the cause", "is not a memory budget", "compression 0.25", "4,611,522"):
        assert said in done.stdout
    done = subprocess.run([*command, "--format", "json"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    data = json.loads(done.stdout)
    assert sum(stage["params"] for stage in data["stages"]) == data["params"] == 149_871_874
    done = subprocess.run(
        [*command, "--max-params", "10"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "no single change" in done.stderr
