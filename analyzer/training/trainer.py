"""One run, from wherever it is to its end: epochs of steps, evaluations, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analyzer.errors import TrainingError
from analyzer.processes import Asked
from analyzer.targets.checkpoints import Checkpoint, Header
from analyzer.training import checkpoints, keyed
from analyzer.training.batch_norm import Settled, synchronise
from analyzer.training.checkpoints import RunState
from analyzer.training.evaluation import Evaluation, evaluated
from analyzer.training.feeding import Feed, Indices, as_input, statistics
from analyzer.training.run_records import Config, Epoch
from analyzer.training.stepping import Stepper, optimizer_of
from analyzer.training.together import ALONE, Together

if TYPE_CHECKING:
    from analyzer.images.splits import Split
    from analyzer.training.runs_file import SharedRuns
    from analyzer.training.trainees import Trainee

SAVE_EVERY_S = 600.0
"""Seconds of an epoch after which it is saved in its midst."""
KEPT_EACH_EPOCH = 2**24
"""Bytes of logits that are kept after every epoch; larger ones after the last one alone."""
LOOK_EVERY = 20
"""Steps between looks at the loss where looking makes an accelerator wait."""


@dataclass(frozen=True)
class TrainJob:
    """What one run takes: a network, its configuration, its images, where it is kept, and `until` which epoch it is
    trained (None: the recipe's last).
    """

    trainee: Trainee
    config: Config
    split: Split
    feed: Feed
    device: torch.device
    folder: Path
    together: Together = ALONE
    best: bool = False
    augment: Callable[[Tensor, int, int, Indices], Tensor] | None = None
    until: int | None = None

    def images(self, split: str) -> tuple[list[str], NDArray[np.int64]]:
        """The names and labels of a split's images."""
        indices = list(getattr(self.split, split))
        return [self.feed.source.keys[index] for index in indices], self.feed.labels[indices]

    def parts(self, epoch: int) -> list[Indices]:
        """The batches of an epoch that is counted from 0."""
        batch, least = self.config.recipe.batch, self.config.least
        return parts_of(self.split.train, self.config.seed, epoch, batch, least)


@dataclass(frozen=True)
class TrainerWatch:
    """Is told of each step (images of the epoch so far) and of each finished epoch."""

    step: Callable[[Config, int, int], None] = lambda config, epoch, images: None
    epoch: Callable[[Config, Epoch], None] = lambda config, epoch: None
    asked: Asked = field(default_factory=Asked)


class Trainer:
    """A network in training, with all that going on needs."""

    def __init__(self, job: TrainJob, last: Header | None) -> None:
        self.job, self.recipe = job, job.config.recipe
        layout = torch.channels_last if self.recipe.channels_last else torch.preserve_format
        self.model: nn.Module = job.trainee.made(job.config.seed).to(job.device).to(memory_format=layout)  # type: ignore[call-overload]
        self.optimizer = optimizer_of(self.model, self.recipe)
        self.at = RunState(config=job.config)
        if not job.together.alone and self.recipe.batch_norm == "sync":
            synchronise(self.model, job.together)
        called = torch.compile(self.model) if self.recipe.compile else self.model
        self.stepper = Stepper(called, self.optimizer, job.config, self._class_weights(), job.device, job.together)
        job.trainee.prepare(self)
        if last is not None:
            at = self._restored(last)
            if (at.config.recipe, at.config.split) != (self.recipe, job.config.split):  # accepted: its epoch anew
                at = msgspec.structs.replace(at, taken=0, images=0, right=0, loss=0.0)
            self.at = msgspec.structs.replace(at, config=job.config)
            self.stepper.scaler.load_state_dict(self.at.scaler)
        job.together.copy_first(list(self.model.state_dict().values()))
        self.settled = None if job.together.alone else Settled(self.model, job.together)

    def _restored(self, last: Header) -> RunState:
        """How far the run is; weights and the optimizer's state as the first process reads them."""
        job, together = self.job, self.job.together
        at = together.first(lambda: checkpoints.restore(job.folder, last, self.model, self.optimizer, self.recipe))
        state = together.first(lambda: checkpoints.optimizer_state(self.optimizer))
        if together.rank:
            checkpoints.put_optimizer_state(self.optimizer, *state)
            at = msgspec.structs.replace(at, cpu_s=0.0)  # all processes' so far
        return at

    def _class_weights(self) -> Tensor | None:
        """Images over classes times images of the class: their mean over the images is 1."""
        if not self.recipe.classes_weighted:
            return None
        labels = self.job.feed.labels[np.asarray(self.job.split.train)]
        counts = np.bincount(labels, minlength=len(self.job.config.classes))
        return torch.tensor(len(labels) / (len(counts) * counts), dtype=torch.float32, device=self.job.device)

    # -- epochs ------------------------------------------------------------------------------------------------

    def epochs(self, watch: TrainerWatch) -> Iterator[tuple[Epoch, dict[str, Evaluation]]]:
        """Trains to the job's end; each is given before its checkpoint is written. Ctrl-C saves, then raises."""
        while self.at.epoch < (self.recipe.epochs if self.job.until is None else self.job.until):
            self.steps(watch)
            began = time.process_time()
            found = dict(self._evaluations())
            epoch = self._told(found, time.process_time() - began)
            yield epoch, found
            self._finish(found)
            watch.epoch(self.job.config, epoch)
            if any(self.job.together.most(watch.asked.to_end)):
                raise KeyboardInterrupt

    def steps(self, watch: TrainerWatch) -> None:
        """The steps of the epoch that are not taken yet."""
        epoch, seed, recipe = self.at.epoch, self.job.config.seed, self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate(epoch)
        parts = self.job.parts(epoch)[self.at.taken :]
        shares = map(self.job.together.share, parts)
        saved, losses = time.monotonic(), _Losses(self)
        clocks = time.perf_counter(), time.process_time()
        self.model.train()
        with keyed.seeded(keyed.STEP, seed):
            for part, pixels in zip(parts, self.job.feed.batches(list(shares)), strict=True):
                losses.add(self.step(part, pixels), len(part))
                clocks = self._timed(clocks)
                watch.step(self.job.config, epoch, self.at.images + losses.images)
                due = time.monotonic() - saved > SAVE_EVERY_S
                end, save = self.job.together.most(watch.asked.to_end, due)
                if end or save:
                    losses.look()
                    self._require_numbers()
                    self.save()
                    saved = time.monotonic()
                if end:
                    raise KeyboardInterrupt
        losses.look()
        self._require_numbers()

    def step(self, part: Indices, pixels: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """One step on a batch, by index, of which `pixels` are this process's share: what its share adds to the mean
        loss before it, and how many of that it got right.
        """
        seed, epoch, together = self.job.config.seed, self.at.epoch, self.job.together
        labels, part = torch.from_numpy(self.job.feed.labels[part]), together.share(part)
        drawn = keyed.keys(keyed.AUGMENT, seed, epoch, part)
        pixels = keyed.augmented(pixels, drawn, self.recipe.augment)
        images = as_input(pixels, self.job.device, channels_last=self.recipe.channels_last)
        if self.job.augment is not None:
            images = self.job.augment(images, seed, epoch, part)
        keyed.reseed(keyed.STEP, seed, self.at.step, *together.keys)
        self.at = msgspec.structs.replace(self.at, step=self.at.step + 1, taken=self.at.taken + 1)
        before = None if self.settled is None else self.settled.now()
        made = self.stepper.step(images, labels.to(self.job.device))
        if self.settled is not None and before is not None:
            self.settled.settle(before)
        return made

    def _timed(self, clocks: tuple[float, float]) -> tuple[float, float]:
        now = time.perf_counter(), time.process_time()
        self.at = msgspec.structs.replace(
            self.at, wall_s=self.at.wall_s + now[0] - clocks[0], cpu_s=self.at.cpu_s + now[1] - clocks[1]
        )
        return now

    # -- what an epoch came to ---------------------------------------------------------------------------------

    def _evaluations(self) -> Iterator[tuple[str, Evaluation]]:
        split = self.job.split
        sets = {"train": split.train if self.recipe.evaluates_training(self.at.epoch) else (), "val": split.val,
                "test": split.test}  # fmt: skip
        for name, indices in sets.items():
            if indices:
                found = evaluated(self.model, self.job, indices)
                if found is not None:
                    yield name, found

    def _told(self, found: dict[str, Evaluation], evaluation_cpu_s: float) -> Epoch:
        seen = {f"{name}_accuracy": each.accuracy for name, each in found.items()}
        seen |= {f"{name}_loss": each.loss for name, each in found.items()}
        cpu_s, evaluation_cpu_s = map(self.job.together.total, (self.at.cpu_s, evaluation_cpu_s))
        return Epoch(
            epoch=self.at.epoch + 1, lr=self.recipe.rate(self.at.epoch), images=self.at.images,
            log_train_accuracy=self.at.right / self.at.images, log_train_loss=self.at.loss / self.at.images,
            wall_s=self.at.wall_s, cpu_s=cpu_s, evaluation_cpu_s=evaluation_cpu_s, **seen,
        )  # fmt: skip

    def _finish(self, found: dict[str, Evaluation]) -> None:
        """Begins the next epoch, and saves; the best by validation too, if asked."""
        best, epoch = self.at.best, self.at.epoch + 1
        better = self.job.best and "val" in found and (best is None or found["val"].accuracy > best)
        if better:
            about = msgspec.structs.replace(self.about(self.at), epoch=epoch)
            checkpoints.save_weights(self.job.folder / checkpoints.BEST, self.model, about)
            best = found["val"].accuracy
        self.at = RunState(config=self.job.config, epoch=epoch, step=self.at.step, best=best)
        self.save()

    # -- checkpoints -------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Has the first process write the last checkpoint. Raises UsageError where the disk refuses."""
        together = self.job.together
        self.at = msgspec.structs.replace(self.at, scaler=self.stepper.scaler.state_dict())
        at = msgspec.structs.replace(self.at, cpu_s=together.total(self.at.cpu_s))
        together.first(lambda: checkpoints.save(self.job.folder, self.model, self.about(at), self.optimizer, at))

    def _require_numbers(self) -> None:
        """TrainingError where a weight is no number, before anything of it is kept."""
        tensors = [tensor for tensor in self.model.state_dict().values() if tensor.is_floating_point()]
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
            raise _diverged(self, self.at.step, "a weight is no number after")

    def about(self, at: RunState) -> Checkpoint:
        """What a checkpoint says of itself."""
        trainee, config = self.job.trainee, self.job.config
        mean, std = statistics(trainee.channels)
        return Checkpoint(
            run=config.run, network=config.network, classes=config.classes, image=trainee.image,
            channels=trainee.channels, mean=mean, std=std, seed=config.seed, epoch=at.epoch, step=at.step, digest="",
            **trainee.identity(),
        )  # fmt: skip


class _Losses:
    """Steps' losses, read from the device now and then; kept in the trainer's sums."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.images = trainer, 0
        self.every = 1 if trainer.job.device.type == "cpu" else LOOK_EVERY
        self.waiting: list[tuple[Tensor, Tensor, int]] = []

    def add(self, made: tuple[Tensor, Tensor], images: int) -> None:
        """One step's mean loss and how many it got right, of so many images; each process's share of them."""
        self.waiting.append((*made, images))
        self.images += images
        if len(self.waiting) >= self.every:
            self.look()

    def look(self) -> None:
        """Adds up what waits. Raises TrainingError at the first loss that is no number."""
        if not self.waiting:
            return
        at, together = self.trainer.at, self.trainer.job.together
        shares = torch.stack([torch.stack([loss.double(), right.double()]) for loss, right, _ in self.waiting])
        sums = together.add_up(shares.cpu()).tolist()
        first = at.step - len(self.waiting) + 1
        for step, ((value, right), (_, _, images)) in enumerate(zip(sums, self.waiting, strict=True), start=first):
            if not math.isfinite(value):
                raise _diverged(self.trainer, step, f"the loss is {value} in")
            at = msgspec.structs.replace(
                at, loss=at.loss + value * images, right=at.right + int(right), images=at.images + images
            )
        self.trainer.at, self.images = at, 0
        self.waiting.clear()


def _diverged(trainer: Trainer, step: int, what: str) -> TrainingError:
    last = checkpoints.last_of(trainer.job.folder)
    there = "no checkpoint was written before it"
    if last is not None:
        of = last.checkpoint
        there = f"{trainer.job.folder / checkpoints.LAST} is of step {of.step} ({of.epoch} epochs), before it"
    return TrainingError(
        f"{what} epoch {trainer.at.epoch + 1}, step {step}: {there}",
        where=trainer.job.config.run, fix=f"lower the learning rate ({trainer.recipe.lr:g}), with another --out",
    )  # fmt: skip


def parts_of(train: tuple[int, ...], seed: int, epoch: int, batch: int, least: int = 2) -> list[Indices]:
    """An epoch's batches of indices. A last one of fewer than `least` is left out: batch norm can't take one image."""
    taken = np.asarray(train, np.int64)[keyed.order(seed, epoch, len(train))]
    parts = [taken[start : start + batch] for start in range(0, len(taken), batch)]
    return parts if len(parts) == 1 or len(parts[-1]) >= least else parts[:-1]


def train(job: TrainJob, runs: SharedRuns, watch: TrainerWatch) -> None:
    """Takes a run to its end; each epoch is durable before the next begins.

    Raises TrainingError where the loss is no number, KeyboardInterrupt once it has saved where it is told to end,
    UsageError where the disk refuses.
    """
    last = job.together.first(lambda: checkpoints.last_of(job.folder))
    for epoch, found in (trainer := Trainer(job, last)).epochs(watch):
        final = epoch.epoch == trainer.recipe.epochs
        kept = {
            name: each.logits for name, each in found.items()
            if name != "train" and (final or each.logits.nbytes <= KEPT_EACH_EPOCH)
        }  # fmt: skip
        runs.put(job.config.run, epoch, kept)
