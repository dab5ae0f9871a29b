"""What a training will need, said before its first step: memory against what the device has, time, what to doubt."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from analyzer import units
from analyzer.errors import AnalyzerError, TargetError, UsageError, words_of
from analyzer.reading.peak import Training
from analyzer.reading.prediction import predict_memory
from analyzer.training.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from analyzer.training.trainer import TrainJob

SHARE = 0.9
"""Of the free memory, what a step may take: kernels' workspaces and the allocator's rounding come on top."""
TIMED = 3


@dataclass(frozen=True)
class Need:
    """A run's predicted peak of live tensor bytes at `micro` images at a time (None: it can't be predicted, `why`), and
    what is free.
    """

    peak_bytes: int | None
    micro: int
    free_bytes: int
    why: str = ""


def free_bytes(device: torch.device) -> int:
    """Bytes that a training may take on a device: free ones, within a container's limit."""
    import psutil

    from analyzer.measuring import gpu

    return psutil.virtual_memory().available if device.type == "cpu" else gpu.free_bytes(str(device))


def free_for_each(job: TrainJob) -> int:
    """Bytes that each process of a training may take: the least that one of them has; those of a machine share it."""
    sharing = job.together.local if job.device.type == "cpu" else 1
    return min(job.together.all_of(free_bytes(job.device) // sharing))


def training_of(recipe: Recipe, device: torch.device) -> Training:
    """The recipe as memory is predicted for it; torch takes the foreach form on CUDA alone."""
    return Training(
        optimizer="sgd_momentum" if recipe.optimizer == "sgd" and recipe.momentum > 0 else recipe.optimizer,
        form="foreach" if device.type == "cuda" else "single",
        weight_decay=recipe.weight_decay > 0,
        autocast=recipe.amp,
    )


def need(job: TrainJob, free: int) -> Need:
    """The largest part of the batch that fits the free bytes, by halves. Raises UsageError where not one image does."""
    micro, asked = job.config.micro, training_of(job.config.recipe, job.device)
    while True:
        try:
            peak = _peak(job, micro, asked)
        except AnalyzerError as error:
            return Need(None, micro, free, error.what)
        if peak is None or peak <= SHARE * free:
            return Need(peak, micro, free)
        if micro == 1:
            raise UsageError(
                f"takes {units.mib(peak)} for one image, and {units.mib(free)} are free on {job.device}",
                where=job.config.run, fix="take a smaller --image or network: `analyze fit` says what each gives",
            )  # fmt: skip
        micro = -(-micro // 2)


def _peak(job: TrainJob, batch: int, asked: Training) -> int | None:
    trainee = job.trainee
    if trainee.variant is not None:
        return predict_memory(trainee.variant, batch, asked).peak_training_bytes
    from analyzer.targets.analysis import analyze
    from analyzer.targets.inputs import as_tensors
    from analyzer.tracing.prediction import predict_module

    shape = (batch, trainee.channels, trainee.image, trainee.image)
    model = trainee.made(job.config.seed)
    record = analyze(model, inputs=shape, batch=1)
    return predict_module(model, as_tensors(shape), {}, record, asked).peak_training_bytes


@dataclass(frozen=True)
class Pace:
    """Seconds of a step of `images`, and of evaluating as many: the least of a few."""

    images: int
    step_s: float
    evaluation_s: float

    def run_s(self, job: TrainJob) -> float:
        """About how long a whole run takes on this machine as it is now."""
        train, val, test = job.config.images
        recipe = job.config.recipe
        evaluations = sum(recipe.evaluates_training(epoch) for epoch in range(recipe.epochs))
        evaluated = (val + test) * recipe.epochs + train * evaluations
        return (train * recipe.epochs * self.step_s + evaluated * self.evaluation_s) / self.images


def pace(job: TrainJob) -> Pace:
    """Times three steps on real images after one that is not timed, on a network of its own; nothing of it stays.

    Raises TargetError where a model of the user's own can't take a step.
    """
    try:
        return _pace(job)
    except (AnalyzerError, MemoryError):
        raise
    except Exception as error:
        import torch

        if job.trainee.module is None or isinstance(error, torch.OutOfMemoryError):
            raise
        what = f"can't take a step on images of (N, {job.trainee.channels}, {job.trainee.image}, {job.trainee.image})"
        fix = "see that its forward takes them, --debug shows where it fails"
        raise TargetError(f"{what}: {words_of(error)}", where=job.trainee.label, fix=fix) from error


def _pace(job: TrainJob) -> Pace:
    from analyzer.training import keyed
    from analyzer.training.evaluation import evaluated
    from analyzer.training.trainer import Trainer

    config = job.config
    part = job.parts(0)[0]
    trainer = Trainer(job, None)
    with keyed.seeded(keyed.STEP, config.seed):
        pixels = next(iter(job.feed.batches([job.together.share(part)])))
        steps = [_timed(lambda: trainer.step(part, pixels), job.device) for _ in range(TIMED + 1)]
        look = partial(evaluated, trainer.model, job, part)
        looks = [_timed(look, job.device) for _ in range(2)]
    return Pace(len(part), min(steps[1:]), min(looks))


def _timed(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _load() -> float:
    """The machine's load over a minute; 0 where the system does not tell it."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return 0.0


def doubts(job: TrainJob) -> Iterator[str]:
    """What should be known before it begins."""
    from analyzer.measuring.environment import has_bfloat16_units

    config, recipe = job.config, job.config.recipe
    if job.device.type == "cpu" and config.machine.threads > 1 and _load() > (os.cpu_count() or 1) + 0.5:
        yield (
            f"others keep this machine's {os.cpu_count()} cores busy (load {_load():.1f}): {config.machine.threads} "
            "threads that wait for each other may be many times slower than --threads 1"
        )
    if config.micro < config.share:
        parts = -(-config.share // config.micro)
        yield (
            f"memory is short: {config.micro} images at a time, {parts} parts a step at the same batch of "
            f"{recipe.batch}; batch norm sees {config.normed} images"
        )
    if 1 < config.images[0] % recipe.batch < config.least:
        yield (
            f"the last {config.images[0] % recipe.batch} images of an epoch are left out: too few for "
            f"{config.machine.processes} processes"
        )
    if recipe.amp == "bfloat16" and job.device.type == "cpu" and not has_bfloat16_units():
        yield "this processor has no units for bfloat16: --amp is many times slower here than without"
    if config.images[1] == 0 and job.best:
        yield "there is no validation split to choose the best epoch by"
    if recipe.train_accuracy_every == 0:
        yield "the train accuracy is the log's alone (moving weights, augmentation): no generalisation gap"
