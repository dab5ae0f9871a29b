"""Searches by training: chosen by validation accuracy alone, kept, and the same whatever ended them."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import run_here
from trainings import bits

from analyzer import Space, search
from analyzer.errors import UsageError
from analyzer.searching.execution import query_of
from analyzer.searching.halving import HalvingPlan, HalvingResult, HalvingWatch, run_halving
from analyzer.storing.results_file import NAME
from analyzer.training.asked import training_asked
from analyzer.training.dividing import Division
from analyzer.training.planning import TrainWatch
from analyzer.training.runs_file import RunsFile

pytestmark = pytest.mark.slow

AXES: dict[str, Any] = {
    "block": ["residual"], "blocks": [(1, 1)], "growth": [4, 6, 8, 10], "ratio": [0.5], "init": [4, 8],
    "stem": ["small"], "image": [16], "classes": [3],
}  # fmt: skip
HOW: dict[str, Any] = {"epochs": 3, "batch": 8, "lr": 0.01, "seeds": (0, 1), "threads": 1}


def plan(data: Path, out: Path, **more: Any) -> HalvingPlan:
    query = query_of((), (), (), None, 0)
    said = {"candidates": 4, "eta": 2, "training": training_asked({"data": data, **HOW}), **more}
    return HalvingPlan(Space(**AXES), query, folder=out, **said)


def searched(asked: HalvingPlan, **watch: Any) -> HalvingResult:
    return run_halving(asked, HalvingWatch(TrainWatch(**watch)))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HalvingResult]:
    """An unbroken search's folder and what it found."""
    out = tmp_path_factory.mktemp("halving") / "out"
    return out, searched(plan(data, out))


def test_each_rung_keeps_the_best_by_validation_accuracy(whole: tuple[Path, HalvingResult]) -> None:
    out, result = whole
    with closing(RunsFile(out / NAME)) as runs:
        outcomes = runs.outcomes()
    assert [rung.epochs for rung in result.rungs] == [1, 2, 3]
    assert [len(rung.ranked) for rung in result.rungs] == [4, 2, 1]
    standing = None
    for rung in result.rungs:
        means = {}
        for name, accuracy in rung.ranked:
            own = [run.epochs[rung.epochs - 1].val_accuracy for run in outcomes if run.config.network == name]
            assert len(own) == 2
            means[name] = sum(own) / 2
            assert accuracy == pytest.approx(means[name])
        names = [name for name, _ in rung.ranked]
        assert standing is None or set(names) == standing
        assert list(means.values()) == sorted(means.values(), reverse=True)
        standing = set(names[: math.ceil(len(names) / 2)])


def test_only_what_survives_is_trained_to_the_end(whole: tuple[Path, HalvingResult]) -> None:
    """Four for one epoch, two for one more, one for another, from two seeds each."""
    _, result = whole
    assert (result.epochs, result.whole) == (2 * (4 + 2 + 1), 4 * 2 * 3)
    assert [row.trained is not None for row in result.rows] == [True, False, False, False]
    assert result.rows[0].target.variant.name == result.rungs[-1].ranked[0][0]
    assert result.rows[0].trained.runs == 2
    assert result.rows[-1].notes[-1].endswith("after 1 epoch")


@pytest.mark.parametrize("finished", [1, 9])
def test_a_search_that_was_broken_off_comes_to_the_same(
    finished: int, whole: tuple[Path, HalvingResult], data: Path, tmp_path: Path
) -> None:
    out, result = whole
    seen = []

    def epoch(*_: object) -> None:
        seen.append(1)
        if len(seen) == finished:
            raise KeyboardInterrupt

    assert searched(plan(data, tmp_path / "out"), epoch=epoch).interrupted
    again = searched(plan(data, tmp_path / "out"))
    assert again.rungs == result.rungs
    assert bits(tmp_path / "out") == bits(out)
    assert [row.target.name for row in again.rows] == [row.target.name for row in result.rows]


def test_the_test_images_choose_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every test accuracy turned round the same candidates go on."""
    from analyzer.training import evaluation, trainer

    few = {"candidates": 3, "training": training_asked({"data": data, **HOW, "epochs": 2, "seeds": (0,)})}
    first = searched(plan(data, tmp_path / "a", **few))
    honest = evaluation.evaluated

    def turned(model: Any, job: Any, indices: Any) -> Any:
        found = honest(model, job, indices)
        return replace(found, right=len(indices) - found.right) if indices == job.split.test else found

    monkeypatch.setattr(trainer, "evaluated", turned)
    second = searched(plan(data, tmp_path / "b", **few))
    assert second.rungs == first.rungs
    assert [r.trained and r.trained.test_accuracy for r in second.rows] != [
        r.trained and r.trained.test_accuracy for r in first.rows
    ]


def test_what_can_not_be_searched_is_refused(whole: tuple[Path, HalvingResult], data: Path, tmp_path: Path) -> None:
    out, _ = whole
    with pytest.raises(UsageError, match="holds another search"):
        searched(plan(data, out, eta=3))
    with pytest.raises(UsageError, match="leaves nothing out"):
        plan(data, out, eta=1)
    none = training_asked({"data": data, **HOW, "fractions": (0.8, 0.0, 0.2)})
    assert none.division == Division((0.8, 0.0, 0.2))
    with pytest.raises(UsageError, match="no validation images"):
        searched(plan(data, tmp_path / "none", training=none))
    space = Space(**{name: values for name, values in AXES.items() if name != "classes"})
    for words, said in (
        ("is searched for alone", {"objective": "test_accuracy,measured_ratio", "out": tmp_path / "o"}),
        ("needs a folder", {"objective": "test_accuracy"}),
        ("needs images", {"objective": "test_accuracy", "out": tmp_path / "o"}),
        ("is for measuring", {"train": {"data": data}}),
    ):
        with pytest.raises(UsageError, match=words):
            search(space, **said)


def test_python_and_the_command_find_the_same(data: Path, tmp_path: Path) -> None:
    space = Space(**{name: values for name, values in AXES.items() if name != "classes"})
    table = search(
        space, objective="test_accuracy", trials=3, eta=3, out=tmp_path / "a", limits={"params": "1k"},
        train={"data": data, **HOW, "epochs": 2, "seeds": (0,)},
    ).frame()  # fmt: skip
    assert table["params"].max() <= 1000
    assert table.attrs["epochs"] == 3 + 1
    assert table["val_accuracy"].notna().all()
    done = run_here(
        "search", "--block", "residual", "--blocks", "1,1", "--growth", "4,6,8,10", "--ratio", "0.5", "--init", "4,8",
        "--stem", "small", "--image", "16", "--max-params", "1k", "--data", str(data),
        "--trials", "3", "--epochs", "2", "--recipe", "batch=8", "--recipe", "lr=0.01", "--threads", "1", "--out", "b",
        "--report", "found.html", "--format", "csv", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == list(table.index)
    assert "by test accuracy, as --data is given" in done.stderr
    assert "4 epochs of training" in done.stderr
    assert "Test accuracy chose nothing" in (tmp_path / "found.html").read_text()
