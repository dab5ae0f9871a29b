"""A search from its plan to what it finds, by counts or by measuring: what the command and Python both conduct."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.architecture.axes import AXES
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.executors.workplace import Workplace
from analyzer.figures import LIMITED, figure_named
from analyzer.limits import Limit
from analyzer.reading.latency import Profile
from analyzer.records import Record
from analyzer.searching.engine import Progress, Result, search
from analyzer.searching.query import Objective, Query, limits_under
from analyzer.searching.results import Find, finds
from analyzer.shown import silent
from analyzer.space.space import Space
from analyzer.sweeping.results_store import store_at
from analyzer.targets.analysis import analyze_target
from analyzer.targets.resolving import FamilyTarget, resolve
from analyzer.units import parse_batch

if TYPE_CHECKING:
    from analyzer.searching.study import Question, StudyResult
    from analyzer.training.asked import TrainingAsked


CAPACITY, BEST = Objective("conv_activations", maximize=True), 10
"""What is searched for where nothing is asked, as a front of costs alone is the smallest network; and how many."""


def query_of(
    minimize: Iterable[str],
    maximize: Iterable[str],
    constraints: Sequence[Limit],
    batch: int | None,
    best: int,
    *,
    measured: bool = False,
) -> Query:
    """What is asked of a space; `measured` of what a study measures begins with. A `batch` of None is 1.

    With no objective it is capacity, the most conv activations: of what is within the limits the best ten, and where
    nothing is limited the front of that and the fewest params and MACs. Objectives are figures by name or short word,
    or several with commas. Raises UsageError on a figure that is not known, or is both minimised and maximised, and
    where no value is within two limits.
    """
    _require_values_between(constraints)
    low, high = _names(minimize, "--minimize"), _names(maximize, "--maximize")
    if both := sorted(low.keys() & high.keys()):
        raise UsageError(f"{both[0]} is both minimised and maximised", where="--maximize", fix="choose one")
    objectives = (*(Objective(figure) for figure in low), *(Objective(figure, True) for figure in high))
    size = 1 if batch is None else parse_batch(batch, where="batch")
    if not objectives and not measured:
        limited = any(limit.side == "most" for limit in constraints)
        objectives, best = ((CAPACITY,), best or BEST) if limited else ((CAPACITY, *Query().objectives), best)
    return Query(objectives or Query().objectives, tuple(constraints), size, best)


def _names(texts: Iterable[str], where: str) -> dict[str, None]:
    words = [word.strip() for text in texts for word in text.split(",")]
    return dict.fromkeys(figure_named(word, LIMITED, where).name for word in words)


def _require_values_between(constraints: Sequence[Limit]) -> None:
    for low, high in itertools.product(constraints, constraints):
        if low.figure == high.figure and low.side == "least" and high.side == "most" and low.bound > high.bound:
            raise UsageError(f"{low.source} is above {high.source}", where="search", fix="swap or drop one of them")


def constraints_under(target: str | Variant, axes: Mapping[str, Any], batch: int | None) -> list[Limit]:
    """A target's own params, MACs and saved bytes as limits; one that is named, at the search's classes and image."""
    if isinstance(target, Variant):
        return limits_under(analyze_target(FamilyTarget(target), batch=batch or 1), str(target))
    task = [axis for axis in AXES if axis.task]
    same = {axis.field: axes[axis.field][0] for axis in task if len(axes.get(axis.field, ())) == 1}
    same.setdefault("classes", Variant().classes)
    return limits_under(analyze_target(resolve(target, same), batch=batch or 1), target)


def require_unmeasured(**given: object) -> None:
    """UsageError where something is given that means nothing to a search by counts."""
    for name, value in given.items():
        if value is not None:
            raise UsageError("is for measuring", where=f"--{name}", fix="give --objective measured_latency_s with it")


@dataclass(frozen=True)
class SearchPlan:
    """A search by counts: over a space, within `seconds`; with a `profile` each find has its predicted latency."""

    space: Space
    query: Query
    seconds: float = 60.0
    jobs: int | None = None
    seed: int = 0
    profile: Profile | None = None
    max_memory: int | None = None


@dataclass(frozen=True)
class SearchWatch:
    """Is told how a search goes on: of counting by `progress`, of a study's static front, of each row that is begun."""

    progress: Callable[[Progress], None] = silent
    static: Callable[[Result], None] = silent
    starting: Callable[[Record], None] = silent


@dataclass(frozen=True)
class SearchResult:
    """What was seen of the space, and what was found in it."""

    seen: Result
    finds: tuple[Find, ...]


def execute(plan: SearchPlan, watch: SearchWatch) -> SearchResult:
    """Searches by counts. On Ctrl-C what was found so far comes back, `seen.interrupted`. UsageError for none."""
    query = replace(plan.query, profile=plan.profile)
    query.require_profile()
    seen = search(
        plan.space, query, seconds=plan.seconds, jobs=plan.jobs, seed=plan.seed, max_memory=plan.max_memory,
        on_progress=watch.progress,
    )  # fmt: skip
    return SearchResult(seen, tuple(finds(seen, plan.profile)) if seen.finds.fitting else ())


@dataclass(frozen=True)
class StudyPlan:
    """A search by measuring: a question, where it is measured, and the folder that keeps the study (None: nowhere)."""

    question: Question
    where: Workplace
    folder: Path | None = None


TRAINED = "test_accuracy"
"""What a search by training is for; validation accuracy chooses."""


def is_trained(objectives: Iterable[str]) -> bool:
    """Whether objectives ask for a search by training. Raises UsageError where they ask for another one, too."""
    words = [word.strip() for text in objectives for word in text.split(",")]
    if TRAINED in words and len(set(words)) > 1:
        raise UsageError("is searched for alone", where=f"--objective {TRAINED}", fix="leave out the others")
    return TRAINED in words


def at_classes_of(axes: Mapping[str, Any], training: TrainingAsked) -> dict[str, Any]:
    """Axes with as many classes as the images have. Raises UsageError where they say another number."""
    classes = training.classes()
    if tuple(axes.get("classes", (classes,))) != (classes,):
        raise UsageError(f"come from the data, which has {classes}", where="--classes", fix="leave it out")
    return {**axes, "classes": (classes,)}


def execute_study(plan: StudyPlan, watch: SearchWatch) -> StudyResult:
    """Searches by measuring, from where an earlier run in the folder ended. Ctrl-C as in `run_study`."""
    from analyzer.searching.study import run_study

    path = None if plan.folder is None else plan.folder / "study.db"
    with closing(plan.where.open()) as workers, closing(store_at(plan.folder)) as store:
        return run_study(plan.question, store, workers, path, on_static=watch.static, starting=watch.starting)
