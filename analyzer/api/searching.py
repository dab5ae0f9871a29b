"""Spaces searched: by exact figures, by measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyzer.api.tables import frame
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError, UsageError
from analyzer.executors.workplace import Workplace
from analyzer.figures import known
from analyzer.limits import Limit
from analyzer.reading.profiles import profile_at
from analyzer.space.space import Space

if TYPE_CHECKING:
    import pandas as pd

    from analyzer.searching.execution import SearchPlan, StudyPlan
    from analyzer.searching.halving import HalvingPlan
    from analyzer.searching.results import Find
    from analyzer.training.asked import TrainingAsked


def search(
    space: Space, *, minimize: Sequence[str] | str | None = None, maximize: Sequence[str] | str | None = None,
    limits: Mapping[str, int | str] | None = None, at_least: Mapping[str, int | str] | None = None,
    under: str | Variant | None = None, best: int = 0, batch: int | None = None, seconds: float = 60.0,
    jobs: int | None = None, seed: int = 0, profile: str | Path | None = None, on: str | Path | None = None,
    objective: Sequence[str] | str = (), trials: int | None = None, sampler: Literal["tpe", "nsga2"] = "tpe",
    device: str = "auto", out: str | Path | None = None, max_memory: int | None = None,
    train: Mapping[str, Any] | None = None, eta: int = 3,
) -> pd.DataFrame:  # fmt: skip
    """The Pareto front of a space under limits by figure (inclusive), one row a variant, as a DataFrame.

    `under` adds a variant's own params, MACs and saved bytes as limits (a named one's at the search's classes and
    image), `best` the k best of each objective; `on` (or `profile`) names a device for predicted latency. `attrs` say
    the share of the space that was seen (1.0: the front is exact), how many fit, the seed. UsageError for none.

    With a measured `objective` (measured_latency_s, measured_images_per_s, measured_ratio) Optuna proposes variants,
    at most `trials` are measured on `device`, kept in `out` to go on from; `minimize` and `maximize` count beside it.
    By `objective="test_accuracy"` `trials` are trained in `out` as `train` says (`data`, the words of `an.train`): all
    for an epoch, the best 1/`eta` by validation accuracy for `eta`, and so on. `batch` is of memory and of measuring.
    """
    from analyzer.searching import execution, halving, study

    training = _training(objective, {"device": device, "jobs": jobs, **(train or {})}, out)
    space = _space(space, training)
    low, high = _listed(minimize or ()), _listed(maximize or ())
    constraints, by_device = _all_limits(space, limits, at_least, under, batch), bool(objective) and training is None
    query = execution.query_of(low, high, constraints, batch, best, measured=by_device)
    predictor, folder = profile_at(on or profile, batch), None if out is None else Path(out)
    if training is not None and folder is not None:
        candidates = trials or halving.CANDIDATES
        return _trained(halving.HalvingPlan(space, query, training, folder, candidates, eta, seconds, seed, predictor))
    if by_device:
        static = query.objectives if low or high else ()
        question = study.Question(
            space, query, tuple(_listed(objective)), static, trials, seconds, batch, sampler, seed
        )
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


def _counted(plan: SearchPlan) -> pd.DataFrame:
    from analyzer.searching.execution import SearchWatch, execute

    done = execute(plan, SearchWatch())
    table = _marked(done.finds)
    totals = done.seen.finds
    table.attrs.update(share=done.seen.share, fitting=totals.fitting, seen=totals.seen, seed=plan.seed)
    return table


def _training(objective: Sequence[str] | str, train: Mapping[str, Any], out: str | Path | None) -> TrainingAsked | None:
    """How candidates are trained, where they are."""
    from analyzer.searching.execution import is_trained

    if not is_trained(_listed(objective)):
        return None
    from analyzer.training.asked import training_asked

    if out is None:
        raise UsageError("needs a folder to keep networks in", where="objective", fix="give out")
    return training_asked(train)


def _trained(plan: HalvingPlan) -> pd.DataFrame:
    from analyzer.searching.halving import HalvingWatch, run_halving
    from analyzer.training.planning import TrainWatch

    result = run_halving(plan, HalvingWatch(TrainWatch()))
    if result.interrupted:
        raise KeyboardInterrupt
    table = _marked(result.finds())
    table["val_accuracy"] = [result.accuracy(name) for name in table.index]
    table.attrs.update(epochs=result.epochs, whole=result.whole, cpu_s=result.cpu_s, seed=plan.seed)
    return table


def _measured(plan: StudyPlan) -> pd.DataFrame:
    from analyzer.searching.execution import SearchWatch, execute_study

    outcome = execute_study(plan, SearchWatch())
    if outcome.interrupted:
        raise KeyboardInterrupt
    if not outcome.rows:
        where = str(plan.where.device)
        raise MeasureError("nothing could be measured", where=where, fix="see that a variant runs on this device")
    table = _marked(outcome.finds())
    table.attrs.update(share=outcome.static.share, fitting=outcome.static.finds.fitting, ended=outcome.ended)
    return table


def _marked(finds: Sequence[Find]) -> pd.DataFrame:
    table = frame([find.record for find in finds])
    table["front"] = [find.front for find in finds]
    table["best_for"] = [",".join(find.best_for) for find in finds]
    return table


def _constraints(limits: Mapping[str, int | str] | None, at_least: Mapping[str, int | str] | None) -> Iterator[Limit]:
    yield from (Limit(figure=f, bound=count, source=where) for f, count, where in _counts("limits", limits))
    for figure, count, where in _counts("at_least", at_least):
        yield Limit(figure=figure, bound=count, side="least", source=where)


def _listed(figures: Sequence[str] | str) -> Sequence[str]:
    return [word.strip() for word in figures.split(",")] if isinstance(figures, str) else figures


def _counts(name: str, limits: Mapping[str, int | str] | None) -> Iterator[tuple[str, int, str]]:
    """Figure, limit and how it was said; a limit may be text as the command takes it (`8M`, `100MiB`)."""
    for figure, limit in (limits or {}).items():
        where = f"{name}[{figure!r}]"
        yield figure, known(figure).parse(limit, where=where) if isinstance(limit, str) else limit, where
