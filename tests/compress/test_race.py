"""Races of sides: the same table whatever ended them, bills that add up, what is worse found worse, a tie a tie."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from commands import run_here
from compressions import folder

import analyzer as an
from analyzer.api.training import train
from analyzer.compressing.advice import Advice, advice_at, spent_of
from analyzer.compressing.original import original_of
from analyzer.compressing.sides import KEPT, SidePoint
from analyzer.errors import UsageError
from analyzer.executors.workplace import Workplace
from analyzer.reporting.advice_page import render_advice
from analyzer.reporting.advice_tables import rendered_markdown
from analyzer.searching.points import chosen, listed
from analyzer.searching.preparing import RacePlan, prepared, race_pictures, recipe_of
from analyzer.searching.race import RaceWatch, run_race
from analyzer.storing.results_file import NAME
from analyzer.targets.checkpoints import read_header
from analyzer.training.checkpoints import load_weights, save_weights
from analyzer.training.planning import TrainWatch
from analyzer.training.runs_file import RunsFile

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NETWORK = an.Variant(block_config=(1, 1), growth=6, ratio=0.5, init=8, image=16, stem="small")
BEFORE, EXTRA, UNDER = 4, 2, an.Budget(max_params=700)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """80 images of two classes, and a checkpoint that tells them apart, with a division of its own."""
    at = tmp_path_factory.mktemp("trained")
    data = folder(at / "data", each=40)
    runs = train(NETWORK, data, out=at / "runs", epochs=BEFORE, batch=8, lr=0.01, threads=1, quiet=True,
                 fractions=(0.4, 0.3, 0.3))  # fmt: skip
    return data, runs.checkpoint(runs.runs[0].config.run)


def plan(trained: tuple[Path, Path], out: Path, **more: Any) -> RacePlan:
    original = original_of(str(trained[1]))
    said = {"each": 1, "pairs": 2, "threads": 1, "hours": 1.0, **more}
    learns = recipe_of(original, said.pop("recipe", {}), EXTRA)
    return RacePlan(original=original, budget=UNDER, data=trained[0], out=out, recipe=learns, **said)


def raced(asked: RacePlan, **watch: Any) -> Advice:
    return run_race(asked, RaceWatch(TrainWatch(**watch)))


@pytest.fixture(scope="module")
def whole(trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Advice]:
    """A race of two sides that is prepared, and the same one when it was run, unbroken."""
    at = tmp_path_factory.mktemp("race")
    made = prepared(plan(trained, at / "prepared"))
    assert {each.side for each in made.points} >= {"transitions", "another layer", "lower rank", "distilling"}
    few = [each for each in made.points if each.control or each.side in ("narrower", "pruning")]
    text = msgspec.json.encode(msgspec.structs.replace(made, points=tuple(few)))
    (at / "prepared" / KEPT).write_bytes(text)
    shutil.copytree(at / "prepared", at / "run")
    return at / "prepared", at / "run", raced(plan(trained, at / "run"))


def table(found: Advice) -> list[Any]:
    """What a race came to, but for what it took and how long that would be."""
    rows = [
        (row.point.name, row.runs, row.reached, row.validation, row.test, row.to_original, row.to_scratch)
        for row in (*found.rows, *found.others)
    ]  # fmt: skip
    return [rows, found.leader and found.leader.point, found.against, found.ended, found.sentence.split("; about")[0]]


# -- durable -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("finished", [1, 9])
def test_a_killed_race_comes_to_the_same_table(
    finished: int, whole: tuple[Path, Path, Advice], trained: tuple[Path, Path], tmp_path: Path
) -> None:
    begun, _, found = whole
    shutil.copytree(begun, tmp_path / "out")
    seen = []

    def epoch(*_: object) -> None:
        seen.append(1)
        if len(seen) == finished:
            raise KeyboardInterrupt

    assert raced(plan(trained, tmp_path / "out"), epoch=epoch).ended == "interrupted"
    assert table(raced(plan(trained, tmp_path / "out"))) == table(found)


def test_a_race_whose_hours_end_goes_on_with_more(
    whole: tuple[Path, Path, Advice], trained: tuple[Path, Path], tmp_path: Path
) -> None:
    begun, _, found = whole
    shutil.copytree(begun, tmp_path / "out")
    hours = (spent_of(found.sides, ()).cpu_s + 0.2) / 3600
    short = raced(plan(trained, tmp_path / "out", hours=hours))
    assert short.ended == "hours"
    assert 0 < short.spent.epochs < found.spent.epochs
    assert raced(plan(trained, tmp_path / "out", hours=hours)).spent == short.spent
    assert table(raced(plan(trained, tmp_path / "out"))) == table(found)


def test_what_is_over_is_read_and_not_trained_again(
    whole: tuple[Path, Path, Advice], trained: tuple[Path, Path]
) -> None:
    _, out, found = whole
    assert raced(plan(trained, out)) == found
    with pytest.raises(UsageError, match="holds another race"):
        raced(plan(trained, out, seed=1))


# -- the bill ----------------------------------------------------------------------------------------------------


def test_costs_add_up_to_what_was_spent(whole: tuple[Path, Path, Advice]) -> None:
    _, out, found = whole
    with closing(RunsFile(out / NAME)) as runs:
        epochs = [epoch for run in runs.outcomes() for epoch in run.epochs]
    kept = msgspec.json.decode((out / KEPT).read_bytes())
    making = sum(each["making_cpu_s"] for each in kept["points"]) + sum(each["cpu_s"] for each in kept["stills"])
    assert making > 0
    assert found.spent.epochs == len(epochs)
    assert found.spent.images == sum(epoch.images for epoch in epochs)
    assert found.spent.cpu_s == pytest.approx(sum(e.cpu_s + e.evaluation_cpu_s for e in epochs) + making)
    rows = [row.spent for row in (*found.rows, *found.others)]
    assert sum(each.epochs for each in rows) == found.spent.epochs
    stills = sum(one.still.cpu_s for one in found.stills)
    assert sum(each.cpu_s for each in rows) + stills == pytest.approx(found.spent.cpu_s)


def test_all_cost_as_many_images_or_as_much_work(whole: tuple[Path, Path, Advice], trained: tuple[Path, Path]) -> None:
    """The original's own epochs included, whose CPU time its run knows; from scratch for as much work to an epoch."""
    _, _, found = whole
    with closing(RunsFile(trained[1].parents[2] / NAME)) as runs:
        (before,) = runs.outcomes()
    train_images = before.config.images[0]
    assert found.parent.cpu_s == pytest.approx(sum(each.cpu_s + each.evaluation_cpu_s for each in before.epochs))
    rows = [row for row in (*found.rows, *found.others) if row.finished]
    alike = [row for row in rows if not row.point.how.endswith("for as much work")]
    assert {(row.bill.epochs, row.bill.images) for row in alike} == {(BEFORE + EXTRA, (BEFORE + EXTRA) * train_images)}
    (longer,) = (row.point for row in rows if row.point.how.endswith("for as much work"))
    macs = an.analyze(replace(NETWORK, classes=2)).macs
    own = longer.figures["macs"]
    assert abs(longer.epochs * own - (BEFORE * macs + EXTRA * own)) <= own / 2
    assert longer.work == longer.epochs * own * train_images


