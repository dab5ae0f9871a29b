"""A record as one flat row: the same columns in CSV, Parquet, DataFrames and the page's download."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from analyzer.architecture.axes import FIELDS
from analyzer.figures import FIGURES, value_at
from analyzer.files import csv_text
from analyzer.records import Record

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FlatColumn:
    """A column: its name, where in a record its value stands, what kind of value that is."""

    name: str
    path: str
    kind: Literal["text", "int", "real"]


def _columns() -> list[FlatColumn]:
    kinds: dict[str, Literal["int", "real"]] = {"count": "int", "bytes": "int"}
    return [
        FlatColumn("name", "target.name", "text"),
        FlatColumn("label", "target.label", "text"),
        FlatColumn("batch", "batch", "int"),
        *(FlatColumn(axis, f"target.variant.{axis}", "text") for axis in FIELDS),
        *(FlatColumn(f.name, f.path or f.name, kinds.get(f.unit, "real")) for f in FIGURES.values()),
        FlatColumn("predicted_batch", "predicted.batch", "int"),
        FlatColumn("predicted_mean_error", "predicted.mean_error", "real"),
        FlatColumn("measured_batch", "measured.batch", "int"),
        FlatColumn("measured_ratio_low", "measured.ratio_low", "real"),
        FlatColumn("measured_ratio_high", "measured.ratio_high", "real"),
        FlatColumn("measured_baseline", "measured.baseline", "text"),
        FlatColumn("protocol", "measured.protocol", "text"),
        FlatColumn("device", "measured.environment.device_name", "text"),
        FlatColumn("error", "error.what", "text"),
        FlatColumn("error_where", "error.where", "text"),
    ]


COLUMNS = {column.name: column for column in _columns()}
"""By name, in order."""
_PATHS = [(column.name, tuple(column.path.split("."))) for column in COLUMNS.values()]


def flat(record: Record) -> dict[str, Any]:
    """A record's values by column; None where one is not known, the axes as they are in the variant."""
    return {name: value_at(record, path) for name, path in _PATHS}


def frame_of(records: Iterable[Record]) -> pd.DataFrame:
    """One row a record, indexed by name; counts are exact integers also beside missing ones."""
    import pandas as pd

    table = pd.DataFrame([flat(record) for record in records], columns=list(COLUMNS))
    counts = [column.name for column in COLUMNS.values() if column.kind == "int"]
    table[counts] = table[counts].astype("Int64")
    times = [column.name for column in COLUMNS.values() if column.kind == "real"]
    table[times] = table[times].astype("float64")
    return table.set_index("name")


def to_csv(records: Iterable[Record]) -> str:
    """One line a record: raw integers, the axes as options take them."""
    return csv_of(map(flat, records))


def csv_of(rows: Iterable[dict[str, Any]], more: Sequence[str] = ()) -> str:
    """Rows of `flat` as CSV, with columns of `more` that they have after it."""
    names = (*COLUMNS, *more)
    return csv_text(names, ([row[name] for name in names] for row in rows))


def typed(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[str, list[Any]]]:
    """Rows of `flat` by column, each with Arrow's name of its type, for Parquet."""
    kinds = {"text": "string", "int": "int64", "real": "float64"}
    return {
        name: (kinds[column.kind], [as_text(row[name]) if column.kind == "text" else row[name] for row in rows])
        for name, column in COLUMNS.items()
    }


def as_text(value: object) -> str | None:
    """A value as text; a list as it is written in options."""
    if value is None:
        return None
    return "-".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
