"""The compression study's page says what its races say: by hand on a made-up race, stored and read back."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from compress_study import RACES, REFERENCE, budget_of, checkpoint_of, name_of, originals, stored, write_page
from PIL import Image
from study import EPOCHS, NETWORKS, ROOT
from study_runs import save

import analyzer as an
from analyzer.compressing.advice import advice_at
from analyzer.compressing.original import of_variant, original_of
from analyzer.compressing.sides import COURSE, KEPT, ParentBill, RaceCourse, RaceSides, SidePoint, Still
from analyzer.storing.results_file import NAME
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config, Epoch, Machine
from analyzer.training.runs_file import RunsFile

IMAGES, EXTRA, BEFORE, TRAINED = 100, 2, 3, 50
RIGHT = {"narrower": (80, 81, 82), "pruning": (80, 81, 82), "from scratch": (60, 61, 62), "uncompressed": (83, 84, 85),
         "lower rank": (30, 31)}  # fmt: skip
"""How many of the test images each side gets right, by seed; the last was left out after an epoch."""


def point(side: str) -> SidePoint:
    anew = side == "from scratch"
    return SidePoint(
        name=side.replace(" ", "-"), side=side, how="planted", file="none", epochs=EXTRA + BEFORE * anew, anew=anew,
        control=side in ("from scratch", "uncompressed"), candidate=side != "uncompressed",
        figures={"params": 1000, "macs": 5000, "param_bytes": 4000}, making_cpu_s=0.5,
    )  # fmt: skip


def still(how: str, right: int) -> Still:
    flags = "1" * right + "0" * (IMAGES - right)
    return Still(how=how, figures={"param_bytes": 8000}, accuracy=right / IMAGES, right=flags, cpu_s=0.5)


def race(folder: Path) -> Path:
    """A race of three sides in three pairs; each epoch took 2 CPU-seconds, of 50 images."""
    folder.mkdir()
    sides = RaceSides(
        asked="", source="net", figures={"params": 2000}, limits={"params": 1500}, extra=EXTRA, margin=3.0,
        parent=ParentBill(epochs=BEFORE, images=BEFORE * TRAINED, cpu_s=30.0),
        points=tuple(point(side) for side in RIGHT), listed={"narrower": 7}, left_out={},
        stills=(still("uncompressed, as it was", 80), still("uncompressed, recalibrated", 90)),
    )  # fmt: skip
    (folder / KEPT).write_bytes(msgspec.json.encode(sides))
    course = RaceCourse(ended="pairs", fell={"lower-rank": 1})
    (folder / COURSE).write_bytes(msgspec.json.encode(course))
    labels = np.arange(IMAGES, dtype=np.int64) % 2
    with closing(RunsFile(folder / NAME, create=True)) as runs:
        for side, counts in RIGHT.items():
            one = point(side)
            for seed, right in enumerate(counts):
                run = f"{one.name}_seed{seed}"
                runs.begin(Config(
                    run=run, network=one.name, label=one.name, image=16, classes=("a", "b"), data="d", split="s",
                    images=(TRAINED, IMAGES, IMAGES), seed=seed, recipe=Recipe(epochs=one.epochs), micro=32,
                    machine=Machine(device="cpu", threads=1, torch="2"),
                ), {part: ([f"{i}.jpg" for i in range(IMAGES)], labels) for part in ("val", "test")})  # fmt: skip
                said = np.zeros((IMAGES, 2), np.float32)
                said[np.arange(IMAGES), np.where(np.arange(IMAGES) < right, labels, 1 - labels)] = 1
                for number in range(1, (1 if side == "lower rank" else one.epochs) + 1):
                    epoch = Epoch(
                        epoch=number, lr=1e-4, images=TRAINED, log_train_accuracy=0.5, log_train_loss=1.0, cpu_s=1.5,
                        val_accuracy=right / IMAGES, test_accuracy=right / IMAGES, evaluation_cpu_s=0.5,
                    )  # fmt: skip
                    runs.put(run, epoch, {"test": said, "val": said})
    return folder


def test_what_a_race_shows(tmp_path: Path) -> None:
    """Equal sides tie; 20 points are shown, -3 to the uncompressed in each pair; the bill by hand."""
    found = advice_at(race(tmp_path / "race"))
    assert found.sentence == (
        "A tie within 3 points: narrower (planted) and pruning; better than from scratch by 20.0 points or more; "
        "lower rank fell behind on validation images."
    )
    assert found.more_s is None
    rows = {row.point.side: row for row in found.rows}
    assert [one.value for one in rows["narrower"].to_original] == pytest.approx([-3.0] * 3)
    assert [one.value for one in rows["narrower"].to_scratch] == pytest.approx([20.0] * 3)
    assert rows["lower rank"].state == "2 runs, left after 1 of 2 epochs"
    assert rows["lower rank"].to_original == ()
    assert found.spent.epochs == 3 * (2 + 2 + 5 + 2) + 2 * 1
    assert found.spent.cpu_s == pytest.approx(2.0 * found.spent.epochs + 0.5 * 5 + 1.0)
    bills = {side: (row.bill.epochs, row.bill.images, row.bill.cpu_s) for side, row in rows.items()}
    assert bills["narrower"] == bills["uncompressed"] == (5, 250, pytest.approx(30 + 0.5 + 4))
    assert bills["from scratch"] == (5, 250, pytest.approx(0.5 + 10))
    assert found.stills[1].to_original.value == pytest.approx(10.0)


def test_what_was_broken_off_is_not_said_to_be_worse(tmp_path: Path) -> None:
    folder = race(tmp_path / "race")
    (folder / COURSE).unlink()
    found = advice_at(folder)
    assert found.sentence.startswith(
        "Not shown: narrower (planted) leads on validation images, lower rank not trained to the end; about "
    )
    assert found.more_s == pytest.approx((2 * EXTRA - 2) * (2 * 2.0 + 0.5) / 2)


def test_the_page_is_that_of_what_is_stored(tmp_path: Path) -> None:
    made, name = race(tmp_path / "race"), name_of(*RACES[0])
    with closing(RunsFile(made / NAME)) as runs:
        assert save(runs, tmp_path / "to" / name, unfinished=True) == 14
    for kept in (KEPT, COURSE):
        shutil.copy(made / kept, tmp_path / "to" / name / kept)
    ((_, again),) = stored(tmp_path / "to")
    assert again == advice_at(made)
    write_page(tmp_path / "to")
    page = (tmp_path / "to/README.md").read_text()
    assert again.sentence in page
    assert "it is better than from scratch by 1" in page
    assert "points or more, and not told from pruning.\n" in page
    assert "\n- 3 pairs of runs" in page
    assert "Who leads on validation images: narrower in 1 of 1. " in page
    assert " that is −3.0 (" in page
    assert "| init 32 under DenseNet121's budget | lower rank | planted | 1,000 | 5,000 |" in page
    assert (tmp_path / f"to/{name}.svg").read_text().startswith("<svg")
    assert again.sentence in (tmp_path / f"to/{name}.html").read_text()


@pytest.mark.slow
def test_the_committed_page_is_made_of_the_stored_races(tmp_path: Path) -> None:
    again = tmp_path / "to"
    shutil.copytree(REFERENCE, again)
    pages = sorted(path.name for path in REFERENCE.glob("*.[ms][dv]*"))
    assert pages == sorted(["README.md", *(f"{name_of(*race)}.svg" for race in RACES)])
    for page in pages:
        (again / page).unlink()
    write_page(again)
    for page in pages:
        assert (again / page).read_text(encoding="utf-8") == (REFERENCE / page).read_text(encoding="utf-8")


def test_the_readme_says_what_the_committed_page_does() -> None:
    """Who leads, and by how much."""
    told = (REFERENCE / "README.md").read_text(encoding="utf-8")
    said = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(RACES) == 3
    assert "Who leads on validation images: from scratch in 3 of 3." in told
    (differences,) = re.findall(r"that is (.*) points of test accuracy", told)
    assert differences in said


@pytest.mark.slow
def test_originals_that_are_missing_are_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, trained = tmp_path / "data", tmp_path / "study"
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (80, 16, 16, 3), dtype=np.uint8)):
        path = data / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    sizes = {"init 32": (1, 1), "DenseNet121": (1, 2)}
    for network, blocks in sizes.items():
        options: dict[str, object] = {"block_config": blocks, "growth": 2, "init": 4}
        monkeypatch.setitem(NETWORKS, network, ("densenet121", options))
    assert originals(trained, 1, data)
    paths = {network: checkpoint_of(trained, network) for network in sizes}
    first = {path: path.read_bytes() for path in paths.values()}
    for network, blocks in sizes.items():
        original = original_of(str(paths[network]))
        assert original.epochs == EPOCHS
        assert original.parent is not None
        assert original.parent.block_config == blocks
    assert originals(trained, 1, data)
    assert {path: path.read_bytes() for path in paths.values()} == first


def test_half_of_a_budget_is_half_of_each_figure() -> None:
    variant = replace(an.PRESETS["article"], init=32, classes=6, image=64)
    rival = an.analyze(replace(an.PRESETS["densenet121"], classes=6, image=64))
    original = of_variant(replace(variant, block_config=(1, 1), init=4))
    halves = {limit.figure: limit.bound for limit in budget_of(original, 2).limits(original.parent)}
    assert halves == {"params": rival.params // 2, "macs": rival.macs // 2, "saved_bytes": rival.saved_bytes // 2}
    assert {limit.figure for limit in budget_of(original, 1).limits(original.parent)} == set(halves)
