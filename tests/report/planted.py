"""A results file of trainings that never were: epochs and logits by hand, so that every number is known beforehand."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.architecture.variant import Variant
from analyzer.storing.results_file import NAME
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config, Epoch, Machine
from analyzer.training.runs_file import RunsFile

SMALL = Variant(block="residual", block_config=(1, 1), growth=4, ratio=0.5, init=4, image=16, classes=2, stem="small")
LARGE = Variant(block="residual", block_config=(1, 1), growth=8, ratio=0.5, init=4, image=16, classes=2, stem="small")
IMAGES = 40
LEARNING = {"small": ((0.5, 0.55), (0.6, 0.6), (0.8, 0.7)), "large": ((0.4, 0.45), (0.7, 0.65), (0.9, 0.8))}
"""Train and test accuracy in evaluation mode after each of three epochs, of seed 0."""
LOG_BELOW = 0.1
"""How far the log's train accuracy lies below that in evaluation mode."""


def config(network: str, label: str, seed: int, **more: Any) -> Config:
    """A run's configuration, three epochs of two classes."""
    said: dict[str, Any] = {
        "run": f"{network}_seed{seed}", "network": network, "label": label, "image": 16, "classes": ("no", "yes"),
        "data": "d" * 64, "split": "s" * 64, "images": (80, 0, IMAGES), "seed": seed, "recipe": Recipe(epochs=3),
        "micro": 32, "machine": Machine(device="cpu", threads=1, torch="2.13.0"),
    }  # fmt: skip
    return Config(**{**said, **more})


def epoch(number: int, train: float, test: float, **more: Any) -> Epoch:
    """An epoch that took 10 CPU-seconds."""
    said: dict[str, Any] = {
        "epoch": number, "lr": 1e-4, "images": 80, "log_train_accuracy": round(max(train - LOG_BELOW, 0), 4),
        "log_train_loss": 1.0, "train_accuracy": train, "train_loss": 1.0, "test_accuracy": test, "test_loss": 1.0,
        "wall_s": 5.0, "cpu_s": 10.0, "evaluation_cpu_s": 2.0,
    }  # fmt: skip
    return Epoch(**{**said, **more})


def logits(share: float) -> tuple[np.ndarray, np.ndarray]:
    """What a network says that gets that share of the images right, and their classes: those right come first."""
    labels = np.arange(IMAGES) % 2
    right = np.arange(IMAGES) < round(share * IMAGES)
    said = np.where(right, labels, 1 - labels)
    return np.eye(2, dtype=np.float32)[said], labels


def put(runs: RunsFile, about: Config, learning: tuple[tuple[float, float], ...], **more: Any) -> None:
    """A run with its epochs and logits."""
    keys = [f"{i}.png" for i in range(IMAGES)]
    runs.begin(about, {"test": (keys, logits(0)[1])})
    for number, (train, test) in enumerate(learning, start=1):
        runs.put(about.run, epoch(number, train, test, **more), {"test": logits(test)[0]})


def planted(folder: Path, seeds: int = 3, *, labelled: bool = True) -> Path:
    """`folder/results.db`: two variants from so many seeds; each seed's test accuracies lie a 40th above the last's.
    With `labelled` false they go by their own names.
    """
    with closing(RunsFile(folder / NAME, create=True)) as runs:
        for seed in range(seeds):
            for label, variant in (("small", SMALL), ("large", LARGE)):
                learning = tuple((train, round(test + seed / IMAGES, 4)) for train, test in LEARNING[label])
                put(runs, config(variant.name, label if labelled else variant.name, seed), learning)
    return folder
