"""What a race of sides shows so far, from its folder alone: rows, what they differ by, the bill, one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from analyzer import units
from analyzer.compressing.sides import SIDES, ParentBill, RaceCourse, RaceSides, SidePoint, Still, course_at, sides_at
from analyzer.errors import UsageError
from analyzer.storing.results_file import NAME
from analyzer.training.comparing import RunAt, Shown, differences, more_pairs, shown
from analyzer.training.run_records import RunOutcome
from analyzer.training.runs_file import RunsFile
from analyzer.training.statistics import LEVEL, Estimate, drawn_images, of_accuracies, over_images


@dataclass(frozen=True)
class RaceBill:
    """What something took: epochs and images through training, CPU-seconds with evaluations."""

    epochs: int
    images: int
    cpu_s: float


@dataclass(frozen=True)
class RaceRow:
    """A point with what its runs came to. Accuracies and differences are in points: means over its runs with 95 %
    intervals, after `reached` of its epochs (differences where it is finished alone: to the uncompressed network that
    was trained on, and to the better of those from scratch). `spent` is of all its runs and of making it; `bill` what
    one network of it takes, the original's training included (its CPU-seconds where they are known).
    """

    point: SidePoint
    runs: int
    reached: int
    validation: Estimate | None
    test: Estimate | None
    to_original: tuple[Estimate, ...]
    to_scratch: tuple[Estimate, ...]
    spent: RaceBill
    bill: RaceBill

    @property
    def finished(self) -> bool:
        """Whether its runs are trained to their end."""
        return self.runs > 0 and self.reached == self.point.epochs

    @property
    def state(self) -> str:
        """How far it came, in words."""
        if not self.reached:
            return "not trained"
        runs = f"{self.runs} run{'s' * (self.runs > 1)}"
        return runs if self.finished else f"{runs}, left after {self.reached} of {self.point.epochs} epochs"


@dataclass(frozen=True)
class StillRow:
    """A network that was not trained: its test accuracy, and what it differs by from the original as it was."""

    still: Still
    to_original: Estimate | None


@dataclass(frozen=True)
class Against:
    """What the leader's test accuracy differs by from a side's best, in 95 % of cases for all sides together."""

    side: str
    estimates: tuple[Estimate, ...]
    shown: Shown


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A race as it stands: the best point of each side, the other points, what was not trained, who leads (chosen by
    validation images) and what the test images show of it. `spent` is all but the original's own training.
    """

    sides: RaceSides
    rows: tuple[RaceRow, ...]
    others: tuple[RaceRow, ...]
    stills: tuple[StillRow, ...]
    leader: RaceRow | None
    against: tuple[Against, ...]
    more_s: float | None
    spent: RaceBill
    course: RaceCourse
    folder: Path = field(compare=False)

    @property
    def parent(self) -> ParentBill:
        """What the original's training took."""
        return self.sides.parent

    @property
    def ended(self) -> str:
        """Why it ended, in a word; empty where it has not."""
        return self.course.ended

    @property
    def unfinished(self) -> list[RaceRow]:
        """What is under the budget, did not fall behind, and is not trained to its end."""
        return [row for row in self.rows if _left(row, self.course) and row.point.candidate]

    @property
    def sentence(self) -> str:
        """What is shown, in one sentence."""
        return "".join(_sentence(self))

    @property
    def checkpoint(self) -> Path | None:
        """The leader's network, of its first run."""
        if self.leader is None:
            return None
        runs = sorted(self.folder.glob(f"runs/{self.leader.point.name}_seed*/last.safetensors"))
        return runs[0] if runs else None


def advice_at(folder: Path) -> Advice:
    """What the race in a folder shows so far. Raises UsageError where none was begun there."""
    sides = sides_at(folder)
    if sides is None:
        raise UsageError("holds no race", where=str(folder), fix="begin one: analyze compress --advise")
    with closing(RunsFile(folder / NAME)) as runs:
        outcomes = runs.outcomes()
        rows = list(_rows(sides, outcomes, runs))
        best = [row for side in SIDES if (row := _best(row for row in rows if row.point.side == side)) is not None]
        leader = _leader(rows)
        against = () if leader is None else tuple(_against(leader, best, outcomes, runs, sides.margin))
    found, course = [row for row in rows if row not in best], course_at(folder)
    return Advice(
        sides=sides, rows=tuple(best), others=tuple(found), stills=tuple(_stills(sides.stills)), leader=leader,
        against=against, more_s=_more(leader, best, against, course, sides.margin),
        spent=spent_of(sides, outcomes), course=course, folder=folder,
    )  # fmt: skip


