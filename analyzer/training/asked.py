"""How networks are trained that a sweep or a search makes: all but which, and where they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError, did_you_mean
from analyzer.executors.workplace import Workplace
from analyzer.images.source import open_source
from analyzer.targets.resolving import FamilyTarget
from analyzer.training.dividing import Division
from analyzer.training.recipe import Recipe, recipe
from analyzer.training.run_records import Outcome, outcome_of

if TYPE_CHECKING:
    from analyzer.training.planning import TrainPlan


@dataclass(frozen=True, kw_only=True)
class TrainingAsked:
    """Images to train on, and how; the fields are those of a TrainPlan."""

    data: Any
    recipe: Recipe = field(default_factory=Recipe)
    seeds: tuple[int, ...] = (0,)
    division: Division = field(default_factory=Division)
    outcome: Outcome = field(default_factory=Outcome)
    device: str = "auto"
    threads: int | None = None
    workers: int = 0
    accept: bool = False
    where: Workplace = field(default_factory=lambda: Workplace(jobs=1))

    def classes(self) -> int:
        """How many the images have. Raises DataError."""
        return len(open_source(self.data).classes)

    def plan(self, variants: Sequence[Variant], out: Path) -> TrainPlan:
        """The trainings of variants at their own image, kept in a folder."""
        from analyzer.training.planning import TrainPlan

        return TrainPlan(
            targets=tuple(map(FamilyTarget, variants)), data=self.data, out=out, recipe=self.recipe, seeds=self.seeds,
            division=self.division, outcome=self.outcome, device=self.device, threads=self.threads,
            workers=self.workers, accept=self.accept, where=self.where,
        )  # fmt: skip


_OWN = ("data", "seeds", "device", "threads", "workers", "accept")
_OF_PLACE = ("executor", "jobs", "address")
_OF_DIVISION = {"fractions": "fractions", "split_seed": "seed", "folds": "folds", "split": "file"}


def training_asked(said: Mapping[str, Any]) -> TrainingAsked:
    """What a user says of a training: `data`, the words of `train`, and the fields of a Recipe. Raises UsageError."""
    if said.get("data") is None:
        raise UsageError("needs images to train on", where="data", fix="give --data, a folder of class folders")
    rest = dict(said)
    own = {name: rest.pop(name) for name in _OWN if name in rest}
    own["seeds"] = tuple(own.get("seeds", (0,)))
    executor, jobs, address = (rest.pop(name, None) for name in _OF_PLACE)
    division = {field_: rest.pop(name) for name, field_ in _OF_DIVISION.items() if name in rest}
    if division.get("file") is not None:
        division["file"] = Path(division["file"])
    outcome = outcome_of(rest.pop("outcome", {}))
    unknown = set(rest) - set(Recipe.__struct_fields__)
    if unknown:
        known = (*_OWN, *_OF_PLACE, *_OF_DIVISION, "outcome", *Recipe.__struct_fields__)
        raise UsageError(f"unknown {min(unknown)!r}", where="train", fix=did_you_mean(min(unknown), known))
    where = Workplace(executor or "processes", jobs or 1, None, address)
    return TrainingAsked(**own, recipe=recipe(rest), division=Division(**division), outcome=outcome, where=where)
