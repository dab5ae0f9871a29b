"""A race of sides at equal cost: successive halving on epochs within each side, then pair after pair between sides.

A side is left out when intervals show that it is worse, or when another point of it is better; those that learn from
scratch, and the uncompressed network, never. Validation images choose; the test images choose nothing. Epochs are kept:
what is killed comes to the same when it is begun again.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import msgspec

from analyzer.searching.preparing import DIVIDED, RacePlan, prepared
from analyzer.shown import silent
from analyzer.storing.results_file import NAME
from analyzer.training.rungs import HalvingRung, halve, rungs_of

if TYPE_CHECKING:
    from analyzer.compressing.advice import Advice
    from analyzer.compressing.sides import RaceSides, SidePoint
    from analyzer.training.planning import TrainPlan, TrainWatch
    from analyzer.training.run_records import Config, Epoch
    from analyzer.training.runs_file import RunsFile

Ended = Literal["parted", "pairs", "hours", "interrupted", "diverged"]


@dataclass(frozen=True)
class RaceWatch:
    """Is told how a race goes on: sentences, doubts, each comparison, and every training by `training`."""

    training: TrainWatch
    say: Callable[[str], None] = silent
    warn: Callable[[str], None] = silent
    rung: Callable[[HalvingRung], None] = silent


def run_race(plan: RacePlan, watch: RaceWatch) -> Advice:
    """Races the sides, from where an earlier run in the folder ended, until intervals part or hours end.

    Raises UsageError where nothing comes under the budget, or the folder holds another race.
    """
    from analyzer.compressing.advice import advice_at

    sides = prepared(plan, watch.say, watch.warn)
    return advice_at(plan.out, _Race(plan, sides, watch).run())


class _Race:
    """A race on its way; what it decides follows from the epochs that are kept."""

    def __init__(self, plan: RacePlan, sides: RaceSides, watch: RaceWatch) -> None:
        self.plan, self.sides, self.watch = plan, sides, watch
        self.seeds = plan.seeds[:2]
        self.left = 3600 * plan.hours - self._spent()
        self.ended: Ended | None = None
        self.told: set[str] = set()

    def _once(self, words: str) -> None:
        """Hands on what one training doubts, which all do."""
        if words not in self.told:
            self.told.add(words)
            self.watch.training.warn(words)

    def _spent(self) -> float:
        from analyzer.compressing.advice import spent_of

        with self._runs() as runs:
            return spent_of(self.sides, runs.outcomes()).cpu_s

    def _runs(self) -> closing[RunsFile]:
        from analyzer.training.runs_file import RunsFile

        return closing(RunsFile(self.plan.out / NAME, create=True))

    def run(self) -> Ended:
        """To its end, and why it ended."""
        racing = {point.name: point for point in self.sides.points if point.candidate}
        standing: list[str] = []
        for rung in halve(racing, rungs_of(self.sides.extra, self.plan.eta), self._compared):
            self.watch.rung(rung)
            standing = rung.standing
        while self.ended is None and len(standing) > 1 and len(self.seeds) < self.plan.pairs:
            self.seeds = self.plan.seeds[: len(self.seeds) + 1]
            more = self._compared([racing[name] for name in standing], self.sides.extra)
            if more is not None:
                self.watch.rung(more)
                standing = more.standing
        if self.ended is None:
            self.ended = "diverged" if not standing else "parted" if len(standing) == 1 else "pairs"
        return self.ended

    # -- training ----------------------------------------------------------------------------------------------

    def _compared(self, standing: Sequence[SidePoint], epochs: int) -> HalvingRung | None:
        """Trains those that stand, and all controls, to the same share of their epochs, and ranks them; None where it
        is to end.
        """
        controls = [point for point in self.sides.points if point.control and point not in standing]
        running = [*standing, *controls]
        with self._runs() as runs:
            wanted = list(_wanted(self.sides, running, self.seeds, epochs, runs))
        if wanted and (self.left <= 0 or sum(wanted) > self.left):
            self.ended = "hours"
            return None
        for whole in dict.fromkeys(point.epochs for point in running) if wanted else ():
            if not self._trained([point for point in running if point.epochs == whole], whole, epochs):
                return None
        with self._runs() as runs:
            return ranked(self.sides, standing, runs, self.seeds, epochs, self.plan.eta)

    def _trained(self, points: Sequence[SidePoint], whole: int, epochs: int) -> bool:
        from analyzer.training.execution import execute

        plan = self._training(points, whole, until_of(self.sides, whole, epochs))
        done = execute(plan, replace(self.watch.training, epoch=self._counted, warn=self._once))
        if done.interrupted:
            self.ended = "hours" if self.left <= 0 else "interrupted"
        return not done.interrupted

    def _training(self, points: Sequence[SidePoint], whole: int, until: int) -> TrainPlan:
        from analyzer.compressing.sides import entrant_of
        from analyzer.training.dividing import Division
        from analyzer.training.planning import TrainPlan

        plan, original = self.plan, next(point.file for point in self.sides.points if not point.candidate)
        return TrainPlan(
            targets=tuple(entrant_of(point, plan.out, original) for point in points), data=plan.data, out=plan.out,
            recipe=msgspec.structs.replace(plan.recipe, epochs=whole), seeds=self.seeds,
            division=Division(file=plan.out / DIVIDED), device=plan.device, threads=plan.threads, until=until,
            outcome=plan.outcome, where=plan.where, timed=False,
        )  # fmt: skip

    def _counted(self, config: Config, epoch: Epoch) -> None:
        """An epoch is kept; where the hours are spent, ends as Ctrl-C does."""
        before = self.left
        self.left -= epoch.cpu_s + epoch.evaluation_cpu_s
        self.watch.training.epoch(config, epoch)
        if before > 0 >= self.left:
            signal.raise_signal(signal.SIGINT)


def _wanted(
    sides: RaceSides, running: Sequence[SidePoint], seeds: Sequence[int], epochs: int, runs: RunsFile
) -> Iterator[float]:
    """The CPU-seconds of each run that is not trained so far, as its network's epochs took them; none while there is
    no epoch of it.
    """
    outcomes = {(each.config.network, each.config.seed): each.epochs for each in runs.outcomes()}
    for point in running:
        own = [epoch for (name, _), run in outcomes.items() if name == point.name for epoch in run]
        each = math.fsum(epoch.cpu_s + epoch.evaluation_cpu_s for epoch in own) / max(len(own), 1)
        for seed in seeds:
            missing = until_of(sides, point.epochs, epochs) - len(outcomes.get((point.name, seed), ()))
            if missing > 0:
                yield missing * each


def until_of(sides: RaceSides, whole: int, epochs: int) -> int:
    """The epochs of a run of `whole` that stand for `epochs` of those that begin with the original's weights."""
    return math.ceil(whole * epochs / sides.extra)


