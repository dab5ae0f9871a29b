"""The plots of trained runs: accuracies and gaps over training, what pairs differ by, accuracy against costs."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from analyzer.figures import FIGURES, Figure
from analyzer.reporting.curves import NamedCurve, Priced, against_cost, curves, intervals
from analyzer.reporting.runs_data import RunsReport
from analyzer.training.comparing import RunComparison
from analyzer.training.summaries import NetworkSummary
from analyzer.units import MIB

Titled = list[tuple[str, Markup]]

ACCURACIES = (
    ("test", "test_accuracy"),
    ("train, evaluation mode", "train_accuracy"),
    ("train, the log’s", "log_train_accuracy"),
)
COSTS = (
    (FIGURES["params"], 1, ""),
    (FIGURES["macs"], 1, ""),
    (FIGURES["saved_bytes"], MIB, " (MiB, batch 1)"),
    (FIGURES["predicted_image_ns"], 1_000_000, " (ms)"),
)
"""What accuracy stands against, with the unit of its axis."""


def curve_plots(networks: Sequence[NetworkSummary]) -> Titled:
    """A plot a network: its three accuracies over epochs."""
    found = []
    for network in networks:
        series = [NamedCurve(label, network.curves[field]) for label, field in ACCURACIES]
        plot = curves(series, f"{network.label}: accuracy over epochs, in points", "epoch", whole=True)
        if plot is not None:
            found.append((network.label, plot))
    return found


def gap_plots(networks: Sequence[NetworkSummary]) -> Titled:
    """All networks' gaps over epochs, and over train accuracy."""
    over_epochs = [NamedCurve(network.label, network.gaps) for network in networks]
    over_accuracy = [NamedCurve(network.label, network.matched) for network in networks]
    plots = (
        ("Over epochs", curves(over_epochs, "Gap over epochs, in points", "epoch", whole=True)),
        ("Over train accuracy", curves(over_accuracy, "Gap over train accuracy, in points", "train accuracy, points")),
    )
    return [(title, plot) for title, plot in plots if plot is not None]


def compared_plot(one: RunComparison, title: str) -> Markup:
    """What two networks differ by, with every interval."""
    rows = [(f"{judged.about}, over {each.over}", each) for judged in one.judged for each in judged.estimates]
    return intervals(rows, one.margin, title)


def priced_plots(report: RunsReport) -> Titled:
    """Test accuracy against each cost that is known of a network, with the budget's line, and against training."""
    found = []
    for figure, unit, words in COSTS:
        points = [
            Priced(network.label, value / unit, network.test)
            for network in report.networks
            if network.test and (value := _cost(report, network, figure)) is not None
        ]
        limit = next(((one.bound / unit, one) for one in report.limits if one.figure == figure.name), None)
        name = figure.label + words
        plot = against_cost(points, f"Test accuracy against {name}", name, limit)
        if plot is not None:
            found.append((f"Against {figure.label}", plot))
    trained = [Priced(network.label, network.cpu_s, network.test) for network in report.networks if network.test]
    plot = against_cost(trained, "Test accuracy against CPU-seconds of training", "CPU-s of training, a run", None)
    return found if plot is None else [*found, ("Against CPU-seconds of training", plot)]


def _cost(report: RunsReport, network: NetworkSummary, figure: Figure) -> int | None:
    record = report.costs.get(network.network)
    value: int | None = None if record is None else figure.of(record)
    return value
