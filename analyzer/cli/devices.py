"""`analyze devices`: the devices that latency can be predicted for, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from analyzer.cli import text
from analyzer.cli.base import Verb, say
from analyzer.cli.options import format_option
from analyzer.reading.latency import Band, Profile
from analyzer.reading.profiles import SHIPPED, facts, files, read_profile

HEADINGS = (
    "name", "device", "settings", "batch", "error: plain", "depthwise", "attention", "90 % band, plain", "Spearman",
    "fitted to", "made",
)  # fmt: skip


@click.command("devices", cls=Verb)
@format_option("table", "json", "md")
def command(format_: str) -> None:
    """Devices with a profile: those that ship, and your own (`analyze calibrate --name`).

    Errors are mean relative ones on families (your own: variants) that were left out of the fit: of ordinary
    convolutional networks, those with depthwise convolutions, those with attention or layer norms. --on NAME predicts
    on one.
    """
    found = [(read_profile(path), path) for path in files().values()]
    if format_ == "json":
        text.show_json(msgspec.json.encode([facts(profile, path) for profile, path in found]).decode())
        return
    rows = [row for profile, path in found for row in _rows(profile, path)]
    if format_ == "md":
        text.show(text.markdown(HEADINGS, rows))
        return
    text.show_table(HEADINGS, rows, left=3, drop=(10, 9, 8, 2, 1, 6, 5))
    for source in dict.fromkeys(profile.source for profile, _ in found if profile.source):
        say(f"times from {source}")


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
