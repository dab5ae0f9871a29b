"""Where a sweep's rows are kept: durable as they are written, read back whole after any end."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

import msgspec

from analyzer.errors import UsageError
from analyzer.files import require_writable, write_text
from analyzer.measurements import Measurement
from analyzer.records import Record, read_record
from analyzer.seals import DamagedRowError


class Setting(msgspec.Struct, frozen=True):
    """What makes two measurements of one target comparable: `batch` is the one asked for, `baseline` a target name."""

    protocol: str
    device: str
    batch: int
    baseline: str


COUNTED = Setting("", "", 0, "")
"""Of a row that was counted and not measured."""


def setting_of(measured: Measurement) -> Setting:
    """How a measurement was made. The device goes by its hardware's name."""
    return Setting(measured.protocol, measured.environment.device_name, measured.asked_batch, measured.baseline)


class Store(Protocol):
    """Keeps one record a target name of this run; the last one written counts. May know those of earlier runs."""

    def put(self, records: Iterable[Record], host: str | None = None) -> None:
        """Writes records that a host made (None: this one); after it they outlive the process and the machine."""

    def records(self) -> list[Record]:
        """Every record of this run, in the order in which their names first came."""

    def counted(self, batch: int) -> dict[str, Record]:
        """Rows already counted at a batch, by name, without measurements."""

    def measured(self, setting: Setting) -> dict[str, Measurement]:
        """Measurements already made in a setting, by name."""

    def close(self) -> None:
        """Ends writing."""


class MemoryStore:
    """Keeps records for as long as it lives."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def put(self, records: Iterable[Record], host: str | None = None) -> None:
        """Keeps them."""
        self._records.update((record.target.name, record) for record in records)

    def records(self) -> list[Record]:
        """What was put, the latest of each name."""
        return list(self._records.values())

    def counted(self, batch: int) -> dict[str, Record]:
        """This run's rows at a batch."""
        return {
            name: msgspec.structs.replace(record, measured=None)
            for name, record in self._records.items()
            if record.batch == batch
        }

    def measured(self, setting: Setting) -> dict[str, Measurement]:
        """This run's measurements in a setting."""
        return {
            name: record.measured
            for name, record in self._records.items()
            if record.measured and setting_of(record.measured) == setting
        }

    def close(self) -> None:
        """Nothing to end."""


class JsonlStore(MemoryStore):
    """`results.jsonl`: one JSON record a line, appended and synced. A later line of a name replaces an earlier one.

    A file that is already there is kept under a name with its time, never overwritten.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        require_writable(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                keep_aside(path)
            self._file: IO[bytes] = path.open("xb")
        except OSError as error:
            raise UsageError(
                f"can't write results: {error.strerror}", where=str(error.filename or path), fix="choose another --out"
            ) from error

    def put(self, records: Iterable[Record], host: str | None = None) -> None:
        """Appends and syncs. Raises UsageError where the disk refuses."""
        records = list(records)
        super().put(records)
        try:
            self._file.write("".join(record.to_line() for record in records).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UsageError(
                f"can't write results: {error.strerror}",
                where=str(self.path),
                fix="free some space or choose another --out",
            ) from error

    def close(self) -> None:
        """Leaves one line a target, by an atomic replacement."""
        self._file.close()
        write_text(self.path, "".join(record.to_line() for record in self._records.values()))


def keep_aside(path: Path) -> Path:
    """Renames an earlier run's file after its time of writing, so that it stays."""
    stamp = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%S")
    for i in range(1000):
        kept = path.with_name(f"{path.stem}-{stamp}{f'-{i}' if i else ''}{path.suffix}")
        if not kept.exists():
            return path.rename(kept)
    raise UsageError("too many earlier results", where=str(path.parent), fix="choose another --out")


def read_jsonl(path: Path) -> tuple[list[Record], list[str]]:
    """The records of a results file, the latest of each name, and warnings.

    A last line that a killed process left unfinished is a warning, and so is one whose checksum is another's; any other
    bad line raises UsageError.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}", where=str(path), fix="name a results.jsonl") from error
    records: dict[str, Record] = {}
    warnings = []
    if lines[-1]:
        warnings.append(f"{path}: the last line is unfinished (the run was killed) and left out")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = read_record(line, where=f"{path}:{number}")
        except DamagedRowError as error:
            warnings.append(f"{error.where}: {error.what}, and the row is left out")
            continue
        records[record.target.name] = record
    return list(records.values()), warnings
