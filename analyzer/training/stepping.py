"""One optimizer's step: a batch, in parts whose gradients add up, to a loss and how many it got right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from analyzer.errors import TargetError
from analyzer.training.together import ALONE, Together

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.training.recipe import Recipe
    from analyzer.training.run_records import Config


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """torch's own, with its defaults but for what the recipe says; SGD with Nesterov's momentum (Huang et al. 2017)."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(trained, momentum=recipe.momentum, nesterov=recipe.momentum > 0, **common)
    made = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return made(trained, **common)


class Stepper:
    """Takes steps: `model` is called, `optimizer` steps, `micro` images at a time go through the network.

    Losses are means over the batch (each image by its class's weight), whatever the parts and the processes are;
    batch norm sees a part.
    """

    def __init__(
        self, model: Callable[[Tensor], Any], optimizer: torch.optim.Optimizer, config: Config,
        weights: Tensor | None, device: torch.device, together: Together = ALONE,
    ) -> None:  # fmt: skip
        self.model, self.optimizer, self.weights, self.device = model, optimizer, weights, device
        self.together = together
        self.trained = [each for group in optimizer.param_groups for each in group["params"]]
        self.micro, self.classes, self.recipe = config.micro, len(config.classes), config.recipe
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.recipe.amp == "float16")

    def step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What this process's images, its share of the batch whose `labels` are given, add to the batch's mean loss
        before the step, and how many of them it got right; both on the device.
        """
        self.optimizer.zero_grad(set_to_none=True)
        whole = len(labels) if self.weights is None else self.weights[labels].sum()
        loss, right = images.new_zeros(()), torch.zeros((), dtype=torch.int64, device=self.device)
        parts = self._parts(len(labels))
        labels = labels[torch.from_numpy(self.together.share(np.arange(len(labels)))).to(labels.device)]
        for part, target in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
            with autocast(self.recipe, self.device):
                logits = logits_of(self.model(part), self.classes)
            wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
            share = self.summed_loss(part, wide, target) / whole
            self.scaler.scale(share).backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
            right += (logits.detach().argmax(1) == target).sum()
        self.together.add_gradients(self.trained)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss, right

    def summed_loss(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """What images add to the loss: their cross-entropies, each by its class's weight; in float32 or more."""
        weights = None if self.weights is None else self.weights.to(logits)
        return F.cross_entropy(logits, labels, weight=weights, reduction="sum")

    def _parts(self, batch: int) -> int:
        """In how many parts each process takes its share: as many as all others, since batch norm may wait for them,
        and none of them empty.
        """
        largest = self.together.largest(batch)
        return min(-(-largest // self.micro), batch // self.together.processes)


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Where a forward runs: under the recipe's autocast, or none."""
    dtype = None if recipe.amp == "none" else getattr(torch, recipe.amp)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def logits_of(answer: Any, classes: int) -> Tensor:
    """What a classifier gives, as (N, classes). Raises TargetError for anything else."""
    if isinstance(answer, Tensor) and answer.ndim == 2 and answer.shape[1] == classes:
        return answer
    given = f"a tensor of shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
    raise TargetError(
        f"the model gives {given}, and the data has {classes} classes", where="its forward",
        fix=f"give logits, one row an image: (N, {classes}), such as by --kwarg num_classes={classes}",
    )  # fmt: skip
