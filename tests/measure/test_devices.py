"""Devices that are not at hand: profiles by name, predictions of any model, what they say of themselves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from commands import run_command
from torch import nn

from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.budget.check import check
from analyzer.building.modules import build
from analyzer.errors import UsageError
from analyzer.limits import Limit
from analyzer.measuring.fitting import band, by_family, fit_robust
from analyzer.reading.family import record, with_latency
from analyzer.reading.latency import Profile, kind_of
from analyzer.reading.profiles import SHIPPED, file_of, files, profile_at, read_profile, write_profile
from analyzer.reporting.against import against
from analyzer.reporting.tables import cards
from analyzer.searching.engine import search
from analyzer.searching.query import Objective, Query
from analyzer.space.space import Space
from analyzer.targets.analysis import analyze

PUBLISHED = {
    "rtx3090": {"densenet121": 2764.41, "resnet50": 3219.06, "resnext50_32x4d": 2577.31},
    "rtx4090": {"densenet121": 3630.79, "resnet50": 4302.84, "resnext50_32x4d": 3493.48},
}
"""Images a second of pytorch-image-models' tables (results, commit aa4b5850)."""


def on(word: str) -> Profile:
    profile = profile_at(word)
    assert profile is not None
    return profile


# -- names -----------------------------------------------------------------------------------------------------


def test_what_ships_reads_and_says_what_it_is_worth() -> None:
    found = {name: read_profile(path) for name, path in files().items() if path.parent == SHIPPED}
    assert {"rtx3090", "rtx3090:nhwc", "rtx4090", "rtx4090:nhwc", "rtx4090:compiled", "rtx5090", "rtx5090:compiled",
            "rtxpro6000", "rtxpro6000:compiled", "h100"} <= set(found)  # fmt: skip
    for name, profile in found.items():
        assert profile.name == name
        timed_here = profile.source.startswith("this package")
        assert timed_here or "Apache-2.0" in profile.source
        assert profile.rows > (80 if timed_here else 1000)
        assert profile.families > (70 if timed_here else 100)
        assert set(profile.bands) == {"plain", "depthwise", "attention"}
        assert all(each.low < 1 < each.high for each in profile.bands.values())
        assert profile.settings.compiled == (":compiled" in name)
        assert profile.settings.channels_last == (":nhwc" in name)
    assert found["rtx3090"].training is not None
    assert found["rtx3090"].training.settings.mode == "training"


@pytest.mark.parametrize("word", ["rtx4090:nchw", "rtx4090:eager:amp", "RTX4090"])
def test_what_goes_without_saying_may_be_said(word: str) -> None:
    assert on(word) == on("rtx4090")


def test_an_unknown_device_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="rtx4080") as raised:
        profile_at("rtx4080")
    assert "rtx4090" in raised.value.fix
    with pytest.raises(UsageError, match="no name of a device"):
        file_of("../etc/x", SHIPPED)


def test_ones_own_profile_has_a_name_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    own = msgspec.structs.replace(on("rtx4090"), name="mybox:nhwc", source="")
    path = file_of(own.name, tmp_path / "analyzer" / "devices")
    write_profile(own, path)
    assert on("mybox:nhwc") == own == on(str(path)) == read_profile(path)
    done = run_command("devices", "--format", "json", cwd=tmp_path, XDG_DATA_HOME=str(tmp_path))
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert not rows["mybox:nhwc"]["ships"]
    assert rows["rtx4090"]["ships"]
    table = run_command("devices", cwd=tmp_path, XDG_DATA_HOME=str(tmp_path), COLUMNS="300").stdout
    assert "yours" in table
    assert " old" in table or "new today" in table


# -- predictions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", PUBLISHED)
def test_published_times_lie_in_the_band(device: str) -> None:
    for name, images_per_s in PUBLISHED[device].items():
        found = on(device).predict_variant(PRESETS[name])
        assert found.low_s is not None
        assert found.high_s is not None
        assert found.batch / found.high_s < images_per_s < found.batch / found.low_s
        assert not found.outside


def test_any_model_is_predicted_as_the_variant_that_it_is() -> None:
    own = analyze(build(PRESETS["densenet121"], device="meta"), inputs=(2, 3, 224, 224), on="rtx4090").predicted
    variant = analyze("densenet121", on="rtx4090").predicted
    assert own is not None
    assert variant is not None
    assert own.latency_s == pytest.approx(variant.latency_s, rel=1e-12)
    assert (own.batch, own.on, own.settings) == (variant.batch, "rtx4090", variant.settings)
    assert variant.images_per_s == pytest.approx(1e9 / variant.image_ns, rel=1e-3)


