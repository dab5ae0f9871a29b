"""`results.db`: a sweep's rows in one SQLite file, each durable once put, whatever ends the process."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import msgspec

from analyzer.errors import DamageWarning, UsageError
from analyzer.files import temporary_folder
from analyzer.measuring.environment import commit, package_version
from analyzer.records import Record, read_record
from analyzer.seals import checksum
from analyzer.shown import plain
from analyzer.sweeping.store import COUNTED, setting_of

NAME = "results.db"
APPLICATION = 0x616E6C7A
"""SQLite's `application_id` of our files: another program's database is never written to."""
BUSY_S = 30.0
"""Seconds that a process waits for another one that writes."""

COLUMNS = (
    "name", "batch", "protocol", "device", "measured_batch", "baseline",
    "host", "created", "analyzer", "git_commit", "source", "record",
)  # fmt: skip
"""What a row says, and its checksum is of: its key, then what `StoredRow` is read from, in its fields' order."""
KEY = 6
SEALED = ", ".join(COLUMNS)
NUMBERS = ("batch", "measured_batch")
SEAL = ", ".join(f"{{row}}.{name}" if name in NUMBERS else f"CAST({{row}}.{name} AS BLOB)" for name in COLUMNS)
SEAL = f"seal({SEAL})"
"""The checksum of a row of a table; text as bytes, because what is damaged may be none."""
WHOLE = f"{{row}}.checksum = {SEAL}"

MIGRATIONS = (
    """
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        batch INTEGER NOT NULL,
        protocol TEXT NOT NULL,
        device TEXT NOT NULL,
        measured_batch INTEGER NOT NULL,
        baseline TEXT NOT NULL,
        record TEXT NOT NULL,
        host TEXT NOT NULL,
        created TEXT NOT NULL,
        analyzer TEXT NOT NULL,
        git_commit TEXT,
        source TEXT NOT NULL,
        UNIQUE (name, batch, protocol, device, measured_batch, baseline)
    )
    """,
    "ALTER TABLE rows ADD COLUMN checksum TEXT NOT NULL DEFAULT ''",
    f"UPDATE rows SET checksum = {SEAL.format(row='rows')}",
)
"""Step i takes a database from version i to i + 1; a new file has version 0. A counted row has no protocol."""

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


class DamagedError(UsageError):
    """A results file that SQLite can't read (exit 2)."""


class StoredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stored record and where it comes from; `source` is the database it was merged from, else empty."""

    id: int
    host: str
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    analyzer: str
    commit: str | None
    source: str
    record: Record


class Database:
    """One open results file. Every error of SQLite or the disk is a UsageError that names the file."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._damaged: list[int] = []
        if not create and not path.is_file():
            raise UsageError("is not there", where=str(path), fix=f"name a {NAME} that a sweep wrote, or its folder")
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        with self._told():
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
                path = self._copied(path)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._db.text_factory = _text
            self._db.create_function("seal", len(COLUMNS), _seal, deterministic=True)
        try:
            with self._told():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _copied(self, path: Path) -> Path:
        """A copy of what lies where nothing can be written, with what its last writer left beside it: to be read."""
        self._copy = temporary_folder("read")
        for suffix in ("", "-wal"):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                shutil.copy(beside, self._copy.name)
        return Path(self._copy.name) / path.name

    def _prepare(self) -> None:
        """Refuses a foreign file before anything is written to it, then brings the schema up to date."""
        # In this order: another process may make the tables and, with them, the id between the two readings.
        if self._holds_something() and self._pragma("application_id") != APPLICATION:
            raise UsageError("is another program's database", where=str(self.path), fix="choose another --out")
        version = int(self._pragma("user_version"))
        if version > len(MIGRATIONS):
            raise UsageError(
                f"is of version {version}, this analyze reads up to {len(MIGRATIONS)}",
                where=str(self.path),
                fix="use the analyze that wrote it, or a newer one",
            )
        problem = self._pragma("quick_check")
        if problem != "ok":
            raise sqlite3.DatabaseError(str(problem).splitlines()[0])
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version < len(MIGRATIONS):
            self._migrate()

    def _pragma(self, name: str) -> int | str:
        value: int | str = self._db.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    def _holds_something(self) -> bool:
        return bool(self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])

    def _migrate(self) -> None:
        with self.transaction(migrating=True):
            version = int(self._pragma("user_version"))  # again, under the lock: another process may have migrated
            if version >= len(MIGRATIONS):
                return
            for step in MIGRATIONS[version:]:
                self._db.execute(step)
            self._db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            self._db.execute(f"PRAGMA application_id = {APPLICATION}")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise UsageError(
                f"can't read or write results: {reason_of(error)}",
                where=str(self.path),
                fix="free some space, wait for the other process, or choose another place; what is there is kept",
            ) from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise  # a wrong use of SQLite: a defect of ours
            raise DamagedError(
                f"is no results database, or a damaged one: {error}",
                where=str(self.path),
                fix="restore it, or salvage it with `sqlite3 FILE .recover`",
            ) from error

    @contextlib.contextmanager
    def transaction(self, *, migrating: bool = False) -> Iterator[None]:
        """All of what is written inside, or nothing; durable at its end."""
        if self._copy is not None and not migrating:
            raise UsageError("lies where nothing can be written", where=str(self.path), fix="copy its folder elsewhere")
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

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
        with self._told():
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
        with self._told():
            return int(self._db.execute(f"SELECT count(*) FROM rows WHERE {SHOWN}").fetchone()[0])

    def remove(self, chosen: Callable[[StoredRow], bool]) -> list[StoredRow]:
        """Removes the rows that are chosen, measurements and the counts under them apart, and returns them."""
        with self.transaction():
            rows = [row for row in self.rows(ALL) if chosen(row)]
            self._db.executemany("DELETE FROM rows WHERE id = ?", ((row.id,) for row in rows))
        return rows

    def close(self) -> None:
        """Ends the use of the file; the last process to do so leaves a single file."""
        self._db.close()
        if self._copy is not None:
            self._copy.cleanup()


def _text(stored: bytes) -> str:
    """Text of a file that anyone may have written."""
    return stored.decode("utf-8", "replace")


def _seal(*cells: object) -> str:
    return checksum(*(_text(cell) if isinstance(cell, bytes) else cell for cell in cells))


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
    return StoredRow(
        id=0,
        host=host or platform.node(),
        created=datetime.now(UTC),
        analyzer=package_version(),
        commit=_commit(),
        source="",
        record=record,
    )


@lru_cache
def _commit() -> str | None:
    return commit()


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


def reason_of(error: Exception) -> str:
    """What the disk or SQLite says."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
