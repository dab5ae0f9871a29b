"""The cards and tables of trained runs, as text ready to be shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analyzer import units
from analyzer.figures import FIGURES, Figure
from analyzer.limits import hold_all, state_of
from analyzer.records import standing_of_rows
from analyzer.reporting.runs_data import RunsReport
from analyzer.reporting.tables import WORDS
from analyzer.reporting.text import difference, share
from analyzer.training.comparing import RunComparison, counting
from analyzer.training.statistics import Estimate
from analyzer.training.summaries import NetworkSummary

COUNTED = ("params", "macs", "saved_bytes", "predicted_image_ns")
"""The costs that stand beside accuracy, where they are known."""
RUN_HEADINGS = ("run", "epochs", "test", "train", "gap", "log’s train", "validation", "CPU-s", "wall time")
BELOW_HEADINGS = ("network", "epochs of all runs", "log’s train below test", "evaluation-mode train below test")


@dataclass(frozen=True)
class NetworkCard:
    """A network's test accuracy, how it is known, and what it costs."""

    name: str
    value: str
    standing: str
    state: str
    lines: tuple[str, ...]


def cards(report: RunsReport) -> list[NetworkCard]:
    """A card a network."""
    return [_card(report, network) for network in report.networks]


def _card(report: RunsReport, network: NetworkSummary) -> NetworkCard:
    record = report.costs.get(network.network)
    lines = [] if network.gap is None else [f"gap {difference(network.gap)}"]
    state = "none"
    if record is not None:
        lines += [f"{f.text(f.of(record))} {f.label}" for f in _figures(report) if f.of(record) is not None]
        if report.limits:
            state = state_of(hold_all(record, report.limits))
            lines.append(f"{WORDS[state]} the budget")
    lines.append(f"{units.span(network.cpu_s)} of CPU time to train")
    value = "–" if network.test is None else f"{network.test.value:.1f} %"
    return NetworkCard(network.label, value, f"test accuracy, {standing(network, network.test)}", state, tuple(lines))


def standing(network: NetworkSummary, one: Estimate | None) -> str:
    """How a trained figure is known: `measured over 3 runs, 95 % of seeds in 55.1 to 61.5`."""
    if one is None:
        return "not measured"
    runs = f"measured over {one.pairs} run{'s' * (one.pairs > 1)}"
    interval = ", no interval" if one.low is None else f", 95 % interval {one.low:.1f} to {one.high:.1f}"
    unfinished = f", at epoch {network.epochs} of {network.asked}" if network.epochs < network.asked else ""
    return runs + interval + unfinished


def _figures(report: RunsReport) -> list[Figure]:
    found = (FIGURES[name] for name in COUNTED)
    return [figure for figure in found if any(figure.of(record) is not None for record in report.costs.values())]


def headings(report: RunsReport) -> tuple[str, ...]:
    """Of the table of networks; each cost says how it is known."""
    records = list(report.costs.values())
    costs = []
    for figure in _figures(report):
        batch = ", batch 1" if figure.batched else ""
        having = [record for record in records if figure.of(record) is not None]
        costs.append(f"{figure.label}{batch} ({standing_of_rows(figure, having)})")
    budget = ("budget",) if report.limits else ()
    measured = (
        "test accuracy (95 %)",
        "gap (95 %)",
        "train accuracy (95 %)",
        "CPU-s of a run",
        "runs",
        "epochs",
    )
    return ("network", *costs, *budget, *measured)


def network_rows(report: RunsReport) -> list[tuple[str, ...]]:
    """A row a network: its exact costs beside what was measured of its runs."""
    return [(network.label, *_row(report, network)) for network in report.networks]


def _row(report: RunsReport, network: NetworkSummary) -> Iterator[str]:
    record = report.costs.get(network.network)
    for figure in _figures(report):
        yield "–" if record is None else figure.text(figure.of(record))
    if report.limits:
        yield "–" if record is None else WORDS[state_of(hold_all(record, report.limits))]
    yield from (share(network.test), difference(network.gap), share(network.train), f"{network.cpu_s:,.0f}")
    more = f" ({network.unfinished} more unfinished)" if network.unfinished else ""
    yield f"{len(network.runs)}{more}"
    yield f"{network.epochs} of {network.asked}"


def verdicts(one: RunComparison, a: str) -> list[tuple[str, str]]:
    """About what, and what is shown, A by its name."""
    said = [(judged.about, judged.verdict) for judged in one.judged]
    return [(about, a + words.removeprefix("A") if words.startswith("A is") else words) for about, words in said]


def below_rows(report: RunsReport) -> list[tuple[str, ...]]:
    """In how many epochs train lay below test, by the log and in evaluation mode."""
    return [
        (one.label, f"{one.below.epochs:,}", f"{one.below.by_log:,}", f"{one.below.by_evaluation:,}")
        for one in report.networks
    ]


def run_rows(report: RunsReport) -> list[tuple[str, ...]]:
    """A row a run, at the epoch that was declared to count."""
    return [row for network in report.networks for row in _run_rows(network)]


def _run_rows(network: NetworkSummary) -> Iterator[tuple[str, ...]]:
    for run in network.runs:
        at, gap = counting(run), counting(run).generalisation_gap
        yield (
            f"{network.label}{run.config.shown.removeprefix(run.config.label)}",
            f"{at.epoch} of {run.config.recipe.epochs}",
            _percent(at.test_accuracy), _percent(at.train_accuracy), "–" if gap is None else f"{gap:+.1f}",
            _percent(at.log_train_accuracy), _percent(at.val_accuracy),
            f"{sum(epoch.cpu_s for epoch in run.epochs):,.0f}", units.span(sum(epoch.wall_s for epoch in run.epochs)),
        )  # fmt: skip


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def defined(report: RunsReport) -> list[tuple[str, str]]:
    """What each shown figure means."""
    own = [
        (
            "test accuracy",
            "The share of test images whose largest logit is their class’s, by the weights of the epoch that was "
            "declared to count, in evaluation mode. It chooses nothing.",
        ),
        ("gap", "Train minus test accuracy, both in evaluation mode without augmentation, in points."),
        ("interval", "The 95 % t interval of the mean over runs from other seeds (or on other folds)."),
        ("CPU-s", "CPU-seconds of a run’s training steps, without its evaluations and without other processes."),
    ]
    return [*own, *((figure.label, f"{figure.definition} It is {figure.standing}.") for figure in _figures(report))]
