"""`analyze compress --advise`: from which side, raced at equal cost, as a table and a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from analyzer.cli import text
from analyzer.cli.base import INTERRUPTED, say, warn
from analyzer.cli.options import NewFile, executor_options
from analyzer.compressing.budgets import LIMITABLE, Budget
from analyzer.compressing.plan import DEFAULT
from analyzer.errors import UsageError
from analyzer.figures import FIGURES
from analyzer.layout import figure_cell
from analyzer.training.recipe import DEFAULT as RECIPE

if TYPE_CHECKING:
    from analyzer.compressing.advice import Advice
    from analyzer.compressing.original import Original
    from analyzer.searching.points import ListedPoint
    from analyzer.searching.preparing import RacePlan
    from analyzer.training.rungs import HalvingRung

F = TypeVar("F", bound=Callable[..., Any])
EPOCHS = 5
LISTED = ("side", "how", "params", "MACs", "saved bytes")
OWN = ("hours", "runs", "epochs", "pairs", "report", "source_epochs")


def advice_options(function: F) -> F:
    """`--advise` and what goes with it."""
    options = (
        click.option("--advise", is_flag=True, help="List every side under the budget; with --hours, race them."),
        click.option("--hours", type=click.FloatRange(0, min_open=True), metavar="H",
                     help="CPU time that --advise may take, all processes and earlier commands together."),
        click.option("--runs", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
                     help="Where --advise keeps its runs; the same command goes on from there."),
        click.option("--epochs", type=click.IntRange(1), metavar="N",
                     help=f"Of each side beyond TARGET's own, for --advise.  [default: {EPOCHS}]"),
        click.option("--pairs", type=click.IntRange(2), metavar="N", help="The most runs of a side.  [default: 8]"),
        click.option("--source-epochs", type=click.IntRange(0), metavar="N",
                     help="How long TARGET was trained, where its file does not say."),
        click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, metavar="N",
                     help="Runs of --advise trained at once, a process each."),
        click.option("--report", type=NewFile(), metavar="FILE", help="Write --advise's page, HTML."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return executor_options(function)


def require_alone(options: dict[str, Any]) -> None:
    """UsageError where an option of --advise is given without it."""
    given = next((name for name in OWN if options[name] is not None), None)
    if given is not None:
        raise UsageError("is for --advise", where=f"--{given.replace('_', '-')}", fix="give --advise with it")


def advise(target: str, format_: str, options: dict[str, Any]) -> int:
    """Lists the sides, or races them and shows what came of it."""
    from analyzer.compressing.original import original_of

    if options["plan"] != DEFAULT or options["out"] is not None:
        given = "--plan" if options["plan"] != DEFAULT else "--out"
        raise UsageError("is of one compression", where=given, fix="leave it out: --advise tries every side")
    budget = Budget(**{name: options[name] for name in (*LIMITABLE, "under", "on")})
    if not budget:
        raise UsageError("has nothing to aim at", where="--advise", fix="give --under densenet121 or another limit")
    original = original_of(target, kwargs=options["kwargs"], inputs=options["inputs"])
    if options["hours"] is None:
        _list(original, budget, format_)
        return 0
    return _race(_plan(original, budget, options), format_, options["report"])


def _list(original: Original, budget: Budget, format_: str) -> None:
    """Every lever's point that keeps most, exactly counted, the costliest first; how many there are."""
    from analyzer.searching.points import chosen, listed

    points = listed(original, budget)
    shown = ("params", "macs", "saved_bytes")
    rows = [(one.side, one.how, *(_cell(one, name) for name in shown)) for one in chosen(points, len(points))]
    if format_ == "json":
        import msgspec

        each = [{"side": one.side, "how": one.how,
                 "figures": None if one.record is None else {name: FIGURES[name].of(one.record) for name in shown}}
                for one in points]  # fmt: skip
        text.show_json(msgspec.json.encode(each).decode())
        return
    text.show(text.markdown(LISTED, rows)) if format_ == "md" else text.show_table(LISTED, rows)
    say(f"{len(points):,} points under the budget; shown is of each lever the one that keeps most MACs")
    say("which is best only training tells: --hours 4 --data DIR --runs DIR")


def _cell(point: ListedPoint, name: str) -> str:
    """A figure of a point; of steps, which are carried out as far as the budget, it is not known before."""
    return "at the budget" if point.record is None else figure_cell(FIGURES[name], FIGURES[name].of(point.record))


def _plan(original: Original, budget: Budget, options: dict[str, Any]) -> RacePlan:
    from analyzer.executors.workplace import Workplace
    from analyzer.searching.preparing import MOST_PAIRS, RacePlan, recipe_of

    for name, fix in (("data", "give the images that it was trained on"), ("runs", "say where its runs are kept")):
        if options[name] is None:
            raise UsageError("is needed for a race", where=f"--{name}", fix=fix)
    said = {name: options[name] for name in ("lr", "batch") if options[name] != getattr(RECIPE, name)}
    return RacePlan(
        original=original, budget=budget, data=options["data"], out=options["runs"], hours=options["hours"],
        recipe=recipe_of(original, said, options["epochs"] or EPOCHS), split=options["split_file"],
        source_epochs=options["source_epochs"], pairs=options["pairs"] or MOST_PAIRS, seed=options["seed"],
        device=options["device"], threads=options["threads"],
        where=Workplace(options["executor"], options["jobs"], None, options["address"]),
    )  # fmt: skip


def _race(plan: RacePlan, format_: str, report: Path | None) -> int:
    from analyzer.cli.training_progress import TrainingBar
    from analyzer.searching.race import RaceWatch, run_race
    from analyzer.training.planning import TrainWatch

    with TrainingBar(format_) as bar:
        told = TrainWatch(began=bar.began, step=bar.step, epoch=bar.epoch, warn=warn)
        found = run_race(plan, RaceWatch(told, say, warn, _say_rung))
    _show(found, format_)
    if report is not None:
        from analyzer.reporting.advice_page import write_advice

        write_advice(found, report)
        say(str(report))
    say(f"kept in {plan.out}: results.db, sides/, runs/; the same command goes on there")
    if found.ended == "interrupted":
        return INTERRUPTED
    return 0 if found.leader is not None else 3


def _say_rung(rung: HalvingRung) -> None:
    accuracies = dict(rung.ranked)
    best = ", ".join(f"{name} {100 * (accuracies[name] or 0):.1f} %" for name in rung.standing)
    say(f"after {rung.epochs} of these epochs {rung.kept} of {len(rung.ranked)} go on, by validation accuracy: {best}")


def _show(advice: Advice, format_: str) -> None:
    from analyzer.reporting.advice_tables import (
        BILL,
        SHORT,
        STILL,
        bill_rows,
        remarks,
        rendered_markdown,
        short_rows,
        still_rows,
    )

    if format_ == "json":
        from analyzer.compressing.advice import as_json

        text.show_json(as_json(advice))
    elif format_ == "md":
        text.show(rendered_markdown(advice).rstrip("\n"))
    else:
        for headings, rows in (
            (SHORT, short_rows(advice)),
            (STILL, still_rows(advice)),
            (BILL, bill_rows(advice)[-1:]),
        ):
            text.show_table(headings, rows)
            text.show("")
        for one in remarks(advice):
            say(one)
        text.show_words(advice.sentence)
