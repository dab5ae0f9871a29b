"""Augmentations beyond flips and crops, by kornia (an extra), each batch's keyed by the epoch and its first image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from analyzer.distribution import NAME
from analyzer.errors import UsageError
from analyzer.training import keyed
from analyzer.training.recipe import EXTRA, Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from analyzer.training.feeding import Indices

Augment = Callable[["Tensor", int, int, "Indices"], "Tensor"]


def extra_augmentation(recipe: Recipe) -> Augment | None:
    """What a recipe asks of kornia: (images, seed, epoch, indices) -> images; None where it asks nothing.

    Raises UsageError where kornia is not installed.
    """
    asked = [kind for kind in recipe.augment if kind in EXTRA]
    if not asked:
        return None
    try:
        import kornia.augmentation as made
    except ImportError:
        raise UsageError(
            f"{', '.join(asked)} need kornia", where="--augment", fix=f'pip install "{NAME}[augment]"'
        ) from None
    kinds: dict[str, Callable[[], Any]] = {
        "rotate": lambda: made.RandomRotation(degrees=15.0, p=1.0),
        "color": lambda: made.ColorJiggle(0.2, 0.2, 0.2, 0.05, p=1.0),
        "erase": lambda: made.RandomErasing(p=0.5),
    }
    steps = [kinds[kind]() for kind in asked]

    def augment(images: Tensor, seed: int, epoch: int, indices: Indices) -> Tensor:
        keyed.reseed(keyed.EXTRA, seed, epoch, int(indices[0]))
        for step in steps:
            images = step(images)
        return images

    return augment