# -- rows ------------------------------------------------------------------------------------------------------


def _rows(sides: RaceSides, outcomes: Sequence[RunOutcome], runs: RunsFile) -> Iterator[RaceRow]:
    uncompressed = next(point for point in sides.points if not point.candidate)
    scratch = max((point for point in sides.points if point.side == "from scratch"), key=lambda p: _mean(p, outcomes))
    for point in sides.points:
        at = _at(point, outcomes)
        spent = _spent([run for run in outcomes if run.config.network == point.name], point.making_cpu_s)
        of = max(len(at), 1)
        each = sum(epoch.cpu_s + epoch.evaluation_cpu_s for run, last in at for epoch in run.epochs[: last.epoch]) / of
        images = sum(epoch.images for run, last in at for epoch in run.epochs[: last.epoch]) // of
        before = ParentBill(epochs=0, images=0, cpu_s=0.0) if point.anew else sides.parent
        reached = at[0][1].epoch if at else 0
        pairs_with = (uncompressed, scratch) if reached == point.epochs else ()
        found = [_differ(at, _at(other, outcomes), other, runs) if other != point else () for other in pairs_with]
        yield RaceRow(
            point=point, runs=len(at), reached=reached, validation=_estimate(at, "val"), test=_estimate(at, "test"),
            to_original=found[0] if found else (), to_scratch=found[1] if found else (), spent=spent,
            bill=RaceBill(
                before.epochs + reached, before.images + images, (before.cpu_s or 0.0) + point.making_cpu_s + each
            ),
        )  # fmt: skip


def _at(point: SidePoint, outcomes: Sequence[RunOutcome]) -> list[RunAt]:
    """A point's finished runs at their last epoch, by seed; while there is none, all as far as each came."""
    own = sorted((run for run in outcomes if run.config.network == point.name), key=lambda run: run.config.seed)
    done = [run for run in own if run.finished]
    begun = done or [run for run in own if run.epochs]
    common = min((len(run.epochs) for run in begun), default=0)
    return [(run, run.epochs[common - 1]) for run in begun]


def _mean(point: SidePoint, outcomes: Sequence[RunOutcome]) -> float:
    """Its mean validation accuracy; of one that is not finished less than that of any that is."""
    at = _at(point, outcomes)
    done = bool(at) and at[0][0].finished
    return math.fsum(epoch.val_accuracy or 0.0 for _, epoch in at) / len(at) if done else -1.0


def _estimate(at: Sequence[RunAt], split: str) -> Estimate | None:
    shares = [getattr(epoch, f"{split}_accuracy") for _, epoch in at]
    return of_accuracies(shares) if shares and None not in shares else None


def _differ(
    own: Sequence[RunAt], others: Sequence[RunAt], other: SidePoint, runs: RunsFile, level: float = LEVEL
) -> tuple[Estimate, ...]:
    """What a finished point and another one differ by on test images, in pairs of one seed."""
    by_seed = {run.config.seed: (run, epoch) for run, epoch in others if epoch.epoch == other.epochs}
    pairs = [((run, epoch), by_seed[run.config.seed]) for run, epoch in own if run.config.seed in by_seed]
    return differences(runs, pairs, "test", level) if pairs else ()


def _best(rows: Iterator[RaceRow]) -> RaceRow | None:
    """Of a side's points the one that came furthest, then the best by validation."""
    return max(rows, key=_rank, default=None)


def _rank(row: RaceRow) -> tuple[bool, int, float, float]:
    return (
        row.finished,
        row.runs,
        row.reached / row.point.epochs,
        -1.0 if row.validation is None else row.validation.value,
    )


def _leader(rows: Sequence[RaceRow]) -> RaceRow | None:
    """Of what is under the budget and was trained to its end in most runs, the best by validation."""
    return max((row for row in rows if row.point.candidate and row.finished), key=_rank, default=None)


def _stills(stills: Sequence[Still]) -> Iterator[StillRow]:
    def right(still: Still) -> np.ndarray:
        return np.array([one == "1" for one in still.right])

    for still in stills:
        same = still is stills[0]
        yield StillRow(still, None if same else over_images(drawn_images([(right(still), right(stills[0]))], [0])))


# -- the bill --------------------------------------------------------------------------------------------------


