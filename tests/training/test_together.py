"""Several processes against one, in float64; what they agree on, and what becomes of the others where one ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ranks import CPU, together
from torch import Tensor, nn
from torch.nn import functional as F
from trainings import TINY

from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import ProcessLostError, UsageError
from analyzer.training import together as meeting
from analyzer.training.batch_norm import Settled, synchronise
from analyzer.training.recipe import Recipe
from analyzer.training.stepping import Stepper, optimizer_of
from analyzer.training.together import ALONE, Together, ToldElsewhereError

EXACT = {"rtol": 1e-12, "atol": 1e-12}
NETWORK = Variant(**{**TINY.to_dict(), "block_config": (2, 1), "drop": 0.0, "classes": 3})
BATCHES = (8, 8, 7, 8, 5, 6)
"""Images of six steps; two and three processes can't all take as many of each."""
ADAM, SGD = {"lr": 0.01}, {"optimizer": "sgd", "lr": 0.05, "weight_decay": 0.01}


Batch = tuple[Tensor, Tensor]


def batches(sizes: Sequence[int] = BATCHES) -> list[Batch]:
    draw = torch.Generator().manual_seed(3)
    return [
        (torch.randn(count, 3, 16, 16, dtype=torch.float64, generator=draw), torch.randint(3, (count,), generator=draw))
        for count in sizes
    ]


def eights(order: Sequence[int] = range(8)) -> list[Batch]:
    return [(images[list(order)], labels[list(order)]) for images, labels in batches([8] * 5)]


def stepped(
    met: Together, said: dict[str, Any], micro: int, taken: list[Batch], weights: Tensor | None = None
) -> dict[str, Any]:
    """Losses, weights and buffers after the steps, as a trainer takes them."""
    model, recipe = build(NETWORK, seed=1).double(), Recipe(**said)
    if recipe.batch_norm == "sync" and not met.alone:
        synchronise(model, met)
    config = SimpleNamespace(micro=micro, classes=("a", "b", "c"), recipe=recipe)
    stepper = Stepper(model, optimizer_of(model, recipe), config, weights, CPU, met)
    settled, losses = None if met.alone else Settled(model, met), []
    for images, labels in taken:
        before = None if settled is None else settled.now()
        share = torch.from_numpy(met.share(np.arange(len(labels))))
        loss, right = stepper.step(images[share], labels)
        if settled is not None:
            settled.settle(before)
        losses.append(met.add_up(torch.stack([loss, right.double()])).tolist())
    return {"losses": np.array(losses)} | {name: each.numpy() for name, each in model.state_dict().items()}


def plainly(said: dict[str, Any], weights: Tensor | None) -> dict[str, Any]:
    """The same steps in torch's own words, by one process on whole batches."""
    model, losses = build(NETWORK, seed=1).double(), []
    made = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[said.get("optimizer", "adam")]
    more = {"momentum": 0.9, "nesterov": True} if made is torch.optim.SGD else {}
    optimizer = made(model.parameters(), lr=said["lr"], weight_decay=said.get("weight_decay", 0), **more)
    for images, labels in batches():
        optimizer.zero_grad()
        logits = model(images)
        loss = F.cross_entropy(logits, labels, weight=weights)
        loss.backward()
        optimizer.step()
        losses.append([float(loss.detach()), float((logits.argmax(1) == labels).sum())])
    return {"losses": np.array(losses)} | {name: each.numpy() for name, each in model.state_dict().items()}


