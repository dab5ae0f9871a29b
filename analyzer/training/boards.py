"""Epochs as TensorBoard's scalars, beside what is kept: an extra."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from analyzer.distribution import NAME
from analyzer.errors import UsageError
from analyzer.training.planning import TrainWatch
from analyzer.training.run_records import Config, Epoch

SCALARS = (
    "lr", "log_train_accuracy", "log_train_loss", "train_accuracy", "train_loss", "val_accuracy", "val_loss",
    "test_accuracy", "test_loss", "generalisation_gap",
)  # fmt: skip


def boarded(watch: TrainWatch, folder: Path) -> TrainWatch:
    """A watch that also writes each finished epoch to `folder/RUN`. Raises UsageError where TensorBoard is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "TensorBoard is not installed", where="--tensorboard", fix=f'pip install "{NAME}[tensorboard]"'
        ) from None
    writers: dict[str, Any] = {}

    def epoch(config: Config, finished: Epoch) -> None:
        if config.run not in writers:
            writers[config.run] = SummaryWriter(str(folder / config.run))
        for name in SCALARS:
            value = getattr(finished, name)
            if value is not None:
                writers[config.run].add_scalar(name, value, finished.epoch)
        writers[config.run].flush()
        watch.epoch(config, finished)

    return replace(watch, epoch=epoch)
