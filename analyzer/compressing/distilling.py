"""Distillation: a network learns from another one's answers, or from what its stages give too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from analyzer.errors import UsageError
from analyzer.training.stepping import Stepper
from analyzer.training.trainer import Trainer

TEMPERATURE, SHARE = 4.0, 0.9
"""How soft the teacher's answers are made, and their share of the loss (Hinton et al. 2015, §3)."""
_STAGE = re.compile(r"(features\.denseblock|layer|stage)\d+")


class _Stages:
    """What a network's stages gave when it last ran."""

    def __init__(self, model: nn.Module, paths: Sequence[str]) -> None:
        self.gave: dict[str, Tensor] = {}
        for path in paths:
            model.get_submodule(path).register_forward_hook(self._kept(path))

    def _kept(self, path: str) -> Any:
        def keep(module: nn.Module, inputs: Any, gave: Tensor) -> None:
            self.gave[path] = gave

        return keep


class Distiller(Stepper):
    """Steps of a trainer whose loss has a teacher: its softened answers (`logits`), or what its stages give
    (`features`), which 1x1 convolutions, trained beside and thrown away, make of the learner's (Romero et al. 2015).
    """

    def __init__(self, trainer: Trainer, teacher: nn.Module, hint: str) -> None:
        was = trainer.stepper
        super().__init__(was.model, trainer.optimizer, trainer.job.config, was.weights, was.device)
        self.scaler.load_state_dict(was.scaler.state_dict())
        self.teacher, self.hint = teacher.eval().requires_grad_(False).to(was.device), hint
        self.paths: list[str] = [] if hint == "logits" else stages_of(trainer.model, teacher)
        self.learned, self.taught = _Stages(trainer.model, self.paths), _Stages(self.teacher, self.paths)
        self.bridges = nn.ModuleList()

    def summed_loss(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """What images add to the loss."""
        right = super().summed_loss(images, logits, labels)
        with torch.no_grad():
            answer = self.teacher(images).float()
        if self.hint == "logits":
            soft = F.log_softmax(logits / TEMPERATURE, 1)
            wanted = F.log_softmax(answer / TEMPERATURE, 1)
            far = F.kl_div(soft, wanted, reduction="sum", log_target=True) * TEMPERATURE**2
            return SHARE * far + (1 - SHARE) * right
        return right + len(labels) * self._far_apart()

    def _far_apart(self) -> Tensor:
        """The stages' mean squared distance, over the teacher's mean square."""
        pairs = [(self.learned.gave[path], self.taught.gave[path]) for path in self.paths]
        if not len(self.bridges):
            for own, wanted in pairs:
                self.bridges.append(nn.Conv2d(own.shape[1], wanted.shape[1], 1, bias=False).to(own.device))
            self.optimizer.add_param_group({"params": list(self.bridges.parameters())})
        distances = [
            F.mse_loss(bridge(own), wanted) / wanted.square().mean().clamp_min(1e-12)
            for bridge, (own, wanted) in zip(self.bridges, pairs, strict=True)
        ]
        return torch.stack(distances).mean()


def stages_of(model: nn.Module, teacher: nn.Module) -> list[str]:
    """Stages that both have, by path. Raises UsageError where there is none."""
    both = {path for path, _ in model.named_modules()} & {path for path, _ in teacher.named_modules()}
    found = sorted(path for path in both if _STAGE.fullmatch(path))
    if not found:
        raise UsageError("knows no stages of it", where="distill features", fix="distill by logits")
    return found
