"""Shares, elasticities and levers against independent counts, and what was found by hand for the article's network."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import run_command
from hypothesis import example, given, reject, settings
from variants import variants

from analyzer.architecture.axes import axis
from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import ArchitectureError
from analyzer.limits import Limit, at_most
from analyzer.reading.family import record
from analyzer.searching.explain import cheapest, elasticities, levers, shares
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


def test_vovnets_parameters_sit_in_its_stages_by_hand() -> None:
    """Five 3x3 and a 1x1 a module, with their norms (Lee et al. 2019, table 1); a stem of three 3x3; 1000 classes."""
    stages, n = {"stem": 9 * (3 * 64 + 64 * 64 + 64 * 128) + 2 * (64 + 64 + 128)}, 128
    for stage, (depth, out, width) in enumerate([(1, 256, 128), (1, 512, 160), (2, 768, 192), (2, 1024, 224)], 1):
        params = 0
        for _ in range(depth):
            params += 9 * (n * width + 4 * width * width) + 5 * 2 * width + (n + 5 * width) * out + 2 * out
            n = out
        stages[f"stage {stage}"] = params
    stages["head"] = 1024 * 1000 + 1000
    assert {share.name: share.figures["params"] for share in shares(PRESETS["vovnet39a"])[0]} == stages


def numel(variant: Variant) -> int:
    return sum(p.numel() for p in build(variant, device="meta").parameters())


@pytest.mark.slow
@pytest.mark.parametrize("variant", SOME, ids=str)
def test_elasticities_are_differences_of_the_built_models(variant: Variant) -> None:
    found = elasticities(variant)
    stages = sum(len(value) for value in (variant.growth, variant.block_config) if isinstance(value, tuple))
    assert sum(", stage " in each.axis for each in found) == stages
    for each in found:
        assert each.differences["params"] == numel(each.variant) - numel(variant)
        step = each.stepped / each.value - 1
        assert each.elasticities["params"] == pytest.approx(each.differences["params"] / numel(variant) / step)


def places(variant: Variant, field: str) -> tuple[Any, ...]:
    """An axis's value in each place; one number that stands for several, in each of them."""
    value = getattr(variant, field)
    stages = len(variant.block_config)
    wide = {"growth": stages, "ratio": stages, "compression": stages - 1}.get(field, 1)
    return value if isinstance(value, tuple) else (value,) * max(1, wide)


UNEVEN = Variant(block="add", block_config=(1, 1), growth=(1, 2), ratio=0.25, init=4, kernel=1)


@pytest.mark.slow
@given(variants(buildable=True))
# One step makes these the same in every stage: one number.
@example(UNEVEN)
@example(replace(UNEVEN, growth=(2, 1), ratio=(0.32, 0.34)))
@example(replace(UNEVEN, block_config=(1, 1, 1), growth=4, compression=(0.32, 0.34)))
@example(replace(UNEVEN, block_config=(1, 1, 1), growth=4, compression=(1.0, 0.9375)))
@settings(max_examples=40, deadline=None)
def test_elasticities_differ_in_one_axis_and_are_what_counting_each_says(variant: Variant) -> None:
    try:
        base = built(variant)
    except ArchitectureError:
        reject()
    for each in elasticities(variant):
        option, _, stage = each.axis.partition(", stage ")
        field = axis(option).field
        assert (
            replace(variant, **{field: getattr(each.variant, field)})
            == each.variant
            == Variant.parse(each.variant.name)
        )
        before, after = places(variant, field), places(each.variant, field)
        place = slice(int(stage) - 1, int(stage)) if stage else slice(None)
        assert set(before[place]) == {each.value}
        assert set(after[place]) == {each.stepped} != {each.value}
        if stage:
            assert (before[: place.start], before[place.stop :]) == (after[: place.start], after[place.stop :])
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


@pytest.mark.parametrize(
    ("field", "uneven", "even"),
    [("growth", (3, 4, 3), 2), ("ratio", (0.0021, 0.002, 0.0021), 0.0018), ("compression", (0.0021, 0.002), 0.0018)],
)
def test_a_change_that_is_the_same_in_every_stage_is_one_number(field: str, uneven: Any, even: float) -> None:
    """As the variant that it makes has it, and as a name says it. By hand: 30/32, 28/32 of each, rounded, are equal."""
    variant = Variant(**({"block_config": (1, 1, 1), "growth": 16, "ratio": 1.0, "init": 500_000} | {field: uneven}))
    limit = record(replace(variant, **{field: even}), layers=False).params
    found = {
        change.axis: change for change in (*levers(variant), *cheapest(variant, [Limit(figure="params", bound=limit)]))
    }
    assert (found[field].value, found[field].said) == (even, f"{field} {even}")
    for change in found.values():
        assert change.value == getattr(Variant.parse(change.record.target.name), axis(change.axis).field)


def test_the_command(tmp_path: Path) -> None:
    def explain(*words: str) -> subprocess.CompletedProcess[str]:
        return run_command("explain", *words, cwd=tmp_path)

    done = explain("article")
    assert done.returncode == 0, done.stderr
    for said in ("Doubling growth is the cause", "is not a memory budget", "compression 0.25", "4,611,522"):
        assert said in done.stdout
    data = json.loads(explain("article", "--format", "json", "--max-params", "149M").stdout)
    assert sum(stage["params"] for stage in data["stages"]) == data["params"] == 149_871_874
    assert {change["axis"] for change in data["cheapest"]} >= {"growth", "init", "ratio"}
    small = ("--block", "dense", "--blocks", "1", "--growth", "4", "--init", "8", "--image", "32")
    assert "no single change" in explain(*small, "--max-params", "10").stderr
