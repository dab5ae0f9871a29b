"""How a network is trained: what a user may say of it, and what follows from it for each epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec

from analyzer.errors import UsageError, did_you_mean
from analyzer.structs import Frozen, Some

OptimizerName = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine", "step"]
Amp = Literal["none", "bfloat16", "float16"]
BatchNorm = Literal["sync", "ghost"]
Augmentation = Literal["flip", "crop", "rotate", "color", "erase"]
STEPS = (0.5, 0.75)
"""Where `step` divides the rate by 10, as shares of the epochs (Huang et al. 2017, §4.2)."""
EXTRA = ("rotate", "color", "erase")
"""Augmentations that kornia makes, an extra."""


class Recipe(Frozen, frozen=True, kw_only=True):
    """What decides a training besides its network, data and seed; epochs, rate, optimizer and batch as the article's.

    `batch` is the effective one: where memory is short it is taken in parts whose gradients add up. `classes_weighted`
    weights the loss by each class's inverse share of the training images. `train_accuracy_every` epochs (0: never; the
    last one always else) the whole training set is evaluated as the test set is. `batch_norm` of several processes is
    over all their images, as one process has it (`sync`), or over each one's own, as one has it that takes the batch in
    as many parts (`ghost`).
    """

    epochs: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 20
    lr: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1e-4
    optimizer: OptimizerName = "adam"
    schedule: Schedule = "constant"
    batch: Some = 32
    weight_decay: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 0.0
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9
    augment: tuple[Augmentation, ...] = ("flip", "crop")
    classes_weighted: bool = False
    amp: Amp = "none"
    channels_last: bool = False
    compile: bool = False
    train_accuracy_every: Annotated[int, msgspec.Meta(ge=0)] = 1
    batch_norm: BatchNorm = "sync"

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0: a function of nothing else, so that resuming keeps it."""
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))
        if self.schedule == "step":
            return self.lr * 0.1 ** sum(epoch >= math.floor(self.epochs * share) for share in STEPS)
        return self.lr

    def evaluates_training(self, epoch: int) -> bool:
        """Whether the training set is evaluated after an epoch, counted from 0."""
        every = self.train_accuracy_every
        return every > 0 and ((epoch + 1) % every == 0 or epoch + 1 == self.epochs)


DEFAULT = Recipe()


def recipe(said: Mapping[str, Any]) -> Recipe:
    """The recipe of what a user said by field. Raises UsageError that names the option and what it may be."""
    unknown = set(said) - set(Recipe.__struct_fields__)
    if unknown:
        name = min(unknown)
        raise UsageError(f"unknown option {name!r}", where="training", fix=did_you_mean(name, Recipe.__struct_fields__))
    for name, value in said.items():
        try:
            msgspec.convert({name: value}, Recipe)
        except msgspec.ValidationError as error:
            what = str(error).partition(" - at")[0]
            raise UsageError(
                f"{value!r} can't be: {what[:1].lower()}{what[1:]}", where=name, fix=_may_be(name)
            ) from None
    return msgspec.convert(dict(said), Recipe)


def _may_be(name: str) -> str:
    choices = {"optimizer": OptimizerName, "schedule": Schedule, "amp": Amp, "augment": Augmentation,
               "batch_norm": BatchNorm}  # fmt: skip
    if name in choices:
        return f"use {', '.join(get_args(choices[name]))}"
    return f"such as {getattr(DEFAULT, name)}"
