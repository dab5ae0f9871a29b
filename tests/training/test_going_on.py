"""Whatever ends a training, the same command goes on to the same bits."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from commands import ROOT, run_here
from trainings import TINY, bits, trained

from analyzer.errors import DamageWarning, UsageError
from analyzer.processes import Asked
from analyzer.storing.results_file import NAME
from analyzer.targets.resolving import FamilyTarget
from analyzer.training import checkpoints, execution, planning, trainer
from analyzer.training.recipe import Recipe
from analyzer.training.runs_file import RunsFile

RUN = "residual_b1-1_g4_r0.5_c0.5_i4_stemsmall_d0.2_n3_s16_seed0"


class KilledError(BaseException):
    """The process is gone: nothing is saved any more."""


def plan_of(data: Path, out: Path, **said: object) -> planning.TrainPlan:
    recipe = Recipe(**{"epochs": 3, "batch": 6, "optimizer": "adamw", "schedule": "cosine"})
    return planning.TrainPlan(targets=(FamilyTarget(TINY),), data=data, out=out, recipe=recipe, threads=1, **said)


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a run of three epochs comes to that nothing ends."""
    out = tmp_path_factory.mktemp("unbroken")
    execution.execute(plan_of(data, out), planning.TrainWatch())
    return bits(out)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 4, 5, 7, 8, 9, 10, 11, 12])
@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_ended_at_a_step_it_goes_on_to_the_same_bits(
    how: str, step: int, data: Path, unbroken: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve steps, four an epoch; workers come and go."""
    if step % 2:
        monkeypatch.setattr(trainer, "SAVE_EVERY_S", 0.0)  # in the midst of epochs, too
    taken = []

    def at_step(*_: object) -> None:
        taken.append(1)
        if len(taken) == step and how == "killed":
            raise KilledError
        if len(taken) == step:
            signal.raise_signal(signal.SIGINT)

    if how == "killed":
        with pytest.raises(KilledError):
            execution.execute(plan_of(data, tmp_path), planning.TrainWatch(step=at_step))
    else:
        done = execution.execute(plan_of(data, tmp_path), planning.TrainWatch(step=at_step))
        assert done.interrupted
        assert len(taken) == step
    monkeypatch.undo()
    done = execution.execute(plan_of(data, tmp_path, workers=step % 3 // 2), planning.TrainWatch())
    assert not done.interrupted
    assert bits(tmp_path) == unbroken


def test_a_finished_run_has_nothing_to_do(data: Path, tmp_path: Path) -> None:
    trained(data, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    steps: list[object] = []
    plan = planning.TrainPlan(
        targets=(FamilyTarget(TINY),), data=data, out=tmp_path, recipe=Recipe(epochs=2, batch=8), threads=1
    )
    done = execution.execute(plan, planning.TrainWatch(step=lambda *what: steps.append(what)))
    assert steps == []
    assert len(done.runs[0].epochs) == 2
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == before


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"lr": 0.01}, r"lr 0.0001 -> 0.01"),
        ({"epochs": 4}, r"epochs 2 -> 4"),
        ({"augment": ()}, r"augment flip,crop -> "),
        ({"threads": 2}, r"threads 1 -> 2"),
        ({"batch": 4, "optimizer": "sgd"}, r"optimizer adam -> sgd; batch 8 -> 4"),
    ],
)
def test_a_run_that_changed_says_what(data: Path, tmp_path: Path, said: dict, words: str) -> None:
    trained(data, tmp_path)
    before = bits(tmp_path)
    with pytest.raises(UsageError, match=f"was begun differently: {words}"):
        trained(data, tmp_path, **said)
    assert bits(tmp_path) == before
    trained(data, tmp_path, accept=True, **said)
    with closing(RunsFile(tmp_path / NAME)) as runs:
        epochs = runs.epochs(RUN)
    assert len(epochs) == said.get("epochs", 2)


def test_data_that_changed_is_refused_or_divided_anew(data: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(data, tmp_path / "data"))
    trained(mine, tmp_path / "out")
    shutil.copy(mine / "disc" / "00.png", mine / "disc" / "extra.png")
    (mine / "disc" / "01.png").write_bytes((mine / "disc" / "02.png").read_bytes())
    with pytest.raises(UsageError, match=r"01\.png|extra\.png"):
        trained(mine, tmp_path / "out")
    with pytest.raises(UsageError, match=r"data .* -> "):
        trained(mine, tmp_path / "out", split_seed=1)
    trained(mine, tmp_path / "out", epochs=3, accept=True)


def test_another_process_keeps_off(data: Path, tmp_path: Path) -> None:
    from analyzer.files import locked

    with locked(tmp_path / ".training.lock"), pytest.raises(UsageError, match="another process trains there"):
        trained(data, tmp_path)


# -- damage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["last.safetensors", "state-*.safetensors"])
@pytest.mark.parametrize("place", [0.02, 0.5, 0.99])
def test_a_flipped_bit_is_never_trained_on(which: str, place: float, data: Path, tmp_path: Path) -> None:
    trained(data, tmp_path)
    (path,) = (tmp_path / "runs" / RUN).glob(which)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"damaged|no safetensors|no checkpoint|is a checkpoint of"):
        trained(data, tmp_path, epochs=3, accept=True)


def test_a_damaged_epoch_or_prediction_is_left_out_by_name(data: Path, tmp_path: Path) -> None:
    import sqlite3

    trained(data, tmp_path)
    with closing(sqlite3.connect(tmp_path / NAME)) as raw, raw:
        raw.execute("UPDATE epochs SET record = replace(record, '\"epoch\":1', '\"epoch\":7') WHERE epoch = 1")
        raw.execute("UPDATE predictions SET logits = zeroblob(length(logits)) WHERE epoch = 2 AND split = 'test'")
    with closing(RunsFile(tmp_path / NAME)) as runs:
        with pytest.warns(DamageWarning, match=f"{RUN}, epoch 1 is damaged"):
            assert [epoch.epoch for epoch in runs.epochs(RUN)] == [2]
        with pytest.warns(DamageWarning, match=f"predictions of {RUN}, epoch 2, test is damaged"):
            assert runs.logits(RUN, 2, "test", 3) is None
        assert runs.logits(RUN, 2, "val", 3).shape[1] == 3


def test_a_full_disk_loses_no_epoch(
    data: Path, tmp_path: Path, unbroken: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing the third epoch's checkpoint fails; the second's is whole, and the run goes on from it."""
    import safetensors.torch

    save, calls = safetensors.torch.save_file, []

    def full(*args: object, **said: object) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        save(*args, **said)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UsageError, match=r"No space left.*free some space"):
        execution.execute(plan_of(data, tmp_path), planning.TrainWatch())
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    execution.execute(plan_of(data, tmp_path), planning.TrainWatch())
    assert bits(tmp_path) == unbroken


