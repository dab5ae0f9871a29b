"""Stored rows as files for other programs: CSV, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from analyzer.distribution import installing
from analyzer.errors import UsageError
from analyzer.files import csv_text, temporary_of, write_text
from analyzer.records import Record, fields_of
from analyzer.sweeping.database import StoredRow
from analyzer.sweeping.store import COLUMNS, MEASURED_COLUMNS, VARIANT_COLUMNS, to_csv

Form = TypeVar("Form")

ORIGIN_COLUMNS = ("host", "created", "analyzer", "commit", "source")
NAMES = (
    *COLUMNS,
    *VARIANT_COLUMNS,
    *(f"measured.{name}" for name in MEASURED_COLUMNS),
    "protocol",
    "device",
    "error",
    *ORIGIN_COLUMNS,
)
TEXT_COLUMNS = ("name", "label", *VARIANT_COLUMNS, "measured.baseline", "protocol", "device", "error", *ORIGIN_COLUMNS)
REAL_COLUMNS = tuple(f"measured.{name}" for name in MEASURED_COLUMNS if name not in ("batch", "baseline"))


def write_results(folder: Path, records: Sequence[Record]) -> None:
    """A finished sweep's `results.jsonl` and `results.csv`. Raises UsageError where they can't be written."""
    write_text(folder / "results.jsonl", to_jsonl(records))
    write_text(folder / "results.csv", to_csv(records))


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


def flat(row: StoredRow) -> dict[str, Any]:
    """A row's figures as integers, the variant's fields, what was measured, the error and the origin, by column."""
    record, measured = row.record, row.record.measured
    variant = fields_of(record)
    return {
        **{name: getattr(record.target if name in ("name", "label") else record, name) for name in COLUMNS},
        **{name: variant.get(name) for name in VARIANT_COLUMNS},
        **{f"measured.{name}": getattr(measured, name, None) for name in MEASURED_COLUMNS},
        "protocol": measured.protocol if measured else None,
        "device": measured.environment.device_name if measured else None,
        "error": f"{record.error.where}: {record.error.what}" if record.error else None,
        **{name: getattr(row, name) for name in ORIGIN_COLUMNS},
        "created": row.created.isoformat(),
    }


def csv_of(rows: Sequence[StoredRow]) -> str:
    """CSV in the columns of `flat`."""
    return csv_text(NAMES, ([cells[name] for name in NAMES] for cells in map(flat, rows)))


def write_parquet(columns: Mapping[str, tuple[str, list[Any]]], path: Path) -> None:
    """Typed columns (Arrow's name of the type, values), also where all is missing, as a Parquet file, whole or none.

    Raises UsageError where pyarrow isn't installed, or the file can't be written.
    """
    require_pyarrow(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    temporary = temporary_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({name: pa.array(v, kind) for name, (kind, v) in columns.items()}), temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(
            f"can't be written: {error.strerror or error}", where=str(path), fix="choose another place"
        ) from error


def require_pyarrow(path: Path) -> None:
    """UsageError where pyarrow isn't installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed", where=str(path), fix=installing("parquet")
        ) from None


def _columns(rows: Sequence[StoredRow]) -> dict[str, tuple[str, list[Any]]]:
    """The columns of `flat`, and the whole record as JSON in the last one."""
    table = [flat(row) for row in rows]
    columns: dict[str, tuple[str, list[Any]]] = {}
    for name in NAMES:
        values = [cells[name] for cells in table]
        if name in TEXT_COLUMNS:
            columns[name] = ("string", [as_text(value) for value in values])
        else:
            columns[name] = ("float64" if name in REAL_COLUMNS else "int64", values)
    columns["record"] = ("string", [row.record.to_json() for row in rows])
    return columns


def as_text(value: object) -> str | None:
    """A field as text; a list as it is written in options."""
    if value is None:
        return None
    return "-".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


FORMATS: dict[str, Callable[[Sequence[StoredRow], Path], None]] = {
    ".csv": lambda rows, path: write_text(path, csv_of(rows)),
    ".jsonl": lambda rows, path: write_text(path, to_jsonl(row.record for row in rows)),
    ".parquet": lambda rows, path: write_parquet(_columns(rows), path),
}
