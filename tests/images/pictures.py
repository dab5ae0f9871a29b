"""Small images and folders of them, unlike each other unless they are made alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """Smooth colours that a seed draws."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def folder_of(root: Path, counts: Mapping[str, int], begin: int = 0) -> Path:
    """So many images in each class folder, numbered; `begin` is the first seed."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture(begin, (48, 40)).save(root / name / f"{number}.png")
            begin += 1
    return root
