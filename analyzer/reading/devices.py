"""The devices that latency can be predicted for: what was timed, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from analyzer.answers import Answering, AnswerParts, AnswerTable
from analyzer.reading.latency import Band, Profile
from analyzer.reading.profiles import SHIPPED, files, read_profile

if TYPE_CHECKING:
    import pandas as pd

HEADINGS = (
    "name", "device", "settings", "batch", "error: plain", "depthwise", "attention", "90 % band, plain", "Spearman",
    "fitted to", "made",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Devices(Answering):
    """Profiles of devices, each with its file: those that ship, and one's own."""

    profiles: tuple[tuple[Profile, Path], ...]

    def __repr__(self) -> str:
        return f"Devices({len(self.profiles)}: {', '.join(profile.name for profile, _ in self.profiles)})"

    def facts(self) -> list[dict[str, object]]:
        """What is to be known of each, without its coefficients."""
        return [_facts(profile, path) for profile, path in self.profiles]

    def frame(self) -> pd.DataFrame:
        """One row a device, by its name: the facts."""
        import pandas as pd

        return pd.DataFrame(self.facts()).set_index("name")

    def answer(self) -> AnswerParts:
        """The table, and where the times are from."""
        return AnswerParts(title="Devices with a profile", tables=(self.table(),), words=self.sources)

    def table(self) -> AnswerTable:
        """A row a device, one more where a training step's times are predicted too."""
        rows = [row for profile, path in self.profiles for row in _rows(profile, path)]
        return AnswerTable("What latency can be predicted for", HEADINGS, rows, left=3, drop=(10, 9, 8, 2, 1, 6, 5))

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the times are from, each once."""
        return tuple(dict.fromkeys(f"times from {one.source}" for one, _ in self.profiles if one.source))


def devices() -> Devices:
    """All that can be named now. Raises UsageError on a file that is no profile."""
    return Devices(tuple((read_profile(path), path) for path in files().values()))


def _facts(profile: Profile, path: Path) -> dict[str, object]:
    """What is to be known of a profile and its file, without its coefficients."""
    told = msgspec.to_builtins(profile)
    for left_out in ("coefficients", "attention", "samples"):
        told.pop(left_out)
    if profile.training is not None:
        told["training"] = {key: value for key, value in told["training"].items() if key in told}
    return {**told, "file": str(path), "ships": path.parent == SHIPPED}


def _rows(profile: Profile, path: Path) -> Iterator[tuple[str, ...]]:
    yield _row(profile, path)
    if profile.training is not None:
        yield ("  training step", *_row(profile.training, path)[1:])


def _row(profile: Profile, path: Path) -> tuple[str, ...]:
    band = profile.bands.get("plain")
    return (
        profile.name,
        profile.device_name,
        str(profile.settings),
        f"{profile.batch:,}",
        *(_error(profile.bands.get(kind)) for kind in ("plain", "depthwise", "attention")),
        f"{band.low:.2f} to {band.high:.2f} x" if band else "–",
        f"{profile.spearman:.3f}",
        f"{profile.rows:,} models" if path.parent == SHIPPED else f"{profile.rows:,} variants, yours",
        f"{profile.time[:10]}, {_age(profile.time)}",
    )


def _error(band: Band | None) -> str:
    return f"{100 * band.mean_error:.1f} %" if band else "–"


def _age(time: str) -> str:
    """How long ago: `98 days old`; nothing where the date doesn't read."""
    try:
        made = datetime.fromisoformat(time)
    except ValueError:
        return "of an unknown date"
    made = made if made.tzinfo else made.replace(tzinfo=UTC)
    days = max((datetime.now(UTC) - made).days, 0)
    return "new today" if not days else f"{days:,} day{'s' * (days > 1)} old"
