"""`analyze sweep`: rows, files, interruption, bad input."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.sweeping.database import ALL, Database

ROOT = Path(__file__).parents[2]
STATIC = ("sweep", "--blocks", "2,4,3,2", "--measure", "none")


def rows(folder: Path) -> list[dict]:
    """The stored rows, without their checksums: what is printed has none."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "checksum"} for line in lines]


def test_the_default_grid(analyze, tmp_path: Path) -> None:
    done = analyze(*STATIC, "--out", "out")
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "out")
    assert len(found) == 6 * 3 + 5 * 3 + 1
    baseline, *others = found
    assert baseline["params"] == 6_955_906
    assert sum(row["target"]["variant"]["growth"] == "double" for row in others) == 3
    article = next(row for row in others if row["target"]["name"] == "article")
    assert article["macs"] == 18_622_955_520
    assert done.stdout.splitlines()[-1] == "open out/report.html"
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    table = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
    assert [int(row["params"]) for row in table] == [row["params"] for row in found]


def test_axes_as_lists_ranges_and_repeats(analyze, tmp_path: Path) -> None:
    axes = ["--growth", "8:24:8", "--growth", "40", "--compression", "0.5", "--block", "dense", "--blocks", "2,2"]
    assert analyze(*STATIC, *axes, "--out", "out").returncode == 0
    variants = [row["target"]["variant"] for row in rows(tmp_path / "out")[1:]]
    assert sorted((v["block_config"], v["growth"]) for v in variants) == sorted(
        (blocks, growth) for blocks in ([2, 4, 3, 2], [2, 2]) for growth in (8, 16, 24, 40)
    )


def test_a_bad_variant_is_an_error_row_not_the_end(analyze, tmp_path: Path) -> None:
    done = analyze(*STATIC, "--groups", "1,3", "--kernel", "3,4", "--format", "jsonl", "--out", "out")
    assert done.returncode == 0
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == rows(tmp_path / "out")
    reasons = {row["error"]["what"] for row in found if row["error"]}
    assert any("even" in reason for reason in reasons)
    assert any("divide" in reason for reason in reasons)
    assert any(row["error"] is None for row in found)
    assert done.stderr.splitlines()[-1] == "open out/report.html"


def test_no_good_row_is_exit_3(analyze) -> None:
    done = analyze(*STATIC, "--image", "8", "--out", "out")
    assert done.returncode == 3
    assert "shrinks" in done.stderr
    assert "Traceback" not in done.stderr


def test_dry_run_does_nothing(analyze, tmp_path: Path) -> None:
    done = analyze("sweep", "--blocks", "2,4,3,2", "--dry-run")
    assert done.returncode == 0
    assert "34 rows" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_starting_anew_keeps_earlier_results_aside(analyze, tmp_path: Path) -> None:
    analyze(*STATIC, "--growth", "12", "--out", "out")
    first = (tmp_path / "out" / "results.jsonl").read_text()
    analyze(*STATIC, "--growth", "16", "--out", "out", "--no-resume")
    kept = list((tmp_path / "out").glob("results-*.jsonl"))
    assert [p.read_text() for p in kept] == [first]
    databases = sorted((tmp_path / "out").glob("results*.db"))
    assert [len(Database(path).rows()) for path in databases] == [7, 7]


def test_a_second_run_does_only_what_is_missing(analyze, tmp_path: Path) -> None:
    analyze(*STATIC, "--growth", "12", "--out", "out")
    done = analyze(*STATIC, "--growth", "12,16", "--out", "out")
    assert "13 rows, 7 already there" in done.stderr
    assert "counted 6 rows" in done.stderr
    analyze(*STATIC, "--growth", "12,16", "--out", "fresh")
    assert rows(tmp_path / "out") == rows(tmp_path / "fresh")
    again = analyze(*STATIC, "--growth", "12,16", "--out", "out")
    assert "13 rows, 13 already there" in again.stderr
    assert len(Database(tmp_path / "out" / "results.db").rows()) == 13


def test_another_batch_is_counted_beside_the_first(analyze, tmp_path: Path) -> None:
    analyze(*STATIC, "--growth", "12", "--out", "out")
    done = analyze(*STATIC, "--growth", "12", "--batch", "4", "--out", "out")
    assert "already there" not in done.stderr
    assert {row["batch"] for row in rows(tmp_path / "out")} == {4}
    assert len(Database(tmp_path / "out" / "results.db").rows()) == 14


SMALL = ("--blocks", "1,1", "--image", "32", "--init", "8", "--compression", "0.5", "--device", "cpu", "--out", "out")


