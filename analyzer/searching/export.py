"""What a search found as files for other programs: CSV, JSON lines, Parquet; one row a variant, with its marks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from analyzer.files import write_text
from analyzer.reading.flat import csv_of, flat, typed
from analyzer.searching.results import Find
from analyzer.sweeping.export import in_form, require_pyarrow, write_parquet

MARKS = ("front", "best_for")
"""Columns of a find beside its record's."""


def export(finds: Sequence[Find], path: Path) -> None:
    """Writes finds in the form that the file's suffix names. Raises UsageError on another one."""
    in_form(FORMATS, path)(finds, path)


def require_form(path: Path) -> None:
    """UsageError where `export` would refuse the path, so that it is known before a search begins."""
    in_form(FORMATS, path)
    if path.suffix == ".parquet":
        require_pyarrow(path)


def cells(find: Find) -> dict[str, Any]:
    """A find's record flat, and its marks, by column."""
    return {**flat(find.record), "front": find.front, "best_for": ",".join(find.best_for)}


def to_jsonl(finds: Iterable[Find]) -> str:
    """One find a line."""
    return "".join(json.dumps(find.to_dict()) + "\n" for find in finds)


def to_csv(finds: Iterable[Find]) -> str:
    """One line a find in the columns of `cells`."""
    return csv_of(map(cells, finds), MARKS)


def _columns(finds: Sequence[Find]) -> dict[str, tuple[str, list[Any]]]:
    table = list(map(cells, finds))
    marks = {
        "front": ("bool", [row["front"] for row in table]),
        "best_for": ("string", [row["best_for"] for row in table]),
    }
    return {**typed(table), **marks}


FORMATS: dict[str, Callable[[Sequence[Find], Path], None]] = {
    ".csv": lambda found, path: write_text(path, to_csv(found)),
    ".jsonl": lambda found, path: write_text(path, to_jsonl(found)),
    ".parquet": lambda found, path: write_parquet(_columns(found), path),
}
