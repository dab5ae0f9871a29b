"""Networks of a race that are not trained: the original as it is, recalibrated, in int8; points before training."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.searching.points import Maker

if TYPE_CHECKING:
    from torch import nn

    from analyzer.compressing.sides import Still

CALIBRATED = 32
"""Training images whose ranges int8 goes by: the first half calibrates."""


def as_it_is(maker: Maker, model: nn.Module, how: str) -> Still:
    """A network as it is."""
    begun = time.process_time()
    return _still(maker.pictures.right(model), how, maker.figures(model), begun)


def recalibrated(maker: Maker, model: nn.Module, how: str) -> Still:
    """A network whose batch norms' statistics are taken anew."""
    from analyzer.compressing.tuning import recalibrate

    begun = time.process_time()
    made = copy.deepcopy(model)
    recalibrate(made, maker.pictures)
    return _still(maker.pictures.right(made), how, maker.figures(made), begun)


def in_int8(maker: Maker, how: str) -> Still:
    """The original quantised by ONNX Runtime, on training images; its parameters' bytes are the file's.

    Raises UsageError, TargetError where it can't be.
    """
    import torch

    from analyzer.exporting.execution import ExportPlan, execute
    from analyzer.exporting.exportee import exportee
    from analyzer.exporting.int8 import quantize
    from analyzer.exporting.runtime import session
    from analyzer.files import temporary_folder

    begun, original, pictures = time.process_time(), maker.original, maker.pictures
    images = torch.cat([images for images, _ in pictures.batches(CALIBRATED)]).numpy()
    with temporary_folder("int8") as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "small.onnx"
        execute(ExportPlan(exportee=exportee(original.model, original.input.shape, name=original.name), out=whole))
        made = quantize(whole, images, small)
        right = pictures.right(_Session(session(small)))  # type: ignore[arg-type]
    return _still(right, how, {**maker.whole, "param_bytes": made.param_bytes}, begun)


class _Session:
    """A session asked as a network is."""

    training = False

    def __init__(self, run: Any) -> None:
        self._run = run

    def __call__(self, images: Any) -> Any:
        import torch

        return torch.from_numpy(self._run(images.numpy()))

    def eval(self) -> None:
        """It has no other mode."""

    def train(self, mode: bool) -> None:
        """It has no other mode."""


def _still(right: Any, how: str, figures: dict[str, int], begun: float) -> Still:
    from analyzer.compressing.sides import Still

    flags = "".join("1" if one else "0" for one in right)
    took = time.process_time() - begun
    return Still(how=how, figures=figures, accuracy=float(right.mean()), right=flags, cpu_s=took)
