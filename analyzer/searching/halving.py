"""Search by trained accuracy: successive halving on epochs.

All candidates are trained for an epoch, the best 1/eta of them by validation accuracy for eta, and so on to the end.
The test images choose nothing. Candidates and epochs are kept: what is killed comes to the same when it is begun again.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from analyzer import units
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.files import write_text
from analyzer.reading import family
from analyzer.reading.latency import Profile
from analyzer.records import Record, Remark
from analyzer.searching import engine
from analyzer.searching.candidates import evenly, fitting, places
from analyzer.searching.query import Query
from analyzer.searching.results import Find
from analyzer.shown import silent
from analyzer.space.space import Space
from analyzer.storing.results_file import NAME
from analyzer.structs import Frozen
from analyzer.sweeping.choosing import pareto_names
from analyzer.sweeping.results_store import store_at
from analyzer.sweeping.trained import with_trained
from analyzer.training.rungs import HalvingRung, halve, mean_accuracy, rungs_of
from analyzer.units import epochs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.training.asked import TrainingAsked
    from analyzer.training.planning import TrainWatch
    from analyzer.training.run_records import RunOutcome

KEPT, CANDIDATES = "halving.json", 9
DRAWS = 50
"""Chunks of random variants that are looked at for one that fits and is new."""


@dataclass(frozen=True)
class HalvingPlan:
    """A search by training: `candidates` variants of a space that meet the query's constraints, half of them the
    query's best, half drawn by `seed`; trained in `folder`, the best 1/`eta` of each rung going on.

    `seconds` is the most that counting takes.
    """

    space: Space
    query: Query
    training: TrainingAsked
    folder: Path
    candidates: int = CANDIDATES
    eta: int = 3
    seconds: float = 60.0
    seed: int = 0
    profile: Profile | None = None

    def __post_init__(self) -> None:
        rungs_of(1, self.eta)

    @property
    def rungs(self) -> list[int]:
        """The epochs after which candidates are compared."""
        return rungs_of(self.training.recipe.epochs, self.eta)


@dataclass
class HalvingResult:
    """What a search by training found: its rungs; its rows, those trained to the end first, by validation accuracy; and
    what it took: epochs and CPU-seconds of all runs, evaluations included. `whole` epochs would have trained all.
    """

    static: engine.Result | None
    rungs: list[HalvingRung] = field(default_factory=list)
    rows: list[Record] = field(default_factory=list)
    epochs: int = 0
    whole: int = 0
    cpu_s: float = 0.0
    interrupted: bool = False

    def accuracy(self, name: str) -> float | None:
        """A candidate's validation accuracy in the last rung that it took part in."""
        return next((dict(rung.ranked)[name] for rung in reversed(self.rungs) if name in dict(rung.ranked)), None)

    def finds(self) -> list[Find]:
        """The rows; on the front stand trained ones that no other beats in params, MACs and test accuracy."""
        trained = [row for row in self.rows if row.trained is not None]
        front = set(pareto_names(trained)) if trained else set()
        best = trained[0].target.name if trained else ""
        return [
            Find(row, row.target.name in front, ("val_accuracy",) if row.target.name == best else ())
            for row in self.rows
        ]


@dataclass(frozen=True)
class HalvingWatch:
    """Is told how it goes on: of the candidates, of each rung that is compared, and of every training by `training`."""

    training: TrainWatch
    candidates: Callable[[Sequence[Variant]], None] = silent
    rung: Callable[[HalvingRung], None] = silent


class DrawnCandidates(Frozen, frozen=True, kw_only=True):
    """The candidates of a search, by name, and a digest of what it asked."""

    asked: str
    names: tuple[str, ...]


def run_halving(plan: HalvingPlan, watch: HalvingWatch) -> HalvingResult:
    """Searches, from where an earlier run in the folder ended. Ctrl-C leaves `interrupted` and what is compared so far.

    Raises UsageError where nothing fits, there are no validation images, or the folder holds another search.
    """
    from analyzer.training.execution import execute

    variants, static = _candidates(plan)
    watch.candidates(variants)
    _require_validation(plan, variants)
    result = HalvingResult(static, whole=len(variants) * len(plan.training.seeds) * plan.training.recipe.epochs)

    def compare(standing: Sequence[Variant], epochs: int) -> HalvingRung | None:
        done = execute(replace(plan.training.plan(standing, plan.folder), until=epochs), watch.training)
        result.interrupted = done.interrupted
        return None if done.interrupted else _rung(standing, done.runs, epochs, plan)

    for rung in halve({variant.name: variant for variant in variants}, plan.rungs, compare):
        result.rungs.append(rung)
        watch.rung(rung)
    return _finished(plan, result, variants)


def _rung(standing: Sequence[Variant], runs: Sequence[RunOutcome], epochs: int, plan: HalvingPlan) -> HalvingRung:
    """The candidates by their runs' mean validation accuracy after so many epochs; of equals the first."""
    scores = {variant.name: mean_accuracy(variant.name, runs, epochs) for variant in standing}
    ranked = sorted(scores.items(), key=lambda each: -math.inf if each[1] is None else each[1], reverse=True)
    last = epochs == plan.training.recipe.epochs
    return HalvingRung(epochs, tuple(ranked), len(ranked) if last else math.ceil(len(ranked) / plan.eta))


