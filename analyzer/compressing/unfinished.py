"""What is finished of a plan while it goes on, beside the place of its result: the same plan goes on from there."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.compressing.bases import remade
from analyzer.compressing.plan import PlanStep
from analyzer.compressing.planning import State
from analyzer.errors import UsageError
from analyzer.files import locked
from analyzer.targets.checkpoints import read_header
from analyzer.targets.compressions import CompressionRecord, StepDone
from analyzer.training import checkpoints

if TYPE_CHECKING:
    from analyzer.compressing.result import Compressed

NETWORK, LOCK = "network.safetensors", "lock"
BEFORE = "as it was"
"""What the record calls the network before the first step."""


@dataclass(frozen=True)
class Unfinished:
    """A folder: the network after the last finished step as a checkpoint, and the epochs of a step that trains."""

    folder: Path

    def keep(self, made: Compressed) -> None:
        """Keeps a network, in the place of the one before."""
        made.save(self.folder / NETWORK)

    def training(self, step: int) -> Path:
        """Where the epochs of a step are kept, by its number; each recipe's by themselves."""
        return self.folder / f"step-{step}"

    @property
    def holds(self) -> bool:
        """Whether anything is finished."""
        network = self.folder / NETWORK
        return (network.exists() and bool(finished(_record(network).steps))) or any(self.folder.glob("step-*/*/last.*"))

    def take_up(self, state: State, asked: CompressionRecord) -> None:
        """Puts the state after the last finished step. `asked` is the record of the plan with nothing done.

        Raises UsageError where another plan was begun there.
        """
        path = self.folder / NETWORK
        if not path.exists():
            return
        header = read_header(path)
        about, made = header.checkpoint, header.checkpoint.compression
        assert made is not None
        self._require_same(made.record, asked, state.plan.steps)
        state.parent, state.done, state.variant = made.family(), made.map, about.family()
        state.epochs, state.left, state.steps = made.record.epochs, made.record.left, list(made.record.steps)
        model = remade(state)
        checkpoints.load_weights(path, header, model)
        state.model = model

    def _require_same(self, kept: CompressionRecord, asked: CompressionRecord, steps: Sequence[PlanStep]) -> None:
        before = finished(kept.steps)
        done = steps[: len(before)]
        same = {
            "network": kept.source_digest == asked.source_digest, "limits": kept.limits == asked.limits,
            "seed": kept.seed == asked.seed, "division of its images": kept.split == asked.split,
            "plan": before == [step.text for step in done],
            "recipe": kept.recipe == asked.recipe or not any(step.needs_images for step in done),
        }  # fmt: skip
        for what, is_same in same.items():
            if not is_same:
                raise UsageError(
                    f"holds what is finished of {kept.plan!r}, which was begun with another {what}",
                    where=str(self.folder), fix="ask as it was begun, choose another --out, or delete that folder",
                )  # fmt: skip


def finished(steps: Sequence[StepDone]) -> list[str]:
    """The steps of a plan that are done, as they are written."""
    return [done.step for done in steps if done.step != BEFORE]


@contextlib.contextmanager
def unfinished(out: Path) -> Iterator[Unfinished]:
    """The folder beside a result; gone when all is finished, or where nothing is. Raises UsageError where another
    process is at it.
    """
    kept = Unfinished(out.with_name(f"{out.name}.unfinished"))
    try:
        kept.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"can't be made: {error.strerror}"
        raise UsageError(what, where=str(kept.folder), fix="choose another --out") from error
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(kept.folder / LOCK, wait=False))
        except BlockingIOError:
            what = "another process works on it"
            raise UsageError(what, where=str(out), fix="wait for it, or choose another --out") from None
        try:
            yield kept
        except BaseException:
            if not kept.holds:
                shutil.rmtree(kept.folder, ignore_errors=True)
            raise
        shutil.rmtree(kept.folder, ignore_errors=True)


def _record(path: Path) -> CompressionRecord:
    made = read_header(path).checkpoint.compression
    assert made is not None
    return made.record
