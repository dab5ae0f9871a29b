"""Stored rows as files for other programs: CSV, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from analyzer.distribution import installing
from analyzer.errors import UsageError
from analyzer.files import replaced, write_text
from analyzer.reading.flat import as_text, csv_of, flat, typed
from analyzer.records import Record
from analyzer.sweeping.database import StoredRow

Form = TypeVar("Form")

ORIGIN = ("host", "created", "analyzer", "commit", "source")
"""Columns of a stored row beside its record's."""


def to_jsonl(records: Iterable[Record]) -> str:
    """One record a line."""
    return "".join(record.to_line() for record in records)


def export(rows: Sequence[StoredRow], path: Path) -> None:
    """Writes rows in the form that the file's suffix names. Raises UsageError on another one."""
    in_form(FORMATS, path)(rows, path)


def in_form(forms: Mapping[str, Form], path: Path) -> Form:
    """What writes the form that a file's suffix names. Raises UsageError on another one."""
    if path.suffix not in forms:
        raise UsageError(
            f"{path.suffix or 'no suffix'} is no form to export to", where=str(path), fix=f"use {', '.join(forms)}"
        )
    return forms[path.suffix]


def cells(row: StoredRow) -> dict[str, Any]:
    """A row's record flat, and its origin, by column."""
    origin = {name: getattr(row, name) for name in ORIGIN}
    return {**flat(row.record), **origin, "created": row.created.isoformat()}


def csv_of_rows(rows: Sequence[StoredRow]) -> str:
    """CSV in the columns of `cells`."""
    return csv_of(map(cells, rows), ORIGIN)


def write_parquet(columns: Mapping[str, tuple[str, list[Any]]], path: Path) -> None:
    """Typed columns (Arrow's name of the type, values), also where all is missing, as a Parquet file, whole or none.

    Raises UsageError where pyarrow isn't installed, or the file can't be written.
    """
    require_pyarrow(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replaced(path) as temporary:
        pq.write_table(pa.table({name: pa.array(v, kind) for name, (kind, v) in columns.items()}), temporary)


def require_pyarrow(path: Path) -> None:
    """UsageError where pyarrow isn't installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed", where=str(path), fix=installing("parquet")
        ) from None


def _columns(rows: Sequence[StoredRow]) -> dict[str, tuple[str, list[Any]]]:
    """The columns of `cells`, and the whole record as JSON in the last one."""
    table = list(map(cells, rows))
    origin = {name: ("string", [as_text(row[name]) for row in table]) for name in ORIGIN}
    return {**typed(table), **origin, "record": ("string", [row.record.to_json() for row in rows])}


FORMATS: dict[str, Callable[[Sequence[StoredRow], Path], None]] = {
    ".csv": lambda rows, path: write_text(path, csv_of_rows(rows)),
    ".jsonl": lambda rows, path: write_text(path, to_jsonl(row.record for row in rows)),
    ".parquet": lambda rows, path: write_parquet(_columns(rows), path),
}
