"""One measurement of a user's at a time on a device: who waits says so at once, for whom, and not for ever."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from analyzer.errors import MeasureError
from analyzer.files import lock_is_held, locked
from analyzer.shown import plain
from analyzer.structs import Frozen

LOOK_S = 0.05
WAIT_S = 600.0


class BusyError(MeasureError):
    """A device that another process has measured on for as long as one was to wait (exit 3)."""


class Holder(Frozen, frozen=True, kw_only=True):
    """Who measures on a device: the command's process, since when."""

    pid: int
    since: str
    command: str

    @property
    def words(self) -> str:
        """`pid 4711 (analyze measure article), since 2026-01-31T12:00:01+00:00`."""
        return f"pid {self.pid} ({self.command}), since {self.since}"


def _on_stderr(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


@dataclass
class Patience:
    """How long to wait for a device, and how that is told."""

    seconds: float = WAIT_S
    tell: Callable[[str], None] = _on_stderr


patience = Patience()
"""This process's."""


class _Waiting:
    """The time in which any thread of this process waits for a device, and a clock that stands then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads, self._since, self._before = 0, 0.0, 0.0

    def __enter__(self) -> None:
        with self._lock:
            if self._threads == 0:
                self._since = time.monotonic()
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                self._before += time.monotonic() - self._since

    def clock(self) -> float:
        with self._lock:
            return (self._since if self._threads else time.monotonic()) - self._before


_waiting = _Waiting()


def device_clock() -> float:
    """Seconds of this process as time.monotonic's, without those in which it waited for another's measurement."""
    return _waiting.clock()


@contextlib.contextmanager
def exclusive(device: str, folder: Path | None = None) -> Iterator[tuple[int, ...]]:
    """Waits until nobody else of this user measures on a device and keeps others off it; descriptors for the child.

    A child that got the descriptor holds the device past the death of its parent. Raises BusyError where that lasts
    longer than `patience`, MeasureError where there is no place for the lock.
    """
    path = (folder or runtime_folder()) / f"analyzer-{hardware(device)}.lock"
    with contextlib.ExitStack() as stack:
        try:
            # The queue is held while one waits for the device: who has just measured stands behind who waits.
            with _waiting, _awaited(path.with_suffix(".queue"), path, device):
                descriptors = stack.enter_context(_awaited(path, path, device))
        except BusyError:
            raise
        except OSError as error:
            raise MeasureError(
                f"can't lock the device: {error.strerror}", where=str(path), fix="make this file readable, or remove it"
            ) from error
        if descriptors:
            _sign(path)
        yield descriptors


@contextlib.contextmanager
def _awaited(path: Path, signed: Path, device: str) -> Iterator[tuple[int, ...]]:
    begin, told = time.monotonic(), False
    with contextlib.ExitStack() as stack:
        while True:
            with contextlib.suppress(BlockingIOError):
                descriptors = stack.enter_context(locked(path, wait=False))
                break
            holder = _signed(signed)
            who = holder.words if holder else "another process"
            if not told:
                patience.tell(f"waiting for {device}: {who} measures on it (at most {patience.seconds:g} s: --wait)")
                told = True
            if time.monotonic() - begin > patience.seconds:
                what = f"{device} is in use: {who}; waited {patience.seconds:g} s"
                raise BusyError(what, where="--wait", fix="wait for it or end it; `analyze doctor` says who holds what")
            time.sleep(LOOK_S)
        yield descriptors


def _sign(path: Path) -> None:
    command = plain(" ".join(["analyze" if i == 0 else word for i, word in enumerate(sys.argv)]))[:200]
    since = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    with contextlib.suppress(OSError):
        path.write_bytes(msgspec.json.encode(Holder(pid=os.getpid(), since=since, command=command)))


def _signed(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, ValueError, msgspec.MsgspecError):  # a killed process leaves half of it, also half a character
        return None


def holders(folder: Path | None = None) -> Iterator[tuple[str, str]]:
    """The devices that are measured on now, each with who does, in words."""
    try:
        paths = sorted((folder or runtime_folder()).glob("analyzer-*.lock"))
    except MeasureError:
        return
    for path in paths:
        if lock_is_held(path):
            holder = _signed(path)
            yield path.stem.removeprefix("analyzer-"), holder.words if holder else "a process that did not sign"


def hardware(device: str) -> str:
    """What a device's name stands for on this machine: cuda:0 is another GPU in another CUDA_VISIBLE_DEVICES."""
    if not device.startswith("cuda"):
        return device.partition(":")[0]
    import torch

    return f"cuda-{torch.cuda.get_device_properties(torch.device(device)).uuid}"


def runtime_folder() -> Path:
    """This user's own folder for what lasts as long as a login. Raises MeasureError where it is another's.

    All of a user's processes find the same one, whatever their TMPDIR says.
    """
    if not hasattr(os, "getuid"):
        return Path(tempfile.gettempdir())
    place = Path(f"/run/user/{os.getuid()}")
    if place.is_dir() and os.access(place, os.W_OK):
        return place
    place = Path("/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()) / f"analyzer-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise MeasureError(f"can't be made: {error.strerror}", where=str(place), fix="remove what is there") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise MeasureError("belongs to another user", where=str(place), fix="have it removed")
    return place