def test_a_batch_of_ones_own_and_what_is_beyond_the_fit_are_said() -> None:
    profile = on("rtx4090")
    small = profile.at(1).predict_variant(PRESETS["densenet121"])
    assert small.batch == 1
    assert any("batches" in said for said in small.outside)
    assert small.latency_s < profile.predict_variant(PRESETS["densenet121"]).latency_s
    tiny = profile.predict_variant(Variant(block="dense", block_config=(1,), growth=4, init=4, image=32))
    assert any("an image" in said for said in tiny.outside)
    unseen = msgspec.structs.replace(profile, kinds=("1x1 convolution",))
    assert any("concat" in said for said in unseen.predict_variant(PRESETS["densenet121"]).outside)


class Attention(nn.Module):
    """One layer of a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(64, 4, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.layer(x)


def test_networks_with_attention_have_their_own_coefficients_and_band() -> None:
    found = analyze(Attention(), inputs=(2, 50, 64), on="rtx4090")
    assert found.work is not None
    assert found.predicted is not None
    assert kind_of(found.work) == "attention"
    bands = on("rtx4090").bands
    assert found.predicted.mean_error == bands["attention"].mean_error
    assert kind_of(analyze("resnet50", on="rtx4090").work or {"1x1 convolution moved": 1}) == "plain"


def test_a_training_step_is_predicted_where_there_is_a_table() -> None:
    found = record(PRESETS["resnet50"], profile=on("rtx3090")).predicted
    assert found is not None
    assert found.training is not None
    assert found.training.latency_s / found.training.batch > 2 * found.latency_s / found.batch
    assert record(PRESETS["resnet50"], profile=on("rtx5090")).predicted.training is None  # type: ignore[union-attr]


# -- the verbs -------------------------------------------------------------------------------------------------


def test_a_search_is_limited_by_predicted_time() -> None:
    profile = on("rtx3090")
    space = Space(
        block=["dense"],
        blocks=[(2, 3), (6, 6, 2)],
        growth=[8, 16, 24, 32],
        bn_size=[1, 4],
        init=[16, 33],
        image=[96, 160],
    )
    every = [part.variant(i) for part in space.parts for i in range(part.size)]
    times = {variant: record(variant, layers=False, profile=profile).predicted.image_ns for variant in every}  # type: ignore[union-attr]
    bound = int(np.median(list(times.values())))
    limit = Limit(figure="predicted_image_ns", bound=bound, source="--max-latency")
    found = search(space, Query((Objective("macs", maximize=True),), (limit,), profile=profile))
    assert abs(found.finds.fitting - sum(time <= bound for time in times.values())) <= 1  # rounding of one
    least = search(space, Query((Objective("predicted_image_ns"),), profile=profile))
    part, index = least.finds.where[0]
    assert times[space.parts[part].variant(int(index))] == min(times.values())


@pytest.mark.slow
def test_the_command_predicts(tmp_path: Path) -> None:
    shown = run_command("show", "densenet121", "--on", "rtx4090", "--format", "json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    predicted = json.loads(shown.stdout)["predicted"]
    assert predicted["on"] == "rtx4090"
    assert predicted["low_s"] < predicted["latency_s"] < predicted["high_s"]
    assert "mean error" in shown.stderr
    compared = run_command("compare", "article", "densenet121", "--on", "rtx4090", cwd=tmp_path).stdout
    assert "predicted throughput" in compared
    explained = run_command("explain", "densenet121", "--on", "rtx4090", "--max-latency", "250us", cwd=tmp_path)
    assert explained.returncode == 2  # no unit of ours
    explained = run_command("explain", "densenet121", "--on", "rtx4090", "--max-latency", "0.2ms", cwd=tmp_path)
    assert "by kind of operator" in explained.stdout
    assert "predicted time an image" in explained.stdout
    alone = run_command("explain", "densenet121", "--max-latency", "2ms", cwd=tmp_path)
    assert (alone.returncode, "--on" in alone.stderr) == (2, True)


def test_sweeps_searches_and_reports_predict(tmp_path: Path) -> None:
    swept = run_command(
        "sweep", "densenet121", "resnet50", "--measure", "none", "--on", "rtx4090", "--out", "s", cwd=tmp_path
    )
    assert swept.returncode == 0, swept.stderr
    with (tmp_path / "s" / "results.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    first = float(rows["densenet121"]["predicted_images_per_s"])
    page = (tmp_path / "s" / "report.html").read_text()
    assert "predicted for NVIDIA GeForce RTX 4090" in page
    assert "(90 %: " in page
    again = run_command("report", "s", "--on", "rtx3090", "--out", "r.html", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "predicted for NVIDIA GeForce RTX 3090" in (tmp_path / "r.html").read_text()
    found = run_command(
        "search", "--block", "dense", "--blocks", "6,12,24,16", "--growth", "8:32:8", "--bn-size", "4", "--classes",
        "1000", "--on", "rtx4090", "--max-latency", f"{1e3 / first:.6f}ms", "--maximize", "macs", "--format", "jsonl",
        cwd=tmp_path,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    for line in found.stdout.splitlines():
        assert json.loads(line)["predicted_image_ns"] <= 1e9 / first + 1


def test_a_throughput_card_says_for_where_and_its_band() -> None:
    row = with_latency(record(PRESETS["article"]), on("rtx4090"))
    page = against(record(PRESETS["densenet121"]), row, command=("test",), generated="now")
    card = next(card for card in cards(page) if card.figure.name == "predicted_images_per_s")
    assert any(line.startswith("predicted for NVIDIA GeForce RTX 4090, batch 1,024") for line in card.lines)
    assert "90 %" in card.standing


def budgeted(folder: Path, budget: str) -> Any:
    (folder / "analyzer.toml").write_text(
        f'[models.m]\ntarget = "densenet121"\n[models.m.budgets]\npredicted_latency_s = {budget}\n'
    )
    return check(folder)


def test_a_check_warns_of_predicted_latency(tmp_path: Path) -> None:
    tight = '{ max = "1ms", on = "rtx4090" }'
    verdict = budgeted(tmp_path, tight)
    (finding,) = [finding for finding in verdict.findings if finding.figure == "predicted_latency_s"]
    assert (finding.level, finding.kind, verdict.exit_code) == ("warning", "excess", 0)
    assert "rtx4090" in finding.what
    assert "90 %" in finding.standing
    assert budgeted(tmp_path, tight.replace(" }", ', level = "error" }')).exit_code == 1
    fits = budgeted(tmp_path, '{ max = "10s", on = "rtx4090" }')
    assert (fits.exit_code, [f for f in fits.findings if f.level != "note"]) == (0, [])
    assert {line.figure: line.limit for line in fits.models[0].figures}["predicted_latency_s"] == 10.0


@pytest.mark.parametrize(
    ("most", "kind", "code"), [("", "waived", 0), ('max = "10s"', "waived", 0), ('max = "2ms"', "excess", 1)]
)
def test_a_waiver_lets_a_predicted_time_pass(tmp_path: Path, most: str, kind: str, code: int) -> None:
    tight = '{ max = "1ms", on = "rtx4090", level = "error" }'
    why = 'figure = "predicted_latency_s"\nreason = "a trial"\nby = "Ada"\nexpires = 2999-12-31\n'
    verdict = budgeted(tmp_path, f"{tight}\n[[models.m.waivers]]\n{why}{most}\n")
    finding, *_ = [finding for finding in verdict.findings if finding.figure == "predicted_latency_s"]
    assert (finding.kind, verdict.exit_code) == (kind, code)


@pytest.mark.parametrize(
    "budget", ['{ max = "1ms" }', '{ on = "rtx4090" }', '{ max = "1ms", on = "rtx4090", growth = "5%" }',
               '{ max = "1ms", on = "rtx1" }', '{ max = "8M", on = "rtx4090" }']
)  # fmt: skip
def test_a_budget_of_latency_that_means_nothing_is_refused(budget: str, tmp_path: Path) -> None:
    assert budgeted(tmp_path, budget).exit_code == 2


# -- fits ------------------------------------------------------------------------------------------------------


def test_a_robust_fit_finds_the_law_beside_a_few_that_break_it() -> None:
    random = np.random.default_rng(0)
    rows = random.uniform(1e6, 1e9, (200, 5))
    law = np.array([3e-12, 0.0, 5e-12, 1e-12, 2e-12])
    seconds = rows @ law
    seconds[:10] *= 3
    assert fit_robust(rows, seconds) == pytest.approx(law, rel=0.02, abs=5e-14)


def test_alike_factors_that_rows_cannot_tell_apart_share() -> None:
    random = np.random.default_rng(1)
    one = random.uniform(1e6, 1e9, 60)
    rows = np.column_stack([one, one * random.uniform(0.999, 1.001, 60)])
    found = fit_robust(rows, rows @ np.array([4e-12, 0.0]), alike=[(0, 1)])
    assert found == pytest.approx([2e-12, 2e-12], rel=0.1)


def test_a_family_is_predicted_by_others_alone() -> None:
    families = [name for name in "abcdefghijklmnopqrst" for _ in range(3)]
    masks = []
    by_family(families, lambda mask: masks.append(mask) or np.zeros(len(families)))  # type: ignore[func-returns-value]
    for mask in masks:
        out = {family for family, inside in zip(families, mask, strict=True) if not inside}
        assert out
        assert not out & {family for family, inside in zip(families, mask, strict=True) if inside}


def test_a_band_holds_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    inside = []
    for _ in range(300):
        ratios = np.exp(random.normal(0, 0.1, 210))
        found = band(np.ones(200), ratios[:200])
        inside += [found.low <= ratio <= found.high for ratio in ratios[200:]]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)
