"""ReportData <-> the compact text in the page: records as columns, JSON, gzip, base64.

A column is `{"all": value}` where every row has it, `{"most": value, "but": {row: value}}` where few rows differ,
else `{"each": [values]}`. Base64 holds nothing that HTML could read as markup.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from analyzer.errors import UsageError
from analyzer.records import Record, to_record
from analyzer.reporting.data import ReportData

FORMAT = 2
MAX_BYTES = 2**30
_DATA = re.compile(r'<script type="application/gzip" id="report-data">([A-Za-z0-9+/=\s]*)</script>')
_SPARSE = 8  # a column is stored as exceptions where at most one row in this many differs


def squeeze(content: bytes) -> str:
    """gzip, then base64; equal bytes give equal text."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def pack(data: ReportData) -> dict[str, Any]:
    """The report as JSON-ready columns; the page's script reads this form too.

    `rows` of the table are the report's records; `baseline` and `subject` are row numbers, which may lie beyond.
    """
    rows = list(data.records)
    baseline = _place(rows, data.baseline)
    subject = None if data.subject is None else _place(rows, data.subject)
    table = [msgspec.to_builtins(row) for row in rows]
    for row in table:
        row.update({f"target.{key}": value for key, value in row.pop("target").items()})
    variants = [row["target.variant"] for row in table]
    fields = list(next((v for v in variants if v is not None), {}))
    regular = bool(fields) and all(v is None or list(v) == fields for v in variants)
    if regular:
        for row in table:
            variant = row.pop("target.variant")
            row.update({f"variant.{key}": None if variant is None else variant[key] for key in fields})
    head = {name: msgspec.to_builtins(getattr(data, name)) for name in _HEAD}
    columns = {key: _column([row[key] for row in table]) for key in (table[0] if table else ())}
    places = {"rows": len(data.records), "total": len(rows), "baseline": baseline, "subject": subject}
    return {"format": FORMAT, **head, **places, "columns": columns}


_HEAD = tuple(name for name in ReportData.__struct_fields__ if name not in ("records", "baseline", "subject"))


def _place(rows: list[Record], record: Record) -> int:
    """The record's row number; a record that is no row yet is added at the end."""
    for i, row in enumerate(rows):
        if row is record or row == record:
            return i
    rows.append(record)
    return len(rows) - 1


def _column(values: list[Any]) -> dict[str, Any]:
    first = values[len(values) // 2]
    if all(value == first and type(value) is type(first) for value in values):
        return {"all": first}
    others = {str(i): value for i, value in enumerate(values) if value != first or type(value) is not type(first)}
    if len(others) * _SPARSE <= len(values):
        return {"most": first, "but": others}
    return {"each": values}


def _values(column: dict[str, Any], total: int) -> list[Any]:
    if "each" in column:
        return list(column["each"])
    values = [column["all"] if "all" in column else column["most"]] * total
    for i, value in column.get("but", {}).items():
        values[int(i)] = value
    return values


def unpack(packed: dict[str, Any]) -> ReportData:
    """The report that `pack` was given."""
    total = packed["total"]
    columns = {key: _values(column, total) for key, column in packed["columns"].items()}
    rows = [_row({key: values[i] for key, values in columns.items()}) for i in range(total)]
    records = [to_record(row) for row in rows]
    return msgspec.convert(
        {name: packed[name] for name in _HEAD if name in packed}
        | {
            "records": records[: packed["rows"]],
            "baseline": records[packed["baseline"]],
            "subject": None if packed["subject"] is None else records[packed["subject"]],
        },
        ReportData,
    )


def _row(flat: dict[str, Any]) -> dict[str, Any]:
    row = {key: value for key, value in flat.items() if "." not in key}
    fields = {key.removeprefix("variant."): value for key, value in flat.items() if key.startswith("variant.")}
    target = {key.removeprefix("target."): value for key, value in flat.items() if key.startswith("target.")}
    if fields:
        target["variant"] = None if all(value is None for value in fields.values()) else fields
    return {**row, "target": target}


def embed(packed: dict[str, Any]) -> str:
    """What the page carries between its `report-data` tags."""
    try:
        return squeeze(msgspec.json.encode(packed))
    except UnicodeEncodeError:  # a file name that is no text has found its way in
        return squeeze(msgspec.json.encode(_encodable(packed)))


def _encodable(value: Any) -> Any:
    """The same with lone surrogates written out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    return [_encodable(part) for part in value] if isinstance(value, (list, tuple)) else value


def read_report(path: str | Path) -> ReportData:
    """The data of a report that `write_report` made, read out of the page. Raises UsageError where there is none."""
    path = Path(path)
    fix = "name a report.html that analyze wrote"
    try:
        page = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not text"
        raise UsageError(f"can't be read: {reason}", where=str(path), fix=fix) from error
    scripts: Sequence[str] = _DATA.findall(page)
    if len(scripts) != 1:
        raise UsageError("holds no report data", where=str(path), fix=fix)
    try:
        packed = msgspec.json.decode(_inflate(base64.b64decode(scripts[0])))
        if not isinstance(packed, dict) or packed.get("format") != FORMAT:
            raise UsageError("was written by another version", where=str(path), fix="use the version that wrote it")
        return unpack(packed)
    except (binascii.Error, zlib.error, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"its data is damaged: {error}", where=str(path), fix=fix) from error


def _inflate(content: bytes) -> bytes:
    """Gunzips, refusing what would fill the memory."""
    stream = zlib.decompressobj(wbits=31)
    text = stream.decompress(content, MAX_BYTES)
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError("the data is cut off or too large")
    return text
