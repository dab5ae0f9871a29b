"""Trained runs -> one HTML file without a script, offline like every page; the same parts for a notebook."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from markupsafe import Markup

from analyzer.files import write_text
from analyzer.reporting.notebook import framed
from analyzer.reporting.page import environment, scriptless
from analyzer.reporting.runs_data import RunsReport
from analyzer.reporting.runs_plots import compared_plot, curve_plots, gap_plots, priced_plots
from analyzer.reporting.runs_tables import (
    BELOW_HEADINGS,
    RUN_HEADINGS,
    below_rows,
    cards,
    defined,
    headings,
    network_rows,
    run_rows,
    verdicts,
)
from analyzer.reporting.variants import value
from analyzer.training.comparing import RunComparison
from analyzer.training.recipe import Recipe

SECTIONS = (
    ("networks", "Networks", "cards"),
    ("compared", "Pairs", "comparisons"),
    ("curves", "Epochs", "curves"),
    ("gap", "Gap", "gaps"),
    ("costs", "Costs", "priced"),
    ("runs", "Runs", "runs"),
    ("methods", "Methods", "runs"),
)


def write_runs(report: RunsReport, path: str | Path) -> None:
    """Writes the page whole or not at all. Raises UsageError where it can't be written."""
    write_text(Path(path), render_runs(report))


def render_runs(report: RunsReport) -> str:
    """The page as HTML. Equal data give equal text."""
    context = _context(report)
    return scriptless("runs.html.j2", {
        **context, "report": report, "command": shlex.join(report.command), "trained": _trained(report),
        "run_headings": RUN_HEADINGS, "runs": run_rows(report), "recipes": _recipes(report),
        "sections": [(id_, title) for id_, title, there in SECTIONS if there == "runs" or context[there]],
    })  # fmt: skip


def _context(report: RunsReport) -> dict[str, Any]:
    return {
        "cards": cards(report),
        "doubts": report.doubts,
        "unequal": any(doubt.startswith("not trained equally") for doubt in report.doubts),
        "headings": headings(report),
        "rows": network_rows(report),
        "defined": defined(report),
        "comparisons": [
            _comparison(i, one, report.shown(one.a), report.shown(one.b)) for i, one in enumerate(report.comparisons)
        ],
        "unpaired": report.unpaired,
        "curves": curve_plots(report.networks),
        "below_headings": BELOW_HEADINGS,
        "below": below_rows(report),
        "below_sentence": _below(report),
        "gaps": gap_plots(report.networks),
        "priced": priced_plots(report),
    }


def _comparison(number: int, one: RunComparison, a: str, b: str) -> dict[str, Any]:
    pairs = f"{len(one.pairs)} pair{'s' * (len(one.pairs) > 1)} ({'; '.join(one.pairs)})"
    return {
        "id": f"pair-{number}",
        "heading": f"{a} against {b}",
        "a": a,
        "b": b,
        "pairs": pairs,
        "epoch": "the last epoch" if one.epoch == "last" else "the epoch with the highest validation accuracy",
        "margin": f"{one.margin:g}",
        "verdicts": verdicts(one, a),
        "plot": compared_plot(one, f"{a} minus {b}, in points"),
        "doubts": one.doubts,
    }


def _trained(report: RunsReport) -> str:
    runs = [run for network in report.networks for run in network.runs]
    train, val, test = runs[0].config.images
    networks = f"{len(report.networks)} network{'s' * (len(report.networks) > 1)}"
    return (
        f"{networks}, {len(runs)} run{'s' * (len(runs) > 1)}; {train:,} images to train on, {val:,} to validate, "
        f"{test:,} to test, of {len(runs[0].config.classes)} classes"
    )


def _below(report: RunsReport) -> str:
    epochs, log, evaluation = (
        sum(getattr(network.below, part) for network in report.networks)
        for part in ("epochs", "by_log", "by_evaluation")
    )
    words = (
        f"Of {epochs:,} epochs, the log’s train accuracy lay below test accuracy in {log:,}, train accuracy in "
        f"evaluation mode in {evaluation:,}."
    )
    if log > evaluation:
        words += (
            f" {log - evaluation:,} more by the log: so much of “validation above training” is the log’s own doing."
        )
    return words


def _recipes(report: RunsReport) -> list[tuple[str, str]]:
    """What each network was trained by; one line where all are equal."""
    said = {network.label: _recipe(network.runs[0].config.recipe) for network in report.networks}
    if len(set(said.values())) == 1:
        return [("recipe", next(iter(said.values())))]
    return [(f"recipe of {label}", words) for label, words in said.items()]


def _recipe(recipe: Recipe) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value(getattr(recipe, name))}" for name in recipe.__struct_fields__)


# -- notebooks -------------------------------------------------------------------------------------------------


def runs_html(report: RunsReport) -> str:
    """The page's cards, tables and plots for a notebook's cell."""
    return framed(environment().get_template("runs_body.html.j2").render(_context(report)))


def comparison_part(one: RunComparison) -> Markup:
    """A comparison as the page shows it."""
    template = environment().from_string('{% from "runs_compared.html.j2" import comparison %}{{ comparison(one) }}')
    return Markup(template.render(one=_comparison(0, one, one.a, one.b)))