def test_no_two_of_them_are_one_network_learning_alike(whole: tuple[Path, Path, Advice]) -> None:
    """A narrower network that takes none of the original's weights is the one from scratch, once."""
    points = msgspec.json.decode((whole[0] / KEPT).read_bytes())["points"]
    learning = [(each["file"], each["epochs"], each["anew"], each["taught"]) for each in points]
    assert len(learning) == len(set(learning))
    assert next(each["epochs"] for each in points if each["side"] == "from scratch") == BEFORE + EXTRA


# -- what is shown -----------------------------------------------------------------------------------------------


def planted(trained: tuple[Path, Path], begun: Path, out: Path) -> RacePlan:
    """Three sides that barely learn: two are the original, one is the original with its answers turned round."""
    shutil.copytree(begun, out)
    original = original_of(str(trained[1]))
    whole, wrong = out / "sides/uncompressed-trained-on.safetensors", out / "sides/wrong.safetensors"
    assert whole.exists()
    turned = original.model
    load_weights(whole, read_header(whole), turned)
    turned.classifier.weight.data.neg_()
    turned.classifier.bias.data.neg_()
    save_weights(wrong, turned, read_header(whole).checkpoint)
    asked = plan(trained, out, pairs=3, recipe={"lr": 1e-9})
    sides = msgspec.json.decode((out / KEPT).read_bytes(), type=type(prepared(plan(trained, out))))
    controls = [each for each in sides.points if each.control]

    def point(side: str, file: Path) -> SidePoint:
        return msgspec.structs.replace(
            controls[-1], name=side.replace(" ", "-"), side=side, how="planted", file=f"sides/{file.name}",
            control=False, candidate=True,
        )  # fmt: skip

    points = (point("narrower", whole), point("pruning", whole), point("lower rank", wrong), *controls)
    (out / KEPT).write_bytes(msgspec.json.encode(msgspec.structs.replace(sides, asked=asked.asked, points=points)))
    return asked