def _spent(runs: Sequence[RunOutcome], more: float = 0.0) -> RaceBill:
    epochs = [epoch for run in runs for epoch in run.epochs]
    took = math.fsum(epoch.cpu_s + epoch.evaluation_cpu_s for epoch in epochs)
    return RaceBill(len(epochs), sum(epoch.images for epoch in epochs), took + more)


def spent_of(sides: RaceSides, outcomes: Sequence[RunOutcome]) -> RaceBill:
    """All that a race took so far: making its points, looking at what is not trained, every run."""
    names = {point.name for point in sides.points}
    making = sum(point.making_cpu_s for point in sides.points) + sum(still.cpu_s for still in sides.stills)
    return _spent([run for run in outcomes if run.config.network in names], making)


# -- what is shown ---------------------------------------------------------------------------------------------


def _against(
    leader: RaceRow, best: Sequence[RaceRow], outcomes: Sequence[RunOutcome], runs: RunsFile, margin: float
) -> Iterator[Against]:
    """The leader against each other side that was trained to its end; the level is for all of them together."""
    others = [
        row for row in best if row.finished and row.point.candidate and row.point.side != leader.point.side
    ]  # fmt: skip
    for row in others:
        level = 1 - (1 - LEVEL) / len(others)
        found = _differ(_at(leader.point, outcomes), _at(row.point, outcomes), row.point, runs, level)
        if found:
            yield Against(row.point.side, found, shown(found[-1], found[0], margin))


def _left(row: RaceRow, course: RaceCourse) -> bool:
    """Whether it would be trained further."""
    return not row.finished and row.point.name not in course.fell


def _more(
    leader: RaceRow | None, best: Sequence[RaceRow], against: Sequence[Against], course: RaceCourse, margin: float
) -> float | None:
    """About how many CPU-seconds more would show what is open; None where nothing is, or nothing can be said."""
    left = [row for row in best if _left(row, course) and row.spent.epochs]
    if left:
        return math.fsum(
            (2 * row.point.epochs - row.spent.epochs) * row.spent.cpu_s / row.spent.epochs for row in left
        )  # fmt: skip
    open_ = [one for one in against if one.shown == "open"]
    if leader is None or not open_:
        return None
    pairs = max(more_pairs(one.estimates[0], margin) for one in open_)
    racing = {leader.point.side, *(one.side for one in open_), "from scratch", "uncompressed"}
    return pairs * math.fsum(row.spent.cpu_s / row.runs for row in best if row.runs and row.point.side in racing)


def _sentence(advice: Advice) -> Iterator[str]:
    leader, margin = advice.leader, advice.sides.margin
    more = "" if advice.more_s is None else f"; about {_hours(advice.more_s)} would"
    if leader is None:
        yield f"Not shown: nothing under the budget is trained to its end{more}."
        return
    sides: dict[str, list[str]] = {"unfinished": [row.point.side for row in advice.unfinished]}
    for one in advice.against:
        sides.setdefault(one.shown, []).append(one.side)
    name, tied = f"{leader.point.side} ({leader.point.how})", sides.get("equivalent", [])
    unlike = [*sides.get("open", []), *sides.get("lower", []), *sides.get("one pair", [])]
    if unlike or sides["unfinished"]:
        yield f"Not shown: {name} leads on validation images"
        yield f", test images do not tell it from {listed(unlike)}" if unlike else ""
        yield f", {listed(unfinished)} not trained to the end" if (unfinished := sides["unfinished"]) else ""
        yield f"{more}; a tie within {margin:g} points with {listed(tied)}" if tied else more
    elif tied:
        yield f"A tie within {margin:g} points: {name} and {listed(tied)}"
    elif sides.get("higher"):
        yield f"From this side: {name}"
    else:
        yield f"From this side, the only one that is left: {name}"
    if higher := sides.get("higher"):
        least = min(one.estimates[0].value for one in advice.against if one.shown == "higher")
        yield f"; better than {listed(higher)} by {least:.1f} points or more"
    gone = [row.point.side for row in advice.rows if not row.finished and row.point.name in advice.course.fell]
    yield f"; {listed(gone)} fell behind on validation images." if gone else "."


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} more hours" if seconds >= 360 else f"{units.span(seconds)} more"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def as_json(advice: Advice) -> str:
    """The whole advice as JSON, its sentence first."""
    data = msgspec.to_builtins(advice, enc_hook=str)
    return msgspec.json.encode({"sentence": advice.sentence, **data}).decode()
