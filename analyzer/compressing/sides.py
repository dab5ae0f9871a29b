"""The sides from which a network can be made smaller, as a race knows them: points, what each costs, what was tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from analyzer.compressing.distilling import Distiller
from analyzer.errors import UsageError
from analyzer.exporting.results import PairedTimes
from analyzer.structs import Frozen, Share, Some, Span, Whole
from analyzer.targets.checkpoints import read_header
from analyzer.targets.resolving import Resolved, resolve
from analyzer.training.trainees import Entrant, trainee_of

if TYPE_CHECKING:
    from analyzer.training.trainer import Trainer

KEPT = "sides.json"
Side = Literal[
    "narrower", "shallower", "transitions", "another layer", "lower rank", "pruning", "distilling", "from scratch",
    "uncompressed",
]  # fmt: skip
SIDES: tuple[Side, ...] = get_args(Side)


class SidePoint(Frozen, frozen=True, kw_only=True):
    """A network of a race, trained for `epochs`: the weights of its `file` are its start, or (`anew`) drawn; `taught`
    learns from the original. A `control` is never left out; what is no `candidate` is over the budget.

    `figures` are exact, by name; `times` the original's and its own, of one image; `making_cpu_s` what making it took;
    `work` the MACs of all forward passes of its training, the original's before it included.
    """

    name: str
    side: Side
    how: str
    file: str
    epochs: Some
    anew: bool = False
    taught: bool = False
    control: bool = False
    candidate: bool = True
    figures: dict[str, int]
    predicted_ns: Whole | None = None
    times: PairedTimes | None = None
    making_cpu_s: Span = 0.0
    work: Whole = 0


class Still(Frozen, frozen=True, kw_only=True):
    """A network that is not trained: what of the test images it gets right (`right`, a 0 or 1 each)."""

    how: str
    figures: dict[str, int]
    accuracy: Share
    right: str
    cpu_s: Span = 0.0


class ParentBill(Frozen, frozen=True, kw_only=True):
    """What the original's training took; CPU-seconds of None are not known."""

    epochs: Whole
    images: Whole
    cpu_s: Span | None = None


class RaceSides(Frozen, frozen=True, kw_only=True):
    """All that a race begins with. `listed` counts the points under the budget, by side; `left_out` says why one is not
    among them. `extra` is how many epochs each that begins with the original's weights is trained.
    """

    asked: str
    source: str
    figures: dict[str, int]
    limits: dict[str, int]
    parent: ParentBill
    extra: Some
    margin: float
    points: tuple[SidePoint, ...]
    stills: tuple[Still, ...]
    listed: dict[str, Whole]
    left_out: dict[str, str]


@dataclass(frozen=True)
class TaughtEntrant(Entrant):
    """An entrant that learns from another network's answers."""

    teacher: Resolved | None = None

    def prepare(self, trainer: Trainer) -> None:
        """Has its steps ask the teacher, too."""
        assert self.teacher is not None
        job = trainer.job
        teacher = trainee_of(Entrant("teacher", self.teacher), job.trainee.classes, None).made(0).to(job.device)
        trainer.stepper = Distiller(trainer, teacher, "logits")


def target_at(path: Path) -> Resolved:
    """What a checkpoint is of, with its weights; a model of one's own by the name that it has there."""
    own = read_header(path).checkpoint.own
    return resolve(str(path) if own is None else f"{own.name}@{path}")


def entrant_of(point: SidePoint, folder: Path, original: str) -> Entrant:
    """A point as it is trained; `original` is the file of what it was made from."""
    target = target_at(folder / point.file)
    if point.taught:
        return TaughtEntrant(point.name, target, point.anew, target_at(folder / original))
    return Entrant(point.name, target, point.anew)


def sides_at(folder: Path) -> RaceSides | None:
    """The sides of a folder's race; None where none was begun. Raises UsageError where they can't be read."""
    path = folder / KEPT
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=RaceSides)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError("can't be read", where=str(path), fix="choose another --out") from error
