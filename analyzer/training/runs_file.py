"""A results file's trainings: each run's configuration, its epochs, and what the network said of every image."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from analyzer.errors import DamageWarning, UsageError
from analyzer.seals import checksum, decoded
from analyzer.storing.results_file import ResultsFile, origin_here
from analyzer.training.run_records import Config, Epoch, RunOutcome
from analyzer.training.together import Together

T = TypeVar("T")
R = TypeVar("R")
FLOAT, INT = np.dtype("<f4"), np.dtype("<i4")

Images = tuple[Sequence[str], NDArray[np.int64]]
"""The names of images, and their classes."""


class RunsFile(ResultsFile):
    """The trainings of one results file. What is damaged is left out, with a DamageWarning."""

    def begin(self, config: Config, images: Mapping[str, Images] | None = None) -> None:
        """Keeps a run's configuration, with the names and labels of each split's images; one that was accepted takes
        the place of the one before.
        """
        with self.transaction():
            self._put("runs", (config.run,), "config", msgspec.json.encode(config).decode())
            for split, (keys, labels) in (images or {}).items():
                text, blob = msgspec.json.encode(list(keys)).decode(), np.ascontiguousarray(labels, INT).tobytes()
                values = (config.run, split, text, blob, _seal(config.run, split, text, blob))
                self._db.execute("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?)", values)

    def put(self, run: str, epoch: Epoch, logits: Mapping[str, NDArray[np.float32]]) -> None:
        """Keeps an epoch with the logits of each split's images, all or nothing; what says the same again keeps its
        origin.
        """
        with self.transaction():
            self._put("epochs", (run, epoch.epoch), "record", msgspec.json.encode(epoch).decode())
            for split, said in logits.items():
                blob = np.ascontiguousarray(said, FLOAT).tobytes()
                values = (run, epoch.epoch, split, blob, _seal(run, epoch.epoch, split, blob))
                self._db.execute("INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?)", values)

    def _put(self, table: str, key: tuple[str | int, ...], column: str, text: str) -> None:
        names = ("run", "epoch")[: len(key)]
        kept = self._db.execute(
            f"SELECT {column} FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in names)}", key
        ).fetchone()
        if kept is not None and kept[0] == text:
            return
        origin = msgspec.structs.astuple(origin_here())
        values = (*key, text, *origin, checksum(*key, text, *origin))
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(values))})", values)

    def configs(self) -> dict[str, Config]:
        """Every run's configuration, by the run's name, in the order in which they began."""
        with self.told():
            rows = self._db.execute("SELECT * FROM runs ORDER BY rowid").fetchall()
        return {row[0]: config for row in rows if (config := self._read(row, 1, Config)) is not None}

    def epochs(self, run: str) -> list[Epoch]:
        """A run's epochs, in order."""
        with self.told():
            rows = self._db.execute("SELECT * FROM epochs WHERE run = ? ORDER BY epoch", (run,)).fetchall()
        return [epoch for row in rows if (epoch := self._read(row, 2, Epoch)) is not None]

    def logits(self, run: str, epoch: int, split: str, classes: int) -> NDArray[np.float32] | None:
        """What the network said after an epoch of a split's images, (images, classes) in the split's order."""
        asked = (run, epoch, split)
        with self.told():
            found = self._db.execute(
                "SELECT logits, checksum FROM predictions WHERE run = ? AND epoch = ? AND split = ?", asked
            ).fetchone()
        if found is None:
            return None
        blob, seal = found
        if not isinstance(blob, bytes) or seal != _seal(*asked, blob) or len(blob) % (FLOAT.itemsize * classes):
            self._left_out(f"predictions of {run}, epoch {epoch}, {split}")
            return None
        return np.frombuffer(blob, FLOAT).reshape(-1, classes)

    def outcomes(self) -> list[RunOutcome]:
        """Every run with its epochs, in the order in which they began."""
        return [RunOutcome(config, tuple(self.epochs(run))) for run, config in self.configs().items()]

    def holds_runs_alone(self) -> bool:
        """Whether there are runs, and no rows of a sweep."""
        with self.told():
            runs, rows = self._db.execute("SELECT EXISTS (SELECT 1 FROM runs), EXISTS (SELECT 1 FROM rows)").fetchone()
        return bool(runs and not rows)

    def take(self, other: RunsFile, *, newer: bool = False) -> int:
        """Takes over the runs that another file has and this one has not, whole ones; how many. With `newer` also
        what the other file has of runs that this one has.
        """
        there = self.configs()
        wanted = [run for run, config in other.configs().items() if newer or run not in there]
        with self.transaction():
            for table in ("runs", "epochs", "predictions", "images"):
                for run in wanted:
                    if table == "runs" and other.configs()[run] == there.get(run):
                        continue  # keeps its place among the others
                    for row in other.stored(table, run):
                        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        return len(wanted)

    def stored(self, table: str, run: str) -> list[tuple[object, ...]]:
        """A run's rows of one table, as they lie there."""
        with self.told():
            return self._db.execute(f"SELECT * FROM {table} WHERE run = ?", (run,)).fetchall()

    def images(self, run: str, split: str) -> tuple[list[str], NDArray[np.int32]] | None:
        """The names and labels of a split's images, in the order of its logits."""
        with self.told():
            found = self._db.execute(
                "SELECT keys, labels, checksum FROM images WHERE run = ? AND split = ?", (run, split)
            ).fetchone()
        if found is None:
            return None
        text, blob, seal = found
        if not isinstance(blob, bytes) or seal != _seal(run, split, text, blob):
            self._left_out(f"images of {run}, {split}")
            return None
        return list(map(str, decoded(text))), np.frombuffer(blob, INT)

    def _read(self, row: tuple[object, ...], keys: int, kind: type[T]) -> T | None:
        *cells, seal = row
        if seal != checksum(*cells):
            self._left_out(", epoch ".join(map(str, cells[:keys])))
            return None
        try:
            return msgspec.convert(decoded(str(cells[keys])), kind)
        except msgspec.MsgspecError as error:
            where = f"{self.path}: {cells[0]}"
            raise UsageError(f"not a run: {error}", where=where, fix="use a file that this analyze wrote") from None

    def _left_out(self, which: str) -> None:
        warnings.warn(f"{self.path}: {which} is damaged and left out", DamageWarning, stacklevel=3)


