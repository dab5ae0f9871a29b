"""The images on which an exported file is compared, calibrated and timed: real ones, or seeded stand-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analyzer.errors import UsageError
from analyzer.images.base import DamagedImageError
from analyzer.images.pixels import fitted
from analyzer.images.source import open_source

if TYPE_CHECKING:
    from analyzer.exporting.exportee import Exportee

Batch = npt.NDArray[np.float32]
"""Images (N, C, H, W) as the network takes them: normalised."""
SEED = 0


class SampleImages(NamedTuple):
    """Images, and in words what they are."""

    batch: Batch
    said: str


def pictures_for(exportee: Exportee, data: Any, count: int) -> SampleImages:
    """So many images for a network: of `data` (as `train` takes it), drawn by a seed; without it, normal noise.

    Raises DataError, and UsageError where the data has fewer than two that can be read.
    """
    if data is None:
        shape = (count, exportee.channels, *exportee.size)
        drawn = np.random.default_rng(SEED).standard_normal(shape, np.float32)
        return SampleImages(drawn, f"{count} seeded stand-ins (noise: give --data for real images)")
    from analyzer.training.feeding import as_input

    if exportee.size[0] != exportee.size[1] or exportee.channels not in (1, 3):
        raise UsageError("takes no square images of 1 or 3 channels", where=exportee.name, fix="leave --data out")
    import torch

    source, found = open_source(data), []
    for index in np.random.default_rng(SEED).permutation(len(source)):
        try:
            found.append(fitted(source.image(int(index)), exportee.size[0], exportee.channels))
        except DamagedImageError:
            continue
        if len(found) == count:
            break
    if len(found) < 2:
        raise UsageError("has fewer than two images that can be read", where=source.name, fix="give more")
    batch: Batch = as_input(np.stack(found), torch.device("cpu")).contiguous().numpy()
    return SampleImages(batch, f"{len(found)} images of {source.name}")
