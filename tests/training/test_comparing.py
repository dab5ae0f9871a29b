"""Paired statistics against scipy, published power and hand-made examples; whole comparisons of real runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import run_here
from scipy import stats
from trainings import TINY, trained

from analyzer import Variant
from analyzer.errors import UsageError
from analyzer.training import statistics
from analyzer.training.comparing import gap_at, verdict
from analyzer.training.run_records import Epoch
from analyzer.training.statistics import (
    Estimate,
    detectable,
    drawn_images,
    of_accuracies,
    over_images,
    over_seeds,
    pairs_needed,
    power,
)

OTHER = Variant(**{**TINY.to_dict(), "block_config": (1, 1), "growth": 8})


def test_the_interval_over_seeds_is_scipys_paired_t() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(60, 3, 8), random.normal(58, 3, 8)
    found = over_seeds(a - b)
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.value == pytest.approx((a - b).mean())


def test_a_pair_alone_has_no_interval() -> None:
    assert over_seeds([2.5]) == Estimate(value=2.5, low=None, high=None, over="seeds", pairs=1)
    assert over_images(drawn_images([(np.ones(4, bool), np.zeros(4, bool))], [0]), seeds=True).low is None


def test_a_hand_made_example() -> None:
    """Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t(2) of 4.3027."""
    found = over_seeds([1.0, 2.0, 3.0])
    assert (found.low, found.value, found.high) == pytest.approx((2 - 4.302653 / 3**0.5, 2.0, 2 + 4.302653 / 3**0.5))


def test_an_accuracy_is_between_none_and_all() -> None:
    """Accuracies 90 and 100 %: mean 95, standard error 5, t(1) of 12.7."""
    found = of_accuracies([0.9, 1.0])
    assert (found.low, found.value, found.high) == (pytest.approx(95 - 5 * 12.7062, abs=1e-3), 95.0, 100.0)
    assert of_accuracies([0.0, 0.1]).low == 0
    assert of_accuracies([0.5]).low is None


@pytest.mark.parametrize(
    ("sd", "difference", "pairs"),
    [(2, 5, 4), (3, 5, 6), (4, 5, 8), (2, 3, 6), (3, 3, 10), (4, 3, 16)],
)
def test_the_pairs_that_are_needed_are_those_of_the_tables(sd: float, difference: float, pairs: int) -> None:
    """Paired t, two-sided 5 %, 80 %, as tables of the noncentral t have it."""
    assert pairs_needed(sd, difference) == pairs
    assert detectable(pairs, sd) <= difference < detectable(pairs - 1, sd)


def test_power_is_how_often_the_test_sees_it() -> None:
    random = np.random.default_rng(1)
    draws = random.normal(4.0, 3.0, (40_000, 6))
    seen = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert power(6, 3.0, 4.0) == pytest.approx(seen, abs=0.01)
    assert power(2, 3.0, 0.0) == pytest.approx(0.05, abs=1e-6)
    assert (power(1, 3.0, 9.0), power(5, 0.0, 1.0), detectable(1, 3.0)) == (0.0, 1.0, None)


def right(random: np.random.Generator, shares: tuple[float, float], images: int) -> tuple[np.ndarray, np.ndarray]:
    """Two networks that get right mostly the same images."""
    hard = random.random(images)
    return tuple(hard + random.normal(0, 0.05, images) < share for share in shares)


def test_the_bootstrap_over_images_is_scipys() -> None:
    random = np.random.default_rng(2)
    a, b = right(random, (0.7, 0.6), 400)
    ours = over_images(drawn_images([(a, b)], [0]))
    theirs = stats.bootstrap(
        (100.0 * (a.astype(float) - b),), np.mean, method="percentile", n_resamples=10_000, random_state=random
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.35)
    assert ours.value == pytest.approx(100 * (a.mean() - b.mean()))


def test_images_are_drawn_together_where_pairs_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six seeds on the same images tell less of other images than six on images of their own."""
    monkeypatch.setattr(statistics, "DRAWS", 2_000)
    random = np.random.default_rng(3)
    pair = right(random, (0.7, 0.6), 200)
    shared = over_images(drawn_images([pair] * 6, [0] * 6))
    apart = over_images(drawn_images([right(random, (0.7, 0.6), 200) for _ in range(6)], range(6)))
    alone = over_images(drawn_images([pair], [0]))
    assert shared.high - shared.low == pytest.approx(alone.high - alone.low, rel=0.15)
    assert apart.high - apart.low < 0.6 * (shared.high - shared.low)
    both = over_images(drawn_images([right(random, (0.7, 0.6), 200) for _ in range(6)], range(6)), seeds=True)
    assert both.high - both.low > apart.high - apart.low


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        ((4.0, 1.0, 7.0), "A is higher: the interval leaves out 0"),
        ((-4.0, -7.0, -1.0), "A is lower"),
        ((0.5, -1.0, 2.0), "equivalent within 3 points"),
        ((1.0, -4.0, 6.0), "no difference shown; about"),
    ],
)
def test_a_verdict_says_what_the_interval_shows(estimate: tuple[float, float, float], words: str) -> None:
    value, low, high = estimate
    seeds = Estimate(value=value, low=low, high=high, over="seeds", pairs=5)
    assert words in verdict(seeds, seeds, 3.0)
    wide = Estimate(value=value, low=-20.0, high=20.0, over="seeds and images", pairs=5)
    assert "no difference shown" in verdict(wide, seeds, 3.0)  # the wider of both counts


