"""Counts, bytes and durations to text and back. Decimal suffixes are powers of 1000, `i` suffixes of 1024."""

from __future__ import annotations

import re
from fractions import Fraction

from analyzer.errors import UsageError

MIB = 2**20
GIB = 2**30
_SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": MIB, "gi": 2**30, "ti": 2**40}
_COUNT = re.compile(
    r"([0-9]{1,30}(?:,[0-9]{3})*(?:\.[0-9]{1,30})?)\s*([kmgt]?i?)\s*(b|macs|params|flops)?", re.IGNORECASE
)
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s|m|min|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
LIMIT = 2**63 - 1
MAX_BATCH = 1_000_000


def parse_count(text: str, *, where: str = "", figure: str | None = None, unit: str = "") -> int:
    """An exact integer from `8M` (8,000,000), `8Mi` (8 x 2^20), `32 MiB`, `2.8 GMACs` or `7,978,856`.

    A number of a `figure` in another unit than its own is refused: 5 GFLOPs are not 5 GMACs.
    """
    match = _COUNT.fullmatch(text.strip())
    suffix = match[2].lower() if match else ""
    if match is None or suffix not in _SUFFIXES:
        raise UsageError(f"{text!r} is not a number", where=where, fix="write it as 8M, 2.83G, 100MiB or 7978856")
    if figure is not None and match[3] and match[3].lower() != unit:
        raise UsageError(
            f"{text!r} is in {match[3]}, and {figure} is not",
            where=where,
            fix="say the number in the figure's own unit",
        )
    value = Fraction(match[1].replace(",", "")) * _SUFFIXES[suffix]
    if value.denominator != 1:
        raise UsageError(f"{text!r} is not a whole number", where=where, fix="use a suffix that makes it whole")
    if value > LIMIT:
        raise UsageError(f"{text!r} is beyond 2^63-1", where=where, fix="use a smaller number")
    return int(value)


def parse_batch(value: str | int, *, where: str) -> int:
    """A batch from its text. Raises UsageError where it is none, or is out of range."""
    try:
        number = value if isinstance(value, int) else parse_count(value, where=where)
    except UsageError:
        raise UsageError(
            f"{value!r} is no batch", where=where, fix="a whole number of images from 1, such as 32"
        ) from None
    if not 1 <= number <= MAX_BATCH:
        raise UsageError(f"{value!r} is out of range", where=where, fix=f"use 1 to {MAX_BATCH:,}")
    return number


def parse_seconds(text: str, *, where: str = "") -> float:
    """Seconds from `40s`, `2m`, `1.5h`, `500ms` or a bare number of seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a duration", where=where, fix="write it as 40s, 2m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def count(value: int | None) -> str:
    """`149,871,874`; a dash where the figure is absent."""
    return "–" if value is None else f"{value:,}"


def short(value: int | None) -> str:
    """`149.87 M`: three to five significant digits, for places where the exact figure stands elsewhere."""
    if value is None:
        return "–"
    for power, suffix in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(value) >= power:
            return f"{value / power:.2f} {suffix}"
    return str(value)


def mib(value: int | None) -> str:
    """`100.25 MiB` from bytes; three digits under 1 MiB, so that little is not shown as nothing."""
    if value is None:
        return "–"
    return f"{value / MIB:,.2f} MiB" if abs(value) >= MIB or value == 0 else f"{value / MIB:.3g} MiB"


def format_gib(value: int) -> str:
    """`23.4 GiB` from bytes, for memory sizes."""
    return f"{value / GIB:.1f} GiB"


def ratio(value: int | float | None, base: int | float | None) -> str:
    """`21.55x` of the base; a dash where either is absent or the base is 0."""
    if value is None or not base:
        return "–"
    return f"{times(value / base)}x"


def times(quotient: float) -> str:
    """`5.43`; three digits where it is under 0.1, so that little is not shown as nothing."""
    return f"{quotient:.2f}" if quotient >= 0.1 else f"{quotient:.3g}"


def percent(part: int | float | None, whole: int | float | None) -> str:
    """`47.6 %` of the whole; a dash where either is absent or the whole is 0."""
    return "–" if part is None or not whole else f"{100 * part / whole:.1f} %"


def change(value: int | float, base: int | float) -> str:
    """`+5.0 %` or `−5.0 %` of the base; nothing where that is 0."""
    return f"{100 * (value - base) / base:+.1f} %".replace("-", "−") if base else ""


def nanoseconds(value: float | None) -> str:
    """`55.3 µs`, `12.34 ms` or `1.23 s` from nanoseconds."""
    return seconds(None if value is None else value / 1e9)


def seconds(value: float | None) -> str:
    """`55.3 µs`, `12.34 ms` or `1.23 s`."""
    if value is None:
        return "–"
    if value < 1e-3:
        return f"{value * 1e6:.1f} µs" if value else "0 s"
    return f"{value * 1000:.2f} ms" if value < 1 else f"{value:.2f} s"


def epochs_of(count: int) -> str:
    """`1 epoch`, `12 epochs`."""
    return "1 epoch" if count == 1 else f"{count:,} epochs"


def span(value: float) -> str:
    """A duration for people: 40 s, 12 min, 3.2 h."""
    return f"{value:.0f} s" if value < 90 else f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"
