"""`results.db`: a sweep's rows in one SQLite file, each durable once put, whatever ends the process."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from analyzer.errors import DamageWarning, UsageError
from analyzer.records import Record, read_record
from analyzer.seals import checksum
from analyzer.shown import plain
from analyzer.storing.results_file import ResultsFile, origin_here
from analyzer.storing.schema import KEY, SEALED, WHOLE
from analyzer.sweeping.store import COUNTED, setting_of

PUT = f"""
    INSERT INTO rows ({SEALED}, checksum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET host = excluded.host, created = excluded.created, analyzer = excluded.analyzer,
        git_commit = excluded.git_commit, source = excluded.source, record = excluded.record,
        checksum = excluded.checksum
    WHERE (excluded.record <> rows.record OR excluded.analyzer <> rows.analyzer)
"""
"""A row that says the same again keeps its origin; of two that differ the last written counts."""
MERGE = PUT + "AND excluded.created > rows.created"
"""As PUT, but of two that differ the one made later counts."""

ALL = "1"
SHOWN = f"""
    protocol <> '' OR NOT EXISTS (
        SELECT 1 FROM rows AS other WHERE other.name = rows.name AND other.batch = rows.batch AND other.protocol <> ''
            AND {WHOLE.format(row="other")}
    )
"""
"""A counted row stands back where the same row stands with a measurement that is whole."""
FIRST_CAME = "(SELECT min(id) FROM rows AS first WHERE first.name = rows.name AND first.batch = rows.batch)"
"""When a row's target first came: a measurement takes the place of its count."""


class StoredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stored record and where it comes from; `source` is the database it was merged from, else empty."""

    id: int
    host: str
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    analyzer: str
    commit: str | None
    source: str
    record: Record


class Database(ResultsFile):
    """The rows of one results file."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._damaged: list[int] = []
        super().__init__(path, create=create)

    def put(self, rows: Iterable[StoredRow]) -> None:
        """Writes rows together, each under its key; ids are the database's own. Rows that were found damaged go."""
        with self.transaction():
            gone = f"DELETE FROM rows WHERE id = ? AND NOT {WHOLE.format(row='rows')}"
            self._db.executemany(gone, ((row,) for row in self._damaged))
            self._db.executemany(PUT, map(_values, rows))

    def merge(self, rows: Iterable[StoredRow]) -> None:
        """As `put`, for rows of other databases: what is here and was made later stays."""
        with self.transaction():
            self._db.executemany(MERGE, map(_values, rows))

    def rows(self, which: str = SHOWN, values: Sequence[object] = ()) -> list[StoredRow]:
        """The rows that a condition of ours selects, in the order in which their targets first came.

        One whose checksum is another's is left out, with a DamageWarning. Raises UsageError where one is no record.
        """
        query = f"SELECT id, checksum, {SEALED} FROM rows WHERE {which} ORDER BY {FIRST_CAME}, id"
        with self.told():
            stored = self._db.execute(query, tuple(values)).fetchall()
        return [row for cells in stored if (row := self._row(*cells)) is not None]

    def _row(self, id_: int, seal: object, *cells: object) -> StoredRow | None:
        """Text of a file that anyone may have written, as a typed row; None where it is damaged."""
        where = f"{self.path}: row {id_}"
        if seal != checksum(*cells):
            if id_ not in self._damaged:
                self._damaged.append(id_)
                told = f"{where} ({str(cells[0])[:80]}) is damaged, its checksum is another's: it is left out"
                warnings.warn(told, DamageWarning, stacklevel=2)
            return None
        *origin, record = cells[KEY:]
        if not isinstance(record, str):
            raise UsageError("not a result: no text", where=where, fix="use a results file that analyze wrote")
        values = (id_, *origin, read_record(record, where=where))
        try:
            return msgspec.convert(dict(zip(StoredRow.__struct_fields__, values, strict=True)), StoredRow)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"not a result: {error}", where=where, fix="use a results file that analyze wrote"
            ) from None

    def count(self) -> int:
        """How many rows `rows()` gives."""
        with self.told():
            return int(self._db.execute(f"SELECT count(*) FROM rows WHERE {SHOWN}").fetchone()[0])

    def remove(self, chosen: Callable[[StoredRow], bool]) -> list[StoredRow]:
        """Removes the rows that are chosen, measurements and the counts under them apart, and returns them."""
        with self.transaction():
            rows = [row for row in self.rows(ALL) if chosen(row)]
            self._db.executemany("DELETE FROM rows WHERE id = ?", ((row.id,) for row in rows))
        return rows


class Merged(msgspec.Struct, frozen=True):
    """Rows read from the sources, and rows in the database after."""

    read: int
    kept: int


def merge_into(path: Path, sources: Sequence[Path]) -> Merged:
    """Adds the rows of databases to one, all or none; a row keeps its origin, and gets its source where it has none.

    Raises UsageError where a source can't be read, or is the database itself.
    """
    rows: list[StoredRow] = []
    for source in sources:
        if source.resolve() == path.resolve():
            raise UsageError("can't be merged into itself", where=str(source), fix="choose another --out")
        with contextlib.closing(Database(source)) as database:
            stored = database.rows(ALL)
        rows += [msgspec.structs.replace(row, source=row.source or plain(source)) for row in stored]
    with contextlib.closing(Database(path, create=True)) as database:
        database.merge(rows)
        return Merged(len(rows), database.count())


def made_here(record: Record, host: str | None = None) -> StoredRow:
    """A record of this run, now, from a host (None: this one)."""
    origin = origin_here(host)
    return StoredRow(
        id=0,
        host=origin.host,
        created=datetime.fromisoformat(origin.created),
        analyzer=origin.analyzer,
        commit=origin.git_commit,
        source="",
        record=record,
    )


def _values(row: StoredRow) -> tuple[object, ...]:
    """A row's key, origin, record and checksum, in the order of PUT."""
    record = row.record
    values = (
        record.target.name,
        record.batch,
        *msgspec.structs.astuple(setting_of(record.measured) if record.measured else COUNTED),
        row.host,
        row.created.astimezone(UTC).isoformat(timespec="microseconds"),
        row.analyzer,
        row.commit,
        row.source,
        record.to_json(),
    )
    return (*values, checksum(*values))