# -- comparing -------------------------------------------------------------------------------------------------


def ranked(
    sides: RaceSides, standing: Sequence[SidePoint], runs: RunsFile, seeds: Sequence[int], epochs: int, eta: int
) -> HalvingRung:
    """Those that go on first: none that is shown to be worse than the best (95 % for all of them together), and of each
    side's points the best; a control always.
    """
    from analyzer.training.comparing import RunAt, differences, shown
    from analyzer.training.rungs import mean_accuracy

    outcomes = [run for run in runs.outcomes() if run.config.seed in seeds]
    scores: dict[str, float | None] = {}
    at: dict[str, list[RunAt]] = {}
    for point in standing:
        until = until_of(sides, point.epochs, epochs)
        scores[point.name] = mean_accuracy(point.name, outcomes, until)
        own = [run for run in outcomes if run.config.network == point.name and len(run.epochs) >= until]
        at[point.name] = [(run, run.epochs[until - 1]) for run in sorted(own, key=lambda run: run.config.seed)]
    order = sorted(scores, key=lambda name: -1.0 if scores[name] is None else scores[name] or 0.0, reverse=True)
    best, level = order[0], 1 - 0.05 / max(len(order) - 1, 1)
    worse = set()
    for name in order[1:]:
        if scores[name] is not None:
            found = differences(runs, list(zip(at[name], at[best], strict=True)), "val", level)
            worse |= {name} if shown(found[-1], found[0], sides.margin) == "lower" else set()
    kept = set(_kept(standing, [name for name in order if name not in worse], eta, last=epochs == sides.extra))
    kept = {name for name in kept if scores[name] is not None}
    return HalvingRung(
        epochs, tuple((name, scores[name]) for name in sorted(order, key=lambda name: name not in kept)), len(kept)
    )


def _kept(standing: Sequence[SidePoint], order: Iterable[str], eta: int, *, last: bool) -> Iterator[str]:
    """Of each side's points the best 1/eta, or (at the last rung) the best alone; controls as they are."""
    points = {point.name: point for point in standing}
    by_side: dict[str, list[str]] = {}
    for name in order:
        by_side.setdefault(points[name].side, []).append(name)
    yield from (point.name for point in standing if point.control)
    for names in by_side.values():
        yield from names[: 1 if last else math.ceil(len(names) / eta)]