def test_what_is_worse_is_found_worse_and_a_tie_is_called_a_tie(
    whole: tuple[Path, Path, Advice], trained: tuple[Path, Path], tmp_path: Path
) -> None:
    found = raced(planted(trained, whole[0], tmp_path / "out"))
    rows = {row.point.side: row for row in found.rows}
    assert rows["narrower"].test.value - rows["lower rank"].test.value > 50
    assert rows["lower rank"].runs == 2 < rows["narrower"].runs == 3  # left out once an interval showed it
    assert found.leader is not None
    assert found.leader.point.side in ("narrower", "pruning")
    assert {one.side: one.shown for one in found.against}["pruning"] == "equivalent"
    assert "a tie within 3 points" in found.sentence.lower()
    assert "lower rank" in found.sentence


def test_where_nothing_is_shown_it_says_so_and_how_much_more(whole: tuple[Path, Path, Advice]) -> None:
    _, _, found = whole
    if any(one.shown == "open" for one in found.against):
        assert found.sentence.startswith("Not shown: ")
        assert found.more_s is not None
        assert " more" in found.sentence
    assert {row.point.side for row in found.rows} == {"from scratch", "uncompressed", "pruning", "narrower"}
    stills = [one.still.how for one in found.stills]
    assert stills[:2] == ["uncompressed, as it was", "uncompressed, recalibrated"]


def test_the_counter_lists_every_point_under_the_budget(trained: tuple[Path, Path]) -> None:
    """Each within it as the counting core has it, the next milder compression over it."""
    original = original_of(str(trained[1]))
    points = [one for one in listed(original, UNDER) if one.variant is not None]
    assert all(an.analyze(one.variant).params <= 700 for one in points)
    mildest = max(one.variant.compression for one in points if one.lever == "compression")
    assert an.analyze(replace(original.variant, compression=mildest + 0.02)).params > 700
    sides = [one.side for one in chosen(points, 1)]
    assert len(sides) == len(set(sides))
    macs = [one.record.macs for one in points]
    assert macs == sorted(macs, reverse=True)


