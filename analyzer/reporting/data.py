"""What a report shows, as one frozen record: everything else on the page follows from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from analyzer.errors import UsageError
from analyzer.limits import Limit
from analyzer.measurements import Environment
from analyzer.reading.heap import Moment
from analyzer.records import Record
from analyzer.structs import Frozen


class TimelineStep(Frozen, frozen=True, kw_only=True):
    """A step of the memory timeline: the phase, the layer that runs, the most bytes alive while it does.

    `kinds` are these bytes by what they are for, in the order of `analyzer.reading.heap.KINDS`; empty: not known.
    """

    phase: str
    layer: str
    live_bytes: int
    kinds: tuple[int, ...] = ()


class WitnessFigure(Frozen, frozen=True, kw_only=True):
    """Another tool's value of a figure beside ours, and why they differ (empty: they agree)."""

    tool: str
    figure: str
    theirs: int | None
    ours: int | None
    why: str = ""


class ReportData(Frozen, frozen=True, kw_only=True):
    """A report's content.

    `command` is the exact command line. `records` are all rows, failed ones included. The verdict is about
    `subject` under `limits`, compared with `baseline`; both have `layers` where they are known. `front` names the
    rows on the Pareto front of params and MACs. `generated` is an ISO time (see `now`). `searched` says, where the
    records are a search's finds, of which space, what was seen of it and what was asked, a sentence each. `compared`
    says that the limits are the baseline's own figures and no budget. `cloud` has params and MACs of variants that a
    search saw to fit, some of them, for the plot behind its finds.
    """

    title: str
    command: tuple[str, ...]
    records: tuple[Record, ...]
    baseline: Record
    subject: Record | None
    limits: tuple[Limit, ...]
    front: tuple[str, ...]
    environment: Environment | None
    generated: str
    timeline: tuple[TimelineStep, ...] | None = None
    witnesses: tuple[WitnessFigure, ...] = ()
    searched: tuple[str, ...] = ()
    compared: bool = False
    cloud: tuple[tuple[int, int], ...] = ()


def timeline_of(moments: Sequence[Moment]) -> tuple[TimelineStep, ...]:
    """A prediction's timeline as a report's."""
    return tuple(
        TimelineStep(phase=phase, layer=layer, live_bytes=int(size), kinds=kinds)
        for phase, layer, size, kinds in moments
    )


def now() -> str:
    """The time as `2026-01-31T12:00:00Z`; SOURCE_DATE_EPOCH (seconds) in its place where that is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        time = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{epoch!r} is no time", where="SOURCE_DATE_EPOCH", fix="give seconds since 1970, or unset it"
        ) from None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
