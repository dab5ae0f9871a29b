"""`analyze search --objective …`: searching with measured figures, told on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analyzer.cli import text
from analyzer.cli.base import INTERRUPTED, say
from analyzer.cli.progress import time_cell
from analyzer.cli.search_output import print_data, write_files
from analyzer.errors import UsageError
from analyzer.executors.workplace import Workplace
from analyzer.figures import FIGURES, HEADLINE
from analyzer.layout import figure_cell
from analyzer.records import Record
from analyzer.searching.engine import Result
from analyzer.searching.execution import SearchWatch, StudyPlan, execute_study
from analyzer.searching.query import Query
from analyzer.searching.results import Find, described
from analyzer.searching.study import Question, StudyResult
from analyzer.space.space import Space

COUNTED = tuple(figure for figure in HEADLINE if not figure.batched)
MEASURED = tuple(FIGURES[name] for name in ("measured_ratio", "measured_latency_s", "measured_images_per_s"))
HEADINGS = ("variant", *(figure.heading for figure in (*COUNTED, *MEASURED)), "")


def measured_search(space: Space, query: Query, format_: str, options: dict[str, Any]) -> int:
    """Runs a study and prints what it measured, its front first."""
    figures = dict.fromkeys(word.strip() for given in options["measured"] for word in given.split(","))
    static = query.objectives if options["minimize"] or options["maximize"] else ()
    question = Question(
        space, query, tuple(figures), static, trials=options["trials"], seconds=options["seconds"],
        batch=options["batch"], sampler=options["sampler"], seed=options["seed"],
    )  # fmt: skip
    folder = options["out"] or Path("reports") / datetime.now(UTC).strftime("search-%Y%m%dT%H%M%SZ")
    where = Workplace(options["executor"], device=options["device"], address=options["address"])
    watch = SearchWatch(static=_say_static, starting=_say_starting)
    outcome = execute_study(StudyPlan(question, where, folder), watch)
    say(_measured(outcome))
    say(f"the study and its rows are in {folder}; the same search with --out {folder} goes on from there")
    finds = outcome.finds()
    if format_ == "md":
        text.show(text.markdown(HEADINGS, [_cells(find) for find in finds]))
    elif not print_data(finds, format_) and finds:
        text.show_table(HEADINGS, [_cells(find) for find in finds])
    searched = [*described(outcome.static), f"{_measured(outcome)}."]
    write_files(finds, query.constraints, searched, options["export"], options["report"])
    if outcome.interrupted:
        return INTERRUPTED
    return 0 if outcome.rows else 3


def _say_static(result: Result) -> None:
    totals = result.finds
    seen = "all" if result.exhaustive else f"{100 * result.share:.3g} % of the"
    front = f"{len(totals.points):,} on the static front"
    say(f"{seen} {result.space.size:,} variants counted: {totals.fitting:,} fit, {front}")


def _say_starting(row: Record) -> None:
    say(f"measuring {row.target.shown}")


def _measured(outcome: StudyResult) -> str:
    new = len(outcome.rows) - outcome.earlier
    earlier = f", {outcome.earlier:,} were there" if outcome.earlier else ""
    failed = f", {outcome.failed:,} could not be measured" if outcome.failed else ""
    return (
        f"measured {new:,} variants on {outcome.device.name}{earlier}{failed}; {outcome.pruned:,} proposals missed a "
        f"constraint and were not built; {outcome.ended}"
    )


def _cells(find: Find) -> tuple[str, ...]:
    record, measured = find.record, find.record.measured
    if measured is None:
        raise UsageError("has no measurement", where=record.target.name)
    return (
        record.target.name,
        *(figure_cell(figure, figure.of(record)) for figure in COUNTED),
        time_cell(record),
        *(figure.bare(figure.of(record)) for figure in MEASURED[1:]),
        "front" if find.front else "",
    )
