"""`analyze history`: what the models cost over the commits of the lock file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from analyzer import units
from analyzer.budget.figures import STATIC, TRACKED
from analyzer.budget.history import MOST, History, HistoryEntry, history
from analyzer.cli import text
from analyzer.cli.base import Verb, say, warn
from analyzer.cli.completion import models, words
from analyzer.cli.options import NewFile, config_option, format_option
from analyzer.figures import known
from analyzer.files import csv_text, write_text
from analyzer.shown import plain

_HEADINGS = ("commit", "day", "model")


@click.command("history", cls=Verb)
@config_option
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    shell_complete=words(models),
    help="Show this model alone; repeatable.",
)
@click.option("--figure", "figures", type=click.Choice(STATIC), multiple=True, metavar="NAME",
              help=f"A figure to show; repeatable.  [default: {', '.join(TRACKED)}]")  # fmt: skip
@click.option("--last", type=click.IntRange(1, 10_000), default=MOST, show_default=True, metavar="N",
              help="Commits to read, of those that changed the lock.")  # fmt: skip
@click.option("--html", type=NewFile(), metavar="FILE", help="Draw them as a page too.")
@format_option("table", "json", "jsonl", "csv", "md")
def command(
    config: Path | None, models: tuple[str, ...], figures: tuple[str, ...], last: int, html: Path | None, format_: str
) -> None:
    """What each model cost after every commit on this branch that changed analyzer.lock, the oldest first.

    The table has the commits that changed a shown figure; the other formats all that changed the lock file. Reads git
    history alone: no model is run.
    """
    shown = figures or TRACKED
    past = history(Path.cwd(), config=config, models=models, most=last)
    if past.truncated:
        say(f"note: {past.truncated}")
    for step in past.steps:
        if step.error:
            warn(f"{step.commit.sha[:10]}: {plain(step.error)}")
    _print(past, shown, format_)
    if html is not None:
        from analyzer.budget.history_page import page

        write_text(html, page(past, shown, command=("analyze", *sys.argv[1:])))
        say(f"wrote {html}")


def _print(past: History, figures: tuple[str, ...], format_: str) -> None:
    steps = [step for step in past.steps if step.model]
    if format_ in ("json", "jsonl"):
        rows = [_data(step, figures) for step in steps]
        text.show_json(json.dumps(rows) if format_ == "json" else "\n".join(json.dumps(row) for row in rows))
        return
    names = (*_HEADINGS, *(known(figure).label for figure in figures), "subject")
    if format_ == "csv":
        cells = [_data(step, figures).values() for step in steps]
        text.show(csv_text(("commit", "time", "author", "subject", "model", *figures), cells).rstrip("\n"))
        return
    lines = [_line(past, step, figures) for step in _changing(past, figures)]
    if format_ == "md":
        text.show(text.markdown(names, lines))
    else:
        text.show_table(names, lines, left=3)


def _changing(past: History, figures: tuple[str, ...]) -> Iterator[HistoryEntry]:
    """Model by model the first commit, and those that changed a shown figure: what a person wants to read."""
    for model in past.models:
        before: list[int | None] = []
        for step in past.steps:
            values = [step.figures.get(figure) for figure in figures]
            if step.model == model and values != before:
                yield step
                before = values


def _data(step: HistoryEntry, figures: tuple[str, ...]) -> dict[str, str | int | None]:
    commit = step.commit
    return {
        "commit": commit.sha, "time": commit.time, "author": commit.author, "subject": commit.subject,
        "model": step.model, **{figure: step.figures.get(figure) for figure in figures},
    }  # fmt: skip


def _line(past: History, step: HistoryEntry, figures: tuple[str, ...]) -> list[str]:
    cells = [step.commit.sha[:10], step.date, plain(step.model)]
    for figure in figures:
        series = past.series(step.model, figure)
        place = next((i for i, (s, _) in enumerate(series) if s is step), None)
        if place is None:
            cells.append("–")
            continue
        value, before = series[place][1], series[place - 1][1] if place else None
        grown = f" ({units.change(value, before)})" if before and value != before else ""
        cells.append(known(figure).text(value) + grown)
    return [*cells, plain(step.commit.subject)[:60]]