def agree(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for name, each in wanted.items():
        np.testing.assert_allclose(found[name], each, **EXACT, err_msg=name)


def same_bits(ranks: list[dict[str, Any]]) -> None:
    for other in ranks[1:]:
        assert all((other[name] == each).all() for name, each in ranks[0].items())


# -- equal to one process --------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize(("processes", "weighted"), [(2, False), (2, True), (3, False)])
def test_synchronised_steps_are_one_processs(
    said: dict, processes: int, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, running statistics, losses; unequal shares, weighted classes, gradients in several buckets."""
    monkeypatch.setattr(meeting, "BUCKET", 4096)
    weights = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64) if weighted else None
    ranks = together(lambda met: stepped(met, said, 8, batches(), weights), processes)
    same_bits(ranks)
    agree(ranks[0], plainly(said, weights))


@pytest.mark.parametrize("said", [ADAM, SGD], ids=["adam", "sgd"])
def test_ghosts_are_one_process_that_takes_a_batch_in_as_many_parts(said: dict) -> None:
    """Running statistics, too: one process's parts are the shares."""
    ranks = together(lambda met: stepped(met, {**said, "batch_norm": "ghost"}, 4, batches()))
    same_bits(ranks)
    agree(ranks[0], stepped(ALONE, said, 4, batches()))
    with pytest.raises(AssertionError):
        agree(ranks[0], stepped(ALONE, said, 8, batches()))


def test_parts_of_shares_go_through_the_network_with_the_others_parts() -> None:
    """Where memory is short: two processes in parts of two see what one sees in parts of four, each two of a share."""
    ranks = together(lambda met: stepped(met, ADAM, 2, eights()))
    same_bits(ranks)
    agree(ranks[0], stepped(ALONE, ADAM, 4, eights([0, 1, 4, 5, 2, 3, 6, 7])))
    with pytest.raises(AssertionError):
        agree(ranks[0], stepped(ALONE, ADAM, 4, eights()))


def test_all_take_as_many_parts_and_none_is_empty() -> None:
    config = SimpleNamespace(micro=1, classes=("a",), recipe=Recipe())
    model = nn.Linear(2, 1)
    stepper = Stepper(model, optimizer_of(model, Recipe()), config, None, CPU, Together(0, 2))
    assert [stepper._parts(batch) for batch in (2, 3, 8, 9)] == [1, 1, 4, 4]


def test_a_parameter_without_a_gradient_keeps_none_and_one_with_some_has_the_sum() -> None:
    def work(met: Together) -> list[Any]:
        model = nn.ModuleDict({name: nn.Linear(2, 1, bias=False).double() for name in ("all", "one", "none")})
        model["all"].weight.grad = torch.full((1, 2), 1.5 + met.rank, dtype=torch.float64)
        if met.rank == 1:
            model["one"].weight.grad = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
        met.add_gradients(list(model.parameters()))
        return [None if each.grad is None else each.grad.tolist() for each in model.parameters()]

    assert together(work) == [[[[4.0, 4.0]], [[3.0, 4.0]], None]] * 2


# -- what they agree on ----------------------------------------------------------------------------------------


def test_shares_are_runs_of_a_batch_and_their_results_come_together_in_its_order() -> None:
    def work(met: Together) -> Any:
        rows = np.arange(7, dtype=np.float32)[:, None]
        return met.share(np.arange(7)).tolist(), met.largest(7), met.gathered(met.share(rows))

    first, second, third = together(work, 3)
    assert [first[0], second[0], third[0]] == [[0, 1, 2], [3, 4], [5, 6]]
    assert first[1] == 3
    assert first[2].ravel().tolist() == list(range(7))
    assert second[2] is None


def test_what_the_first_finds_and_what_it_can_not_is_the_others() -> None:
    def work(met: Together) -> Any:
        found = met.first(lambda: f"by {met.rank}"), met.most(met.rank, -met.rank), met.total(met.rank + 0.5)
        try:
            met.first(refuse)
        except UsageError as error:
            return (*found, str(error))
        except ToldElsewhereError as error:
            return (*found, f"elsewhere {error}", error.exit_code)

    def refuse() -> None:
        raise UsageError("is full", where="the disk", fix="free some")

    first, second = together(work)
    assert first == ("by 0", (1, 0), 2.0, "the disk: is full; free some")
    assert second == ("by 0", (1, 0), 2.0, "elsewhere the disk: is full; free some", 0)


def test_one_alone_waits_for_nobody() -> None:
    assert ALONE.first(lambda: 3) == 3
    assert (ALONE.most(1, 2), ALONE.total(0.5), ALONE.all_of("a")) == ((1, 2), 0.5, ["a"])
    assert ALONE.share(np.arange(4)).tolist() == [0, 1, 2, 3]


# -- one that ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_one_that_ends_or_answers_no_more_is_told_and_waited_for_no_longer(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "PATIENCE", timedelta(seconds=2))

    def work(met: Together) -> Any:
        met.most(1)
        if met.rank == 1:
            if end == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(30)
        with pytest.raises(ProcessLostError) as caught:
            met.add_up(torch.ones(3))
        return caught.value.what, caught.value.where, caught.value.fix

    ((what, where, fix),) = together(work, waited_for=1)
    assert "another process of this training has ended, or has not answered" in what
    assert where == "process 0 of 2"
    assert "goes on from the last checkpoint" in fix
