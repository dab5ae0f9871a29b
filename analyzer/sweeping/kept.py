"""What a sweep was asked, beside its rows: a report made later is under the budget that the run had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from analyzer.files import write_text
from analyzer.limits import Limit
from analyzer.structs import Frozen

ASKED = "asked.json"


class SweepAsked(Frozen, frozen=True, kw_only=True):
    """The command that asked, and its limits."""

    command: tuple[str, ...]
    limits: tuple[Limit, ...] = ()


def keep_asked(folder: Path, command: Sequence[str], limits: Sequence[Limit]) -> None:
    """Writes it, in place of what an earlier run asked."""
    asked = SweepAsked(command=tuple(command), limits=tuple(limits))
    write_text(folder / ASKED, msgspec.json.encode(asked).decode() + "\n")


def limits_of_run(path: Path) -> tuple[Limit, ...]:
    """Those of the run that left a folder, or a file in one; none where it had none or did not say."""
    try:
        place = (path if path.is_dir() else path.parent) / ASKED
        return msgspec.json.decode(place.read_bytes(), type=SweepAsked).limits
    except (OSError, msgspec.MsgspecError):
        return ()
