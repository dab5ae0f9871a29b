"""Profiles of this machine's devices, in files."""

from __future__ import annotations

from pathlib import Path

from analyzer.reading.latency import Profile, read_profile


def profile_at(path: str | Path | None) -> Profile | None:
    """The profile of a file. Raises UsageError where it was made on another device, or with another torch."""
    if path is None:
        return None
    from analyzer.measuring.environment import like

    return read_profile(Path(path), like)
