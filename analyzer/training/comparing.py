"""Two networks compared by what was declared before they were trained: test accuracy and gap, in pairs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from analyzer.errors import UsageError, did_you_mean
from analyzer.structs import Frozen
from analyzer.training.run_records import Config, Epoch, RunOutcome
from analyzer.training.statistics import LEVEL, Estimate, drawn_images, over_images, over_seeds, pairs_needed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analyzer.training.runs_file import RunsFile
else:
    from analyzer.later import np


class JudgedDifference(Frozen, frozen=True, kw_only=True):
    """A difference, A minus B in points, with its intervals and the verdict in words; `about` says of what."""

    about: str
    estimates: tuple[Estimate, ...]
    verdict: str


class RunComparison(Frozen, frozen=True, kw_only=True):
    """A against B over their pairs: what was declared first, then what else is known; `doubts` say why to be careful.

    `margin` is in points; `levels` are the train accuracies (shares) at which each pair's gaps were matched.
    """

    a: str
    b: str
    pairs: tuple[str, ...]
    epoch: str
    margin: float
    judged: tuple[JudgedDifference, ...]
    levels: tuple[float, ...]
    doubts: tuple[str, ...]


Pair = tuple[RunOutcome, RunOutcome]
RunAt = tuple[RunOutcome, Epoch]
"""A run at one of its epochs."""


def compared(runs: RunsFile, a: str | None = None, b: str | None = None, margin: float | None = None) -> RunComparison:
    """Compares two networks of a results file, by the names or labels of their runs (None: the only two).

    Pairs have the same seed, fold and division. `margin` (a share; None: the declared one) is the difference that
    would matter. Raises UsageError where there is no finished pair, or
    the margin is no share.
    """
    if margin is not None and not 0 < margin < 1:
        raise UsageError(f"{margin} is no share", where="--margin", fix="such as 0.03, which is 3 points")
    outcomes = runs.outcomes()
    first, second = _names(outcomes, a, b, str(runs.path))
    found = list(_pairs(outcomes, first, second))
    if not found:
        raise UsageError(
            f"no finished pair of {first} and {second}", where=str(runs.path),
            fix="train both with the same --seeds and --folds, to the end",
        )  # fmt: skip
    declared = found[0][0].config.outcome
    asked = 100 * (declared.margin if margin is None else margin)
    accuracy = _accuracy(runs, found, asked)
    matched, levels = _matched(found)
    judged = [accuracy]
    if matched:
        judged.append(_judged("gap at matched train accuracy", (over_seeds(matched),), asked))
    gaps = [(x.generalisation_gap, y.generalisation_gap) for x, y in map(_declared, found)]
    equal = [x - y for x, y in gaps if x is not None and y is not None]
    if equal:
        judged.append(_judged("gap at equal epochs", (over_seeds(equal),), asked))
    return RunComparison(
        a=first, b=second, pairs=tuple(_pair_name(each[0].config) for each in found), epoch=declared.epoch,
        margin=asked, judged=tuple(judged), levels=tuple(levels),
        doubts=tuple(_doubts(found, 100 * declared.margin, asked)),
    )  # fmt: skip


# -- pairs -----------------------------------------------------------------------------------------------------


def _names(outcomes: Sequence[RunOutcome], a: str | None, b: str | None, where: str) -> tuple[str, str]:
    known: dict[str, str] = {}
    for outcome in outcomes:
        known |= {outcome.config.network: outcome.config.network, outcome.config.label: outcome.config.network}
    networks = list(dict.fromkeys(outcome.config.network for outcome in outcomes))
    if a is None and b is None and len(networks) == 2:
        return networks[0], networks[1]
    for name in (a, b):
        if name not in known:
            what = "names no two networks" if name is None else f"has no run of {name!r}"
            fix = f"name two of: {', '.join(networks)}" if name is None else did_you_mean(name, known)
            raise UsageError(what, where=where, fix=fix)
    return known[str(a)], known[str(b)]


def _pairs(outcomes: Sequence[RunOutcome], a: str, b: str) -> Iterator[Pair]:
    """Runs from the same seed on the same division, both finished."""
    done = [outcome for outcome in outcomes if outcome.finished]
    of_b = {_key(outcome.config): outcome for outcome in done if outcome.config.network == b}
    for outcome in done:
        if outcome.config.network == a and _key(outcome.config) in of_b:
            yield outcome, of_b[_key(outcome.config)]


def _key(config: Config) -> tuple[int, int | None, str]:
    return config.seed, config.fold, config.split


def _pair_name(config: Config) -> str:
    return f"seed {config.seed}" + ("" if config.fold is None else f", fold {config.fold}")


def _declared(pair: Pair) -> tuple[Epoch, Epoch]:
    """Each run's epoch that was declared to count."""
    return counting(pair[0]), counting(pair[1])


