"""Writing files so that what was there, or what is written, is whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from analyzer.errors import UsageError


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all, its folder made where it is missing. Raises UsageError where it can't be."""
    if not path.name:
        raise UsageError("names a folder, not a file", where=str(path), fix="name a file in it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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


def csv_cell(value: object) -> object:
    """A CSV cell; text that a spreadsheet would run as a formula is quoted with an apostrophe."""
    if isinstance(value, list):
        return "-".join(map(str, value))
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return "" if value is None else value
