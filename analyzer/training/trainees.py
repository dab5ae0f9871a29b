"""What is trained: a variant at the data's classes and the asked image, or a model of the user's own."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.architecture.network import preset_name
from analyzer.architecture.variant import Variant
from analyzer.errors import TargetError, UsageError
from analyzer.targets.checkpoints import OwnModel, read_header
from analyzer.targets.loading import load
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, Resolved

if TYPE_CHECKING:
    from torch import nn

    from analyzer.training.trainer import Trainer


@dataclass(frozen=True)
class Entrant:
    """A network of a comparison: a target that a checkpoint names, under a name of its own; its training begins with
    the checkpoint's weights, or (`anew`) with weights that are drawn from the seed.
    """

    name: str
    target: Resolved
    anew: bool = False

    def prepare(self, trainer: Trainer) -> None:
        """May change how a trainer steps, before its first step."""


@dataclass(frozen=True)
class Trainee:
    """A network to train on images (`channels`, `image`, `image`) of so many classes; `name` is its run's."""

    name: str
    label: str
    image: int
    channels: int
    classes: int
    variant: Variant | None = None
    module: ModuleTarget | None = None
    entrant: Entrant | None = None

    def made(self, seed: int) -> nn.Module:
        """A new network, its weights drawn from the seed or an entrant's own, in training mode on the CPU. Raises
        TargetError.
        """
        made = self._drawn(seed)
        if self.begun is not None:
            from analyzer.training.checkpoints import load_weights

            load_weights(self.begun, read_header(self.begun), made)
        return made

    @property
    def begun(self) -> Path | None:
        """The checkpoint whose weights it begins with; None: they are drawn."""
        return None if self.entrant is None or self.entrant.anew else self.entrant.target.weights

    def _drawn(self, seed: int) -> nn.Module:
        if self.variant is not None:
            from analyzer.building.modules import build

            return build(self.variant, seed=seed)
        from analyzer.training import keyed

        assert self.module is not None
        with keyed.seeded(keyed.MODEL, seed):
            made = copy.deepcopy(load(self.module, device="cpu"))
        if isinstance(made, Variant):
            raise TargetError("returns a variant", where=self.module.name, fix=f"train {made.name}")
        return made.train()

    def prepare(self, trainer: Trainer) -> None:
        """May change how a trainer steps, before its first step."""
        if self.entrant is not None:
            self.entrant.prepare(trainer)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint says the network is: the variant, or a model of one's own and what made it smaller."""
        if self.variant is not None:
            before = None if self.begun is None else read_header(self.begun).checkpoint.compression
            further = {} if before is None else {"compression": before.further()}
            return {"variant": self.variant.to_dict(), **further}
        module = self.module
        assert module is not None
        there = None if module.weights is None else read_header(module.weights).checkpoint
        made = None
        if there is not None and there.compression is not None:
            made = there.compression.anew() if self.begun is None else there.compression.further()
        if there is not None and there.parent is not None:
            return {"compression": made}
        own = OwnModel(name=module.name.partition("@")[0], kwargs=dict(module.kwargs), inputs=module.inputs)
        return {"own": own, "compression": made}


def trainee_of(target: Resolved | Entrant, classes: int, image: int | None) -> Trainee:
    """A target at the data's classes; `image` of None is the variant's own, or that of a model's --input.

    Raises UsageError where a model's input is none of images, or its size is not said.
    """
    if isinstance(target, Entrant):
        own = trainee_of(target.target, classes, image)
        return replace(own, name=target.name, label=target.name, entrant=target)
    if isinstance(target, FamilyTarget):
        size = image or target.variant.image
        variant = replace(target.variant, classes=classes, image=size)
        preset = preset_name(target.variant)
        return Trainee(variant.name, target.label or preset or variant.name, size, 3, classes, variant)
    channels, size = _image_of(target, image)
    word = "".join(char if char.isalnum() or char in "-." else "-" for char in target.attribute)
    said = "".join(f"_{name}={_short(value)}" for name, value in target.kwargs)
    name = f"{word}{said}_n{classes}_s{size}" if channels == 3 else f"{word}{said}_n{classes}_s{size}_c{channels}"
    return Trainee(name, target.name, size, channels, classes, module=target)


def _image_of(target: ModuleTarget, image: int | None) -> tuple[int, int]:
    """Channels and size of a model's images."""
    if not target.inputs:
        if image is None:
            raise UsageError("needs the size of its images", where=target.name, fix="give --image, such as --image 64")
        return 3, image
    shape = target.inputs[0].shape
    if len(target.inputs) > 1 or len(shape) != 4 or shape[2] != shape[3] or shape[1] not in (1, 3):
        raise UsageError(
            "takes no batch of square images", where=target.name,
            fix="train a model of one input, such as --input 1,3,64,64",
        )  # fmt: skip
    if image is not None and image != shape[2]:
        raise UsageError(f"--image {image} is not its --input's {shape[2]}", where=target.name, fix="say one of them")
    return shape[1], shape[2]


def _short(value: Any) -> str:
    text = "".join(char if char.isalnum() or char in "-." else "-" for char in str(value))
    return text[:24]
