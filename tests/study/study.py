"""Does the article's network generalise better than DenseNet121? The runs that are to say, and the page of it.

Declared before the first step, and never changed by what is seen:

- A round is one seed and one division of the images of its own; each network of NETWORKS is trained in each round, so
  that any two make a pair a round. What counts, first: the difference of the generalisation gap where both have come to
  the same train accuracy, and of test accuracy after the last epoch; second: that of the gap at equal epochs. 3 points
  would matter. Test accuracy chooses nothing: no epoch, no rate, no round.
- PAIRS rounds are planned: at a standard deviation of 3 points between rounds they see 5 points (80 times in 100).
- The article's own network, which costs as much as all others together, is trained after them, round by round, while
  there is time.

`train` goes on where it was; `page` makes reports/reference/generalisation/ from what is trained; `again` trains one
run anew, elsewhere, and says whether it comes to the same bits.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
import numpy as np
from study_page import page
from study_runs import opened, save

from analyzer.executors.workplace import Workplace
from analyzer.storing.results_file import NAME
from analyzer.targets.resolving import FamilyTarget, resolve
from analyzer.training.dividing import Division
from analyzer.training.execution import execute
from analyzer.training.planning import TrainPlan, TrainWatch
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config, Epoch
from analyzer.training.runs_file import RunsFile

ROOT = Path(__file__).parents[2]
DATA = ROOT / "examples/data/trashnet"
REFERENCE = ROOT / "reports/reference/generalisation"
PAIRS, EPOCHS, IMAGE = 6, 8, 64
SHARES = (0.4, 0.0, 0.6)
"""Many images to test on make the differences of accuracies surer than a few more to train on."""
NETWORKS = {
    "init 32": ("article", {"init": 32}),
    "DenseNet121": ("densenet121", {}),
    "compression 0.25": ("densenet121", {"compression": 0.25}),
    "searched": ("residual_b2-4-3-2_gdouble_r0.5_c0.15_i120", {}),
    "growth 32": ("residual_b2-4-3-2_g32_r0.25_c0.5", {}),
}
"""The article's shape at half its width; its rival; DenseNet121 with less after each block; the best of a search below
DenseNet121's costs; the article's layer with DenseNet's growth.
"""
ARTICLE = {"article": ("article", {})}


def targets(named: dict[str, tuple[str, dict[str, object]]]) -> tuple[FamilyTarget, ...]:
    """The networks of a table."""
    found = []
    for label, (name, options) in named.items():
        target = resolve(name, options)
        assert isinstance(target, FamilyTarget)
        found.append(FamilyTarget(target.variant, label))
    return tuple(found)


class Clock:
    """Counts the CPU time of epochs, tells them, and ends the study as Ctrl-C does when its time is spent."""

    def __init__(self, minutes: float) -> None:
        self.left = 60 * minutes

    def epoch(self, config: Config, epoch: Epoch) -> None:
        """An epoch is kept."""
        before = self.left
        self.left -= epoch.cpu_s + epoch.evaluation_cpu_s
        test = 100 * (epoch.test_accuracy or 0)
        words = f"{config.shown}: epoch {epoch.epoch}, test {test:.1f} %"
        click.echo(f"{words}, {self.left / 60:.0f} CPU-minutes left", err=True)
        if before > 0 >= self.left:
            signal.raise_signal(signal.SIGINT)


def rounds(pairs: int) -> list[tuple[dict[str, tuple[str, dict[str, object]]], int]]:
    """What is trained, in order: networks and the seed of their round."""
    return [(NETWORKS, seed) for seed in range(pairs)] + [(ARTICLE, seed) for seed in range(pairs)]


def plan_of(
    networks: dict[str, tuple[str, dict[str, object]]], seed: int, out: Path, said: dict[str, object]
) -> TrainPlan:
    """One round of networks."""
    recipe = Recipe(epochs=EPOCHS)
    usual = {"data": DATA, "image": IMAGE, "recipe": recipe, "division": Division(SHARES, seed), "threads": 1}
    return TrainPlan(targets=targets(networks), out=out, seeds=(seed,), **{**usual, **said})


@click.group()
def study() -> None:
    """The study of the article's claim."""


@study.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--minutes", type=float, default=240.0, help="Of CPU time, all processes together; then it ends.")
@click.option("--jobs", type=int, default=2, help="Runs at once.")
@click.option("--pairs", type=int, default=PAIRS)
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=DATA)
@click.option("--image", type=int, default=IMAGE)
@click.option("--device", default="cpu")
def train(out: Path, minutes: float, jobs: int, pairs: int, data: Path, image: int, device: str) -> None:
    """Trains what is not trained yet."""
    clock = Clock(minutes)
    watch = TrainWatch(warn=lambda words: click.echo(words, err=True), epoch=clock.epoch)
    where = Workplace(jobs=jobs)
    for networks, seed in rounds(pairs):
        said = {"data": data, "image": image, "device": device, "where": where, "threads": None if jobs == 1 else 1}
        if execute(plan_of(networks, seed, out, said), watch).interrupted:
            click.echo("the same command goes on", err=True)
            return


@study.command("page")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), default=REFERENCE)
def make_page(out: Path, to: Path) -> None:
    """Stores the finished runs, and makes the page of what is stored."""
    if (out / NAME).exists():
        with closing(RunsFile(out / NAME)) as runs:
            save(runs, to)
    with opened(to) as runs:
        (to / "README.md").write_text(page(runs), encoding="utf-8")


@study.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("elsewhere", type=click.Path(path_type=Path))
@click.option("--network", type=click.Choice([*NETWORKS, *ARTICLE]), default="growth 32")
@click.option("--seed", type=int, default=0)
def again(out: Path, elsewhere: Path, network: str, seed: int) -> None:
    """Trains one run anew, and compares what it said of every test image with what was kept. Exit 1: other bits."""
    execute(plan_of({network: (NETWORKS | ARTICLE)[network]}, seed, elsewhere, {}), TrainWatch())
    with closing(RunsFile(out / NAME)) as before, closing(RunsFile(elsewhere / NAME)) as now:
        (run,) = now.configs()
        said = [runs.logits(run, EPOCHS, "test", len(runs.configs()[run].classes)) for runs in (before, now)]
    assert said[0] is not None
    assert said[1] is not None
    same = bool(np.array_equal(said[0], said[1]))
    click.echo(f"{run}: {'the same bits' if same else 'other bits: another processor or torch, or a defect'}")
    sys.exit(0 if same else 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    study(arguments)


if __name__ == "__main__":
    main()