def test_images_that_choose_come_out_of_the_test_images(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, _ = trained
    runs = train(
        NETWORK, data, out=tmp_path / "runs", epochs=1, batch=8, threads=1, quiet=True, fractions=(0.5, 0, 0.5)
    )
    first = runs.runs[0].config
    warned: list[str] = []
    asked = plan((data, runs.checkpoint(first.run)), tmp_path / "race")
    race_pictures(asked, warn=warned.append)
    split = msgspec.json.decode((tmp_path / "race/split.json").read_bytes())
    parts = [sum(image[3] == part for image in split["images"]) for part in ("train", "val", "test")]
    assert parts[0] == first.images[0]
    assert parts[1] + parts[2] == first.images[2]
    assert abs(parts[1] - parts[2]) <= 2
    assert "half of the test images choose" in " ".join(warned)


# -- the faces ---------------------------------------------------------------------------------------------------


def test_the_page_and_the_table_say_the_same(whole: tuple[Path, Path, Advice]) -> None:
    _, _, found = whole
    html, markdown = render_advice(found), rendered_markdown(found)
    assert html.startswith("<!doctype html>")
    assert "Against params" in html
    for row in found.rows:
        assert f'<th scope="row">{row.point.side}' in html
        assert f"| {row.point.side}" in markdown
        assert f"{row.point.figures['params']:,}" in html
    assert "the race, all of it" in html


def test_python_and_the_command(whole: tuple[Path, Path, Advice], trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, checkpoint = trained
    out = tmp_path / "race"
    shutil.copytree(whole[1], out)
    kept = msgspec.json.decode((out / KEPT).read_bytes())
    said = {"data": data, "hours": 1, "pairs": 2, "epochs": EXTRA, "threads": 1, "quiet": True}
    with pytest.raises(UsageError, match="holds another race"):  # of two points a side
        an.advise(str(checkpoint), UNDER, out=out, **said)
    asked = replace(plan(trained, out), each=2).asked
    (out / KEPT).write_bytes(msgspec.json.encode({**kept, "asked": asked}))
    found = an.advise(str(checkpoint), UNDER, out=out, **said)
    assert found.checkpoint.exists()
    assert list(found.frame()["side"])[-1] == "uncompressed"
    assert found.report(tmp_path / "page.html").read_text().startswith("<!doctype")
    again = run_here(
        "compress", str(checkpoint), "--advise", "--max-params", "700", "--hours", "1", "--data", str(data),
        "--runs", str(out), "--epochs", str(EXTRA), "--pairs", "2", "--threads", "1", "--format", "json",
        "--report", "page.html", cwd=tmp_path,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert msgspec.json.decode(again.stdout)["sentence"] == found.sentence


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--hours", "1"), "is for --advise"),
        (("--advise",), "has nothing to aim at"),
        (("--advise", "--max-params", "700", "--hours", "1"), "is needed for a race"),
        (("--advise", "--max-params", "700", "--plan", "svd"), "is of one compression"),
    ],
)
def test_what_does_not_go_together_is_refused(words: tuple[str, ...], told: str, trained: tuple[Path, Path]) -> None:
    done = run_here("compress", str(trained[1]), *words, cwd=trained[0].parent)
    assert done.returncode == 2
    assert told in done.stderr


def test_the_sides_are_listed_at_once(trained: tuple[Path, Path]) -> None:
    done = run_here("compress", str(trained[1]), "--advise", "--max-params", "700", cwd=trained[0].parent)
    assert done.returncode == 0, done.stderr
    assert "points under the budget" in done.stderr
    assert {"narrower", "transitions", "pruning"} <= {line.split()[0] for line in done.stdout.splitlines()[1:]}


# -- the real command, a cluster -----------------------------------------------------------------------------------


def command(trained: tuple[Path, Path], out: Path) -> list[str]:
    data, checkpoint = trained
    return [
        "compress", str(checkpoint), "--advise", "--max-params", "700", "--hours", "1", "--data", str(data),
        "--runs", str(out), "--epochs", str(EXTRA), "--pairs", "2", "--threads", "1", "--format", "json",
    ]  # fmt: skip


def begun_by_the_command(whole: tuple[Path, Path, Advice], trained: tuple[Path, Path], out: Path) -> None:
    """The prepared race as the command would have prepared it, which takes two points of a side."""
    shutil.copytree(whole[0], out)
    kept = msgspec.json.decode((out / KEPT).read_bytes())
    (out / KEPT).write_bytes(msgspec.json.encode({**kept, "asked": replace(plan(trained, out), each=2).asked}))


def test_a_command_killed_three_times_comes_to_the_same_table(
    whole: tuple[Path, Path, Advice], trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """By SIGKILL, each time when one more of the race's epochs is kept, at another moment after it."""
    out, draw, killed = tmp_path / "race", random.Random(7), 0
    begun_by_the_command(whole, trained, out)
    for stop in (1, 9, 20):
        process = subprocess.Popen(
            [sys.executable, "-m", "analyzer", *command(trained, out)], env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with process:
            while process.poll() is None and kept_epochs(out) < stop:
                time.sleep(0.02)
            time.sleep(draw.uniform(0, 0.2))
            killed += process.poll() is None
            process.kill()
    assert killed >= 2
    done = run_here(*command(trained, out), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert table(advice_at(out)) == table(whole[2])


def kept_epochs(out: Path) -> int:
    with closing(RunsFile(out / NAME, create=True)) as runs:
        return sum(len(run.epochs) for run in runs.outcomes())


def test_over_ray_it_comes_to_the_same_table(
    whole: tuple[Path, Path, Advice], trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster as Local

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copytree(whole[0], tmp_path / "race")
    nodes = Local(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        there = Workplace("ray", address=nodes.address)
        found = raced(plan(trained, tmp_path / "race", where=there, device="cpu"))
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert table(found) == table(whole[2])
