"""How far measured times can be trusted: what was measured, what failed, and what each warning says, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.records import Record, devices_of

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
