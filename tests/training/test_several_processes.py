"""Whole trainings by several processes: what is kept, what ends them, what goes on."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks import launched
from safetensors.torch import load_file
from test_loop import images_of
from trainings import CLASSES, TINY, bits, trained, uneven

from analyzer.building.modules import build
from analyzer.cli import cli
from analyzer.cli.base import run
from analyzer.errors import ProcessLostError, UsageError
from analyzer.images.source import open_source
from analyzer.images.split_file import read_split
from analyzer.storing.results_file import NAME
from analyzer.targets.resolving import FamilyTarget
from analyzer.training import execution, planning, stepping
from analyzer.training.moving import divided_words, going_on, moved
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config, Machine
from analyzer.training.runs_file import RunsFile
from analyzer.training.together import ToldElsewhereError

pytestmark = pytest.mark.slow

EPOCHS = 3


def plan_of(data: Any, out: Path, **said: Any) -> planning.TrainPlan:
    recipe = Recipe(epochs=EPOCHS, batch=7, batch_norm=said.pop("batch_norm", "sync"))
    return planning.TrainPlan(targets=(FamilyTarget(TINY),), data=data, out=out, recipe=recipe, threads=1, **said)


def shared(data: Any, out: Path, processes: int = 2, watch: Callable[[int], Any] | None = None, **said: Any) -> list:
    """A training by several processes: of each whether it was interrupted, and how it failed."""

    def train(rank: int) -> Any:
        watched = planning.TrainWatch() if watch is None else watch(rank)
        try:
            return execution.execute(plan_of(data, out, **said), watched).interrupted
        except (UsageError, ToldElsewhereError) as error:
            return type(error).__name__, str(error)

    return launched(train, processes)


def config_of(out: Path) -> Config:
    with closing(RunsFile(out / NAME)) as runs:
        (config,) = runs.configs().values()
    return config


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], dict]:
    """What processes come to that nothing ends."""

    @cache
    def found(processes: int, norm: str) -> dict:
        out = tmp_path_factory.mktemp("unbroken")
        assert shared(data, out, processes, batch_norm=norm) == [False] * processes
        return bits(out)

    return found


# -- what is kept ----------------------------------------------------------------------------------------------


def test_the_first_alone_writes_and_every_image_is_answered_once(data: Path, tmp_path: Path) -> None:
    """The second process is told another folder, which stays unmade; what is kept is the checkpoint's own answer."""

    def train(rank: int) -> Any:
        done = trained(data, tmp_path / str(rank), epochs=2, batch=8, best=True)
        (outcome,) = done.runs
        return [epoch.test_accuracy for epoch in outcome.epochs], outcome.config.machine.processes

    first, second = launched(train)
    assert first == second
    assert first[1] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    out, config = tmp_path / "0", config_of(tmp_path / "0")
    assert (config.machine.processes, config.micro, config.recipe.batch_norm) == (2, 4, "sync")
    split = read_split(out / "split.json", open_source(data))
    model = build(type(TINY)(**{**TINY.to_dict(), "classes": 3}), seed=0)
    model.load_state_dict(load_file(out / "runs" / config.run / "last.safetensors"))
    model.eval()
    images, labels = images_of(data, split.test)
    with torch.no_grad():
        logits = model(images)
    with closing(RunsFile(out / NAME)) as runs:
        kept = runs.logits(config.run, 2, "test", len(CLASSES))
        np.testing.assert_allclose(kept, logits.numpy(), rtol=1e-4, atol=1e-4)
        names, stored = runs.images(config.run, "test")
        (_, last) = runs.epochs(config.run)
    assert stored.tolist() == labels.tolist()
    assert len(names) == len(split.test)
    assert last.test_accuracy == float((logits.argmax(1) == labels).double().mean())
    assert last.images == len(split.train)


