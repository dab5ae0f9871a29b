"""One measurement at a time on a device, whoever measures on this machine."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from analyzer.errors import MeasureError
from analyzer.files import locked


@contextlib.contextmanager
def exclusive(device: str, folder: Path | None = None) -> Iterator[tuple[int, ...]]:
    """Waits until nobody else here measures on a device and keeps others off it; gives descriptors for the child.

    A child that got the descriptor holds the device past the death of its parent. Raises MeasureError where there is no
    place for the lock.
    """
    path = (folder or _everybodys()) / f"analyzer-{hardware(device)}.lock"
    with contextlib.ExitStack() as stack:
        try:
            descriptors = stack.enter_context(locked(path))
        except OSError as error:
            raise MeasureError(
                f"can't lock the device: {error.strerror}", where=str(path), fix="make this file readable, or remove it"
            ) from error
        yield descriptors


def hardware(device: str) -> str:
    """What a device's name stands for on this machine: cuda:0 is another GPU in another CUDA_VISIBLE_DEVICES."""
    if not device.startswith("cuda"):
        return device.partition(":")[0]
    import torch

    return f"cuda-{torch.cuda.get_device_properties(torch.device(device)).uuid}"


def _everybodys() -> Path:
    """A folder that all users of this machine share, also where TMPDIR says another one for each."""
    place = Path("/tmp")
    return place if place.is_dir() else Path(tempfile.gettempdir())
