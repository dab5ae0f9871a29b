"""Reading files that are data from outside: of a bounded size, inside the project, and no symbolic links."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

from analyzer.errors import UsageError
from analyzer.units import MIB

MOST_BYTES = 32 * MIB


def read_text(path: Path, *, most: int = MOST_BYTES) -> str | None:
    """The text of a file, line ends as \\n; None where there is none. Raises UsageError on a link or one too large."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}", where=str(path)) from error
    if stat.S_ISLNK(status.st_mode) or not stat.S_ISREG(status.st_mode):
        raise UsageError("is no plain file", where=str(path), fix="put the file itself there, not a link")
    if status.st_size > most:
        raise too_large(status.st_size, most, str(path))
    try:
        return decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}", where=str(path)) from error


def too_large(size: int, most: int, where: str) -> UsageError:
    """What is said of a file beyond the bound."""
    return UsageError(f"has {size:,} bytes, more than {most:,}", where=where, fix="give a smaller file")


def decoded(data: bytes, where: str) -> str:
    """UTF-8 text with \\n for line ends. Raises UsageError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"is not UTF-8: byte {error.start}", where=where, fix="save it as UTF-8") from None
    return text.replace("\r\n", "\n")


def contained(root: Path, relative: str, where: str) -> Path:
    """The file of a path that stays inside `root`. Raises UsageError on any other, and on links on the way."""
    parts = PurePosixPath(relative.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in relative:
        raise UsageError(
            f"{relative[:120]!r} leaves the project", where=where, fix="name a path below the configuration's folder"
        )
    path = root
    for part in parts.parts:
        path = path / part
        if path.is_symlink():
            raise UsageError(f"{relative[:120]!r} is a link", where=where, fix="name the file itself")
    return path