def counting(outcome: RunOutcome) -> Epoch:
    """A run's epoch that was declared to count."""
    if outcome.config.outcome.epoch == "last":
        return outcome.epochs[-1]
    return max(outcome.epochs, key=lambda epoch: (epoch.val_accuracy or 0.0, -epoch.epoch))


# -- differences -----------------------------------------------------------------------------------------------


def _accuracy(runs: RunsFile, pairs: Sequence[Pair], margin: float) -> JudgedDifference:
    """Test accuracy at the declared epoch: by seeds, by images where the logits are kept, by both."""
    at = [((a, counting(a)), (b, counting(b))) for a, b in pairs]
    return _judged("test accuracy", differences(runs, at), margin)


def differences(
    runs: RunsFile, pairs: Sequence[tuple[RunAt, RunAt]], split: str = "test", level: float = LEVEL
) -> tuple[Estimate, ...]:
    """What pairs' accuracies on a split differ by, A minus B in points: over seeds; over images where the logits are
    kept; over both. Raises UsageError where a run was not evaluated on it.
    """
    found, right, groups = [], [], []
    splits: dict[str, int] = {}
    for pair in pairs:
        shares = [getattr(epoch, f"{split}_accuracy") for _, epoch in pair]
        if None in shares:
            names = ", ".join(outcome.config.run for outcome, _ in pair)
            raise UsageError("were not tested", where=names, fix=f"train with a {split} split")
        found.append(100 * (shares[0] - shares[1]))
        seen = [right_of(runs, outcome.config, epoch, split) for outcome, epoch in pair]
        if seen[0] is not None and seen[1] is not None:
            right.append((seen[0], seen[1]))
            groups.append(splits.setdefault(pair[0][0].config.split, len(splits)))
    estimates = [over_seeds(found, level)]
    if len(right) == len(pairs):
        drawn = drawn_images(right, groups)
        estimates += [over_images(drawn, seeds=seeds, level=level) for seeds in (False, True)]
    return tuple(estimates)


def right_of(runs: RunsFile, config: Config, epoch: Epoch, split: str = "test") -> NDArray[np.bool_] | None:
    """Which of a split's images a run got right after an epoch; None where its logits are not kept."""
    logits, images = runs.logits(config.run, epoch.epoch, split, len(config.classes)), runs.images(config.run, split)
    if logits is None or images is None or len(images[1]) != len(logits):
        return None
    right: NDArray[np.bool_] = logits.argmax(axis=1) == images[1]
    return right


def _matched(pairs: Sequence[Pair]) -> tuple[list[float], list[float]]:
    """Each pair's difference of gaps where both networks reach the same train accuracy, and that accuracy."""
    differences, levels = [], []
    for a, b in pairs:
        level = min(_highest(a), _highest(b))
        gaps = [gap_at(outcome.epochs, level) for outcome in (a, b)]
        if gaps[0] is not None and gaps[1] is not None:
            differences.append(gaps[0] - gaps[1])
            levels.append(level)
    return differences, levels


def _highest(outcome: RunOutcome) -> float:
    return max((epoch.train_accuracy or 0.0 for epoch in outcome.epochs), default=0.0)


