"""From which side does one compress? The article's question, by races from what the training study trained.

Declared before the first step, and never changed by what is seen:

- Two originals: init 32 (the article's shape at half its width) and DenseNet121, as round 0 of the training study left
  them, divided as they were; half of its test images choose, the other half test.
- Two budgets: DenseNet121's params, MACs and saved bytes, and half of each. DenseNet121 itself is raced under the half
  alone. Every side begins with one point, the one of each first lever that keeps most MACs.
- Each is trained EXTRA epochs beyond the original's, from scratch for all of them, in at most PAIRS pairs of runs. 3
  points would matter. Test accuracy chooses nothing.
- Each race has the same share of the minutes, which are of CPU time, all earlier commands included.

`race` goes on where it was; `page` makes reports/reference/compression/ from what is kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click
from compress_page import page, plot
from study import DATA, NETWORKS, ROOT, plan_of
from study_runs import opened, save

from analyzer.architecture.axes import AXES
from analyzer.compressing.advice import Advice, advice_at
from analyzer.compressing.budgets import Budget
from analyzer.compressing.original import Original, original_of
from analyzer.compressing.sides import COURSE, KEPT
from analyzer.executors.workplace import Workplace
from analyzer.reading import family
from analyzer.reporting.advice_page import write_advice
from analyzer.searching.preparing import RacePlan, recipe_of
from analyzer.searching.race import RaceWatch, run_race
from analyzer.storing.results_file import NAME
from analyzer.targets.resolving import named
from analyzer.training.execution import execute
from analyzer.training.planning import TrainWatch
from analyzer.training.run_records import Config, Epoch
from analyzer.training.runs_file import RunsFile

REFERENCE = ROOT / "reports/reference/compression"
EXTRA, PAIRS = 2, 6
RIVAL = "densenet121"
RACES = (("init 32", 1), ("init 32", 2), ("DenseNet121", 2))
"""Of which network of the study, and under which part of DenseNet121's budget: the whole, or half."""


def name_of(network: str, part: int) -> str:
    """A race's folder: `init-32-half`."""
    return f"{network.lower().replace(' ', '-')}-{'half' if part == 2 else 'whole'}"


def originals(study: Path, jobs: int, data: Path) -> bool:
    """Trains round 0 of the originals where the training study has not; whether all are trained."""
    wanted = {network: NETWORKS[network] for network, _ in RACES}
    plan = plan_of(wanted, 0, study, {"data": data, "where": Workplace(jobs=jobs)})
    return not execute(plan, TrainWatch(warn=say, epoch=told)).interrupted


def checkpoint_of(study: Path, network: str) -> Path:
    """The network's checkpoint of round 0."""
    with closing(RunsFile(study / NAME)) as runs:
        (run,) = (run for run, config in runs.configs().items() if config.label == network and config.seed == 0)
    return study / "runs" / run / "last.safetensors"


def budget_of(original: Original, part: int) -> Budget:
    """DenseNet121's at the original's classes and image, or that part of it."""
    if part == 1:
        return Budget(under=RIVAL)
    assert original.parent is not None
    rival = replace(named(RIVAL), **{axis.field: getattr(original.parent, axis.field) for axis in AXES if axis.task})
    record = family.record(rival)
    return Budget(
        max_params=(record.params or 0) // part, max_macs=(record.macs or 0) // part,
        max_saved=(record.saved_bytes or 0) // part,
    )  # fmt: skip


def say(words: str) -> None:
    """To the user."""
    click.echo(words, err=True)


def told(config: Config, epoch: Epoch) -> None:
    """An epoch is kept."""
    say(f"{config.shown}: epoch {epoch.epoch} of {config.recipe.epochs}")


@click.group()
def study() -> None:
    """The study of compression."""


@study.command()
@click.argument("trained", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--minutes", type=float, default=240.0, help="Of CPU time, all races and commands together.")
@click.option("--jobs", type=int, default=2, help="Runs at once.")
@click.option("--extra", type=int, default=EXTRA)
@click.option("--pairs", type=int, default=PAIRS)
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=DATA)
def race(trained: Path, out: Path, minutes: float, jobs: int, extra: int, pairs: int, data: Path) -> None:
    """Trains the originals that TRAINED lacks, and races what is not raced yet."""
    if not originals(trained, jobs, data):
        say("the same command goes on")
        return
    for network, part in RACES:
        original = original_of(str(checkpoint_of(trained, network)))
        plan = RacePlan(
            original=original, budget=budget_of(original, part), data=data, out=out / name_of(network, part),
            hours=minutes / 60 / len(RACES), recipe=recipe_of(original, {}, extra), each=1, pairs=pairs, threads=1,
            device="cpu", where=Workplace(jobs=jobs),
        )  # fmt: skip
        found = run_race(plan, RaceWatch(TrainWatch(warn=say, epoch=told), say, say))
        say(f"{name_of(network, part)}: {found.sentence}")
        if found.ended == "interrupted":
            say("the same command goes on")
            return


@study.command("page")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), default=REFERENCE)
def make_page(out: Path, to: Path) -> None:
    """Stores the races, and makes the page of what is stored."""
    for network, part in RACES:
        name = name_of(network, part)
        if (out / name / KEPT).exists():
            with closing(RunsFile(out / name / NAME, create=True)) as runs:
                save(runs, to / name, unfinished=True)
            for kept in (KEPT, COURSE):
                shutil.copy(out / name / kept, to / name / kept)
    write_page(to)


def write_page(to: Path) -> None:
    """The page, its plots and each race's report, from what is stored in a folder."""
    found = dict(stored(to))
    for name, advice in found.items():
        write_advice(advice, to / f"{name}.html")
        (to / f"{name}.svg").write_text(plot(advice), encoding="utf-8")
    (to / "README.md").write_text(page(found), encoding="utf-8")


def stored(folder: Path) -> Iterable[tuple[str, Advice]]:
    """Each stored race, as it stands."""
    for network, part in RACES:
        own = folder / name_of(network, part)
        if (own / KEPT).exists():
            with opened(own) as runs:
                for kept in (KEPT, COURSE):
                    shutil.copy(own / kept, runs.path.parent / kept)
                yield name_of(network, part), advice_at(runs.path.parent)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    study(arguments)


if __name__ == "__main__":
    main()
