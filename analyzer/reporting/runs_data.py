"""What a report on trained runs shows, as one frozen record, and how it comes from a results file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import AnalyzerError, UsageError, did_you_mean
from analyzer.limits import Limit
from analyzer.reading import family
from analyzer.reading.latency import Profile
from analyzer.records import Record
from analyzer.reporting.data import now
from analyzer.storing.results_file import NAME
from analyzer.targets.resolving import named
from analyzer.training.comparing import RunComparison, compared
from analyzer.training.run_records import RunOutcome
from analyzer.training.runs_file import RunsFile
from analyzer.training.summaries import NetworkSummary, doubts, summaries


@dataclass(frozen=True, kw_only=True)
class RunsPlan:
    """A report to make on the runs of a results file, or its folder.

    `pair` names two networks to which it is confined, `subject` one with which alone the others are compared. `margin`
    (a share; None: the declared one) is the difference that would matter. A device's `profile` predicts latency.
    """

    path: Path
    command: tuple[str, ...]
    pair: tuple[str, str] | None = None
    subject: str | None = None
    margin: float | None = None
    limits: Sequence[Limit] = ()
    profile: Profile | None = None


@dataclass(frozen=True, kw_only=True)
class RunsReport:
    """A report's content: each network's runs, what it costs where that can be counted (by its name), the comparisons
    of pairs, and why two could not be compared. `doubts` are about the points side by side.
    """

    title: str
    command: tuple[str, ...]
    generated: str
    networks: tuple[NetworkSummary, ...]
    costs: dict[str, Record]
    comparisons: tuple[RunComparison, ...]
    unpaired: tuple[str, ...]
    doubts: tuple[str, ...]
    limits: tuple[Limit, ...]

    def shown(self, network: str) -> str:
        """What people call a network."""
        return next((one.label for one in self.networks if one.network == network), network)


def runs_report(plan: RunsPlan) -> RunsReport:
    """Reads the runs and compares them. Raises UsageError where there are none, or a named one is not there."""
    path = plan.path / NAME if plan.path.is_dir() else plan.path
    with closing(RunsFile(path)) as kept:
        outcomes = kept.outcomes()
        comparisons, unpaired = _comparisons(kept, outcomes, plan)
    if plan.pair is not None:
        asked = {comparisons[0].a, comparisons[0].b}
        outcomes = [outcome for outcome in outcomes if outcome.config.network in asked]
    networks = tuple(summaries(outcomes))
    if not networks:
        raise UsageError(
            "has no finished epoch of any run", where=str(path), fix="train a network first: analyze train"
        )
    costs = dict(_costs(networks, plan.profile))
    return RunsReport(
        title=_title(networks), command=plan.command, generated=now(), networks=networks, costs=costs,
        comparisons=comparisons, unpaired=unpaired, doubts=(*doubts(networks), *_uncounted(networks, costs)),
        limits=tuple(plan.limits),
    )  # fmt: skip


def is_of_runs(path: Path) -> bool:
    """Whether a results file, or a folder's, holds trained runs and no row of a sweep."""
    file = path / NAME if path.is_dir() else path
    if file.suffix != Path(NAME).suffix or not file.is_file():
        return False
    with closing(RunsFile(file)) as kept:
        return kept.holds_runs_alone()


def runs_among(results: Sequence[Path]) -> Path | None:
    """The one of several results that holds trained runs; None: none does. UsageError where others stand beside it."""
    runs = [path for path in results if is_of_runs(path)]
    if runs and len(results) > 1:
        fix = "report on it alone; analyze results merge makes one folder of several"
        raise UsageError("holds trained runs", where=str(runs[0]), fix=fix)
    return runs[0] if runs else None


def _comparisons(
    kept: RunsFile, outcomes: Sequence[RunOutcome], plan: RunsPlan
) -> tuple[tuple[RunComparison, ...], tuple[str, ...]]:
    """Of the pair that is asked for, else of every pair; and why others can't be."""
    if plan.pair is not None:
        return (compared(kept, *plan.pair, plan.margin),), ()
    networks = list(dict.fromkeys(outcome.config.network for outcome in outcomes))
    names = _names(outcomes, *networks)
    if plan.subject is not None and plan.subject not in names:
        raise UsageError(f"has no run of {plan.subject!r}", where=str(kept.path), fix=did_you_mean(plan.subject, names))
    made, unpaired = [], []
    for a, b in itertools.combinations(networks, 2):
        if plan.subject is not None and plan.subject not in _names(outcomes, a, b):
            continue
        try:
            made.append(compared(kept, a, b, plan.margin))
        except UsageError as error:
            unpaired.append(error.what)
    return tuple(made), tuple(unpaired)


def _names(outcomes: Sequence[RunOutcome], *networks: str) -> set[str]:
    of = [outcome.config for outcome in outcomes if outcome.config.network in networks]
    return {name for config in of for name in (config.network, config.label)}


def _title(networks: Sequence[NetworkSummary]) -> str:
    names = [network.label for network in networks]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"Trained: {', '.join(names[:3])}{more}"


# -- costs -----------------------------------------------------------------------------------------------------


def _costs(networks: Sequence[NetworkSummary], profile: Profile | None) -> Iterator[tuple[str, Record]]:
    """Of the variants, whose names say what they are; a model of one's own is not loaded for a report."""
    for network in networks:
        if ":" in network.runs[0].config.label:
            continue
        try:
            variant = named(network.network)
            yield network.network, family.record(variant, layers=False, label=network.label, profile=profile)
        except AnalyzerError:  # of a file that another version wrote
            continue


def _uncounted(networks: Sequence[NetworkSummary], costs: dict[str, Record]) -> Iterator[str]:
    without = [network.label for network in networks if network.network not in costs]
    if without:
        yield f"no variant of the family, so costs are not counted here (analyze show does): {', '.join(without)}"
