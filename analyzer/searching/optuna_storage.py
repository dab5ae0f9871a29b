"""Optuna, where it is installed, and the file that a study is kept in."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analyzer.distribution import installing
from analyzer.errors import UsageError
from analyzer.files import locked


def optuna_here() -> Any:
    """Optuna, with its own words turned off. Raises UsageError where it isn't installed."""
    try:
        import optuna
    except ImportError:
        raise UsageError(
            "measured objectives need Optuna, which is not installed",
            where="--objective",
            fix=installing("optuna"),
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextlib.contextmanager
def alone(path: Path | None) -> Iterator[None]:
    """Keeps other processes off a study. Raises UsageError where one has it, or it can't be kept there."""
    if path is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path.with_name(f"{path.name}.lock"), wait=False))
        except BlockingIOError:
            fix = "wait for it, or choose another --out"
            raise UsageError("is in use by another process", where=str(path), fix=fix) from None
        except OSError as error:
            raise UsageError(
                f"can't keep the study: {error.strerror}", where=str(path), fix="choose another --out"
            ) from error
        yield


@contextlib.contextmanager
def told(path: Path | None) -> Iterator[None]:
    """Turns what SQLite, SQLAlchemy and Optuna say of a file that is no study, or a full disk, into a UsageError."""
    errors: tuple[type[Exception], ...] = (sqlite3.Error, optuna_here().exceptions.StorageInternalError)
    if path is not None:
        import sqlalchemy.exc

        errors = (*errors, sqlalchemy.exc.SQLAlchemyError)
    try:
        yield
    except errors as error:
        what = str(error.__cause__ or error).splitlines()[0]
        fix = "free some space, or choose another --out; what is measured is kept in its results.db"
        raise UsageError(f"can't keep the study: {what}", where=str(path), fix=fix) from error


def storage_at(path: Path) -> Any:
    """Optuna's tables in SQLite, whole after a kill. A power cut may cost the last trials, no measurement: those are in
    the results database, which waits for the disk.
    """

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=30.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    return optuna_here().storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})
