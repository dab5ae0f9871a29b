"""Images of any size made to fit a network's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.images.base import Pixels

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np


def fitted(pixels: Pixels, size: int, channels: int = 3) -> Pixels:
    """uint8 (size, size, channels): the shorter side resized (bilinear, antialiased), then the centre cut out.

    `pixels` are RGB; with one channel their luminance (ITU-R 601) is what is resized.
    """
    from PIL import Image

    image = Image.fromarray(pixels)
    if channels == 1:
        image = image.convert("L")
    side = min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    square = (left, top, left + side, top + side)
    # Only the square is resized: the same pixels as when the whole is, and cut after.
    fit = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=square))
    return fit[:, :, None] if channels == 1 else fit
