"""`results.db`: one SQLite file, each row durable once put, whatever ends the process."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import msgspec

from analyzer.errors import UsageError
from analyzer.files import temporary_folder
from analyzer.measuring.environment import commit, package_version
from analyzer.seals import checksum
from analyzer.storing import schema

NAME = "results.db"
APPLICATION = 0x616E6C7A
"""SQLite's `application_id` of our files: another program's database is never written to."""
BUSY_S = 30.0
"""Seconds that a process waits for another one that writes."""


class RowOrigin(msgspec.Struct, frozen=True):
    """Where a row comes from: the host that made it, when (ISO, UTC), by which analyze of which commit of its code."""

    host: str
    created: str
    analyzer: str
    git_commit: str | None


def origin_here(host: str | None = None) -> RowOrigin:
    """Of a row made now, on a host (None: this one)."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return RowOrigin(host or platform.node(), now, package_version(), _commit())


@lru_cache
def _commit() -> str | None:
    return commit()


class DamagedError(UsageError):
    """A results file that SQLite can't read (exit 2)."""


class ResultsFile:
    """One open results file. Every error of SQLite or the disk is a UsageError that names the file."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        if not create and not path.is_file():
            raise UsageError("is not there", where=str(path), fix=f"name a {NAME} that a sweep wrote, or its folder")
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        with self.told():
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
                path = self._copied(path)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._db.text_factory = _text
            self._db.create_function("seal", -1, _seal, deterministic=True)
        try:
            with self.told():
                self._once_free(self._prepare)
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

    def _once_free(self, step: Callable[[], None]) -> None:
        """A step again while another process holds the file: SQLite itself doesn't wait in the change to WAL."""
        until = time.monotonic() + BUSY_S
        while True:
            try:
                return step()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
            time.sleep(0.005)

    def _prepare(self) -> None:
        """Refuses a foreign file before anything is written to it, then brings the schema up to date."""
        # In this order: another process may make the tables and, with them, the id between the two readings.
        if self._holds_something() and self._pragma("application_id") != APPLICATION:
            raise UsageError("is another program's database", where=str(self.path), fix="choose another --out")
        version = int(self._pragma("user_version"))
        if version > len(schema.MIGRATIONS):
            raise UsageError(
                f"is of version {version}, this analyze reads up to {len(schema.MIGRATIONS)}",
                where=str(self.path),
                fix="use the analyze that wrote it, or a newer one",
            )
        problem = self._pragma("quick_check")
        if problem != "ok":
            raise sqlite3.DatabaseError(str(problem).splitlines()[0])
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version < len(schema.MIGRATIONS):
            self._migrate()

    def _pragma(self, name: str) -> int | str:
        value: int | str = self._db.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    def _holds_something(self) -> bool:
        return bool(self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])

    def _migrate(self) -> None:
        with self.transaction(migrating=True):
            version = int(self._pragma("user_version"))  # again, under the lock: another process may have migrated
            if version >= len(schema.MIGRATIONS):
                return
            for step in schema.MIGRATIONS[version:]:
                self._db.execute(step)
            self._db.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS)}")
            self._db.execute(f"PRAGMA application_id = {APPLICATION}")

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Errors of SQLite and the disk, as what a user can mend."""
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
        with self.told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

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


def reason_of(error: Exception) -> str:
    """What the disk or SQLite says."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
