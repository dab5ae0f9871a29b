"""Sweeps that train their rows: accuracy beside the costs, kept and gone on with as both are."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import run_here
from trainings import bits

from analyzer import Grid, Variant, sweep
from analyzer.errors import UsageError
from analyzer.measurements import TrainedFigures
from analyzer.records import Record, Target
from analyzer.storing.results_file import NAME
from analyzer.sweeping import run
from analyzer.sweeping.choosing import pareto_names
from analyzer.sweeping.execution import SweepWatch, execute
from analyzer.sweeping.run import SweepFiles
from analyzer.training.asked import training_asked
from analyzer.training.planning import TrainWatch
from analyzer.training.runs_file import RunsFile

pytestmark = pytest.mark.slow

AXES: dict[str, Any] = {
    "block": ["residual"], "blocks": [(1, 1)], "growth": [4, 8], "ratio": [0.5], "init": [4], "stem": ["small"],
    "image": [16],
}  # fmt: skip
"""Two networks; at 16 px DenseNet121 is none, so that nothing large is trained."""
HOW: dict[str, Any] = {"epochs": 2, "batch": 8, "seeds": (0, 1), "threads": 1}


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken sweep's folder."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    sweep(Grid(**AXES), out=out, train={"data": data, **HOW})
    return out


def test_every_row_has_the_mean_of_its_runs(whole: Path, data: Path) -> None:
    again = sweep(Grid(**AXES), out=whole, train={"data": data, **HOW})
    with closing(RunsFile(whole / NAME)) as runs:
        outcomes = runs.outcomes()
    trained = {record.target.name: record for record in again.records if record.error is None}
    assert len(trained) == 2
    for record in trained.values():
        last = [outcome.epochs[-1] for outcome in outcomes if outcome.config.network == record.target.variant.name]
        assert len(last) == 2
        assert record.target.variant.classes == 3
        mean = sum(epoch.test_accuracy for epoch in last) / 2
        assert again.frame()["test_accuracy"][record.target.name] == pytest.approx(mean)
        gap = sum(100 * (epoch.train_accuracy - epoch.test_accuracy) for epoch in last) / 2
        assert record.trained.generalisation_gap == pytest.approx(gap)
        assert (record.trained.runs, record.trained.epochs) == (2, 2)
    rows = {row["name"]: row for row in csv.DictReader((whole / "results.csv").open())}
    for name, record in trained.items():
        assert float(rows[name]["test_accuracy"]) == record.trained.test_accuracy
    page = (whole / "report.html").read_text()
    assert "Trained: accuracy against what it costs" in page
    assert "Against CPU-seconds of training" in page
    assert "higher test accuracy" in page


def test_what_is_trained_is_not_trained_again(whole: Path, data: Path) -> None:
    before = bits(whole)
    with closing(RunsFile(whole / NAME)) as runs:
        stamps = [runs.stored("epochs", run) for run in runs.configs()]
    done = run_here(
        "sweep", "--block", "residual", "--blocks", "1,1", "--growth", "4,8", "--ratio", "0.5", "--init", "4", "--stem",
        "small", "--compression", "0.5", "--image", "16", "--measure", "none", "--train", "--data", str(data),
        "--epochs", "2", "--seeds", "0,1", "--recipe", "batch=8", "--threads", "1", "--out", str(whole), cwd=whole,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    assert bits(whole) == before
    with closing(RunsFile(whole / NAME)) as runs:
        assert [runs.stored("epochs", run) for run in runs.configs()] == stamps
    report = run_here("report", str(whole), "--format", "md", cwd=whole)
    assert "test accuracy" in report.stdout


class Stopped(SweepWatch):
    """Ctrl-C once an epoch is finished."""

    @contextmanager
    def training(self) -> Iterator[TrainWatch]:
        def epoch(*_: object) -> None:
            raise KeyboardInterrupt

        yield TrainWatch(epoch=epoch)


def test_a_sweep_that_was_broken_off_comes_to_the_same(whole: Path, data: Path, tmp_path: Path) -> None:
    how = training_asked({"data": data, **HOW})
    plan = run.plan(Grid(**AXES), measure="none", files=SweepFiles(tmp_path / "out"), train=how)
    broken = execute(plan, Stopped())
    assert broken.interrupted
    assert all(record.trained is None for record in broken.records)
    done = execute(plan, SweepWatch())
    assert bits(tmp_path / "out") == bits(whole)
    assert sum(record.trained is not None for record in done.records) == 2


@pytest.mark.parametrize("how", [{"jobs": 2}, {"executor": "ray"}], ids=["processes", "ray"])
def test_runs_at_once_are_those_of_one_process(how: dict[str, Any], whole: Path, data: Path, tmp_path: Path) -> None:
    """That workers trained is seen in what they left: what they told."""
    sweep(Grid(**AXES), out=tmp_path / "out", train={"data": data, **HOW}, **how)
    assert bits(tmp_path / "out") == bits(whole)
    assert len(list((tmp_path / "out" / "runs").glob("*/told.jsonl"))) == 4
    assert not list((whole / "runs").glob("*/told.jsonl"))


def test_what_can_not_be_trained_is_refused_before_anything_is_done(data: Path, tmp_path: Path) -> None:
    grid = Grid(**AXES)
    for words, said, more in (
        ("come from the data, which has 3", {"data": data}, {"grid": Grid(**AXES, classes=[5]), "out": tmp_path / "o"}),
        ("needs a folder", {"data": data}, {}),
        ("would train anew", {"data": data}, {"out": tmp_path / "o", "resume": False}),
        ("unknown 'epoch'", {"data": data, "epoch": 1}, {"out": tmp_path / "o"}),
        ("needs images", {}, {"out": tmp_path / "o"}),
    ):
        with pytest.raises(UsageError, match=words):
            sweep(more.pop("grid", grid), train=said, **more)
    assert not (tmp_path / "o").exists()
    done = run_here("sweep", "--data", str(data), "--dry-run", cwd=tmp_path)
    assert done.returncode == 2
    assert "give --train with it" in done.stderr


def test_listed_variants_get_the_datas_classes(data: Path, tmp_path: Path) -> None:
    plan = run.plan(
        run.Listed([Variant(image=16, stem="small")]), measure="none", files=SweepFiles(tmp_path / "o"),
        train=training_asked({"data": data}),
    )  # fmt: skip
    assert [variant.classes for variant in plan.variants] == [3]


def test_the_front_of_trained_rows_counts_accuracy() -> None:
    def row(name: str, params: int, accuracy: float | None) -> Record:
        trained = accuracy is not None and TrainedFigures(
            test_accuracy=accuracy, cpu_s=1, runs=1, epochs=1, setting="s"
        )
        return Record(target=Target(name=name), params=params, macs=params, trained=trained or None)

    rows = [row("small", 1, 0.5), row("large", 3, 0.9), row("wasteful", 4, 0.9), row("untrained", 1, None)]
    assert pareto_names(rows) == ("small", "large")
    assert pareto_names([row("small", 1, None), row("large", 3, None)]) == ("small",)