def test_of_the_command_the_first_alone_speaks_and_says_how_it_ended(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["train", TINY.name, "--data", str(data), "--out", str(out), "--image", "16", "--batch", "6"]

    def command(rank: int) -> int:
        with (tmp_path / f"said by {rank}").open("w") as said, redirect_stdout(said), redirect_stderr(said):
            return run(cli, [*words, "--epochs", "1", "--batch-norm", "ghost", "--format", "log"])

    assert launched(command) == [0, 0]
    said = (tmp_path / "said by 0").read_text()
    assert said.count("Epoch: 1") == 1
    assert "2 processes share every batch of 6, 3 images each; batch norm (ghost) over 3 images, of each" in said
    assert (tmp_path / "said by 1").read_text() == ""
    (out / "split.json").write_text("{")
    assert launched(command) == [2, 0]
    assert "error: " in (tmp_path / "said by 0").read_text()
    assert (tmp_path / "said by 1").read_text() == ""


@pytest.mark.slow
def test_one_process_without_dropout_takes_the_same_first_epoch(data: Path, tmp_path: Path) -> None:
    """In float32 they drift apart, in few steps by little."""
    plain = type(TINY)(**{**TINY.to_dict(), "drop": 0.0})
    said = {"epochs": 1, "batch": 7, "lr": 1e-4}

    def train(rank: int) -> list[float]:
        (outcome,) = trained(data, tmp_path / "two", plain, **said).runs
        return [outcome.epochs[0].log_train_loss, outcome.epochs[0].test_loss]

    two, _ = launched(train)
    (outcome,) = trained(data, tmp_path / "one", plain, **said).runs
    one = [outcome.epochs[0].log_train_loss, outcome.epochs[0].test_loss]
    assert two == pytest.approx(one, rel=1e-3)


# -- ends and goes on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processes", "norm", "steps"),
    [
        (2, "sync", 6),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in ((2, "sync", 2), (2, "ghost", 6), (3, "sync", 2), (3, "sync", 6))
        ),
    ],
)
def test_told_to_end_all_end_at_one_step_and_go_on_to_the_same_bits(
    data: Path, tmp_path: Path, unbroken: Callable[[int, str], dict], processes: int, norm: str, steps: int
) -> None:
    """The last process alone is told, within an epoch."""

    def watch(rank: int) -> planning.TrainWatch:
        taken = []

        def step(*what: object) -> None:
            taken.append(1)
            if rank == processes - 1 and len(taken) == steps:
                signal.raise_signal(signal.SIGINT)

        return planning.TrainWatch(step=step)

    assert shared(data, tmp_path, processes, watch, batch_norm=norm) == [True] * processes
    assert bits(tmp_path) != unbroken(processes, norm)
    assert shared(data, tmp_path, processes, batch_norm=norm) == [False] * processes
    assert bits(tmp_path) == unbroken(processes, norm)


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_bits(data: Path, tmp_path: Path, unbroken: Callable[[int, str], dict]) -> None:
    """All die at once, after the first epoch was kept."""

    def train(rank: int) -> None:
        def step(config: Config, epoch: int, images: int) -> None:
            if epoch == 1 and images > 7:
                os._exit(9)

        execution.execute(plan_of(data, tmp_path), planning.TrainWatch(step=step))

    with pytest.raises(EOFError):
        launched(train)
    with closing(RunsFile(tmp_path / NAME)) as runs:
        assert len(runs.epochs(config_of(tmp_path).run)) == 1
    assert shared(data, tmp_path) == [False, False]
    assert bits(tmp_path) == unbroken(2, "sync")


def test_other_processes_go_on_where_that_is_accepted_and_it_is_said(data: Path, tmp_path: Path) -> None:
    def watch(rank: int) -> planning.TrainWatch:
        def step(config: Config, epoch: int, images: int) -> None:
            if epoch == 1 and rank == 0:
                signal.raise_signal(signal.SIGINT)

        return planning.TrainWatch(step=step)

    assert shared(data, tmp_path, 2, watch) == [True, True]
    with pytest.raises(UsageError, match=r"micro 4 -> 7; processes 2 -> 1.*--accept"):
        execution.execute(plan_of(data, tmp_path), planning.TrainWatch())
    told: list[str] = []
    done = execution.execute(plan_of(data, tmp_path, accept=True), planning.TrainWatch(warn=told.append))
    assert [epoch.epoch for epoch in done.runs[0].epochs] == [1, 2, 3]
    assert [epoch.images for epoch in done.runs[0].epochs] == [24, 24, 24]
    assert any("goes on with 1 process instead of 2: in the same batches, batch norm over 7" in word for word in told)
    assert (config_of(tmp_path).machine.processes, config_of(tmp_path).micro) == (1, 7)
    wrong, elsewhere = shared(data, tmp_path, 2)
    assert wrong[0] == "UsageError"
    assert "processes 1 -> 2" in wrong[1]
    assert elsewhere[0] == "ToldElsewhereError"
    assert shared(data, tmp_path, 3, accept=True) == [False] * 3


