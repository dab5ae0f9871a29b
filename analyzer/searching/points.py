"""The sides from which a network can be made smaller to a budget: points listed by the exact counter, then made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.architecture.registry import BLOCKS
from analyzer.architecture.variant import Variant
from analyzer.compressing.budgets import Budget
from analyzer.compressing.plan import PlanStep, plan_of
from analyzer.errors import AnalyzerError
from analyzer.figures import known
from analyzer.limits import Limit, hold_all, state_of
from analyzer.reading import family
from analyzer.reading.latency import Profile
from analyzer.records import Record, variant_of
from analyzer.searching.explain import meeting, text
from analyzer.targets.resolving import override

if TYPE_CHECKING:
    from torch import nn

    from analyzer.compressing.original import Original
    from analyzer.compressing.pictures import Pictures
    from analyzer.compressing.result import Compressed
    from analyzer.compressing.sides import Side, SidePoint

SIDE_OF: dict[str, Side] = {
    "init": "narrower",
    "growth": "narrower",
    "blocks": "shallower",
    "compression": "transitions",
}
"""The side of an axis; of any other another layer."""
OF_ANY = {
    "lower rank": ("svd",),
    "pruning": ("prune l2 global", "prune taylor global"),
}  # fmt: skip
"""Plans that make any network smaller, by side."""
SHOWN = ("params", "param_bytes", "macs", "saved_bytes", "predicted_image_ns")


@dataclass(frozen=True)
class ListedPoint:
    """A point under the budget, by a `lever` of its side: a variant, whose figures are exact at once, or steps."""

    side: Side
    lever: str
    how: str
    steps: tuple[PlanStep, ...]
    variant: Variant | None = None
    record: Record | None = None


def listed(original: Original, budget: Budget) -> list[ListedPoint]:
    """Every point under the budget, those of a side that keep most MACs first; no weight is looked at."""
    limits, profile = budget.limits(original.parent), budget.profile()
    found: list[ListedPoint] = []
    if original.variant is not None:
        found += _of_variant(original.variant, limits, profile)
    found.sort(key=lambda each: -((each.record and each.record.macs) or 0))
    unique = {each.variant: each for each in reversed(found)}
    found = [each for each in found if unique[each.variant] is each]
    for side, plans in OF_ANY.items():
        found += [ListedPoint(side, plan, plan, plan_of(plan)) for plan in plans]  # type: ignore[arg-type]
    return found


def _of_variant(variant: Variant, limits: Sequence[Limit], profile: Profile | None) -> Iterator[ListedPoint]:
    from analyzer.compressing.inheriting import narrowed

    def listing(side: Side, lever: str, how: str, record: Record) -> ListedPoint:
        made = variant_of(record)
        return ListedPoint(side, lever, how, (PlanStep("inherit", target=made.name),), made, record)

    try:
        both = narrowed(variant, limits, profile)
        record = family.record(both, layers=False, profile=profile)
        yield listing("narrower", "width", f"init {both.init}, growth {text(both.growth, '/')}", record)
    except AnalyzerError:  # no width is under the budget
        pass
    for change in meeting(variant, limits, profile):
        yield listing(SIDE_OF.get(change.axis, "another layer"), change.axis, change.said, change.record)
    for block in BLOCKS:
        try:
            other = override(variant, {"block": block})
            record = family.record(other, layers=False, profile=profile)
        except AnalyzerError:  # a block that has not the variant's axes
            continue
        if block != variant.block and state_of(hold_all(record, limits)) == "within":
            yield listing("another layer", "block", f"block {block}", record)


def chosen(points: Sequence[ListedPoint], each: int) -> list[ListedPoint]:
    """The first point of each lever, as many levers of a side: what lies beside it would be the same network nearly."""
    levers: dict[str, list[str]] = {}
    found = []
    for point in points:
        own = levers.setdefault(point.side, [])
        if point.lever not in own and len(own) < each:
            own.append(point.lever)
            found.append(point)
    return found


# -- making ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Maker:
    """Makes points of an original into checkpoints of a folder. `extra` epochs train those that begin with its weights;
    those that can't are drawn anew, and trained for the original's `epochs`, too.
    """

    original: Original
    budget: Budget
    pictures: Pictures
    folder: Path
    extra: int
    epochs: int
    seed: int
    warn: Callable[[str], None]

    def made(self, point: ListedPoint) -> tuple[SidePoint, nn.Module]:
        """A point with its checkpoint. Raises UsageError, TargetError where it can't be made."""
        begun = time.process_time()
        anew = False
        try:
            result = self._compressed(self.original, point.steps)
        except AnalyzerError:
            if point.variant is None:
                raise
            result, anew = self._drawn(point.variant), True
        how = f"{point.how}, from drawn weights" if anew else point.how
        return self.kept(result, point.side, how, anew=anew, begun=begun), result.model

    def kept(
        self, result: Compressed, side: Side, how: str, *, anew: bool = False, begun: float, **more: Any
    ) -> SidePoint:
        """A result as a point, its checkpoint written."""
        from analyzer.compressing.sides import SidePoint

        name = "".join(char if char.isalnum() else "-" for char in f"{side} {how}")[:80].lower()
        file = f"sides/{name}.safetensors"
        (self.folder / "sides").mkdir(parents=True, exist_ok=True)
        result.save(self.folder / file)
        figures = self.figures(result.model)
        epochs = self.extra + (self.epochs if anew else 0)
        return SidePoint(
            name=name, side=side, how=how, file=file, epochs=epochs, anew=anew, figures=figures,
            predicted_ns=figures.get("predicted_image_ns"), times=self._timed(result.model),
            making_cpu_s=time.process_time() - begun, work=self.work(figures, epochs, anew=anew), **more,
        )  # fmt: skip

    def work(self, figures: dict[str, int], epochs: int, *, anew: bool, taught: bool = False) -> int:
        """MACs of all forward passes that train it: its own, the original's before it, its teacher's."""
        images, whole = len(self.pictures.split.train), self.whole.get("macs", 0)
        before = 0 if anew else self.epochs * whole
        return images * (before + epochs * (figures.get("macs", 0) + whole * taught))

    @cached_property
    def whole(self) -> dict[str, int]:
        """What the original costs."""
        return self.figures(self.original.model)

    def figures(self, model: nn.Module) -> dict[str, int]:
        """What a network costs, exactly."""
        from analyzer.compressing.sizes import Counter

        record = Counter([self.original.images(1, "meta")], self.budget.profile()).record(model)
        limits = (limit.figure for limit in self.budget.limits(self.original.parent))
        found = {name: known(name).of(record) for name in dict.fromkeys([*SHOWN, *limits])}
        return {name: value for name, value in found.items() if value is not None}

    def _compressed(self, original: Original, steps: Sequence[PlanStep]) -> Compressed:
        from analyzer.compressing.execution import compress
        from analyzer.compressing.planning import CompressPlan, CompressWatch

        untested = replace(self.pictures, split=replace(self.pictures.split, test=()))
        plan = CompressPlan(
            original=original, budget=self.budget, steps=tuple(steps), pictures=untested, seed=self.seed
        )
        return compress(plan, CompressWatch(warn=self.warn))

    def _drawn(self, variant: Variant) -> Compressed:
        from analyzer.compressing.original import of_variant

        own = self.original.variant
        assert own is not None
        return self._compressed(of_variant(replace(variant, classes=own.classes, image=own.image), self.seed), ())

    def unchanged(self) -> Compressed:
        """The original as it is."""
        return self._compressed(self.original, ())

    def _timed(self, model: nn.Module) -> Any:
        """The original's and a network's time of one image here, in turn, on one thread."""
        from analyzer.exporting.formats import run_of
        from analyzer.exporting.runtime import alternated
        from analyzer.training.execution import threads

        image = self.original.images(1).numpy()
        ours, theirs = run_of(self.original.model), run_of(model.eval())
        with threads(1):
            return alternated(("the original", ours), ("this", theirs), image)
