"""What a user may say of a training, and the rates that follow."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from analyzer.errors import UsageError
from analyzer.training.recipe import Recipe, recipe
from analyzer.training.run_records import Epoch


def torchs_rates(schedule: type, epochs: int, **how: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    rates, scheduler = [], schedule(optimizer, **how)
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_is_torchs() -> None:
    asked = Recipe(lr=0.1, epochs=17, schedule="cosine")
    torchs = torchs_rates(torch.optim.lr_scheduler.CosineAnnealingLR, 17, T_max=17)
    assert [asked.rate(epoch) for epoch in range(17)] == pytest.approx(torchs, rel=1e-12)


def test_step_is_torchs_at_half_and_three_quarters() -> None:
    asked = Recipe(lr=0.1, epochs=40, schedule="step")
    torchs = torchs_rates(torch.optim.lr_scheduler.MultiStepLR, 40, milestones=[20, 30])
    assert [asked.rate(epoch) for epoch in range(40)] == pytest.approx(torchs, rel=1e-12)


def test_the_defaults_are_the_articles() -> None:
    assert (Recipe().epochs, Recipe().lr, Recipe().batch, Recipe().schedule) == (20, 1e-4, 32, "constant")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"epochs": 0}, "epochs: 0 can't be"),
        ({"lr": -1.0}, "lr: -1.0 can't be"),
        ({"lr": float("nan")}, "lr: nan can't be"),
        ({"optimizer": "adan"}, "use adam, adamw, sgd"),
        ({"augment": ["flop"]}, "use flip, crop"),
        ({"momentum": 1.0}, "momentum: 1.0 can't be"),
        ({"batch": 0}, "batch: 0 can't be"),
        ({"epoch": 3}, "did you mean 'epochs'"),
    ],
)
def test_what_can_not_be_is_named(said: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipe(said)


def test_the_training_set_is_evaluated_as_asked_and_at_the_end() -> None:
    asked = Recipe(epochs=7, train_accuracy_every=3)
    assert [epoch for epoch in range(7) if asked.evaluates_training(epoch)] == [2, 5, 6]
    assert not any(Recipe(train_accuracy_every=0).evaluates_training(epoch) for epoch in range(20))


def test_an_epochs_line_is_the_articles() -> None:
    """All 20 lines of its log, from their figures."""
    with (Path(__file__).parent / "article_log.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        epoch = Epoch(
            epoch=int(row["epoch"]), lr=float(row["lr"]), images=100,
            log_train_accuracy=float(row["train_acc"]) / 100, log_train_loss=float(row["train_loss"]),
            test_accuracy=float(row["test_acc"]) / 100, test_loss=float(row["test_loss"]),
        )  # fmt: skip
        number = f"{row['epoch']:>2}"
        assert epoch.logged() == (
            f"Epoch:{number}, Train_acc:{row['train_acc']}, Train_loss: {row['train_loss']}, "
            f"Test_acc: {row['test_acc']}, Test_loss: {row['test_loss']}, Lr: {row['lr']}"
        )
    assert len(rows) == 20
    first = "Epoch: 1, Train_acc:83.8, Train_loss: 0.392, Test_acc: 86.8, Test_loss: 0.324, Lr: 1.00E-04"
    assert Epoch(
        epoch=1, lr=1e-4, images=1, log_train_accuracy=0.838, log_train_loss=0.392, test_accuracy=0.868, test_loss=0.324
    ).logged() == first  # fmt: skip