@pytest.mark.slow
@pytest.mark.usefixtures("_measured_here")
def test_measurements_are_not_made_again(analyze, tmp_path: Path) -> None:
    """Whatever the time, one row is always measured: with none at all, each run measures just one more."""
    grid = ["--stem", "small", "--image", "16", "--blocks", "2,2", "--block", "dense", "--growth", "4,8,12"]
    command = [
        "sweep",
        *grid,
        "--compression",
        "0.5",
        "--device",
        "cpu",
        "--measure",
        "all",
        "--time",
        "0s",
        "--out",
        "out",
    ]
    measured: list[dict] = []
    for there in range(3):
        done = analyze(*command, "--format", "jsonl")
        after = [json.loads(line) for line in done.stdout.splitlines()]
        assert after == rows(tmp_path / "out")
        chosen = [row for row in after if row["measured"] or "were spent (--time)" in str(row["notes"])]
        assert len(chosen) > there
        assert (f"{len(chosen)} rows to measure, {there} already there" in done.stderr) == (there > 0)
        assert sum(line.startswith("measuring ") for line in done.stderr.splitlines()) == 1
        if there < 2:
            assert re.search(
                r"warning: \d (?:was|were) not measured \(.*\): the 0 s for measuring were spent", done.stderr
            )
        assert [row for row in after if row["measured"] and row in measured] == measured
        measured = [row for row in after if row["measured"]]
        assert len(measured) == there + 1
    assert "already there" not in analyze(*command, "--no-resume").stderr


@pytest.mark.slow
def test_two_sweeps_of_one_folder_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analyzer", *STATIC, "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 3, errors
    assert len(Database(tmp_path / "out" / "results.db").rows(ALL)) == len(rows(tmp_path / "out")) == 34


def test_a_damaged_database_is_named_and_kept(analyze, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.db").write_bytes(b"never a database " * 300)
    done = analyze(*STATIC, "--out", "out")
    assert done.returncode == 2
    (kept,) = (tmp_path / "out").glob("results-*.db")
    assert f"kept as {kept.relative_to(tmp_path)}" in done.stderr
    assert kept.read_bytes() == b"never a database " * 300
    assert analyze(*STATIC, "--out", "out").returncode == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--growth", "1:90000", "--compression", "0.1:0.9:0.001"], "too many"),
        (["--growth", "1:9e9"], "values"),
        (["--growth", "8:4"], "empty range"),
        (["--blocks", ""], "whole number"),
        (["--time", "soon"], "duration"),
        (["--max-params", "8X"], "not a number"),
        (["--device", "tpu"], "device"),
        (["--out", "/proc/nowhere"], "can't"),
    ],
)
def test_bad_input(analyze, options: list[str], says: str) -> None:
    measure = ["--measure", "front"] if "--device" in options else ["--measure", "none"]
    done = analyze("sweep", *measure, *options)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("_measured_here")
def test_measuring_the_front(analyze, tmp_path: Path) -> None:
    done = analyze("sweep", *SMALL, "--growth", "4,8", "--time", "0s")
    assert done.returncode == 0, done.stderr
    measured = [row for row in rows(tmp_path / "out") if row["measured"]]
    assert len(measured) == 1, "one row is always measured"
    for row in measured:
        times = row["measured"]
        assert len(times["seconds_per_batch"]) == len(times["baseline_seconds_per_batch"]) >= 3
        assert times["ratio_low"] <= times["ratio"] <= times["ratio_high"]
        assert times["environment"]["device"] == "cpu"
    assert len({row["target"]["name"] for row in rows(tmp_path / "out")}) == len(rows(tmp_path / "out"))


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_exits_130(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analyzer", "sweep", "--blocks", "2,4,3,2", "--time", "10m", "--out", "out"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("measuring"):
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert len(rows(tmp_path / "out")) == 34
    assert (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "out" / "results.csv").exists()


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analyzer", "sweep", "--measure", "none", "--growth", "4:60", "--format", "jsonl"]
    process = subprocess.Popen(
        [*command, "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["schema"] == 2
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    assert process.wait(timeout=300) == 0


@pytest.mark.usefixtures("_measured_here")
def test_images_too_small_for_densenet121_are_still_swept_shown_and_explained(analyze, tmp_path: Path) -> None:
    small = ["--stem", "small", "--image", "16", "--blocks", "2,2", "--block", "dense"]
    done = analyze("sweep", *small, "--growth", "4", "--compression", "0.5", "--time", "0s", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "times are against" in done.stderr
    baseline, row = rows(tmp_path / "out")
    assert baseline["error"] is not None
    assert row["measured"]["baseline"] == row["target"]["name"]
    assert done.stdout.splitlines()[-1] == "open out/report.html"
    for verb in ("show", "explain"):
        done = analyze(verb, *small, "--growth", "4")
        assert done.returncode == 0, done.stderr
        assert "DenseNet121 makes no network at 16 px" in done.stderr
