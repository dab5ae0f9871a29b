"""Writing files so that what was there, or what is written, is whole; locks that end with their process."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from analyzer.errors import UsageError

try:
    import fcntl
except ImportError:  # no flock on this system: nobody is kept off
    fcntl = None  # type: ignore[assignment]


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all, its folder made where it is missing. Raises UsageError where it can't be."""
    if not path.name:
        raise UsageError("names a folder, not a file", where=str(path), fix="name a file in it")
    temporary = temporary_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UsageError(f"can't be written: {error.strerror}", where=str(path), fix="choose another place") from error


def temporary_of(path: Path) -> Path:
    """Where a file is written before it takes its place; what killed processes left of it there is removed."""
    with contextlib.suppress(OSError):
        sweep(path.parent.glob(f".{glob.escape(path.name)}.*.tmp"), lambda name: name.split(".")[-2])
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def sweep(paths: Iterable[Path], process_of: Callable[[str], str]) -> None:
    """Removes what processes of this machine that are no more have left; `process_of` finds the pid in a name."""
    for path in paths:
        pid = process_of(path.name)
        if pid.isdecimal() and not _is_alive(int(pid)):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def csv_text(headings: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """CSV with a heading line. Every file of ours is written here: no cell breaks out of its own or is a formula."""
    return "".join(",".join(map(_csv_cell, row)) + "\n" for row in itertools.chain([headings], rows))


def _csv_cell(value: object) -> str:
    """A cell; text that a spreadsheet would run as a formula begins with an apostrophe."""
    text = "-".join(map(str, value)) if isinstance(value, (list, tuple)) else "" if value is None else str(value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        text = "'" + text
    # A reader takes a bare \r for a line's end too.
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\r\n') else text


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[tuple[int, ...]]:
    """Holds a lock that is named by a file; gives its descriptors, for a child that is to hold it too.

    The system frees it when its last holder ends, however it ends. Raises OSError where the file can't be made, or
    BlockingIOError where another process holds it and `wait` is false.
    """
    if fcntl is None:
        yield ()
        return
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield (descriptor,)
    finally:
        os.close(descriptor)


def lock_is_held(path: Path) -> bool:
    """Whether a process holds the lock that a file names."""
    try:
        with locked(path, wait=False):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _opened(path: Path) -> int:
    """Reading is enough to lock, also a file that another user made."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
