"""Images to train on, made by the tests (every class has a shape of its own), and the smallest training on them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from analyzer import Variant
from analyzer.api.training import Runs, train
from analyzer.storing.results_file import NAME
from analyzer.training.runs_file import RunsFile

CLASSES = ("cross", "disc", "stripes")


def picture(label: int, number: int, size: int = 20) -> np.ndarray:
    """uint8 (size, size, 3): a class's pattern at a place and in colours of the number's own."""
    draw = np.random.default_rng([label, number])
    rows, columns = np.mgrid[:size, :size]
    y, x = draw.integers(size // 4, 3 * size // 4, 2)
    inside = (
        (abs(rows - y) < 2) | (abs(columns - x) < 2),
        (rows - y) ** 2 + (columns - x) ** 2 < (size // 4) ** 2,
        (rows + y) // 2 % 2 == 0,
    )[label]
    colours = draw.integers(0, 256, (2, 3))
    noise = draw.integers(-20, 20, (size, size, 3))
    return np.clip(np.where(inside[..., None], colours[0], colours[1]) + noise, 0, 255).astype(np.uint8)


def folder(path: Path, each: int = 12, classes: int = 3) -> Path:
    """`path/class/*.png`, so many of each class."""
    for label, name in enumerate(CLASSES[:classes]):
        (path / name).mkdir(parents=True)
        for number in range(each):
            Image.fromarray(picture(label, number)).save(path / name / f"{number:02}.png")
    return path


def uneven(data: Path, to: Path) -> Path:
    """The same images but for five of the first class: its share is another one's no more."""
    shutil.copytree(data, to)
    for path in sorted((to / CLASSES[0]).iterdir())[:5]:
        path.unlink()
    return to


TINY = Variant(block="residual", block_config=(1, 1), growth=4, ratio=0.5, init=4, image=16, stem="small", drop=0.2)
"""Dropout included: what it draws must not depend on what came before."""


def trained(data: Any, out: Path, target: Any = TINY, **said: Any) -> Runs:
    """A quiet run of two epochs in batches of 8 but for what is said."""
    return train(target, data, out=out, quiet=True, **{"epochs": 2, "batch": 8, "threads": 1, **said})


def bits(out: Path) -> dict[str, Any]:
    """All that a folder's runs come to, but for times: weights, states, epochs, logits."""
    found: dict[str, Any] = {}
    for path in sorted(out.glob("runs/*/*.safetensors")):
        length = int.from_bytes(path.read_bytes()[:8], "little")
        found[str(path.relative_to(out))] = hashlib.sha256(path.read_bytes()[8 + length :]).hexdigest()
    runs = RunsFile(out / NAME)
    for run, config in runs.configs().items():
        for epoch in runs.epochs(run):
            times = {"wall_s", "cpu_s", "evaluation_cpu_s"}
            found[f"{run} {epoch.epoch}"] = {
                name: getattr(epoch, name) for name in epoch.__struct_fields__ if name not in times
            }
            for split in ("val", "test"):
                said = runs.logits(run, epoch.epoch, split, len(config.classes))
                found[f"{run} {epoch.epoch} {split}"] = None if said is None else said.tobytes()
    runs.close()
    return found
