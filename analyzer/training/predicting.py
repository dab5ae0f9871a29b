"""What a checkpoint's network says of images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analyzer.errors import UsageError
from analyzer.images.base import DamagedImageError, path_words
from analyzer.images.decoding import decode
from analyzer.images.pixels import fitted
from analyzer.structs import Frozen
from analyzer.targets.checkpoints import SUFFIX, Checkpoint, read_header
from analyzer.targets.resolving import FamilyTarget, resolve
from analyzer.training.trainees import Trainee

if TYPE_CHECKING:
    from torch import nn

BATCH = 32


class Prediction(Frozen, frozen=True, kw_only=True):
    """One image's probabilities by class, the likeliest first; or why it could not be read."""

    image: str
    probabilities: dict[str, float]
    error: str | None = None

    @property
    def top(self) -> str:
        """The likeliest class."""
        return next(iter(self.probabilities), "–")


def images_of(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Files, and the files in folders (hidden ones aside), in order. Raises UsageError where there is none."""
    found: list[Path] = []
    for text in paths:
        path = Path(text)
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError("is not there", where=path_words(path), fix="name image files, or folders of them")
    if not found:
        raise UsageError("hold no image", where=", ".join(map(path_words, paths)), fix="name image files")
    return found


def loaded(target: str) -> tuple[Checkpoint, nn.Module]:
    """A checkpoint's network with its weights, in evaluation mode; a model of one's own is named before an @.

    Raises UsageError where it is damaged, or of another network.
    """
    from analyzer.training.checkpoints import load_weights

    if not target.endswith(SUFFIX):
        raise UsageError("is no checkpoint", where=path_words(target), fix=f"name one: runs/RUN/last{SUFFIX}")
    resolved = resolve(target)
    assert resolved.weights is not None
    header = read_header(resolved.weights)
    about = header.checkpoint
    network = {"variant": resolved.variant} if isinstance(resolved, FamilyTarget) else {"module": resolved}
    size = about.image, about.channels, len(about.classes)
    model = Trainee(about.network, about.network, *size, **network).made(about.seed)
    load_weights(resolved.weights, header, model)
    return about, model.eval()


def predictions(target: str, paths: Sequence[str | os.PathLike[str]], device: str = "auto") -> Iterator[Prediction]:
    """What a checkpoint's network says of each image, as it was evaluated in training: resized, cut, normalised.

    An image that can't be read is a row with the reason. Raises UsageError on a checkpoint that can't be used.
    """
    import torch

    from analyzer.measuring.environment import pick_device
    from analyzer.training.feeding import as_input
    from analyzer.training.stepping import logits_of

    files, where = images_of(paths), pick_device(device)
    about, model = loaded(target)
    model.to(where)
    for start in range(0, len(files), BATCH):
        read = [(path, _pixels(path, about)) for path in files[start : start + BATCH]]
        good = [pixels for _, pixels in read if not isinstance(pixels, str)]
        shares: Iterator[list[float]] = iter(())
        if good:
            with torch.inference_mode():
                logits = logits_of(model(as_input(np.stack(good), where)), len(about.classes))
                shares = iter(torch.softmax(logits.double(), 1).tolist())
        for path, pixels in read:
            if isinstance(pixels, str):
                yield Prediction(image=path_words(path), probabilities={}, error=pixels)
            else:
                by_class = zip(about.classes, next(shares), strict=True)
                ordered = dict(sorted(by_class, key=lambda each: -each[1]))
                yield Prediction(image=path_words(path), probabilities=ordered)


def _pixels(path: Path, about: Checkpoint) -> np.ndarray | str:
    try:
        with path.open("rb") as file:
            return fitted(decode(file, path_words(path)).pixels, about.image, about.channels)
    except DamagedImageError as error:
        return error.what
    except OSError as error:
        return f"can't be read: {error.strerror}"
