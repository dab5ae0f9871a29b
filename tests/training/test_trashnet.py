"""The real command on real pictures: TrashNet at 32 px, two epochs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT, run_command

from analyzer.images.source import open_source
from analyzer.images.split_file import read_split
from analyzer.storing.results_file import NAME
from analyzer.training.runs_file import RunsFile

DATA = ROOT / "examples" / "data" / "trashnet"
NETWORK = "residual_b2-4-3-2_g32_r0.25_c0.5"
COUNTS = {"cardboard": 403, "glass": 501, "metal": 409, "paper": 594, "plastic": 480, "trash": 137}


def test_what_ships_is_what_its_source_says() -> None:
    assert {folder.name: len(list(folder.glob("*.jpg"))) for folder in DATA.iterdir() if folder.is_dir()} == COUNTS
    assert "Copyright (c) 2017 Gary Thung" in (DATA / "LICENSE").read_text()


@pytest.mark.slow
def test_two_epochs_on_trashnet(tmp_path: Path) -> None:
    command = ("train", NETWORK, "--data", str(DATA), "--out", "out", "--image", "32", "--epochs", "2", "--lr", "1e-3")
    done = run_command(*command, "--threads", "1", "--format", "log", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert [line[:9] for line in lines] == ["Epoch: 1,", "Epoch: 2,"]
    assert "predicted peak" in done.stderr
    source = open_source(DATA)
    split = read_split(tmp_path / "out" / "split.json", source)
    assert len(split.train) + len(split.val) + len(split.test) == 2524
    assert abs(len(split.test) - 505) <= 6
    labels = np.array(source.labels)[list(split.test)]
    with closing(RunsFile(tmp_path / "out" / NAME)) as runs:
        (run,) = runs.configs()
        epochs, logits = runs.epochs(run), runs.logits(run, 2, "test", 6)
    assert epochs[1].test_accuracy == pytest.approx((logits.argmax(1) == labels).mean())
    assert lines[1].startswith(f"Epoch: 2, Train_acc:{100 * epochs[1].log_train_accuracy:.1f}, ")
    assert epochs[1].test_accuracy > 0.35  # always paper: 0.24