class SharedRuns:
    """The trainings of a results file that several processes share: the first alone reads and writes it, the others
    are told.
    """

    def __init__(self, path: Path, together: Together) -> None:
        self._together = together
        self._runs: RunsFile | None = None
        together.first(lambda: self._open(path))

    def _open(self, path: Path) -> None:
        self._runs = RunsFile(path, create=True)

    def close(self) -> None:
        """Closes the file."""
        if self._runs is not None:
            self._runs.close()

    def begin(self, config: Config, images: Mapping[str, Images] | None = None) -> None:
        """As RunsFile's."""
        self._of_first(lambda runs: runs.begin(config, images))

    def put(self, run: str, epoch: Epoch, logits: Mapping[str, NDArray[np.float32]]) -> None:
        """As RunsFile's."""
        self._of_first(lambda runs: runs.put(run, epoch, logits))

    def epochs(self, run: str) -> list[Epoch]:
        """As RunsFile's."""
        return self._of_first(lambda runs: runs.epochs(run))

    def _of_first(self, work: Callable[[RunsFile], R]) -> R:
        def done() -> R:
            assert self._runs is not None
            return work(self._runs)

        return self._together.first(done)


def _seal(*cells: str | int | bytes) -> str:
    return checksum(*(hashlib.sha256(cell).hexdigest() if isinstance(cell, bytes) else cell for cell in cells))


def merge_runs(path: Path, sources: Sequence[Path]) -> int:
    """Adds the runs of other files to one; a run that is there stays as it is. How many were added."""
    with contextlib.closing(RunsFile(path, create=True)) as runs:
        taken = 0
        for source in sources:
            with contextlib.closing(RunsFile(source)) as other:
                taken += runs.take(other)
    return taken
