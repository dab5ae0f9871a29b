"""Levers that train: batch norms looked over again, fine-tuning by training's own loop, weights drawn anew."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from analyzer.building.modules import build
from analyzer.building.surgery import operate
from analyzer.compressing.pictures import Pictures
from analyzer.compressing.planning import State
from analyzer.errors import UsageError
from analyzer.files import temporary_folder
from analyzer.processes import finishing
from analyzer.shown import silent
from analyzer.training import checkpoints, keyed
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config, Epoch
from analyzer.training.trainees import Trainee
from analyzer.training.trainer import Trainer, TrainerWatch, TrainJob


def recalibrate(model: nn.Module, pictures: Pictures) -> int:
    """Takes the statistics of every batch norm anew, as means over training images without augmentation; gives how many
    there are. Weights stay as they are. Raises UsageError where no two images come at a time: they have no variance.
    """
    if min(pictures.config.recipe.batch, len(pictures.split.train)) < 2:
        raise UsageError("needs two images at a time", where="recalibrate", fix="give more, or say --batch 32")
    norms = [module for module in model.modules() if isinstance(module, _NormBase) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # each batch counts the same
        norm.train()
    with pictures.moved(model), torch.inference_mode():  # what is moved within it could be trained no more
        for images, _ in pictures.batches():
            if len(images) > 1:
                model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
    return len(norms)


def drawn_anew(state: State) -> nn.Module:
    """The same network, its weights drawn from the plan's seed as its source's were; of one's own model by the layers'
    own way.
    """
    seed = state.plan.seed
    if state.variant is not None:
        return build(state.variant, seed=seed).eval()
    if state.parent is not None:
        return operate(build(state.parent, seed=seed), state.done).eval()
    made = copy.deepcopy(state.model)
    with keyed.seeded(keyed.MODEL, seed):
        for module in made.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return made.eval()


@dataclass(frozen=True)
class MadeTrainee(Trainee):
    """A network that is there already: it is trained from its own weights."""

    network: nn.Module | None = None

    def made(self, seed: int) -> nn.Module:
        """A copy of it, in training mode."""
        assert self.network is not None
        return copy.deepcopy(self.network).train()

    def identity(self) -> dict[str, object]:
        """Nothing: what is written on the way is thrown away with its folder."""
        return {}


def trained(
    model: nn.Module, pictures: Pictures, epochs: int, told: Callable[[Config, Epoch], None],
    prepared: Callable[[Trainer], None] = silent, folder: Path | None = None,
) -> nn.Module:  # fmt: skip
    """A copy of a model, trained so many epochs by training's own loop. `prepared` may change how it steps; a `folder`
    keeps the epochs, and those that it has are not trained again. Ctrl-C finishes a step and keeps it.

    Raises TrainingError where the loss is no number, UsageError where there are too few images.
    """
    split, recipe = pictures.split, pictures.config.recipe
    if len(split.train) < 2:
        raise UsageError("has too few images to train on", where="--data", fix="give more")
    recipe = msgspec.structs.replace(
        recipe, epochs=epochs, batch=min(recipe.batch, len(split.train)), train_accuracy_every=0
    )
    config = msgspec.structs.replace(pictures.config, recipe=recipe, micro=recipe.batch)
    shape = (config.image, pictures.feed.channels, len(config.classes))
    trainee = MadeTrainee(config.network, config.label, *shape, network=model)
    alone = replace(split, val=(), test=())  # what they come to is nobody's business while it trains
    with temporary_folder("compress") as temporary, finishing() as asked:
        place = (folder or Path(temporary)) / _digest(recipe)  # what another recipe trained stays beside it
        job = TrainJob(trainee, config, alone, pictures.feed, pictures.device, place)
        trainer = Trainer(job, checkpoints.last_of(place))
        prepared(trainer)
        for _ in trainer.epochs(TrainerWatch(epoch=told, asked=asked)):
            pass
    made: nn.Module = trainer.model
    return made.cpu().eval()


def _digest(recipe: Recipe) -> str:
    return hashlib.sha256(msgspec.json.encode(recipe)).hexdigest()[:12]
