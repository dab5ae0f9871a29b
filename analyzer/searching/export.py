"""What a search found as files for other programs: CSV, JSON lines, Parquet; one row a variant, with its marks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from analyzer.files import csv_text, write_text
from analyzer.searching.results import Find
from analyzer.sweeping.export import as_text, in_form, require_pyarrow, write_parquet
from analyzer.sweeping.store import VARIANT_COLUMNS

TEXT_COLUMNS = ("name", "best_for", *VARIANT_COLUMNS)


def export(found: Sequence[Find], path: Path) -> None:
    """Writes finds in the form that the file's suffix names. Raises UsageError on another one."""
    in_form(FORMATS, path)(found, path)


def require_form(path: Path) -> None:
    """UsageError where `export` would refuse the path, so that it is known before a search begins."""
    in_form(FORMATS, path)
    if path.suffix == ".parquet":
        require_pyarrow(path)


def flat(find: Find) -> dict[str, Any]:
    """A find's name, marks, figures by their names and the variant's fields."""
    cells = find.to_dict()
    variant: Any = cells.pop("variant") or {}
    return {**cells, "best_for": ",".join(find.best_for), **{name: variant.get(name) for name in VARIANT_COLUMNS}}


def to_jsonl(found: Iterable[Find]) -> str:
    """One find a line."""
    return "".join(json.dumps(find.to_dict()) + "\n" for find in found)


def to_csv(found: Iterable[Find]) -> str:
    """One row a find under the names of `flat`."""
    rows = [flat(find) for find in found]
    return csv_text(rows[0], (row.values() for row in rows)) if rows else ""


def _columns(found: Sequence[Find]) -> dict[str, tuple[str, list[Any]]]:
    rows = [flat(find) for find in found]
    columns: dict[str, tuple[str, list[Any]]] = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        if name in TEXT_COLUMNS:
            columns[name] = ("string", [as_text(value) for value in values])
        elif name == "front":
            columns[name] = ("bool", values)
        else:
            columns[name] = ("float64" if name.startswith(("measured", "predicted")) else "int64", values)
    return columns


FORMATS: dict[str, Callable[[Sequence[Find], Path], None]] = {
    ".csv": lambda found, path: write_text(path, to_csv(found)),
    ".jsonl": lambda found, path: write_text(path, to_jsonl(found)),
    ".parquet": lambda found, path: write_parquet(_columns(found), path),
}
