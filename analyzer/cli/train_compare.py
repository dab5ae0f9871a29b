"""`analyze train compare`: what the runs of two networks show, and what they don't."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analyzer.cli import text
from analyzer.cli.base import Verb, say, warn
from analyzer.cli.options import NewFile, format_option
from analyzer.cli.training_output import write_runs_report
from analyzer.storing.results_file import NAME

if TYPE_CHECKING:
    from analyzer.training.comparing import RunComparison
    from analyzer.training.statistics import Estimate

HEADINGS = ("A - B", "points", "95 %", "over", "pairs")


@click.command("compare", cls=Verb)
@click.argument("runs", type=click.Path(path_type=Path))
@click.argument("a", required=False)
@click.argument("b", required=False)
@click.option(
    "--margin",
    type=float,
    metavar="SHARE",
    help="The difference that would matter.  [default: as declared in training]",
)
@click.option("--report", type=NewFile(), metavar="FILE", help="Also write an HTML report on the two.")
@format_option("table", "json", "md")
def command(runs: Path, a: str | None, b: str | None, margin: float | None, report: Path | None, format_: str) -> None:
    """Compares networks A and B of RUNS, a folder of `analyze train`, by what was declared before they were trained.

    Pairs are runs from the same seed on the same division. Intervals are over seeds (paired t), over images, and over
    both (bootstrap). Where nothing is shown it says about how many more pairs would show the margin.
    """
    from analyzer.training.comparing import as_json, compared
    from analyzer.training.runs_file import RunsFile

    with closing(RunsFile(runs / NAME if runs.is_dir() else runs)) as kept:
        found = compared(kept, a, b, margin)
    if report is not None:
        write_runs_report(runs, report, (found.a, found.b), margin)
    if format_ == "json":
        text.show_json(as_json(found))
        return
    say(f"A: {found.a}")
    say(f"B: {found.b}")
    which = "the last epoch" if found.epoch == "last" else "the epoch with the highest validation accuracy"
    say(f"{len(found.pairs)} pairs at {which}; {found.margin:g} points would matter")
    for doubt in found.doubts:
        warn(doubt)
    lines = [_line(judged.about, each) for judged in found.judged for each in judged.estimates]
    text.show(text.markdown(HEADINGS, lines)) if format_ == "md" else text.show_table(HEADINGS, lines)
    for sentence in sentences(found):
        text.show_words(sentence)


def _line(about: str, estimate: Estimate) -> tuple[str, ...]:
    interval = "–" if estimate.low is None else f"{estimate.low:+.1f} to {estimate.high:+.1f}"
    return about, f"{estimate.value:+.1f}", interval, estimate.over, str(estimate.pairs)


def sentences(found: RunComparison) -> list[str]:
    """A verdict a line."""
    return [f"{judged.about}: {judged.verdict}" for judged in found.judged]
