"""The commands on a GPU, as a user types them: what they say of it, and that what they make is whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run_command

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
NETWORK = ("--blocks", "2,2", "--growth", "8", "--image", "64")


def test_doctor_names_the_device_that_measures(tmp_path: Path) -> None:
    told = run_command("doctor", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "measured on       cuda, batch 64" in told.stdout
    assert torch.cuda.get_device_name() in told.stdout


@pytest.mark.parametrize("how", [("--dtype", "bfloat16", "--channels-last"), ("--training", "--autocast", "bfloat16")])
@pytest.mark.parametrize("device", ["auto", "cuda:0"])
def test_measure_times_there(device: str, how: tuple[str, ...], tmp_path: Path) -> None:
    made = run_command(
        "measure", "article", *NETWORK, "--device", device, *how, "--batch", "8", "--rounds", "2", "--format", "json",
        "--out", "rows.jsonl", cwd=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (row,) = json.loads(made.stdout)
    assert len(row["measured"]["seconds_per_batch"]) == 2 * 6
    kept = json.loads((tmp_path / "rows.jsonl").read_text())
    for each in (row, kept):
        assert each["measured"]["environment"]["device_name"] == torch.cuda.get_device_name()


def test_measure_reads_the_allocator_beside_the_prediction(tmp_path: Path) -> None:
    told = run_command("measure", "densenet121", "--memory", "--batch", "8", "--out", "rows.jsonl", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "densenet121" in told.stdout


def test_the_readmes_sweep_measures_its_front_there(tmp_path: Path) -> None:
    made = run_command("sweep", "--blocks", "2,4,3,2", "--time", "25s", "--out", "swept", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    rows = list(csv.DictReader((tmp_path / "swept" / "results.csv").open()))
    assert any(float(row["measured_images_per_s"] or 0) > 0 for row in rows)
    assert torch.cuda.get_device_name() in (tmp_path / "swept" / "report.html").read_text()


@pytest.mark.parametrize("how", [(), ("--amp", "float16", "--channels-last"), ("--amp", "--compile")])
def test_train_goes_on_there_after_it_was_stopped(how: tuple[str, ...], tmp_path: Path) -> None:
    drawn, arrays = np.random.default_rng(0), {}
    for part, count in {"train": 64, "val": 16, "test": 16}.items():
        arrays[f"{part}_labels"] = np.arange(count) % 2
        images = drawn.integers(0, 128, (count, 64, 64, 3), np.uint8)
        arrays[f"{part}_images"] = images + 100 * (arrays[f"{part}_labels"] == 1)[:, None, None, None].astype(np.uint8)
    np.savez(tmp_path / "data.npz", **arrays)
    command = ("train", "article", *NETWORK, "--data", "data.npz", "--out", "runs", "--batch", "16", "--lr", "0.003")
    for epochs in ("1", "4"):
        made = run_command(*command, *how, "--epochs", epochs, "--accept", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
    (checkpoint,) = (tmp_path / "runs").glob("runs/*/last.safetensors")
    assert checkpoint.stat().st_size > 1000
    assert "4" in made.stdout
