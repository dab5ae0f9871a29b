"""What is exported: a network with its weights, what it takes, and what may be said of it in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.architecture.network import preset_name
from analyzer.architecture.variant import Variant
from analyzer.errors import TargetError, UsageError
from analyzer.targets.checkpoints import Checkpoint, is_checkpoint
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, Resolved

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Exportee:
    """A network in evaluation mode on the CPU that takes images (`channels`, *`size`), float32. `digest` is over its
    weights; `sources` are files that must not be written over; `about` is the checkpoint that it was loaded from.
    """

    name: str
    model: nn.Module
    channels: int
    size: tuple[int, int]
    digest: str
    sources: tuple[Path, ...] = ()
    about: Checkpoint | None = None

    def facts(self) -> dict[str, str]:
        """What a file says of itself: name and digest; of a trained network how its images are normalised, its classes.
        No path, no host.
        """
        said = {"name": self.name, "source": f"sha256:{self.digest}"}
        if self.about is not None:
            said |= {name: json.dumps(getattr(self.about, name)) for name in ("classes", "mean", "std")}
        return said


def exportee_of(target: Resolved) -> Exportee:
    """A target's network with its weights; a variant without any has those of seed 0. Runs a user's own code.

    Raises UsageError, TargetError.
    """
    if isinstance(target, FamilyTarget):
        return _of_family(target)
    from analyzer.targets.loading import load

    sources = tuple(path for path in (Path(target.location), target.weights) if path is not None and path.is_file())
    if target.weights is not None and is_checkpoint(target.weights):
        return _of_checkpoint(target.name, target.attribute, sources)
    model = load(target, device="cpu")
    if isinstance(model, Variant):
        raise TargetError("returns a variant", where=target.name, fix=f"export {model.name}")
    if target.weights is not None:
        _load_bare(target.weights, model)
    return exportee(model, _shape_of(target), name=target.attribute, sources=sources)


def exportee(
    model: nn.Module, shape: Sequence[int], *, name: str, sources: tuple[Path, ...] = (),
    about: Checkpoint | None = None,
) -> Exportee:  # fmt: skip
    """A module that takes images of a `shape` (N, C, H, W). It is left in evaluation mode."""
    import torch

    from analyzer.training.checkpoints import digest_of, unique

    if len(shape) != 4 or min(shape) < 1:
        raise UsageError("takes no batch of images", where=name, fix="give its input, such as 1,3,224,224")
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise UsageError("has no weights: it is on the meta device", where=name, fix="build it on cpu")
    if any(tensor.device.type != "cpu" for tensor in model.state_dict().values()):
        raise UsageError("is not on the CPU", where=name, fix="move it there: model.cpu()")
    if any(each.is_floating_point() and each.dtype != torch.float32 for each in model.state_dict().values()):
        raise UsageError("is not in float32", where=name, fix="export it in float32: model.float()")
    digest = digest_of(unique(model.state_dict())[0])
    size = (shape[2], shape[3])
    return Exportee(
        name=name, model=model.eval(), channels=shape[1], size=size, digest=digest, sources=sources, about=about
    )


def _of_family(target: FamilyTarget) -> Exportee:
    from analyzer.building.modules import build

    variant = target.variant
    if target.weights is not None:
        return _of_checkpoint(str(target.label), variant.name, (target.weights,))
    shape = (1, 3, variant.image, variant.image)
    return exportee(build(variant), shape, name=preset_name(variant) or variant.name)


def _of_checkpoint(text: str, name: str, sources: tuple[Path, ...]) -> Exportee:
    from analyzer.training.predicting import loaded

    about, model = loaded(text)
    return exportee(model, (1, about.channels, about.image, about.image), name=name, sources=sources, about=about)


def _load_bare(path: Path, model: nn.Module) -> None:
    """Puts weights alone into a model; that they fit was seen as it was loaded."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError("is damaged or gone", where=str(path), fix="restore it") from error
    model.load_state_dict(tensors, strict=False)  # a tied tensor is there under one of its names


def _shape_of(target: ModuleTarget) -> tuple[int, ...]:
    if len(target.inputs) != 1 or target.inputs[0].dtype != "float32":
        raise UsageError(
            "needs the one input that it takes", where=target.name, fix="give --input, such as --input 1,3,224,224"
        )
    return target.inputs[0].shape
