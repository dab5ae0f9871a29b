"""Spaces searched: by exact figures, by measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
    from analyzer.searching.results import Find


def search(
    space: Space, *, minimize: Sequence[str] | str | None = None, maximize: Sequence[str] | str | None = None,
    limits: Mapping[str, int | str] | None = None, at_least: Mapping[str, int | str] | None = None,
    under: str | Variant | None = None, best: int = 0, batch: int | None = None, seconds: float = 60.0,
    jobs: int | None = None, seed: int = 0, profile: str | Path | None = None, on: str | Path | None = None,
    objective: Sequence[str] | str = (), trials: int | None = None, sampler: Literal["tpe", "nsga2"] = "tpe",
    device: str = "auto", out: str | Path | None = None, max_memory: int | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The Pareto front of a space under limits by figure (inclusive), one row a variant, as a DataFrame.

    `under` adds a variant's own params, MACs and saved bytes as limits (one that is named: at the search's classes and
    image). `best` adds the k best of each objective. Columns: the figures, the variant's fields, `front`, `best_for`.
    `attrs` say the share of the space that was seen (1.0: all, so that the front is exact), how many variants fit, and
    the seed. Raises UsageError where none fits.

    With a measured `objective` (measured_latency_s, measured_images_per_s, measured_ratio) variants are proposed by
    Optuna, beginning with the static front, and at most `trials` measured on `device`; every measured one is a row.
    `minimize` and `maximize` count beside it where they are given. `out` keeps the study and its rows to go on from.
    `max_memory` bounds the bytes that all processes of a search by counts take together.
    `on` (or `profile`) names a device whose profile predicts latency: `predicted_image_ns` may be limited, minimised.
    `batch` is that of memory (default: 1) and of measuring (default: the device's usual).
    """
    from analyzer.searching import execution

    if not isinstance(space, Space):
        raise UsageError(f"is no Space: {space!r:.80}", where="space", fix="such as Space(growth=range(8, 65))")
    low, high = _listed(minimize or ()), _listed(maximize or ())
    constraints = [*_constraints(limits, at_least)]
    if under is not None:
        constraints += execution.constraints_under(under, space.axes, batch)
    query = execution.query_of(low, high, constraints, batch, best, measured=bool(objective))
    if objective:
        from analyzer.searching.study import Question

        static = query.objectives if low or high else ()
        question = Question(space, query, tuple(_listed(objective)), static, trials, seconds, batch, sampler, seed)
        return _measured(execution.StudyPlan(question, Workplace(device=device), None if out is None else Path(out)))
    execution.require_unmeasured(trials=trials, out=out)
    predictor = profile_at(on or profile, batch)
    return _counted(execution.SearchPlan(space, query, seconds, jobs, seed, predictor, max_memory))


def _counted(plan: SearchPlan) -> pd.DataFrame:
    from analyzer.searching.execution import SearchWatch, execute

    done = execute(plan, SearchWatch())
    table = _marked(done.finds)
    totals = done.seen.finds
    table.attrs.update(share=done.seen.share, fitting=totals.fitting, seen=totals.seen, seed=plan.seed)
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
