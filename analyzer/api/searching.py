"""Spaces searched: by exact figures, by measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyzer.api.tables import frame
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError, UsageError
from analyzer.executors.workplace import Workplace
from analyzer.limits import Limit, limits_said
from analyzer.reading.profiles import profile_at
from analyzer.records import Record
from analyzer.space.space import Space

if TYPE_CHECKING:
    import pandas as pd

    from analyzer.searching.execution import SearchPlan, StudyPlan
    from analyzer.searching.halving import HalvingPlan
    from analyzer.searching.results import Find
    from analyzer.training.asked import TrainingAsked


@dataclass(frozen=True, repr=False)
class Search:
    """What a search found: the front, then the best of each objective; its limits, and facts of how it went.

    `more` are further columns, one value a find.
    """

    finds: tuple[Find, ...]
    limits: tuple[Limit, ...]
    facts: Mapping[str, Any]
    more: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def records(self) -> tuple[Record, ...]:
        """What was found, as records."""
        return tuple(find.record for find in self.finds)

    @property
    def front(self) -> tuple[str, ...]:
        """The names of those that no other beats in every objective."""
        return tuple(find.record.target.name for find in self.finds if find.front)

    def frame(self) -> pd.DataFrame:
        """One row a find, whether it is on the front and what it is best for; `attrs` are the facts."""
        table = frame(self.records)
        table["front"] = [find.front for find in self.finds]
        table["best_for"] = [",".join(find.best_for) for find in self.finds]
        for name, values in self.more.items():
            table[name] = values
        table.attrs.update(self.facts)
        return table

    def report(self, path: str | Path) -> Path:
        """Writes a page on the finds, the first of them the baseline; returns where it is. UsageError of none."""
        from analyzer.reporting.page import write_report
        from analyzer.sweeping.report import report_data

        if not self.finds:
            raise UsageError("found nothing to report on", where="search", fix="loosen the limits")
        write_report(report_data(self.records, self.limits, command=("analyzer.search",)), path)
        return Path(path)

    def __repr__(self) -> str:
        told = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.facts.items()
        )
        return f"Search({len(self.finds):,} finds, {len(self.front):,} on the front; {told})"

    def _repr_html_(self) -> str:
        from analyzer.reporting.notebook import records_html

        return records_html(self.records, front=self.front, limits=self.limits)


def search(
    space: Space, *, minimize: Sequence[str] | str | None = None, maximize: Sequence[str] | str | None = None,
    limits: Mapping[str, int | str] | None = None, at_least: Mapping[str, int | str] | None = None,
    under: str | Variant | None = None, best: int = 0, batch: int | None = None, seconds: float = 60.0,
    jobs: int | None = None, seed: int = 0, profile: str | Path | None = None, on: str | Path | None = None,
    objective: Sequence[str] | str = (), trials: int | None = None, sampler: Literal["tpe", "nsga2"] = "tpe",
    device: str = "auto", out: str | Path | None = None, max_memory: int | None = None,
    train: Mapping[str, Any] | None = None, eta: int = 3,
) -> Search:  # fmt: skip
    """The Pareto front of a space under limits by figure (inclusive).

    `under` adds a variant's own params, MACs and saved bytes as limits (a named one's at the search's classes and
    image), `best` the k best of each objective; `on` (or `profile`) names a device for predicted latency. The result's
    `facts` say the share of the space that was seen (1.0: the front is exact), how many fit. UsageError for none.

    By a measured `objective` (measured_latency_s, measured_images_per_s, measured_ratio) Optuna proposes at most
    `trials`, measured on `device` and kept in `out` to go on from; `minimize` and `maximize` count beside it. By
    `objective="test_accuracy"` `trials` are trained in `out` as `train` says (`data`, the words of `an.train`): all
    for an epoch, the best 1/`eta` by validation accuracy for `eta`, and so on. `batch` is of memory and of measuring.

    >>> an.search(an.Space(growth=range(8, 65, 8)), limits={"params": "8M"})
    Search(8 finds, 1 on the front; share 1, fitting 8, seen 8, seed 0)
    """
    from analyzer.searching import execution, halving, study

    training = _training(objective, {"device": device, "jobs": jobs, **(train or {})}, out)
    space = _space(space, training)
    low, high = _listed(minimize or ()), _listed(maximize or ())
    constraints, by_device = _all_limits(space, limits, at_least, under, batch), bool(objective) and training is None
    query = execution.query_of(low, high, constraints, batch, best, measured=by_device)
    predictor, folder = profile_at(on or profile, batch), None if out is None else Path(out)
    if training is not None and folder is not None:
        many = trials or halving.CANDIDATES
        return _trained(halving.HalvingPlan(space, query, training, folder, many, eta, seconds, seed, predictor))
    if by_device:
        asked, static = tuple(_listed(objective)), query.objectives if low or high else ()
        question = study.Question(space, query, asked, static, trials, seconds, batch, sampler, seed)
        return _measured(execution.StudyPlan(question, Workplace(device=device), folder))
    execution.require_unmeasured(trials=trials, out=out, train=train)
    return _counted(execution.SearchPlan(space, query, seconds, jobs, seed, predictor, max_memory))


def _space(space: Space, training: TrainingAsked | None) -> Space:
    """The space, at the classes of what is trained on."""
    from analyzer.searching.execution import at_classes_of

    if not isinstance(space, Space):
        raise UsageError(f"is no Space: {space!r:.80}", where="space", fix="such as Space(growth=range(8, 65))")
    return space if training is None else Space(**at_classes_of(space.axes, training))


def _all_limits(
    space: Space, limits: Mapping[str, int | str] | None, at_least: Mapping[str, int | str] | None,
    under: str | Variant | None, batch: int | None,
) -> list[Limit]:  # fmt: skip
    from analyzer.searching.execution import constraints_under

    own = [] if under is None else constraints_under(under, space.axes, batch)
    return [*_constraints(limits, at_least), *own]


def _counted(plan: SearchPlan) -> Search:
    from analyzer.searching.execution import SearchWatch, execute

    done = execute(plan, SearchWatch())
    totals = done.seen.finds
    facts = {"share": done.seen.share, "fitting": totals.fitting, "seen": totals.seen, "seed": plan.seed}
    return Search(tuple(done.finds), tuple(plan.query.constraints), facts)


def _training(objective: Sequence[str] | str, train: Mapping[str, Any], out: str | Path | None) -> TrainingAsked | None:
    """How candidates are trained, where they are."""
    from analyzer.searching.execution import is_trained

    if not is_trained(_listed(objective)):
        return None
    from analyzer.training.asked import training_asked

    if out is None:
        raise UsageError("needs a folder to keep networks in", where="objective", fix="give out")
    return training_asked(train)


def _trained(plan: HalvingPlan) -> Search:
    from analyzer.searching.halving import HalvingWatch, run_halving
    from analyzer.training.planning import TrainWatch

    result = run_halving(plan, HalvingWatch(TrainWatch()))
    if result.interrupted:
        raise KeyboardInterrupt
    finds = tuple(result.finds())
    facts = {"epochs": result.epochs, "whole": result.whole, "cpu_s": result.cpu_s, "seed": plan.seed}
    more = {"val_accuracy": tuple(result.accuracy(find.record.target.name) for find in finds)}
    return Search(finds, tuple(plan.query.constraints), facts, more)


def _measured(plan: StudyPlan) -> Search:
    from analyzer.searching.execution import SearchWatch, execute_study

    outcome = execute_study(plan, SearchWatch())
    if outcome.interrupted:
        raise KeyboardInterrupt
    if not outcome.rows:
        where = str(plan.where.device)
        raise MeasureError("nothing could be measured", where=where, fix="see that a variant runs on this device")
    static = outcome.static
    facts = {"share": static.share, "fitting": static.finds.fitting, "ended": outcome.ended}
    return Search(tuple(outcome.finds()), tuple(plan.question.query.constraints), facts)


def _constraints(limits: Mapping[str, int | str] | None, at_least: Mapping[str, int | str] | None) -> Iterator[Limit]:
    yield from limits_said("limits", limits)
    yield from limits_said("at_least", at_least, side="least")


def _listed(figures: Sequence[str] | str) -> Sequence[str]:
    return [word.strip() for word in figures.split(",")] if isinstance(figures, str) else figures