def _require_validation(plan: HalvingPlan, variants: Sequence[Variant]) -> None:
    from analyzer.training.planning import TrainWatch, prepare

    jobs = prepare(plan.training.plan(variants[:1], plan.folder), TrainWatch())
    if not jobs[0].config.images[1]:
        fix = "divide them so that some validate, such as 0.7,0.15,0.15"
        raise UsageError("has no validation images, by which candidates are chosen", where="data", fix=fix)


# -- candidates ------------------------------------------------------------------------------------------------


def _candidates(plan: HalvingPlan) -> tuple[list[Variant], engine.Result | None]:
    """Those that the folder's search drew, or else drawn and kept there now."""
    path, asked = plan.folder / KEPT, _asked(plan)
    if path.exists():
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=DrawnCandidates)
        except (OSError, msgspec.MsgspecError) as error:
            raise UsageError("can't be read", where=str(path), fix="choose another --out") from error
        if kept.asked != asked:
            raise UsageError("holds another search", where=str(plan.folder), fix="choose another --out")
        return [Variant.parse(name) for name in kept.names], None
    query = replace(plan.query, best=max(plan.query.best, plan.candidates), profile=plan.profile)
    static = engine.search(plan.space, query, seconds=plan.seconds, seed=plan.seed)
    variants = list(_drawn(plan, static))
    kept = DrawnCandidates(asked=asked, names=tuple(variant.name for variant in variants))
    write_text(path, msgspec.json.encode(kept).decode() + "\n")
    return variants, static


def _asked(plan: HalvingPlan) -> str:
    training = plan.training
    parts = (
        plan.space.axes, plan.query.constraints, plan.query.objectives, plan.query.batch, plan.candidates, plan.eta,
        plan.seed, training.recipe, training.seeds, training.division,
    )  # fmt: skip
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()


def _drawn(plan: HalvingPlan, static: engine.Result) -> Iterator[Variant]:
    """Half of the candidates from the front and the best of what was counted, evenly; the others at random."""
    best = list(dict.fromkeys(places(static.finds)))
    first = [best[i] for i in evenly(len(best), -(-plan.candidates // 2))]
    chance = random.Random(plan.seed)
    drawn = (place for _ in range(DRAWS) for place in fitting(plan.space, plan.query, chance))
    seen: dict[str, Variant] = {}
    for part, index in (*first, *drawn, *best):
        variant = plan.space.parts[part].variant(index)
        if len(seen) < plan.candidates and variant.name not in seen:
            seen[variant.name] = variant
            yield variant


# -- what was found --------------------------------------------------------------------------------------------


def _finished(plan: HalvingPlan, result: HalvingResult, variants: Sequence[Variant]) -> HalvingResult:
    """The result with its rows, which are kept, and with what it took."""
    from analyzer.training.runs_file import RunsFile

    names = {variant.name for variant in variants}
    with closing(RunsFile(plan.folder / NAME, create=True)) as file:
        runs = [run for run in file.outcomes() if run.config.network in names]
    result.epochs = sum(len(run.epochs) for run in runs)
    result.cpu_s = math.fsum(epoch.cpu_s + epoch.evaluation_cpu_s for run in runs for epoch in run.epochs)
    order = {name: place for rung in result.rungs for place, (name, _) in enumerate(rung.ranked)}
    left = {name: (rung.epochs, accuracy) for rung in result.rungs for name, accuracy in rung.ranked}
    ranked = sorted(variants, key=lambda v: (-left.get(v.name, (0, None))[0], order.get(v.name, 0)))
    rows = list(family.records(ranked, plan.query.batch, plan.profile))
    end = plan.training.recipe.epochs
    for row, variant in zip(rows, ranked, strict=True):
        epochs, accuracy = left.get(variant.name, (0, None))
        if epochs == end and accuracy is not None:
            (row,) = with_trained([row], runs)
        words = (
            "not trained"
            if accuracy is None
            else f"validation accuracy {100 * accuracy:.1f} % after {epochs_of(epochs)}"
        )
        result.rows.append(row.remarked(Remark(kind="note", text=words)))
    with closing(store_at(plan.folder)) as store:
        store.put(result.rows)
    return result


def halved(result: HalvingResult) -> list[str]:
    """What a search by training did, a sentence each, for a report."""
    sentences = [
        f"After {epochs_of(rung.epochs)}: {len(rung.ranked)} compared by validation accuracy, "
        f"{rung.kept} {'went on' if rung is not result.rungs[-1] else 'are left'}."
        for rung in result.rungs
    ]
    return [
        *sentences,
        f"{epochs_of(result.epochs)} of training, {units.span(result.cpu_s)} of CPU time with evaluations; "
        f"{epochs_of(result.whole)} would have trained every candidate to the end. Test accuracy chose nothing.",
    ]
