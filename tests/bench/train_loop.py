"""What training here costs beside the network: CPU time of an epoch against a bare loop of torch's, one thread.

The bare loop has its images as normalised tensors and does nothing but steps: no augmentation, nothing kept. The first
network is a small one, so that what is beside it shows; the second is DenseNet121 at compression 0.25.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.images.source import open_source
from analyzer.targets.resolving import FamilyTarget
from analyzer.training.feeding import as_input
from analyzer.training.planning import TrainPlan, TrainWatch, prepare
from analyzer.training.recipe import Recipe
from analyzer.training.trainer import Trainer, TrainerWatch, TrainJob

BATCH, IMAGES = 32, 192
NETWORKS = {
    "residual_g32_r0.25": Variant(block="residual", growth=32, ratio=0.25),
    "densenet121_c0.25": Variant(
        **{**PRESETS["densenet121"].to_dict(), "compression": 0.25, "block_config": (6, 12, 24, 16)}
    ),
}


def train_loop(rounds: int) -> Iterator[tuple[str, list[float], str]]:
    """Name, each round's value, unit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, variant in NETWORKS.items():
                job = _job(variant, Path(folder))
                ours, bare = _ours(job), _bare(job)
                ours()
                bare()
                pairs = [(_cpu(ours), _cpu(bare)) for _ in range(rounds)]
                yield f"train.vs_torch.{name}", [b / a for a, b in pairs], "x images a core-second"
                yield f"train.images_per_core_s.{name}", [IMAGES / a for a, _ in pairs], "images/s"
    finally:
        torch.set_num_threads(threads)


def _cpu(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def _job(variant: Variant, folder: Path) -> TrainJob:
    draw = np.random.default_rng(0)
    data = folder / "data.npz"
    sizes = {"train": IMAGES, "val": 6, "test": 6}
    arrays = {f"{part}_images": draw.integers(0, 256, (n, 64, 64, 3)).astype(np.uint8) for part, n in sizes.items()}
    labels = {f"{part}_labels": (np.arange(n) % 6)[:, None].astype(np.uint8) for part, n in sizes.items()}
    np.savez(data, **arrays, **labels)
    plan = TrainPlan(targets=(FamilyTarget(variant),), data=open_source(data), out=folder / variant.name, image=64,
                     recipe=Recipe(epochs=10_000, batch=BATCH), threads=1)  # fmt: skip
    (job,) = prepare(plan, TrainWatch())
    job.feed.keep(job.split.train)
    return job


def _ours(job: TrainJob) -> Callable[[], object]:
    """An epoch's steps as a run takes them: fed, augmented, keyed, its sums kept."""
    trainer = Trainer(job, None)

    def epoch() -> None:
        trainer.steps(TrainerWatch())
        trainer.at = type(trainer.at)(config=job.config, epoch=trainer.at.epoch + 1, step=trainer.at.step)

    return epoch


def _bare(job: TrainJob) -> Callable[[], object]:
    model = build(job.trainee.variant, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    pixels = np.concatenate(list(job.feed.batches([np.asarray(job.split.train)])))
    images, labels = as_input(pixels, torch.device("cpu")), torch.from_numpy(job.feed.labels[list(job.split.train)])

    def epoch() -> None:
        for start in range(0, IMAGES, BATCH):
            part = slice(start, start + BATCH)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images[part]), labels[part])
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


if __name__ == "__main__":
    for name, values, unit in train_loop(7):
        print(name, sorted(values)[3], [min(values), max(values)], unit)
