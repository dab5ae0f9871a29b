"""The study's page says what its runs say: by hand on made-up runs, and to the digit on those that are stored."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from study import REFERENCE, ROOT, plan_of, rounds
from study_page import page
from study_runs import opened, save

from analyzer.storing.results_file import NAME
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config, Epoch, Machine
from analyzer.training.runs_file import RunsFile

NETWORKS = {
    "DenseNet121": "dense_b1-1_g4_bn2_c0.5_i4_stemsmall_n2_s16",
    "init 32": "residual_b1-1_g4_r0.5_c0.5_i4_stemsmall_n2_s16",
}
IMAGES = 40


def kept(path: Path) -> RunsFile:
    """Two networks in three rounds of three epochs, 40 images to test on.

    Train accuracies are 55, 70, 90 % in evaluation mode for both. Test accuracy is 45, 60, 70 % for DenseNet121, and
    for init 32 2.5, 5 and 7.5 points (1, 2 and 3 images) higher in the three rounds. The log's train accuracy is 30
    points below the other.
    """
    runs = RunsFile(path, create=True)
    labels = np.arange(IMAGES, dtype=np.int64) % 2
    for seed in range(3):
        for label, network in NETWORKS.items():
            run = f"{network}_seed{seed}"
            runs.begin(Config(
                run=run, network=network, label=label, image=16, classes=("a", "b"), data="d", split=f"s{seed}",
                images=(100, 0, IMAGES), seed=seed, recipe=Recipe(epochs=3), micro=32,
                machine=Machine(device="cpu", threads=1, torch="2"),
            ), {"test": ([f"{i}.jpg" for i in range(IMAGES)], labels)})  # fmt: skip
            for number, (train, test) in enumerate([(0.55, 18), (0.7, 24), (0.9, 28)], start=1):
                right = test + (seed + 1) * (label == "init 32")
                said = np.zeros((IMAGES, 2), np.float32)
                said[np.arange(IMAGES), np.where(np.arange(IMAGES) < right, labels, 1 - labels)] = 1
                epoch = Epoch(
                    epoch=number, lr=1e-4, images=100, log_train_accuracy=train - 0.3, log_train_loss=1.0,
                    train_accuracy=train, train_loss=1.0, test_accuracy=right / IMAGES, test_loss=1.0, cpu_s=10.0,
                )  # fmt: skip
                runs.put(run, epoch, {"test": said})
    return runs


def test_the_page_says_what_the_runs_say(tmp_path: Path) -> None:
    """Differences of 2.5, 5 and 7.5 points: mean 5, standard error 2.5 / sqrt(3), t(2) of 4.3027: ± 6.2."""
    with closing(kept(tmp_path / NAME)) as runs:
        assert save(runs, tmp_path / "stored") == 6
        told = page(runs)
    assert "test accuracy after the last epoch**: +5.0 (-1.2 to +11.2) against DenseNet121, 3 pairs" in told
    assert "gap at the same train accuracy**: -5.0 (-11.2 to +1.2) against DenseNet121, 3 pairs" in told
    assert "18 of 18 epochs of all networks, by train accuracy in evaluation mode in 0" in told
    assert "100 % of it is the log's own doing" in told
    assert "| DenseNet121 | 9 of 9 | 0 of 9 | +30.0 | +30.0 |" in told
    assert "| 3 | 60.0 / 90.0 / 70.0 | 60.0 / 90.0 / 75.0 |" in told
    with opened(tmp_path / "stored") as runs:
        assert page(runs) == told


def test_the_plan_is_what_was_declared(tmp_path: Path) -> None:
    """Every network in every round, a division a round; the article's own after all others."""
    planned = [(plan_of(networks, seed, tmp_path, {}), seed) for networks, seed in rounds(2)]
    assert [len(plan.targets) for plan, _ in planned] == [5, 5, 1, 1]
    for plan, seed in planned:
        assert (plan.seeds, plan.division.seed, plan.recipe) == ((seed,), seed, Recipe(epochs=8))


@pytest.mark.slow
def test_the_committed_page_is_made_of_the_stored_runs() -> None:
    with opened(REFERENCE) as runs:
        assert (REFERENCE / "README.md").read_text(encoding="utf-8") == page(runs)


def test_the_readme_says_what_the_committed_page_does() -> None:
    """The first two of what was declared to count: the gap at the same train accuracy, and test accuracy."""
    told = (REFERENCE / "README.md").read_text(encoding="utf-8")
    said = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    found = re.findall(r"\(init 32\), [^*]*\*\*: (\S+ \([^)]*\)) against DenseNet121, (\d+) pairs", told)
    assert len(found) == 3
    for difference, pairs in found[:2]:
        assert difference in said
        assert f"{pairs} rounds" in said