def gap_at(epochs: Sequence[Epoch], level: float) -> float | None:
    """The generalisation gap, in points, where training first comes to a train accuracy: between the epochs around it
    in proportion. None where no epoch lies on each side of it.
    """
    known = [epoch for epoch in epochs if epoch.train_accuracy is not None and epoch.test_accuracy is not None]
    for before, after in itertools.pairwise(known):
        low, high = before.train_accuracy or 0.0, after.train_accuracy or 0.0
        if low <= level <= high and high > low:
            share = (level - low) / (high - low)
            test = (1 - share) * (before.test_accuracy or 0.0) + share * (after.test_accuracy or 0.0)
            return 100 * (level - test)
    return None


# -- verdicts --------------------------------------------------------------------------------------------------


def _judged(about: str, estimates: tuple[Estimate, ...], margin: float) -> JudgedDifference:
    return JudgedDifference(about=about, estimates=estimates, verdict=verdict(estimates[-1], estimates[0], margin))


Shown = Literal["higher", "lower", "equivalent", "open", "one pair"]


def widened(widest: Estimate, seeds: Estimate) -> Estimate:
    """An interval with the ends of one over seeds, where those are further out."""
    if seeds.low is None or seeds.high is None or widest.low is None or widest.high is None:
        return seeds
    low, high = min(seeds.low, widest.low), max(seeds.high, widest.high)
    return msgspec.structs.replace(widest, low=low, high=high)


def shown(widest: Estimate, seeds: Estimate, margin: float) -> Shown:
    """What the wider of two intervals shows of A against B: a difference, none beyond the margin, or not enough."""
    both = widened(widest, seeds)
    low, high = both.low, both.high
    if low is None or high is None:
        return "one pair"
    if low > 0 or high < 0:
        return "higher" if low > 0 else "lower"
    return "equivalent" if -margin < low and high < margin else "open"


def more_pairs(seeds: Estimate, margin: float) -> int:
    """About how many more pairs would see a margin; at least one."""
    return max(pairs_needed(sd_of(seeds), margin) - seeds.pairs, 1)


def verdict(widest: Estimate, seeds: Estimate, margin: float) -> str:
    """What an interval shows, in words; where it is not enough, about how many more pairs would be."""
    found = shown(widest, seeds, margin)
    if found == "one pair":
        return "one pair shows nothing: train more seeds"
    if found in ("higher", "lower"):
        return f"A is {found}: the interval leaves out 0"
    if found == "equivalent":
        return f"equivalent within {margin:g} points: the interval lies inside"
    more = more_pairs(seeds, margin)
    return f"no difference shown; about {more} more pair{'s' * (more > 1)} to see {margin:g} points"


def sd_of(seeds: Estimate) -> float:
    """The standard deviation of the pairs that a t interval came from."""
    from scipy import stats

    assert seeds.low is not None
    half = seeds.value - seeds.low
    return half / float(stats.t.ppf(0.5 + seeds.level / 2, seeds.pairs - 1)) * float(np.sqrt(seeds.pairs))


def _doubts(pairs: Sequence[Pair], declared: float, margin: float) -> Iterator[str]:
    if margin != declared:
        yield f"{declared:g} points were declared before the first step, {margin:g} are asked now"
    for field in ("recipe", "machine", "outcome", "data"):
        different = [_pair_name(a.config) for a, b in pairs if getattr(a.config, field) != getattr(b.config, field)]
        if different:
            yield f"A and B differ in their {field} ({', '.join(different[:3])}): not the network alone differs"
    if len(pairs) < 3:
        yield f"{len(pairs)} pair{'s' * (len(pairs) > 1)}: the spread of seeds is hardly known"
    best = [max((e.test_accuracy or 0.0) for e in outcome.epochs) for pair in pairs for outcome in pair]
    last = [counting(outcome).test_accuracy or 0.0 for pair in pairs for outcome in pair]
    if any(high > low for high, low in zip(best, last, strict=True)):
        yield "the best test accuracy of some epochs is higher than what counts: it was not chosen by"


def as_json(comparison: RunComparison) -> str:
    """The whole comparison as JSON."""
    return msgspec.json.encode(comparison).decode()
