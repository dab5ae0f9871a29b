"""What a race of sides begins with: its images divided, its points made, and kept at once."""

from __future__ import annotations

import hashlib
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from analyzer.compressing.budgets import Budget
from analyzer.errors import AnalyzerError, UsageError
from analyzer.executors.workplace import Workplace
from analyzer.files import require_writable, write_text
from analyzer.limits import Limit
from analyzer.searching.points import Maker, chosen, listed
from analyzer.searching.stills import as_it_is, in_int8, recalibrated
from analyzer.shown import silent
from analyzer.storing.results_file import NAME
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Outcome

if TYPE_CHECKING:
    from analyzer.compressing.original import Original
    from analyzer.compressing.pictures import Pictures
    from analyzer.compressing.sides import ParentBill, RaceSides, SidePoint
    from analyzer.images.base import Source
    from analyzer.images.splits import Split

DIVIDED = "split.json"
WHOLE = "sides/uncompressed.safetensors"
EACH, MOST_PAIRS = 2, 8


@dataclass(frozen=True, kw_only=True)
class RacePlan:
    """A race of the sides from which `original` can come under a budget, kept in `out`.

    The recipe's epochs are what each side is trained beyond the original's own (`source_epochs` where its checkpoint
    does not say); `hours` are of CPU time, all processes and earlier commands together. `each` points of a side race,
    in at most `pairs` pairs of runs; of a side's points the best 1/`eta` of each rung go on.
    """

    original: Original
    budget: Budget
    data: Any
    out: Path
    hours: float
    recipe: Recipe = field(default_factory=Recipe)
    split: Path | None = None
    source_epochs: int | None = None
    each: int = EACH
    eta: int = 3
    pairs: int = MOST_PAIRS
    seed: int = 0
    outcome: Outcome = field(default_factory=Outcome)
    device: str = "auto"
    threads: int | None = None
    where: Workplace = field(default_factory=lambda: Workplace(jobs=1))

    def __post_init__(self) -> None:
        if not self.budget:
            raise UsageError("has nothing to aim at", where="budget", fix="give --under densenet121 or another limit")
        if self.hours <= 0:
            raise UsageError(f"{self.hours:g} hours are none", where="--hours", fix="such as --hours 4")
        if self.pairs < 2:
            raise UsageError("one pair has no interval", where="--pairs", fix="give 2 or more")
        if self.epochs is None:
            what = "does not say for how long it was trained"
            raise UsageError(what, where=self.original.name, fix="say it: --source-epochs 20")
        require_writable(self.out / NAME)

    @property
    def epochs(self) -> int | None:
        """How long the original was trained."""
        return self.original.epochs if self.source_epochs is None else self.source_epochs

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those of the runs."""
        return tuple(range(self.seed, self.seed + self.pairs))

    @property
    def asked(self) -> str:
        """A digest of what must be the same for a race to go on: all but how long, by whom, in how many pairs."""
        limits = [(limit.figure, limit.bound) for limit in self.budget.limits(self.original.parent)]
        parts = (self.original.digest, limits, self.budget.on, self.recipe, self.epochs, self.each, self.eta,
                 self.seed, self.outcome)  # fmt: skip
        return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()


def prepared(plan: RacePlan, say: Callable[[str], None] = silent, warn: Callable[[str], None] = silent) -> RaceSides:
    """The race's sides, as the folder has them or made now. Raises UsageError where it holds another race's, or nothing
    comes under the budget.
    """
    from analyzer.compressing.sides import KEPT, sides_at
    from analyzer.training.execution import threads

    kept = sides_at(plan.out)
    if kept is not None:
        if kept.asked != plan.asked:
            raise UsageError("holds another race", where=str(plan.out), fix="choose another --out")
        return kept
    with threads(plan.threads):
        made = _made(plan, race_pictures(plan, say, warn), say, warn)
    write_text(plan.out / KEPT, msgspec.json.encode(made).decode() + "\n")
    return made


# -- images ----------------------------------------------------------------------------------------------------


def race_pictures(
    plan: RacePlan, say: Callable[[str], None] = silent, warn: Callable[[str], None] = silent
) -> Pictures:
    """The race's images, divided as the original's were, some to choose by among them."""
    from analyzer.compressing.pictures import pictures_of, run_of, split_of_run
    from analyzer.images.source import open_source
    from analyzer.images.split_file import split_json
    from analyzer.training.dividing import Division, divided

    kept = plan.out / DIVIDED
    if not kept.exists():
        source = open_source(plan.data)
        file = plan.split or split_of_run(plan.original.path)
        (parts,) = divided(source, plan.out, Division(file=file), accept=False, say=say, warn=warn)
        split, run = parts.split, run_of(plan.original.path)
        if run is not None and run.config.split != split.digest:
            what = "divides the images otherwise than they were when it was trained: some that test have trained it"
            raise UsageError(what, where=str(file or plan.data), fix="name the split.json of its training")
        if not split.test:
            raise UsageError("has no test images", where="data", fix="give some, which nothing is chosen by")
        if not split.val:
            split = _halved(source, split)
            warn("no images validate: half of the test images choose from here on, and test nothing")
        write_text(kept, split_json(split, source))
    return pictures_of(plan.data, plan.original, plan.recipe, seed=plan.seed, split=kept, say=say, warn=warn)


def _halved(source: Source, split: Split) -> Split:
    """Every second test image of each class, in the order of their contents' digests, validates: equal images stay
    together but at one place, and no training image is among them.
    """
    from analyzer.images.splits import content_of, split_of

    order = sorted(split.test, key=lambda index: (source.labels[index], content_of(source, index)))
    parts = {"train": split.train, "val": order[::2], "test": order[1::2]}
    return split_of(source, parts, f"{split.origin}, half of test to choose by")


# -- points ----------------------------------------------------------------------------------------------------


def _made(plan: RacePlan, pictures: Pictures, say: Callable[[str], None], warn: Callable[[str], None]) -> RaceSides:
    from analyzer.compressing.sides import RaceSides

    begun = time.process_time()
    points = listed(plan.original, plan.budget)
    say(f"{len(points):,} points under the budget, counted in {time.process_time() - begun:.1f} CPU-s")
    maker = Maker(plan.original, plan.budget, pictures, plan.out, plan.recipe.epochs, plan.epochs or 0, plan.seed, warn)
    if all(limit.beyond(maker.whole.get(limit.figure, 0)) <= 0 for limit in _limits(plan)):
        raise UsageError("is under the budget as it is", where=plan.original.name, fix="allow less")
    made: list[SidePoint] = []
    say("looking at the original as it is, recalibrated, and in int8")
    stills = [as_it_is(maker, plan.original.model, "uncompressed, as it was"),
              recalibrated(maker, plan.original.model, "uncompressed, recalibrated")]  # fmt: skip
    left_out: dict[str, str] = {}
    try:
        stills.append(in_int8(maker, "uncompressed, in int8"))
    except AnalyzerError as error:
        left_out["fewer bits: int8"] = error.what
    for one in chosen(points, plan.each):
        try:
            point, model = maker.made(one)
        except AnalyzerError as error:
            left_out[f"{one.side}: {one.how}"] = error.what
            warn(f"{one.side}, {one.how}: left out: {error}")
            continue
        say(f"{point.side}, {point.how}: {point.figures['params']:,} params, {point.figures.get('macs', 0):,} MACs")
        if point.side == "narrower" and point.anew and all(each.side != "narrower" for each in made):
            left_out["narrower: " + one.how] = "takes none of the original’s weights, so it is the one from scratch"
        made.append(point)
        if point.side in ("pruning", "lower rank"):
            stills.append(recalibrated(maker, model, f"{point.how}, recalibrated, not trained"))
    if not made:
        raise UsageError("nothing comes under it", where="budget", fix="allow more")
    return RaceSides(
        asked=plan.asked, source=plan.original.name, figures=maker.whole,
        limits={limit.figure: limit.bound for limit in _limits(plan)}, parent=_bill(plan, pictures),
        extra=plan.recipe.epochs, margin=100 * plan.outcome.margin, points=tuple(_with_derived(maker, made)),
        stills=tuple(stills), listed=dict(Tally(point.side for point in points)), left_out=left_out,
    )  # fmt: skip


def _limits(plan: RacePlan) -> tuple[Limit, ...]:
    return plan.budget.limits(plan.original.parent)


def _with_derived(maker: Maker, made: list[SidePoint]) -> Iterator[SidePoint]:
    """The points, and what is made of them: taught by the original, from scratch for as long and for as much work; and
    the original, trained on. A narrower network that takes none of its weights is the one from scratch.
    """
    replaced = msgspec.structs.replace
    first = next((point for point in made if point.side == "narrower"), made[0])
    pruned = next((point for point in made if point.side == "pruning"), first)
    whole, own = maker.whole.get("macs", 0), first.figures.get("macs", 0)
    alike = maker.epochs + maker.extra
    as_much = maker.extra + round(maker.epochs * whole / own) if own else alike
    is_scratch = first.side == "narrower" and first.anew
    yield from (point for point in made if not (is_scratch and point is first))
    for point in [first] if pruned is first else [first, pruned]:
        if not point.anew:
            work = maker.work(point.figures, point.epochs, anew=False, taught=True)
            yield replaced(point, name=f"distilling-{point.name}", side="distilling", taught=True, making_cpu_s=0.0,
                           how=f"{point.how}, by the original’s answers", work=work)  # fmt: skip
    for epochs, words in {alike: "for as many epochs", as_much: "for as much work"}.items():
        work = maker.work(first.figures, epochs, anew=True)
        making = first.making_cpu_s if is_scratch and epochs == alike else 0.0
        yield replaced(
            first, name=f"from-scratch-{epochs}", side="from scratch", how=f"{first.how}, {words}", epochs=epochs,
            anew=True, control=True, making_cpu_s=making, work=work,
        )  # fmt: skip
    begun = time.process_time()
    trained_on = maker.kept(maker.unchanged(), "uncompressed", "trained on", begun=begun, control=True)
    yield replaced(trained_on, candidate=False)


# -- the original's bill ---------------------------------------------------------------------------------------


def _bill(plan: RacePlan, pictures: Pictures) -> ParentBill:
    from analyzer.compressing.pictures import run_of
    from analyzer.compressing.sides import ParentBill

    epochs = plan.epochs or 0
    run = run_of(plan.original.path)
    known = () if run is None else run.epochs[:epochs]
    if len(known) < epochs or not epochs:
        return ParentBill(epochs=epochs, images=epochs * len(pictures.split.train), cpu_s=None if epochs else 0.0)
    spent = sum(epoch.cpu_s + epoch.evaluation_cpu_s for epoch in known)
    return ParentBill(epochs=epochs, images=sum(epoch.images for epoch in known), cpu_s=spent)


def recipe_of(original: Original, said: dict[str, Any], epochs: int) -> Recipe:
    """The original's own recipe where its run is still there, but for what is said; test accuracy chooses nothing, and
    train accuracy is not asked.
    """
    from analyzer.compressing.pictures import run_of
    from analyzer.training.recipe import recipe

    run = run_of(original.path)
    own = {} if run is None else msgspec.structs.asdict(run.config.recipe)
    return recipe({**own, **said, "epochs": epochs, "train_accuracy_every": 0})
