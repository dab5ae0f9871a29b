"""What a compression is asked, and where it stands on its way through the steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from analyzer.channel_maps import CompressionMap
from analyzer.compressing.budgets import Budget, towards
from analyzer.compressing.plan import PlanStep
from analyzer.compressing.sizes import Counter
from analyzer.errors import UsageError
from analyzer.exporting.runtime import require_runtime
from analyzer.files import require_writable
from analyzer.measuring.environment import pick_device
from analyzer.shown import silent

if TYPE_CHECKING:
    from analyzer.architecture.variant import Variant
    from analyzer.compressing.original import Original
    from analyzer.compressing.pictures import Pictures
    from analyzer.compressing.unfinished import Unfinished
    from analyzer.limits import Limit
    from analyzer.targets.compressions import StepDone


@dataclass(frozen=True)
class CompressWatch:
    """Is told how a compression goes on: sentences, and what to doubt."""

    say: Callable[[str], None] = silent
    warn: Callable[[str], None] = silent


def quantized_paths(out: Path) -> tuple[Path, Path]:
    """The .onnx and .int8.onnx beside a result."""
    return out.with_suffix(".onnx"), out.with_suffix(".int8.onnx")


def require_possible(steps: Sequence[PlanStep], budget: Budget, images: bool, kept: bool = False) -> None:
    """UsageError where a step has nothing to aim at, or no images to learn from; where int8 has no file to be `kept`
    in; or a budget that is none.
    """
    budget.limits(None)
    for step in steps:
        if step.verb == "int8" and not kept:
            raise UsageError("is a file of its own", where=step.text, fix="give --out (from Python out=)")
        if step.verb == "int8":
            require_runtime(step.text)
        if step.aims and not budget:
            fix = "give --max-params, --under or another limit"
            raise UsageError("has nothing to aim at", where=step.text, fix=fix)
        if step.needs_images and not images:
            raise UsageError("needs images", where=step.text, fix="give --data, such as --data images/")


@dataclass(frozen=True, kw_only=True)
class CompressPlan:
    """What to compress, under which budget, by which steps, on which images (None: none of the steps needs any).

    `out` is where it is kept (None: nowhere); what is finished is kept beside it until all is. `data` are the images as
    they were named: int8 takes some of them. `device` is where steps train, and accuracy is judged.
    """

    original: Original
    budget: Budget = field(default_factory=Budget)
    steps: tuple[PlanStep, ...]
    pictures: Pictures | None = None
    seed: int = 0
    out: Path | None = None
    data: Any = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        pick_device(self.device)
        if self.out is None:
            return
        from analyzer.compressing.result import require_free

        require_free(self.out, self.original.path)
        for path in (self.out, *(quantized_paths(self.out) if self.quantizes else ())):
            require_writable(path)

    @property
    def quantizes(self) -> bool:
        """Whether its last step is int8: of the file that the result is kept in."""
        return self.steps[-1].verb == "int8"

    def images(self) -> Pictures:
        """The images; a plan whose steps need some has them."""
        assert self.pictures is not None
        return self.pictures


@dataclass
class State:
    """A network on its way through a plan: what is `done` to `parent` (None: to one's own model).

    `variant` is what it is, where it is one of the family; `steps` are those that are finished, `kept` is where.
    """

    plan: CompressPlan
    model: nn.Module
    limits: tuple[Limit, ...]
    counter: Counter
    parent: Variant | None
    done: CompressionMap
    variant: Variant | None
    epochs: int | None
    left: dict[str, str] = field(default_factory=dict)
    steps: list[StepDone] = field(default_factory=list)
    kept: Unfinished | None = None

    def stand_ins(self) -> list[Any]:
        """Inputs on which a cut is held against what it was cut from."""
        return [self.plan.original.images(2)]

    def aim(self, step: PlanStep) -> tuple[Limit, ...]:
        """The limits at the step's share of the way."""
        return towards(self.limits, self.counter.values(self.model, self.limits), step.share)
