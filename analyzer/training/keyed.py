"""Randomness as a function of what it is for: a seed, an epoch, an image, a step. Nothing is kept, so nothing is lost.

A generator's state would have to be saved at every step, and would differ with the number of workers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ORDER, AUGMENT, STEP, MODEL, EXTRA = range(5)
"""What is drawn: keys of unlike purposes never meet."""
Keys = NDArray[np.uint64]


def keys(purpose: int, *parts: int | NDArray[np.int64]) -> Keys:
    """64 random bits for each combination of the parts (whole numbers, or arrays of them): splitmix64, chained
    (Steele et al. 2014).
    """
    with np.errstate(over="ignore"):
        state = _mixed(np.asarray(purpose + 1, np.uint64))
        for part in parts:
            state = _mixed(state ^ np.asarray(part).astype(np.uint64))
    return state


def _mixed(x: Keys) -> Keys:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Keys = x ^ (x >> np.uint64(31))
    return mixed


def order(seed: int, epoch: int, images: int) -> NDArray[np.int64]:
    """The order in which an epoch takes the images: a permutation, the same whatever came before."""
    drawn = keys(ORDER, seed, epoch, np.arange(images))
    permutation: NDArray[np.int64] = np.argsort(drawn, kind="stable")
    return permutation


def augmented(pixels: NDArray[np.uint8], drawn: Keys, kinds: tuple[str, ...]) -> NDArray[np.uint8]:
    """Images (N, H, W, C) mirrored (`flip`) and shifted by up to an eighth of their size, the edge reflected (`crop`),
    each by its own key.
    """
    count, height, width, _ = pixels.shape
    pad = min(height, width) // 8 if "crop" in kinds else 0
    padded = np.pad(pixels, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect") if pad else pixels
    span = np.uint64(2 * pad + 1)
    down = ((drawn >> np.uint64(8)) % span).astype(np.int64)
    right = ((drawn >> np.uint64(32)) % span).astype(np.int64)
    mirrored = (drawn & np.uint64(1)).astype(bool) & ("flip" in kinds)
    made = np.empty_like(pixels)
    for image in range(count):
        y, x = down[image], right[image]
        window = padded[image, y : y + height, x : x + width]
        made[image] = window[:, ::-1] if mirrored[image] else window
    return made


@contextlib.contextmanager
def seeded(purpose: int, *parts: int) -> Iterator[None]:
    """torch's, numpy's and Python's own generators seeded for what is inside (dropout, a model's own draws), and given
    back as they were.
    """
    import random

    import torch

    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        try:
            reseed(purpose, *parts)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def reseed(purpose: int, *parts: int) -> None:
    """Seeds the three generators; what is inside `seeded` alone may."""
    import random

    import torch

    seed = int(keys(purpose, *parts)) >> 1
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