def test_what_is_missing_is_as_many_pairs_as_the_tables_say() -> None:
    """An SD of 3 over 4 pairs: 10 see 3 points."""
    half = stats.t.ppf(0.975, 3) * 3 / 2
    seeds = Estimate(value=0.0, low=-half, high=half, over="seeds", pairs=4)
    assert verdict(seeds, seeds, 3.0) == "no difference shown; about 6 more pairs to see 3 points"


def epochs(*accuracies: tuple[float, float]) -> list[Epoch]:
    return [
        Epoch(epoch=i + 1, lr=1e-4, images=1, log_train_accuracy=0, log_train_loss=0, train_accuracy=train,
              test_accuracy=test)
        for i, (train, test) in enumerate(accuracies)
    ]  # fmt: skip


def test_a_gap_is_matched_between_the_epochs_around_a_level() -> None:
    """Half-way from 0.5 to 0.7 in train accuracy is half-way from 0.45 to 0.55 in test accuracy."""
    run = epochs((0.3, 0.3), (0.5, 0.45), (0.7, 0.55), (0.6, 0.9))
    assert gap_at(run, 0.6) == pytest.approx(100 * (0.6 - 0.5))
    assert gap_at(run, 0.7) == pytest.approx(15.0)
    assert gap_at(run, 0.8) is None
    assert gap_at(run, 0.2) is None


def test_two_networks_are_compared_in_pairs(data: Path, tmp_path: Path) -> None:
    runs = trained(data, tmp_path, [TINY, OTHER], seeds=(0, 1, 2), epochs=3, lr=0.02)
    found = runs.compare()
    last = {network: [r.epochs[-1] for r in runs.runs if r.config.network == network] for network in (found.a, found.b)}
    differences = [100 * (x.test_accuracy - y.test_accuracy) for x, y in zip(last[found.a], last[found.b], strict=True)]
    accuracy = found.judged[0]
    assert [each.over for each in accuracy.estimates] == ["seeds", "images", "seeds and images"]
    assert all(each.value == pytest.approx(np.mean(differences)) for each in accuracy.estimates)
    assert found.pairs == ("seed 0", "seed 1", "seed 2")
    assert (found.epoch, found.margin) == ("last", 3.0)
    again = run_here("train", "compare", str(tmp_path), found.b, found.a, "--format", "json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    turned = json.loads(again.stdout)
    assert turned["judged"][0]["estimates"][0]["value"] == pytest.approx(-accuracy.estimates[0].value)
    shown = run_here("train", "compare", str(tmp_path), "--margin", "0.05", cwd=tmp_path)
    assert "3 points were declared before the first step, 5 are asked now" in shown.stderr
    assert accuracy.about in shown.stdout


def test_what_can_not_be_compared_is_said(data: Path, tmp_path: Path) -> None:
    runs = trained(data, tmp_path, epochs=1)
    with pytest.raises(UsageError, match="names no two networks"):
        runs.compare()
    trained(data, tmp_path, OTHER, epochs=1, seeds=(1,))
    with pytest.raises(UsageError, match="no finished pair"):
        runs.compare()
    with pytest.raises(UsageError, match="has no run of 'article'"):
        runs.compare("article", OTHER.name)
    trained(data, tmp_path, OTHER, epochs=1, lr=0.5)
    found = runs.compare()
    assert any("differ in their recipe" in doubt for doubt in found.doubts)
    assert found.judged[0].verdict == "one pair shows nothing: train more seeds"
    with pytest.raises(UsageError, match=r"margin"):
        trained(data, tmp_path / "x", outcome={"margin": 3})


def test_an_outcome_that_is_changed_afterwards_is_refused(data: Path, tmp_path: Path) -> None:
    trained(data, tmp_path, epochs=1)
    with pytest.raises(UsageError, match=r"outcome epoch last -> validation"):
        trained(data, tmp_path, epochs=1, outcome={"epoch": "validation"})


def test_what_the_seeds_can_see_is_said_before_the_first_step(data: Path, tmp_path: Path) -> None:
    done = run_here(
        "train", TINY.name, OTHER.name, "--data", str(data), "--out", "out", "--image", "16", "--batch", "8",
        "--seeds", "0,1,2,3,4,5", "--dry-run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sees = re.search(
        r"6 pairs see (\d\.\d) points, 80 times in 100, where pairs' differences have an SD of 3", done.stdout
    )
    assert power(6, 3.0, float(sees[1])) == pytest.approx(0.8, abs=0.02)
