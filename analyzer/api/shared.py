"""What several verbs take: a folder for results, a device's profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.reading.latency import Profile, read_profile
from analyzer.sweeping.database import open_store
from analyzer.sweeping.store import MemoryStore, Store

if TYPE_CHECKING:
    pass


def store_at(folder: Path | None, resume: bool) -> Store:
    """Where rows go: kept in a folder, or nowhere."""
    return MemoryStore() if folder is None else open_store(folder, resume=resume)


def profile_at(path: str | Path | None) -> Profile | None:
    """The profile of a file. Raises UsageError where it was made on another device."""
    if path is None:
        return None
    from analyzer.measuring.environment import like

    return read_profile(Path(path), like)
