"""Writing files so that what was there, or what is written, is whole; locks that end with their process."""

from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.errors import UsageError

if TYPE_CHECKING:
    import tempfile

try:
    import fcntl
except ImportError:  # no flock on this system: nobody is kept off
    fcntl = None  # type: ignore[assignment]


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all, its folder made where it is missing. Raises UsageError where it can't be."""
    with replaced(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Where to write what then takes the place of a file, if all goes well; its folder is made where it is missing.

    Raises UsageError where it can't be written.
    """
    require_writable(path)
    with _told(path):
        temporary = temporary_of(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def require_writable(path: Path) -> None:
    """UsageError where a file can't be written, known before the work that it is to hold; nothing is left there."""
    with _told(path):
        _require_file(path)
        folder, to_make = path.absolute().parent, [path.name]
        while not _is_there(folder):
            to_make.append(folder.name)
            folder = folder.parent
        longest = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
        if any(len(os.fsencode(name)) > longest for name in to_make):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        probe = temporary_of(folder / path.name)
        try:
            probe.touch()
        finally:
            probe.unlink(missing_ok=True)


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _require_file(path: Path) -> None:
    """UsageError for what a file can't take the place of: a folder, a device, a pipe."""
    if not path.name or path.name == ".." or "\0" in str(path):
        raise UsageError("names no file", where=str(path), fix="name a file")
    if _is_there(path) and path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise UsageError(f"can't be written: it is {kind}", where=str(path), fix="name a file")


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"can't be written: {error.strerror or error}"
        raise UsageError(what, where=str(path), fix="choose another place") from error


def temporary_of(path: Path) -> Path:
    """Where a file is written before it takes its place; what killed processes left of it there is removed."""
    with contextlib.suppress(OSError):
        sweep(path.parent.glob(f".{glob.escape(path.name)}.*.tmp"), lambda name: name.split(".")[-2])
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def temporary_folder(kind: str) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder of this process, which `cleanup` removes; those that killed processes left are removed now."""
    import tempfile

    sweep(Path(tempfile.gettempdir()).glob(f"analyzer-{kind}-*"), lambda name: name.split("-")[2])
    return tempfile.TemporaryDirectory(prefix=f"analyzer-{kind}-{os.getpid()}-", ignore_cleanup_errors=True)


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
