"""Trained runs as they are printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import say
from analyzer.files import csv_text
from analyzer.training.export import HEADINGS, rows
from analyzer.training.run_records import RunOutcome

SHOWN = ("run", "epochs", "train", "test", "gap", "val", "log's train", "images", "CPU time")


def show_runs(runs: Sequence[RunOutcome], format_: str) -> None:
    """Prints runs, each with its epochs; in a table the last one's. Of the format `log` every line is there already."""
    if format_ == "json":
        text.show_json(msgspec.json.encode([_object(run) for run in runs]).decode())
    elif format_ == "jsonl":
        for run in runs:
            for row in rows(run):
                text.show_json(msgspec.json.encode(row).decode())
    elif format_ == "csv":
        text.show(csv_text(HEADINGS, [list(row.values()) for run in runs for row in rows(run)]).rstrip("\n"))
    elif format_ != "log":
        lines = [_line(run) for run in runs if run.epochs]
        if format_ == "md":
            text.show(text.markdown(SHOWN, lines))
        elif lines:
            text.show_table(SHOWN, lines)


def write_runs_report(runs: Path, out: Path, pair: tuple[str, str] | None = None, margin: float | None = None) -> None:
    """A report on the runs of a results file or its folder, or on two networks of them, and says where it is."""
    from analyzer.reporting.runs_data import RunsPlan, runs_report
    from analyzer.reporting.runs_page import write_runs

    write_runs(runs_report(RunsPlan(path=runs, command=("analyze", *sys.argv[1:]), pair=pair, margin=margin)), out)
    say(str(out))


def _object(run: RunOutcome) -> dict[str, Any]:
    error = None if run.error is None else {"what": run.error.what, "where": run.error.where, "fix": run.error.fix}
    return {**msgspec.to_builtins(run.config), "epochs": msgspec.to_builtins(run.epochs), "error": error}


def _line(run: RunOutcome) -> tuple[str, ...]:
    last = run.epochs[-1]
    return (
        run.config.run,
        f"{last.epoch} of {run.config.recipe.epochs}",
        _percent(last.train_accuracy),
        _percent(last.test_accuracy),
        "–" if last.generalisation_gap is None else f"{last.generalisation_gap:+.1f}",
        _percent(last.val_accuracy),
        _percent(last.log_train_accuracy),
        units.count(sum(epoch.images for epoch in run.epochs)),
        units.seconds(sum(epoch.cpu_s + epoch.evaluation_cpu_s for epoch in run.epochs)),
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
