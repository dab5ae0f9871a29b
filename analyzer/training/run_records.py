"""What is kept of a training: what makes a run, and what each epoch came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from analyzer.errors import TrainingError, UsageError
from analyzer.structs import Frozen, Share, Some, Span, Whole
from analyzer.training.recipe import Recipe

SCHEMA = 1
Status = Literal["running", "finished", "diverged"]


class Machine(Frozen, frozen=True, kw_only=True):
    """What the same bits need beside the recipe and the data; `processes` share every batch."""

    device: str
    threads: Some
    torch: str
    processes: Some = 1


class Outcome(Frozen, frozen=True, kw_only=True):
    """What will count, said before the first step: test accuracy and gap at the `last` epoch, or at the one with the
    highest `validation` accuracy; `margin` is the difference that would matter, as a share (0.03: 3 points).
    """

    epoch: Literal["last", "validation"] = "last"
    margin: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.03


def outcome_of(said: Mapping[str, Any]) -> Outcome:
    """The outcome that a user declares. Raises UsageError."""
    try:
        return msgspec.convert(dict(said), Outcome)
    except msgspec.ValidationError as error:
        raise UsageError(f"can't be: {error}", where="outcome", fix="such as epoch='last', margin=0.03") from None


class Config(Frozen, frozen=True, kw_only=True):
    """What makes a run: the same configuration gives the same bits on a CPU.

    `network` is a variant's name, or a model's target with its arguments; `data` and `split` are digests, `classes`
    their names. `micro` images at a time go through the network, on each process. `images` counts train, val and test.
    """

    schema: int = SCHEMA
    run: str
    network: str
    label: str
    image: Some
    classes: tuple[str, ...]
    data: str
    split: str
    images: tuple[Whole, Whole, Whole]
    seed: int
    fold: int | None = None
    recipe: Recipe
    outcome: Outcome = Outcome()
    micro: Some
    machine: Machine

    @property
    def shown(self) -> str:
        """The run as people call it: `densenet121, seed 0, fold 1`."""
        return f"{self.label}, seed {self.seed}" + ("" if self.fold is None else f", fold {self.fold}")

    @property
    def share(self) -> int:
        """Images of a full batch that a process takes, the most of them."""
        return -(-self.recipe.batch // self.machine.processes)

    @property
    def least(self) -> int:
        """Images that a batch has at least: one for each process, two where batch norm is over each one's own."""
        ghosts = self.recipe.batch_norm == "ghost"
        return max(2, self.machine.processes * (2 if ghosts and self.machine.processes > 1 else 1))

    @property
    def normed(self) -> int:
        """Images of a full batch that batch norm sees together."""
        seen = self.micro if self.recipe.batch_norm == "ghost" else self.micro * self.machine.processes
        return min(seen, self.recipe.batch)


class Epoch(Frozen, frozen=True, kw_only=True):
    """What an epoch came to, counted from 1.

    `log_train_*` are those of a training log: over the epoch's own steps, with moving weights, batch statistics and
    augmentation. `train_*`, `val_*` and `test_*` are of the epoch's last weights in evaluation mode without
    augmentation, None where they were not evaluated. Losses are means in nats, accuracies shares. `cpu_s` and `wall_s`
    are of the epoch's steps, `evaluation_cpu_s` of its evaluations; CPU times of all processes together.
    """

    epoch: Some
    lr: float
    images: Whole
    log_train_accuracy: Share
    log_train_loss: float
    train_accuracy: Share | None = None
    train_loss: float | None = None
    val_accuracy: Share | None = None
    val_loss: float | None = None
    test_accuracy: Share | None = None
    test_loss: float | None = None
    wall_s: Span = 0.0
    cpu_s: Span = 0.0
    evaluation_cpu_s: Span = 0.0

    @property
    def generalisation_gap(self) -> float | None:
        """Train minus test accuracy, both in evaluation mode, in points."""
        if self.train_accuracy is None or self.test_accuracy is None:
            return None
        return 100 * (self.train_accuracy - self.test_accuracy)

    def logged(self) -> str:
        """The line that the article's log has for an epoch."""
        test_accuracy = float("nan") if self.test_accuracy is None else 100 * self.test_accuracy
        test_loss = float("nan") if self.test_loss is None else self.test_loss
        return (
            f"Epoch:{self.epoch:2d}, Train_acc:{100 * self.log_train_accuracy:.1f}, "
            f"Train_loss: {self.log_train_loss:.3f}, Test_acc: {test_accuracy:.1f}, Test_loss: {test_loss:.3f}, "
            f"Lr: {self.lr:.2E}"
        )


@dataclass(frozen=True)
class RunOutcome:
    """A run's configuration and its epochs; `error` where it could not go on."""

    config: Config
    epochs: tuple[Epoch, ...]
    error: TrainingError | None = None

    @property
    def finished(self) -> bool:
        """Whether every epoch of the recipe is there."""
        return len(self.epochs) == self.config.recipe.epochs


def changes(before: Config, now: Config) -> Iterator[tuple[str, Any, Any]]:
    """What two configurations of one run differ in: field (the recipe's and machine's by their own), before, now."""
    for name in Config.__struct_fields__:
        old, new = getattr(before, name), getattr(now, name)
        if isinstance(old, (Recipe, Machine, Outcome)):
            for part in old.__struct_fields__:
                if getattr(old, part) != getattr(new, part):
                    yield "outcome " * isinstance(old, Outcome) + part, getattr(old, part), getattr(new, part)
        elif old != new and name not in ("label", "schema"):
            yield name, old, new
