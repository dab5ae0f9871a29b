"""What a network says of images, as it is used: in evaluation mode, without augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from analyzer.training.feeding import Feed, Indices, as_input
from analyzer.training.stepping import autocast, logits_of

if TYPE_CHECKING:
    from analyzer.training.run_records import Config
    from analyzer.training.trainer import TrainJob


@dataclass(frozen=True)
class Evaluation:
    """Logits (images, classes) float32 in the images' order, and what they come to: shares right, mean loss in nats."""

    logits: NDArray[np.float32]
    right: int
    loss: float

    @property
    def accuracy(self) -> float:
        """The share of images whose largest logit is their class's."""
        return self.right / len(self.logits)


def evaluated(model: nn.Module, job: TrainJob, indices: Sequence[int] | Indices) -> Evaluation | None:
    """Evaluates images; each process takes its share, and the first alone has what came of all."""
    asked = np.asarray(indices, np.int64)
    own = answered(model, job.feed, job.together.share(asked), job.config, job.device)
    whole = job.together.gathered(own)
    return None if whole is None else judged(whole, job.feed.labels[asked])


def answered(
    model: nn.Module, feed: Feed, wanted: Indices, config: Config, device: torch.device
) -> NDArray[np.float32]:
    """Logits (images, classes) of images, as many at a time as train; the model comes back in the mode it was in."""
    batch, recipe = config.micro, config.recipe
    parts = [wanted[start : start + batch] for start in range(0, len(wanted), batch)]
    logits = [torch.empty(0, len(config.classes))]  # of no image where there are fewer than processes
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for pixels in feed.batches(parts):
                images = as_input(pixels, device, channels_last=recipe.channels_last)
                with autocast(recipe, device):
                    logits.append(logits_of(model(images), len(config.classes)).float().cpu())
    finally:
        model.train(was_training)
    return torch.cat(logits).numpy()


def judged(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Evaluation:
    """What logits come to; sums are in float64, in the images' order."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=1, keepdims=True)
    losses = np.log(np.exp(wide - top).sum(axis=1)) + top[:, 0] - wide[np.arange(len(labels)), labels]
    return Evaluation(logits, int((logits.argmax(axis=1) == labels).sum()), float(losses.sum() / max(len(labels), 1)))
