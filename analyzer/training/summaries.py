"""What each network's runs come to, taken together: curves over its runs, accuracy and gap with their intervals."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from analyzer.measurements import TrainedFigures
from analyzer.training.comparing import counting, gap_at
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Epoch, Machine, RunOutcome
from analyzer.training.statistics import Estimate, of_accuracies, over_seeds

FEW = 3
"""Runs under which the spread of seeds is hardly known."""


@dataclass(frozen=True)
class Spot:
    """A place of a curve: the mean of the runs, the least and the most of them."""

    at: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Below:
    """In how many epochs of all runs the train accuracy lay below the test accuracy: the log's, and that in evaluation
    mode; of those epochs that have all three.
    """

    epochs: int
    by_log: int
    by_evaluation: int


@dataclass(frozen=True, kw_only=True)
class NetworkSummary:
    """One network's runs. Accuracies and gaps are in points; those of the epoch that was declared to count are means
    with 95 % t intervals over the runs (None: not tested, or one run alone has no interval). Times are means of a run.

    `runs` are those that count: the finished ones, or, while there is none, all as far as each of them has come;
    `unfinished` is how many others there are. `epochs` is how many each has. `curves` are by the field of an Epoch;
    `gaps` is over epochs, `matched` over train accuracy, as `comparing.gap_at` matches it.
    """

    network: str
    label: str
    runs: tuple[RunOutcome, ...]
    unfinished: int
    epochs: int
    test: Estimate | None
    train: Estimate | None
    gap: Estimate | None
    curves: Mapping[str, tuple[Spot, ...]]
    gaps: tuple[Spot, ...]
    matched: tuple[Spot, ...]
    below: Below
    cpu_s: float
    evaluation_cpu_s: float
    wall_s: float

    @property
    def asked(self) -> int:
        """The epochs of its recipe."""
        return self.runs[0].config.recipe.epochs


def figures_of(network: NetworkSummary) -> TrainedFigures | None:
    """What a record holds of a network that is trained to its end and tested; None of another one."""
    if network.epochs < network.asked or network.test is None:
        return None
    test, gap, config = network.test, network.gap, network.runs[0].config
    divisions = sorted(map(str, map(_division, network.runs)))
    setting = msgspec.json.encode([config.recipe, config.outcome, config.machine, config.data, divisions])
    return TrainedFigures(
        test_accuracy=test.value / 100, test_low=_share(test.low), test_high=_share(test.high),
        generalisation_gap=None if gap is None else gap.value,
        gap_low=None if gap is None else gap.low, gap_high=None if gap is None else gap.high,
        cpu_s=network.cpu_s, runs=len(network.runs), epochs=network.epochs,
        setting=hashlib.sha256(setting).hexdigest()[:16],
    )  # fmt: skip


def _share(points: float | None) -> float | None:
    return None if points is None else points / 100


def summaries(outcomes: Sequence[RunOutcome]) -> list[NetworkSummary]:
    """The networks in the order in which they began; one of which no epoch is finished is left out."""
    networks = dict.fromkeys(outcome.config.network for outcome in outcomes)
    labels = {outcome.config.network: outcome.config.label for outcome in outcomes}
    twice = {label for label in labels.values() if list(labels.values()).count(label) > 1}
    found = []
    for network in networks:
        own = [outcome for outcome in outcomes if outcome.config.network == network]
        label = network if labels[network] in twice else labels[network]
        counted = [outcome for outcome in own if outcome.finished] or _as_far_as_all(own)
        if counted:
            found.append(_summary(network, label, counted, len(own) - len(counted)))
    return found


def _as_far_as_all(outcomes: Sequence[RunOutcome]) -> list[RunOutcome]:
    begun = [outcome for outcome in outcomes if outcome.epochs]
    common = min((len(outcome.epochs) for outcome in begun), default=0)
    return [replace(outcome, epochs=outcome.epochs[:common]) for outcome in begun]


def _summary(network: str, label: str, runs: Sequence[RunOutcome], unfinished: int) -> NetworkSummary:
    def mean(read: Callable[[Epoch], float]) -> float:
        return math.fsum(read(epoch) for run in runs for epoch in run.epochs) / len(runs)

    return NetworkSummary(
        network=network, label=label, runs=tuple(runs), unfinished=unfinished,
        epochs=min(len(run.epochs) for run in runs),
        test=_estimate(runs, lambda epoch: epoch.test_accuracy, of_accuracies),
        train=_estimate(runs, lambda epoch: epoch.train_accuracy, of_accuracies),
        gap=_estimate(runs, lambda epoch: epoch.generalisation_gap, over_seeds),
        curves={field: _curve(runs, _points(field)) for field in
                ("test_accuracy", "train_accuracy", "log_train_accuracy")},
        gaps=_curve(runs, lambda epoch: epoch.generalisation_gap), matched=_matched(runs), below=_below(runs),
        cpu_s=mean(lambda epoch: epoch.cpu_s), evaluation_cpu_s=mean(lambda epoch: epoch.evaluation_cpu_s),
        wall_s=mean(lambda epoch: epoch.wall_s),
    )  # fmt: skip


def _points(field: str) -> Callable[[Epoch], float | None]:
    def read(epoch: Epoch) -> float | None:
        share: float | None = getattr(epoch, field)
        return None if share is None else 100 * share

    return read


def _estimate(
    runs: Sequence[RunOutcome], read: Callable[[Epoch], float | None], of: Callable[[Sequence[float]], Estimate]
) -> Estimate | None:
    values = [read(counting(run)) for run in runs]
    known = [value for value in values if value is not None]
    return of(known) if known and len(known) == len(values) else None


# -- curves ----------------------------------------------------------------------------------------------------


def _curve(runs: Sequence[RunOutcome], read: Callable[[Epoch], float | None]) -> tuple[Spot, ...]:
    """Over the epochs that every run has a value of."""
    each = [{epoch.epoch: value for epoch in run.epochs if (value := read(epoch)) is not None} for run in runs]
    shared = sorted(set.intersection(*(set(values) for values in each)))
    return tuple(_spot(epoch, [values[epoch] for values in each]) for epoch in shared)


def _spot(at: float, values: Sequence[float]) -> Spot:
    return Spot(at, math.fsum(values) / len(values), min(values), max(values))


def _matched(runs: Sequence[RunOutcome]) -> tuple[Spot, ...]:
    """The gap at every whole percent of train accuracy that every run passes, and at the first and last such level."""
    reached = [[epoch.train_accuracy for epoch in run.epochs if epoch.train_accuracy is not None] for run in runs]
    if not all(reached):
        return ()
    low, high = max(map(min, reached)), min(map(max, reached))
    levels = [low, *(p / 100 for p in range(math.ceil(100 * low), math.floor(100 * high) + 1)), high]
    spots = []
    for level in sorted({level for level in levels if low <= level <= high}):
        gaps = [gap_at(run.epochs, level) for run in runs]
        known = [gap for gap in gaps if gap is not None]
        if len(known) == len(gaps):
            spots.append(_spot(100 * level, known))
    return tuple(spots)


def _below(runs: Sequence[RunOutcome]) -> Below:
    all_three = [
        (epoch.log_train_accuracy, epoch.train_accuracy, epoch.test_accuracy)
        for run in runs for epoch in run.epochs
        if epoch.train_accuracy is not None and epoch.test_accuracy is not None
    ]  # fmt: skip
    return Below(
        len(all_three), sum(log < test for log, _, test in all_three), sum(train < test for _, train, test in all_three)
    )


# -- doubts ----------------------------------------------------------------------------------------------------


def doubts(networks: Sequence[NetworkSummary]) -> Iterator[str]:
    """Why the networks' points may not be compared, or are hardly known: a sentence each."""
    for name, read in _COMPARED:
        by_value: dict[str, dict[str, None]] = {}
        for network in networks:
            for run in network.runs:
                by_value.setdefault(str(read(run)), {})[network.label] = None
        if len(by_value) > 1:
            said = "; ".join(f"{value} ({', '.join(labels)})" for value, labels in by_value.items())
            yield f"not trained equally, so not the networks alone differ: {name}: {said}"
    parts = {network.label: {_division(run) for run in network.runs} for network in networks}
    if len({frozenset(each) for each in parts.values()}) > 1:
        yield "not every network has runs from the same seeds on the same divisions: the pairs say more than the means"
    few = [network.label for network in networks if len(network.runs) < FEW]
    if few:
        yield f"fewer than {FEW} runs, so the spread of seeds is hardly known: {', '.join(few)}"
    for network in networks:
        if network.epochs < network.asked:
            yield f"{network.label} is not trained to its end: shown after {network.epochs} of {network.asked} epochs"
    if any(run.config.fold is not None for network in networks for run in network.runs):
        yield "folds share most of their training images: their interval is narrower than that of new images would be"
    if any(run.config.machine.device != "cpu" for network in networks for run in network.runs):
        yield "CPU-seconds of a run on an accelerator leave out what the accelerator did: see the wall time"


def _division(run: RunOutcome) -> tuple[int, int | None, str]:
    return run.config.seed, run.config.fold, run.config.split


def _part_of(holder: str, name: str) -> tuple[str, Callable[[RunOutcome], object]]:
    return name.replace("_", " "), lambda run: _said(getattr(getattr(run.config, holder), name))


def _said(value: object) -> object:
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


_COMPARED: tuple[tuple[str, Callable[[RunOutcome], object]], ...] = (
    *(_part_of("recipe", name) for name in Recipe.__struct_fields__),
    *(_part_of("machine", name) for name in Machine.__struct_fields__),
    ("the epoch that counts", lambda run: run.config.outcome.epoch),
    ("image", lambda run: run.config.image),
    ("classes", lambda run: len(run.config.classes)),
    ("data", lambda run: run.config.data[:12]),
)
"""What runs must share for their points to stand side by side: what it is called, and a run's own."""
