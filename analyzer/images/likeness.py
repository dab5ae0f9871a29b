"""Which of many images are nearly the same: 32x32 grey pixels that correlate, and a perceptual hash that agrees.

Each test alone joins unlike pictures: the hash those of like shapes, the correlation white sheets under one lamp. No
pair that passes both is missed, as it would be if the hash's buckets were searched: what two pictures can at most
correlate by follows from their 8x8 means and from how much of each those means leave out, and only pairs that could
reach the bound are compared in full. That is one product of matrices, 65 numbers an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from analyzer.images.base import Pixels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    from analyzer.later import np

SIDE, MEANS = 32, 8
LEAST = 0.98
MOST_BITS = 10
"""Of 64 that two hashes may differ in."""
FLAT = 1.0
"""The standard deviation, in grey levels of 255, below which a picture is of one colour and correlates with nothing."""
_TILE = 4096
_SLACK = 1e-4

Reals: TypeAlias = "npt.NDArray[np.float64]"


def thumbnail(pixels: Pixels) -> Pixels:
    """uint8 (32, 32): the picture's luminance, squeezed (bilinear, antialiased)."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def dhash(pixels: Pixels) -> int:
    """64 bits: whether each of 8x8 places is brighter than the one to its left (Krawetz 2013, "dHash")."""
    from PIL import Image

    grey = np.asarray(Image.fromarray(pixels).convert("L").resize((MEANS + 1, MEANS), Image.Resampling.LANCZOS))
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes())


def is_flat(small: Pixels) -> bool:
    """Whether a thumbnail is of one colour."""
    return bool(small.std() < FLAT)


def alike(smalls: Pixels, hashes: Sequence[int]) -> Iterator[tuple[int, int, float]]:
    """Pairs (first < second) of N images that are nearly the same, by thumbnails (N, 32, 32) and hashes; and their
    correlations.
    """
    for first, second, correlation in correlated(smalls):
        if (hashes[first] ^ hashes[second]).bit_count() <= MOST_BITS:
            yield first, second, correlation


def correlated(smalls: Pixels, least: float = LEAST) -> Iterator[tuple[int, int, float]]:
    """Pairs (first < second) of thumbnails, (N, 32, 32), with a correlation of at least `least`, and that."""
    if len(smalls) < 2:
        return
    bounds = np.concatenate([_bounding(smalls[at : at + _TILE]) for at in range(0, len(smalls), _TILE)])
    for row in range(0, len(smalls), _TILE):
        for column in range(row, len(smalls), _TILE):
            reach = bounds[row : row + _TILE] @ bounds[column : column + _TILE].T >= least - _SLACK
            firsts, seconds = np.nonzero(np.triu(reach, 1) if row == column else reach)
            for at in range(0, len(firsts), _TILE):
                one, other = firsts[at : at + _TILE] + row, seconds[at : at + _TILE] + column
                correlations = (_unit(smalls[one]) * _unit(smalls[other])).sum(axis=1)
                for place in np.flatnonzero(correlations >= least):
                    yield int(one[place]), int(other[place]), float(correlations[place])


def _unit(smalls: Pixels) -> Reals:
    """Each thumbnail as a vector of length 1 with mean 0, whose products are correlations; zeros for a flat one."""
    vectors = smalls.reshape(len(smalls), -1).astype(np.float64)
    vectors -= vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = length < FLAT * SIDE
    return np.where(flat, 0, vectors / np.where(flat, 1, length))


def _bounding(smalls: Pixels) -> npt.NDArray[np.float32]:
    """For each thumbnail 64 coordinates and the length of the rest, so that products are never below correlations.

    Means over 4x4 pixels, times 4, are coordinates in an orthonormal system; what is left of two vectors of length 1
    has at most the product of its lengths in common (Cauchy and Schwarz).
    """
    step = SIDE // MEANS
    means = _unit(smalls).reshape(-1, MEANS, step, MEANS, step).sum(axis=(2, 4)).reshape(len(smalls), -1) / step
    some = np.abs(means).sum(axis=1, keepdims=True) > 0
    rest = np.sqrt(np.clip(1 - (means**2).sum(axis=1, keepdims=True), 0, 1)) * some
    return np.concatenate([means, rest], axis=1).astype(np.float32)
