"""What trained networks buy: their test accuracy against each of their costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from analyzer.figures import FIGURES
from analyzer.limits import Limit
from analyzer.records import Record
from analyzer.reporting.curves import Priced, against_cost, told_apart
from analyzer.training.statistics import Estimate
from analyzer.units import MIB

Titled = list[tuple[str, Markup]]

COSTS = (
    (FIGURES["params"], 1, ""),
    (FIGURES["macs"], 1, ""),
    (FIGURES["saved_bytes"], MIB, " (MiB)"),
    (FIGURES["predicted_image_ns"], 1_000_000, " (ms)"),
)
"""What accuracy stands against, with the unit of its axis."""


@dataclass(frozen=True)
class Bought:
    """A network's test accuracy in points, what it costs where that is known, and a run's CPU-seconds."""

    label: str
    accuracy: Estimate
    costs: Record | None
    cpu_s: float


def bought_of(records: Iterable[Record]) -> Iterator[Bought]:
    """Those of the records that were trained."""
    for record in records:
        made = record.trained
        if made is not None:
            low, high = (None if end is None else 100 * end for end in (made.test_low, made.test_high))
            accuracy = Estimate(value=100 * made.test_accuracy, low=low, high=high, over="seeds", pairs=made.runs)
            yield Bought(record.target.shown, accuracy, record, made.cpu_s)


def plots_of(bought: Sequence[Bought], limits: Sequence[Limit]) -> Titled:
    """A plot a cost that is known, the limits drawn; then against CPU-seconds of training."""
    found = []
    for figure, unit, words in COSTS:
        costs = [None if one.costs is None else figure.of(one.costs) for one in bought]
        limit = next(((one.bound / unit, one) for one in limits if one.figure == figure.name), None)
        batch = f" at batch {bought[0].costs.batch}" if figure.batched and bought and bought[0].costs else ""
        across = f"{figure.label}{batch}{words}"
        shown = [None if cost is None else cost / unit for cost in costs]
        found.append((f"Against {figure.label}", _plot(bought, shown, f"against {figure.label}", across, limit)))
    trained = _plot(bought, [one.cpu_s for one in bought], TRAINING, "CPU-s of training, a run", None)
    found.append((TRAINING[:1].upper() + TRAINING[1:], trained))
    return [(title, plot) for title, plot in found if plot is not None]


TRAINING = "against CPU-seconds of training"


def _plot(
    bought: Sequence[Bought], costs: Sequence[float | None], against: str, across: str,
    limit: tuple[float, Limit] | None,
) -> Markup | None:  # fmt: skip
    names = told_apart([one.label for one in bought])
    priced = [
        Priced(one.label, name, place, cost, one.accuracy)
        for place, (one, name, cost) in enumerate(zip(bought, names, costs, strict=True))
        if cost is not None
    ]
    return against_cost(priced, f"Test accuracy {against}", across, limit)
