"""The study's page from its stored runs: what holds of the article's claim, with intervals, and what it can't tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean

from analyzer import units
from analyzer.reading.family import record
from analyzer.targets.resolving import named
from analyzer.training.comparing import RunComparison, compared, sd_of
from analyzer.training.run_records import Epoch, RunOutcome
from analyzer.training.runs_file import RunsFile
from analyzer.training.statistics import Estimate, detectable, over_seeds, pairs_needed

RIVAL = "DenseNet121"
OURS = ("article", "init 32")
"""The article's own network, and its shape at half the width."""
MATCHED, ACCURACY, EQUAL = "gap at matched train accuracy", "test accuracy", "gap at equal epochs"
ASKED = {
    MATCHED: "gap at the same train accuracy", ACCURACY: "test accuracy after the last epoch",
    EQUAL: "gap after the last epoch, whatever each has learnt by then",
}  # fmt: skip


def page(runs: RunsFile) -> str:
    """The whole page as Markdown."""
    of: dict[str, list[RunOutcome]] = {}
    for outcome in runs.outcomes():
        of.setdefault(outcome.config.label, []).append(outcome)
    against = {name: compared(runs, name, RIVAL) for name in of if name != RIVAL}
    parts = [
        *_head(of), "",
        "## What holds of it", "", *_answers(against, of), "",
        f"## Against {RIVAL}, in pairs", "", *_pairs(against), "",
        "## Validation above training", "", *_above(of), "",
        "## What each network costs and buys", "", *_networks(of), "",
        "## Epoch by epoch", "", *_epochs(of), "",
        "## What this can't tell", "", *_limits(against, of),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _head(of: Mapping[str, Sequence[RunOutcome]]) -> Iterator[str]:
    (first, *_), *_ = of.values()
    config, recipe = first.config, first.config.recipe
    train, _, test = config.images
    spent = sum(epoch.cpu_s + epoch.evaluation_cpu_s for each in of.values() for run in each for epoch in run.epochs)
    yield "# Does the article's network generalise better than DenseNet121?"
    yield ""
    yield (
        "Made by `make study` from the runs that are stored beside it (`runs.jsonl`, `logits.npz`); "
        "[report.html](report.html) shows their curves. The article says so from one run: a much smaller gap between "
        "training and test accuracy, and test accuracy at times above training accuracy."
    )
    yield ""
    yield (
        "Declared before the first step (`tests/study/study.py`): rounds of one seed and one division each, in which "
        f"every network is trained alike: TrashNet at {config.image} px, {train:,} images to train on, {test:,} to "
        f"test, near-duplicates never parted; {recipe.epochs} epochs of Adam at {recipe.lr:g}, batch {recipe.batch}, "
        f"{' and '.join(kind + 's' for kind in recipe.augment)}. Two networks of a round are a pair. What counts: the "
        "gap (train minus test accuracy, both in evaluation mode) where both have come to the same train accuracy, and "
        f"test accuracy after the last epoch; {100 * config.outcome.margin:g} points would matter. Test accuracy "
        "chooses nothing."
    )
    yield ""
    yield (
        f"{sum(map(len, of.values()))} runs, {spent / 3600:.1f} CPU-hours, one thread each, on a "
        f"{config.machine.device} with torch {config.machine.torch}. Intervals are of 95 %."
    )


# -- answers ---------------------------------------------------------------------------------------------------


def _answers(against: Mapping[str, RunComparison], of: Mapping[str, Sequence[RunOutcome]]) -> Iterator[str]:
    for name in OURS:
        if name in against:
            yield from _answer(name, against[name])
    log, evaluated, epochs = (sum(counts) for counts in zip(*map(_above_of, of.values()), strict=True))
    yield (
        f"- **Test above training accuracy**: by the log's train accuracy (moving weights, batch statistics, "
        f"augmentation) in {log} of {epochs} epochs of all networks, by train accuracy in evaluation mode in "
        f"{evaluated}. What the article saw needs no network that generalises better: "
        f"{_share(log - evaluated, log)} of it is the log's own doing."
    )


def _answer(name: str, found: RunComparison) -> Iterator[str]:
    whose = "The article's network" if name == "article" else f"The article's shape at half its width ({name})"
    for about, what in ASKED.items():
        judged = next((each for each in found.judged if each.about == about), None)
        if judged is None:
            yield f"- **{whose}, {what}**: no pair came to a train accuracy that both have passed."
            continue
        seeds = judged.estimates[0]
        verdict = judged.verdict.replace("A is", f"{name} is")
        yield (
            f"- **{whose}, {what}**: {_points(seeds)} against {RIVAL}, {_pairs_word(seeds.pairs)}. "
            f"{verdict[:1].upper()}{verdict[1:]}."
        )


def _above_of(outcomes: Sequence[RunOutcome]) -> tuple[int, int, int]:
    """Epochs with test accuracy above the log's train accuracy, above that in evaluation mode, all."""
    epochs = [epoch for outcome in outcomes for epoch in outcome.epochs]
    log = sum((epoch.test_accuracy or 0) > epoch.log_train_accuracy for epoch in epochs)
    return log, sum((epoch.test_accuracy or 0) > (epoch.train_accuracy or 0) for epoch in epochs), len(epochs)


# -- tables ----------------------------------------------------------------------------------------------------


def _pairs(against: Mapping[str, RunComparison]) -> Iterator[str]:
    yield from _table(("network", "difference of", "points", "over", "pairs", "verdict"), "llrlrl", (
        (name, judged.about, _points(each), each.over, str(each.pairs), judged.verdict.replace("A is", f"{name} is"))
        for name, found in against.items() for judged in found.judged for each in judged.estimates
    ))  # fmt: skip
    for name, found in against.items():
        if found.levels:
            levels = ", ".join(f"{100 * level:.0f}" for level in found.levels)
            yield ""
            yield f"{name}: matched at train accuracies of {levels} %."


def _above(of: Mapping[str, Sequence[RunOutcome]]) -> Iterator[str]:
    yield (
        "In how many epochs test accuracy lies above train accuracy: the one of a training log, and the one of the "
        "epoch's last weights in evaluation mode without augmentation; and how far the log's lies below the other."
    )
    yield ""
    rows = []
    for name, outcomes in of.items():
        log, evaluated, epochs = _above_of(outcomes)
        below = [
            100 * ((epoch.train_accuracy or 0) - epoch.log_train_accuracy) for run in outcomes for epoch in run.epochs
        ]
        first = [run.epochs[0] for run in outcomes]
        early = fmean(100 * ((epoch.train_accuracy or 0) - epoch.log_train_accuracy) for epoch in first)
        rows.append((name, f"{log} of {epochs}", f"{evaluated} of {epochs}", f"{fmean(below):+.1f}", f"{early:+.1f}"))
    heads = ("network", "above the log's", "above evaluation mode's", "log below, points", "in epoch 1")
    yield from _table(heads, "lrrrr", rows)


def _networks(of: Mapping[str, Sequence[RunOutcome]]) -> Iterator[str]:
    yield (
        "Params, MACs and saved bytes are exact (one image); accuracies are after the last epoch, measured: mean and t "
        "interval over the runs; CPU time is of a run, evaluation included, measured on machines that others used, too."
    )
    yield ""
    rows = []
    for name, outcomes in of.items():
        known = record(named(outcomes[0].config.network))
        last = [outcome.epochs[-1] for outcome in outcomes]
        spent = [sum(epoch.cpu_s + epoch.evaluation_cpu_s for epoch in outcome.epochs) for outcome in outcomes]
        rows.append((
            name, f"{known.params:,}", f"{known.macs:,}", units.mib(known.saved_bytes), str(len(outcomes)),
            _mean([100 * (epoch.train_accuracy or 0) for epoch in last]),
            _mean([100 * (epoch.test_accuracy or 0) for epoch in last]),
            _mean([epoch.generalisation_gap or 0.0 for epoch in last]), f"{fmean(spent):,.0f} s",
        ))  # fmt: skip
    heads = ("network", "params", "MACs", "saved bytes", "runs", "train, %", "test, %", "gap, points", "CPU")
    yield from _table(heads, "lrrrrrrrr", rows)


def _epochs(of: Mapping[str, Sequence[RunOutcome]]) -> Iterator[str]:
    yield "Means over the runs: train accuracy of the log / in evaluation mode / test accuracy, %."
    yield ""
    count = max(len(outcome.epochs) for outcomes in of.values() for outcome in outcomes)
    yield from _table(("epoch", *of), "r" + "r" * len(of), (
        (str(number + 1), *(_three([outcome.epochs[number] for outcome in outcomes]) for outcomes in of.values()))
        for number in range(count)
    ))  # fmt: skip


def _three(epochs: Sequence[Epoch]) -> str:
    log = fmean(epoch.log_train_accuracy for epoch in epochs)
    train, test = (
        fmean(epoch.train_accuracy or 0 for epoch in epochs),
        fmean(epoch.test_accuracy or 0 for epoch in epochs),
    )
    return " / ".join(f"{100 * share:.1f}" for share in (log, train, test))


def _limits(against: Mapping[str, RunComparison], of: Mapping[str, Sequence[RunOutcome]]) -> Iterator[str]:
    (first, *_), *_ = of.values()
    config = first.config
    yield (
        f"- Images of {config.image} px and {config.images[0]:,} of them are not the article's 224 px; it names no "
        f"data set. {config.recipe.epochs} epochs are fewer than its 20, and end before training accuracy does."
    )
    if "article" not in of:
        own, half = (record(named(name)).params for name in ("article", of["init 32"][0].config.network))
        yield (
            f"- The article's own network ({own:,} params at its 2 classes) was not trained: init 32 is its shape with "
            f"{half:,}. The same command goes on with it."
        )
    found = against.get("init 32")
    if found is not None:
        seeds = next((each.estimates[0] for each in found.judged if each.about == MATCHED), None)
        if seeds is not None and seeds.low is not None:
            sd, pairs = sd_of(seeds), seeds.pairs
            sees = detectable(pairs, sd)
            yield (
                f"- The standard deviation of the pairs' matched gaps is {sd:.1f} points: {pairs} pairs see "
                f"{'nothing' if sees is None else f'{sees:.1f} points'} 80 times in 100; 3 points would take "
                f"{pairs_needed(sd, 3.0)} pairs."
            )
    yield "- Every round has its own division: intervals over seeds are over divisions, too. All are of one data set."
    yield (
        "- Bits are those of the processor and torch that ran them; `tests/study/study.py again` trains a run anew and "
        "says whether they are the same."
    )


# -- words -----------------------------------------------------------------------------------------------------


def _points(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.1f}"
    return f"{estimate.value:+.1f} ({estimate.low:+.1f} to {estimate.high:+.1f})"


def _mean(values: Sequence[float]) -> str:
    found = over_seeds(values)
    half = "" if found.high is None else f" ± {found.high - found.value:.1f}"
    return f"{found.value:.1f}{half}"


def _share(part: int, whole: int) -> str:
    return "none" if whole == 0 else f"{100 * part / whole:.0f} %"


def _pairs_word(pairs: int) -> str:
    return "1 pair" if pairs == 1 else f"{pairs} pairs"


def _table(heads: Sequence[str], sides: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---:' if side == 'r' else '---' for side in sides)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
