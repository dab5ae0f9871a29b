"""`analyze search --objective test_accuracy`: searching by training, told on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analyzer.architecture.variant import Variant
from analyzer.cli import text
from analyzer.cli.base import INTERRUPTED, say, warn
from analyzer.cli.search_output import print_data, write_files
from analyzer.cli.training_progress import TrainingBar
from analyzer.figures import FIGURES, HEADLINE
from analyzer.layout import figure_cell
from analyzer.reading.latency import Profile
from analyzer.records import standing_of
from analyzer.searching.halving import HalvingPlan, HalvingWatch, halved, run_halving
from analyzer.searching.query import Query
from analyzer.searching.results import Find, described
from analyzer.space.space import Space
from analyzer.training.asked import TrainingAsked
from analyzer.training.planning import TrainWatch
from analyzer.training.rungs import HalvingRung
from analyzer.units import epochs_of

SHOWN = (*HEADLINE, FIGURES["test_accuracy"], FIGURES["generalisation_gap"])
HEADINGS = ("variant", "chosen by", *(figure.heading for figure in SHOWN), "test accuracy is", "")


def trained_search(
    space: Space, query: Query, training: TrainingAsked, profile: Profile | None, format_: str, options: dict[str, Any]
) -> int:
    """Trains candidates by rungs and prints what is left, then those that were left out."""
    folder = options["out"] or Path("reports") / datetime.now(UTC).strftime("search-%Y%m%dT%H%M%SZ")
    more = {} if options["trials"] is None else {"candidates": options["trials"]}
    plan = HalvingPlan(
        space, query, training, folder, eta=options["eta"], seconds=options["seconds"], seed=options["seed"],
        profile=profile, **more,
    )  # fmt: skip
    say(f"rungs after {', '.join(map(str, plan.rungs))} epochs; the best 1/{plan.eta} of each go on")
    with TrainingBar(format_) as bar:
        told = TrainWatch(say, warn, bar.began, bar.step, bar.epoch)
        result = run_halving(plan, HalvingWatch(told, _say_candidates, _say_rung))
    searched = [*(described(result.static) if result.static else ()), *halved(result)]
    for sentence in halved(result)[-1:]:
        say(sentence.rstrip("."))
    say(f"the candidates and their runs are in {folder}; the same search with --out {folder} goes on from there")
    finds = result.finds()
    if format_ == "md":
        text.show(text.markdown(HEADINGS, [_cells(find) for find in finds]))
    elif not print_data(finds, format_):
        text.show_table(HEADINGS, [_cells(find) for find in finds])
    write_files(finds, query.constraints, searched, options["export"], options["report"])
    if result.interrupted:
        return INTERRUPTED
    return 0 if any(row.trained for row in result.rows) else 3


def _say_candidates(variants: Sequence[Variant]) -> None:
    say(f"{len(variants)} candidates: {', '.join(variant.name for variant in variants)}")


def _say_rung(rung: HalvingRung) -> None:
    best = ", ".join(
        f"{name} {100 * accuracy:.1f} %" for name, accuracy in rung.ranked[: rung.kept] if accuracy is not None
    )
    say(f"after {epochs_of(rung.epochs)} {rung.kept} of {len(rung.ranked)} are the best by validation accuracy: {best}")


def _cells(find: Find) -> tuple[str, ...]:
    record = find.record
    return (
        record.target.name,
        record.notes[-1] if record.notes else "",
        *(figure_cell(figure, figure.of(record)) for figure in SHOWN),
        standing_of(record, FIGURES["test_accuracy"]) if record.trained else "",
        "front" if find.front else "",
    )