def config(processes: int, micro: int, norm: str = "sync", batch: int = 32) -> Config:
    return Config(
        run="r", network="n", label="l", image=8, classes=("a",), data="", split="", images=(99, 0, 0), seed=0,
        recipe=Recipe(batch=batch, batch_norm=norm), micro=micro,
        machine=Machine(device="cpu", threads=1, torch="2", processes=processes),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "now", "micro", "normed"),
    [
        (config(2, 16), config(1, 32), 32, 32),
        (config(1, 32), config(4, 8), 8, 32),
        (config(2, 4), config(1, 32), 8, 8),
        (config(1, 32), config(3, 11), 11, 32),
        (config(2, 16, "ghost"), config(1, 32, "ghost"), 16, 16),
        (config(1, 32, "ghost"), config(2, 16, "ghost"), 16, 16),
        (config(2, 8), config(2, 16), 8, 16),
    ],
)
def test_batch_norm_sees_as_many_images_as_before_where_it_can(
    before: Config, now: Config, micro: int, normed: int
) -> None:
    on = going_on(before, now)
    assert (on.micro, on.normed) == (micro, normed)


def test_processes_are_told_in_words() -> None:
    assert divided_words(config(1, 32)) == ""
    assert divided_words(config(2, 16)).endswith("32, 16 images each; batch norm (sync) over 32 images, of all")
    ghost = config(2, 16, "ghost")
    assert divided_words(ghost).endswith("batch norm (ghost) over 16 images, of each one's own")
    assert "batch norm over 16 images instead of 32; sums" in moved(config(1, 32, "ghost"), ghost)
    assert "batch norm over 32 images; sums" in moved(config(2, 16), config(1, 32))


# -- what can't be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"batch": 3, "batch_norm": "ghost"}, r"a batch of 3 is too small for 2 processes.*say --batch 4 or more"),
        ({"compile": True}, "batch norm over several processes can't be compiled.*--batch-norm ghost"),
        ({"batch": 99}, "24 images to train on are fewer than a batch of 99"),
    ],
    ids=["batch", "compile", "images"],
)
def test_what_can_not_be_shared_is_refused(data: Path, tmp_path: Path, said: dict, why: str) -> None:
    found = launched(lambda rank: refusal(data, tmp_path, **said))
    assert all(re.search(why, words) for _, words in found)


def test_a_process_that_reads_other_images_is_named_by_the_first(data: Path, tmp_path: Path) -> None:
    other = uneven(data, tmp_path / "other")
    picture = sorted((data / CLASSES[1]).iterdir())[0]
    same_names = tmp_path / "same names"
    shutil.copytree(data, same_names)
    shutil.copy(picture, same_names / CLASSES[0] / "00.png")
    for wrong in (other, same_names):
        first, second = launched(lambda rank, to=wrong: refusal(to if rank else data, tmp_path / "out"))
        assert first[0] == "UsageError"
        assert "process 1 reads other images than the first; give every machine the same files" in first[1]
        assert second[0] in ("ToldElsewhereError", "DataError")


def refusal(data: Path, out: Path, **said: Any) -> tuple[str, str]:
    recipe = Recipe(**{"epochs": 1, "batch": 8, **said})
    plan = planning.TrainPlan(targets=(FamilyTarget(TINY),), data=data, out=out, recipe=recipe, threads=1)
    with pytest.raises((UsageError, ToldElsewhereError)) as caught:
        execution.execute(plan, planning.TrainWatch())
    return type(caught.value).__name__, str(caught.value)


def test_a_last_batch_too_small_for_all_is_left_out_and_that_is_said(data: Path, tmp_path: Path) -> None:
    """24 images in sevens: three are left, and ghosts of three processes need two each."""
    told = launched(lambda rank: [sentence for each in dry(data, tmp_path) for sentence in each.doubts], 3)
    assert "the last 3 images of an epoch are left out: too few for 3 processes" in told[0]
    assert not any("left out" in sentence for each in dry(data, tmp_path) for sentence in each.doubts)


def dry(data: Path, out: Path) -> list[execution.Preflight]:
    return execution.dry_run(plan_of(data, out, batch_norm="ghost"), planning.TrainWatch())


def test_memory_that_runs_out_within_a_shared_step_ends_with_what_to_do(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, taken = stepping.Stepper.step, []

    def small(self: stepping.Stepper, *what: Any) -> Any:
        taken.append(1)
        if len(taken) > 6 and self.together.rank == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, *what)

    monkeypatch.setattr(stepping.Stepper, "step", small)

    def train(rank: int) -> Any:
        with pytest.raises((UsageError, ProcessLostError)) as caught:
            execution.execute(plan_of(data, tmp_path), planning.TrainWatch())
        return str(caught.value)

    first, second = launched(train)
    assert "4 images at a time are too many for cpu; start more processes, or say a smaller --batch" in first
    assert "another process of this training has ended" in second