# -- the real command ------------------------------------------------------------------------------------------


def command(data: Path, out: Path) -> list[str]:
    said = {"epochs": 3, "batch": 6, "optimizer": "adamw", "schedule": "cosine", "threads": 1, "image": 16}
    options = [word for name, value in said.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "analyzer", "train", TINY.name, "--data", str(data), "--out", str(out), *options]


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_comes_to_the_same_bits(data: Path, tmp_path: Path, unbroken: dict) -> None:
    draw, variables = random.Random(5), {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = 0
    for attempt in range(40):
        out = tmp_path / str(killed)
        process = subprocess.Popen(
            command(data, out), env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for line in process.stderr:
            if "predicted peak" in line:
                break
        time.sleep(draw.uniform(0, 0.25))
        alive = process.poll() is None
        process.kill()
        process.wait()
        process.stderr.close()
        killed += alive
        if killed == 10 or attempt == 39:
            break
    assert killed >= 5
    for out in sorted(tmp_path.iterdir()):
        again = run_here(*command(data, out)[3:], cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert bits(out) == unbroken


def test_the_command_is_interrupted_in_order(data: Path, tmp_path: Path, unbroken: dict) -> None:
    from analyzer.cli import train as cli_train

    real, steps = cli_train.TrainingBar.step, []

    def interrupting(self: object, *what: object) -> None:
        steps.append(1)
        if len(steps) == 6:
            signal.raise_signal(signal.SIGINT)

    cli_train.TrainingBar.step = interrupting
    try:
        done = run_here(*command(data, tmp_path / "out")[3:], "--format", "log", cwd=tmp_path)
    finally:
        cli_train.TrainingBar.step = real
    assert done.returncode == 130
    assert "interrupted: saved; the same command goes on" in done.stderr
    assert done.stdout.count("Epoch:") == 1
    again = run_here(*command(data, tmp_path / "out")[3:], "--format", "log", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("Epoch:") == 2
    assert "goes on after epoch 1" in again.stderr
    assert bits(tmp_path / "out") == unbroken


def test_a_second_interruption_ends_at_once() -> None:
    asked = Asked()
    asked.again(signal.SIGINT)
    assert asked.to_end
    with pytest.raises(KeyboardInterrupt):
        asked.again(signal.SIGINT)


def test_a_state_is_written_before_its_network(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two writes the network that is there has its state."""
    written: list[str] = []
    real = checkpoints._write

    def noted(path: Path, *args: object) -> None:
        real(path, *args)
        written.append(path.name)
        if checkpoints.last_of(path.parent) is not None:
            header = checkpoints.last_of(path.parent)
            assert checkpoints.state_path(path.parent, header.checkpoint.step).exists()

    monkeypatch.setattr(checkpoints, "_write", noted)
    trained(data, tmp_path)
    assert written == ["state-3.safetensors", "last.safetensors", "state-6.safetensors", "last.safetensors"]


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_run_that_pauses_after_epochs_goes_on_to_the_same_bits(schedule: str, data: Path, tmp_path: Path) -> None:
    def plan(out: Path, **more: object) -> planning.TrainPlan:
        said = plan_of(data, out, **more)
        return replace(said, recipe=msgspec.structs.replace(said.recipe, schedule=schedule))

    execution.execute(plan(tmp_path / "whole"), planning.TrainWatch())
    for until in (1, 1, 2, None):
        done = execution.execute(plan(tmp_path / "paused", until=until), planning.TrainWatch())
        assert len(done.runs[0].epochs) == (until or 3)
    assert bits(tmp_path / "paused") == bits(tmp_path / "whole")
