"""A source's images as batches: decoded once and kept where memory allows, else decoded anew by workers.

What a batch holds depends on which images it asks for alone, never on who decoded them or how many did.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from analyzer import processes
from analyzer.errors import UsageError
from analyzer.images.pixels import fitted
from analyzer.training.together import launched
from analyzer.units import GIB

if TYPE_CHECKING:
    from analyzer.images.source import Source

Indices = NDArray[np.int64]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training images, in [0, 1] (torchvision's); of one channel their means."""
DECODED_AT_ONCE = 64


class _Decoded(Dataset[NDArray[np.uint8]]):
    """Images of one size, by index, as worker processes make them."""

    def __init__(self, source: Source, image: int, channels: int) -> None:
        self.source, self.image, self.channels = source, image, channels

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return fitted(self.source.image(int(index)), self.image, self.channels)


class Feed:
    """Images (N, image, image, channels) uint8 of a source, in whatever order is asked.

    `workers` processes decode beside this one (0: this one decodes); all are kept in memory up to `cache_bytes`.
    """

    def __init__(
        self, source: Source, image: int, channels: int = 3, *, workers: int = 0, cache_bytes: int = 2 * GIB
    ) -> None:
        self.source, self.image, self.channels, self.workers = source, image, channels, workers
        self.labels = np.asarray(source.labels, np.int64)
        self._decoded = _Decoded(source, image, channels)
        self._slots: dict[int, int] = {}
        self._kept: NDArray[np.uint8] | None = None
        self._cache_bytes = cache_bytes

    def keep(self, indices: Sequence[int]) -> None:
        """Decodes these images and keeps them, where all of them fit; those that are kept are not decoded again."""
        if self._slots.keys() >= set(indices):
            return
        shape = (len(indices), self.image, self.image, self.channels)
        if int(np.prod(shape)) > self._cache_bytes:
            return
        kept = np.empty(shape, np.uint8)
        wanted = np.asarray(indices, np.int64)
        parts = [wanted[start : start + DECODED_AT_ONCE] for start in range(0, len(wanted), DECODED_AT_ONCE)]
        done = 0
        for part in self._read(parts):
            kept[done : done + len(part)] = part
            done += len(part)
        self._kept, self._slots = kept, {int(index): slot for slot, index in enumerate(indices)}

    def batches(self, parts: Sequence[Indices]) -> Iterator[NDArray[np.uint8]]:
        """The images of each part, in order."""
        if self._kept is None:
            yield from self._read(parts)
            return
        for part in parts:
            yield self._kept[[self._slots[int(index)] for index in part]]

    def _read(self, parts: Sequence[Indices]) -> Iterator[NDArray[np.uint8]]:
        loader: Iterable[Any] = DataLoader(
            self._decoded,
            batch_sampler=[[int(index) for index in part] for part in parts],
            num_workers=self.workers,
            collate_fn=np.stack,
            generator=torch.Generator(),  # else it takes a number from the user's
            worker_init_fn=_begin_worker if self.workers else None,
        )
        with _withheld() if self.workers and launched() else contextlib.nullcontext():
            decoded = iter(loader)
        yield from decoded


@contextlib.contextmanager
def _withheld() -> Iterator[None]:
    """SIGTERM waits, also for processes that are born meanwhile: torchrun tells a whole process group to end, and one
    that decodes is to outlive the step of the one that reads.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(_: int) -> None:
    processes.as_worker()
    if launched():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def as_input(pixels: NDArray[np.uint8], device: torch.device, *, channels_last: bool = False) -> Tensor:
    """Images (N, H, W, C) as what a network takes: (N, C, H, W) float32, less ImageNet's mean, over its deviation."""
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2)
    mean, std = statistics(pixels.shape[-1])
    layout = torch.channels_last if channels_last else torch.contiguous_format
    scaled = tensor.to(torch.float32, memory_format=layout)
    shape = (1, -1, 1, 1)
    shift = torch.tensor(mean, device=device).mul_(255).view(shape)
    scale = torch.tensor(std, device=device).mul_(255).view(shape)
    return scaled.sub_(shift).div_(scale)


def statistics(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and deviation that images of so many channels are normalised by. Raises UsageError but for 1 and 3."""
    if channels == 3:
        return MEAN, STD
    if channels == 1:
        return (sum(MEAN) / 3,), (sum(STD) / 3,)
    raise UsageError(
        f"takes images of {channels} channels", where="--input", fix="train a network of 3 channels, or of 1 (grey)"
    )
