"""What a recipe can ask for besides, and what is done with runs that are kept."""

from __future__ import annotations

import importlib.util
import shutil
from contextlib import closing
from pathlib import Path

import pytest
import torch
from commands import run_here
from safetensors.torch import load_file
from trainings import TINY, bits, trained, uneven

from analyzer.errors import UsageError
from analyzer.storing.results_file import NAME
from analyzer.training.runs_file import RunsFile

RUN = "residual_b1-1_g4_r0.5_c0.5_i4_stemsmall_d0.2_n3_s16_seed0"


@pytest.mark.parametrize(
    "said",
    [
        {"amp": "bfloat16"}, {"amp": "float16"}, {"channels_last": True}, {"classes_weighted": True},
        {"optimizer": "sgd", "schedule": "step"}, {"augment": ()}, {"train_accuracy_every": 0}, {"folds": 3},
    ],
    ids=str,
)  # fmt: skip
def test_each_option_trains_and_goes_on_to_the_same_bits(said: dict, data: Path, tmp_path: Path) -> None:
    data = uneven(data, tmp_path / "data")
    trained(data, tmp_path / "a", epochs=3, **said)
    with pytest.MonkeyPatch.context() as patched:
        from analyzer.training import trainer

        steps, step = [], trainer.Trainer.step

        def killed(self: trainer.Trainer, *args: object) -> object:
            steps.append(1)
            if len(steps) == 4 + 5:  # four are the preflight's
                raise KeyError("gone")
            return step(self, *args)

        patched.setattr(trainer.Trainer, "step", killed)
        with pytest.raises(KeyError, match="gone"):
            trained(data, tmp_path / "b", epochs=3, **said)
    trained(data, tmp_path / "b", epochs=3, **said)
    assert bits(tmp_path / "a") == bits(tmp_path / "b")
    plain = trained(data, tmp_path / "plain", epochs=3)
    weights = [load_file(next((tmp_path / name).glob("runs/*/last.safetensors"))) for name in ("a", "plain")]
    assert set(weights[0]) == set(weights[1])
    if said != {"train_accuracy_every": 0}:
        assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    else:
        assert all(
            epoch.train_accuracy is None for epoch in trained(data, tmp_path / "a", epochs=3, **said).runs[0].epochs
        )
        assert plain.runs[0].epochs[0].train_accuracy is not None


def test_the_best_is_of_the_epoch_with_the_highest_validation(data: Path, tmp_path: Path) -> None:
    from analyzer.targets.checkpoints import read_header

    (outcome,) = trained(data, tmp_path, epochs=6, lr=0.02, best=True).runs
    accuracies = [epoch.val_accuracy for epoch in outcome.epochs]
    best = read_header(tmp_path / "runs" / RUN / "best.safetensors").checkpoint
    assert best.epoch == 1 + accuracies.index(max(accuracies))
    assert read_header(tmp_path / "runs" / RUN / "last.safetensors").checkpoint.epoch == 6


def test_leaks_may_be_allowed_and_are_said(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "val", "test"):
        shutil.copytree(data, tmp_path / "data" / part)
    with pytest.raises(UsageError, match=r"parts share images.*--allow-leaks"):
        trained(tmp_path / "data", tmp_path / "out")
    done = run_here(
        "train", TINY.name, "--data", "data", "--out", "out", "--epochs", "1", "--batch", "8", "--image", "16",
        "--allow-leaks", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "what is measured on them says little" in done.stderr


def test_runs_are_listed_and_merged(data: Path, tmp_path: Path) -> None:
    trained(data, tmp_path / "a")
    trained(data, tmp_path / "b", seeds=(0, 1))
    assert "kept there, too: analyze results runs b" in run_here("results", "list", "b", cwd=tmp_path).stderr
    listed = run_here("results", "runs", "b", "--format", "csv", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count("\n") == 1 + 2 * 2
    done = run_here("results", "merge", "a", "b", "--out", "all/results.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 runs taken over" in done.stderr
    merged, whole = tmp_path / "all", tmp_path / "b"
    names = [key for key in bits(whole) if not key.startswith("runs/")]
    assert {key: bits(merged)[key] for key in names} == {key: bits(whole)[key] for key in names}
    with closing(RunsFile(merged / NAME)) as runs:
        assert len(runs.outcomes()) == 2


def test_tensorboard_is_an_extra(data: Path, tmp_path: Path) -> None:
    command = (
        "train",
        TINY.name,
        "--data",
        str(data),
        "--out",
        "out",
        "--epochs",
        "1",
        "--batch",
        "8",
        "--image",
        "16",
    )
    done = run_here(*command, "--tensorboard", cwd=tmp_path)
    if importlib.util.find_spec("tensorboard"):
        assert list((tmp_path / "out" / "tensorboard" / RUN).glob("events.*"))
    else:
        assert done.returncode == 2
        assert "[tensorboard]" in done.stderr
