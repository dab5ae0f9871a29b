"""A run's rows kept in its folder's database, where earlier runs' rows are found again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from analyzer.errors import UsageError
from analyzer.measurements import Measurement
from analyzer.measuring.environment import package_version
from analyzer.records import Record
from analyzer.storing.results_file import NAME, DamagedError, reason_of
from analyzer.sweeping.database import Database, made_here
from analyzer.sweeping.store import MemoryStore, Setting, Store, keep_aside


class SqliteStore(MemoryStore):
    """This run's rows, each put also into the database, where earlier runs' rows are found again.

    A damaged file is kept under a name with its time (UsageError then).
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._database = _open(path)

    def put(self, records: Iterable[Record], host: str | None = None) -> None:
        """Commits them together. Raises UsageError where the disk refuses; none of them is written then."""
        records = list(records)
        self._database.put(made_here(record, host) for record in records)
        super().put(records)

    def counted(self, batch: int) -> dict[str, Record]:
        """Rows that this version of analyze counted at a batch, in whichever run, by name."""
        stored = self._database.rows("protocol = '' AND batch = ? AND analyzer = ?", (batch, package_version()))
        return {row.record.target.name: row.record for row in stored}

    def measured(self, setting: Setting) -> dict[str, Measurement]:
        """Measurements made in exactly this setting, in whichever run, by name."""
        stored = self._database.rows(
            "protocol = ? AND device = ? AND measured_batch = ? AND baseline = ?", msgspec.structs.astuple(setting)
        )
        return {row.record.target.name: row.record.measured for row in stored if row.record.measured}

    def close(self) -> None:
        """Ends writing."""
        self._database.close()


def open_store(folder: Path, *, resume: bool = True) -> SqliteStore:
    """The store of a sweep's folder; with `resume` false a new one, an earlier one kept under a name with its time.

    So is what a run without a database wrote there: only what the database has is ever written over.
    """
    path, exported = folder / NAME, folder / "results.jsonl"
    try:
        if not resume and path.exists():
            _set_aside(path)
        if exported.exists() and not path.exists():
            keep_aside(exported)
    except OSError as error:
        raise UsageError(
            f"can't keep earlier results aside: {reason_of(error)}", where=str(folder), fix="choose another --out"
        ) from error
    return SqliteStore(path)


def store_at(folder: Path | None, resume: bool = True) -> Store:
    """Where a run's rows go: into its folder, or nowhere."""
    return MemoryStore() if folder is None else open_store(folder, resume=resume)


def _open(path: Path) -> Database:
    try:
        return Database(path, create=True)
    except DamagedError as error:
        kept = _rename(path)
        fix = f"it is kept as {kept}: restore it, or run again to start anew"
        raise UsageError(error.what, where=str(path), fix=fix) from error


def _set_aside(path: Path) -> None:
    """Keeps an earlier run's database under another name. Raises UsageError while another process uses it."""
    with contextlib.suppress(DamagedError):
        Database(path).close()
        if _beside(path, "-wal").exists():
            raise UsageError(
                "is in use by another process", where=str(path), fix="wait for it, or choose another --out"
            )
    _rename(path)


def _rename(path: Path) -> Path:
    """Moves a database and what belongs to it."""
    kept = keep_aside(path)
    for suffix in ("-wal", "-shm"):
        if _beside(path, suffix).exists():
            _beside(path, suffix).rename(_beside(kept, suffix))
    return kept


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
