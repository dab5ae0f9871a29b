"""The plots of trained runs: accuracies and gaps over training, what pairs differ by, accuracy against costs."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from analyzer.reporting.bought import Bought, Titled, plots_of
from analyzer.reporting.curves import NamedCurve, curves, intervals
from analyzer.reporting.runs_data import RunsReport
from analyzer.training.comparing import RunComparison
from analyzer.training.summaries import NetworkSummary

ACCURACIES = (
    ("test", "test_accuracy"),
    ("train, evaluation mode", "train_accuracy"),
    ("train, the log’s", "log_train_accuracy"),
)


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
    """Test accuracy against each cost that is known of a network, and against its training."""
    bought = [
        Bought(network.label, network.test, report.costs.get(network.network), network.cpu_s)
        for network in report.networks
        if network.test is not None
    ]
    return plots_of(bought, report.limits)
