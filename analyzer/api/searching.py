"""Spaces searched: by exact figures, by measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from analyzer.api.shared import profile_at, store_at
from analyzer.api.tables import frame
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError, UsageError
from analyzer.figures import known
from analyzer.limits import Limit
from analyzer.searching.query import Objective, limits_under
from analyzer.space.space import Space
from analyzer.sweeping.executors import executor_of
from analyzer.targets.analysis import analyze

if TYPE_CHECKING:
    import pandas as pd

    from analyzer.searching.results import Find
    from analyzer.searching.study import Question


def search(
    space: Space,
    *,
    minimize: Sequence[str] | str | None = None,
    maximize: Sequence[str] | str | None = None,
    limits: Mapping[str, int | str] | None = None,
    at_least: Mapping[str, int | str] | None = None,
    under: str | Variant | None = None,
    best: int = 0,
    batch: int | None = None,
    seconds: float = 60.0,
    jobs: int | None = None,
    seed: int = 0,
    profile: str | Path | None = None,
    objective: Sequence[str] | str = (),
    trials: int | None = None,
    sampler: Literal["tpe", "nsga2"] = "tpe",
    device: str = "auto",
    out: str | Path | None = None,
) -> pd.DataFrame:
    """The Pareto front of a space under limits by figure (inclusive), one row a variant, as a DataFrame.

    `under` adds a variant's own params, MACs and saved bytes as limits. `best` adds the k best of each objective.
    Columns: the figures, the variant's fields, `front`, `best_for`. `attrs` say the share of the space that was seen
    (1.0: all, so that the front is exact), how many variants fit, and the seed. Raises UsageError where none fits.

    With a measured `objective` (measured_latency_s, measured_images_per_s, measured_ratio) variants are proposed by
    Optuna, beginning with the static front, and at most `trials` measured on `device`; every measured one is a row.
    `minimize` and `maximize` count beside it where they are given. `out` keeps the study and its rows to go on from.
    `batch` is that of memory (default: 1) and of measuring (default: the device's usual).
    """
    from analyzer.searching.engine import search as run_search
    from analyzer.searching.query import Query
    from analyzer.searching.results import finds

    if not isinstance(space, Space):
        raise UsageError(f"is no Space: {space!r:.80}", where="space", fix="such as Space(growth=range(8, 65))")
    goals = _goals(minimize, maximize)
    query = Query(goals or Query().objectives, _constraints(limits, at_least, under, batch or 1), batch or 1, best)
    if objective:
        from analyzer.searching.study import Question

        question = Question(
            space, query, tuple(_names(objective)), goals, trials=trials, seconds=seconds, batch=batch,
            sampler=sampler, seed=seed,
        )  # fmt: skip
        return _measured(question, device, None if out is None else Path(out))
    result = run_search(space, query, seconds=seconds, jobs=jobs, seed=seed)
    table = _marked(finds(result, profile_at(profile)))
    table.attrs.update(share=result.share, fitting=result.finds.fitting, seen=result.finds.seen, seed=seed)
    return table


def _measured(question: Question, device: str, folder: Path | None) -> pd.DataFrame:
    from analyzer.searching.study import run_study

    with closing(executor_of(device=device)) as workers, closing(store_at(folder, resume=True)) as store:
        outcome = run_study(question, store, workers, None if folder is None else folder / "study.db")
    if outcome.interrupted:
        raise KeyboardInterrupt
    if not outcome.rows:
        raise MeasureError("nothing could be measured", where=device, fix="see that a variant runs on this device")
    table = _marked(outcome.finds())
    table.attrs.update(share=outcome.static.share, fitting=outcome.static.finds.fitting, ended=outcome.ended)
    return table


def _marked(found: Sequence[Find]) -> pd.DataFrame:
    table = frame([find.record for find in found])
    table["front"] = [find.front for find in found]
    table["best_for"] = [",".join(find.best_for) for find in found]
    return table


def _goals(minimize: Sequence[str] | str | None, maximize: Sequence[str] | str | None) -> tuple[Objective, ...]:
    low, high = _names(minimize or ()), _names(maximize or ())
    return *(Objective(figure) for figure in low), *(Objective(figure, True) for figure in high)


def _constraints(
    limits: Mapping[str, int | str] | None,
    at_least: Mapping[str, int | str] | None,
    under: str | Variant | None,
    batch: int,
) -> tuple[Limit, ...]:
    own = [] if under is None else limits_under(analyze(under, batch=batch), str(under))
    return (
        *(Limit(figure=f, bound=count, source=where) for f, count, where in _counts("limits", limits)),
        *(
            Limit(figure=f, bound=count, side="least", source=where)
            for f, count, where in _counts("at_least", at_least)
        ),
        *own,
    )


def _names(figures: Sequence[str] | str) -> Sequence[str]:
    return [word.strip() for word in figures.split(",")] if isinstance(figures, str) else figures


def _counts(name: str, limits: Mapping[str, int | str] | None) -> Iterator[tuple[str, int, str]]:
    """Figure, limit and how it was said; a limit may be text as the command takes it (`8M`, `100MiB`)."""
    for figure, limit in (limits or {}).items():
        where = f"{name}[{figure!r}]"
        yield figure, known(figure).parse(limit, where=where) if isinstance(limit, str) else limit, where
