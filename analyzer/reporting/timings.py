"""How far measured times can be trusted: what was measured, what failed, and what each warning says, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from analyzer.figures import FIGURES
from analyzer.measurements import Measurement
from analyzer.records import Record, devices_of, standing_of
from analyzer.reporting.data import ReportData
from analyzer.reporting.text import times
from analyzer.units import seconds

NAMED = 3


def measured_trust(rows: Sequence[Record]) -> list[tuple[bool, str]]:
    """Statements on the times of rows, each with whether it is good news."""
    measured = [row for row in rows if row.measured]
    if not measured and not any(row.unmeasured for row in rows):
        return [(True, "Nothing here was timed: speed is no part of the verdict.")]
    said = [(True, f"Times of {len(measured):,} models are measured, with the spread over processes.")] * bool(measured)
    devices = devices_of(measured)
    if len(devices) > 1:
        names = ", ".join(f"{count:,} on {name}" for name, count in devices.items())
        said.append((False, f"Times are of unlike devices ({names}) and compare only within one."))
    return [*said, *((False, sentence) for sentence in [*_failed(rows), *_indicative(measured), *_caveats(measured)])]


def _failed(rows: Sequence[Record]) -> Iterator[str]:
    """Timings that were to be and are not, by reason."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for reason in row.unmeasured:
            reasons.setdefault(reason, []).append(row.target.shown)
    for reason, names in reasons.items():
        yield f"{_named(names)} {'has' if len(names) == 1 else 'have'} no times: {reason}."


def _indicative(rows: Sequence[Record]) -> Iterator[str]:
    """One time ratio is no interval: said once, with how many processes there were."""
    few = [row.measured for row in rows if row.measured and row.measured.caution]
    if few:
        counts = sorted({made.processes for made in few})
        span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        many = "process" if span == "1" else "processes"
        yield f"Times of {len(few):,} of {len(rows):,} models are of {span} {many}: indicative only, no 95 % interval."


def _caveats(rows: Sequence[Record]) -> Iterator[str]:
    """What the protocol warns of, a sentence a kind."""
    kinds: dict[str, list[tuple[str, str, str]]] = {}
    for row in rows:
        for caveat in row.measured.caveats if row.measured else ():
            if caveat.kind != "few-processes":
                kinds.setdefault(caveat.kind, []).append((row.target.shown, caveat.what, caveat.fix))
    for kind, told in kinds.items():
        _, what, fix = told[0]
        yield f"{kind}, {_named([name for name, *_ in told])}: {what}; {fix}."


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def ratio_words(measured: Measurement) -> str:
    """The one time ratio with its ends and its warning: `8.13× (8.00 to 8.27× in 2 processes ⚠ indicative only)`."""
    return f"{times(measured.ratio, 1)} ({_ratio_ends(measured)})"


def _ratio_ends(measured: Measurement) -> str:
    low, high, interval = measured.ends("ratio")
    return measured.within(FIGURES["measured_ratio"].ends(low, high), interval=interval)


def measured_lines(data: ReportData) -> Iterator[dict[str, Any]]:
    """A row a measured model, fastest first: throughput with its range, latency percentiles, ratio, warnings.

    Models that were measured on unlike devices stand apart, each with its device.
    """
    rows = [row for row in (*data.records, data.baseline, data.subject) if row is not None and row.measured]
    devices = list(devices_of(rows))
    unique = {row.target.name: row for row in rows}
    rated = sorted(unique.values(), key=lambda r: -(r.measured.measured_images_per_s if r.measured else 0))
    for row in sorted(rated, key=lambda r: devices.index(r.measured.environment.device_name) if r.measured else 0):
        measured = row.measured
        assert measured is not None
        times_s = sorted(measured.seconds_per_batch)
        own = measured.baseline == row.target.name
        device = f" on {measured.environment.device_name}" if len(devices) > 1 else ""
        yield {
            "name": row.target.shown + device,
            "batch": measured.batch,
            "rate": f"{measured.measured_images_per_s:,.1f}",
            "known": standing_of(row, FIGURES["measured_images_per_s"]),
            "latency": [seconds(_quantile(times_s, q)) for q in (50, 90, 99)],
            "rounds": len(times_s),
            "ratio": "1× (itself)" if own else times(measured.ratio, 1),
            "ratio_range": "" if own else _ratio_ends(measured),
            "peak": FIGURES["measured_peak_bytes"].text(measured.measured_peak_bytes),
            "predicted": FIGURES["peak_inference_bytes"].text(row.peak_inference_bytes),
            "notes": (*(f"{c.kind}: {c.what}; {c.fix}" for c in measured.caveats), *measured.notes),
        }


def _quantile(ordered: Sequence[float], share: int) -> float | None:
    """The least value that this share of all values does not exceed; None where too few values can tell."""
    if len(ordered) * (100 - share) < 100:
        return None
    return ordered[-(-share * len(ordered) // 100) - 1]
