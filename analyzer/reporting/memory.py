"""The memory of a training step over its layers, drawn without a script: stacked by what it is for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from markupsafe import Markup

from analyzer.figures import FIGURES
from analyzer.reading.heap import KINDS
from analyzer.reporting.data import TimelineStep
from analyzer.reporting.svg import WIDTH, LinearScale, clip, drawing, el, line, rect, spread, text

LEFT, TOP, BOTTOM, HEIGHT = 58.0, 78.0, 300.0, 346.0
COLUMNS = 240
"""Steps are drawn one by one up to here; of more, the highest of each few."""
MIB = 2**20
PHASE = 70.0
"""Between two phases' names."""


def timeline(moments: Sequence[TimelineStep], width: float = WIDTH) -> Markup:
    """Live bytes after every layer of a training step, in MiB: kinds stacked, phases named, the peak marked."""
    shown = _thinned(moments)
    peak = max(shown, key=lambda moment: moment.live_bytes)
    dx = (width - LEFT - 12) / max(len(shown), 1)
    y = LinearScale(0, max(peak.live_bytes, 1) / MIB, BOTTOM, TOP)
    bytes_ = FIGURES["peak_training_bytes"]
    words = f"peak {bytes_.text(peak.live_bytes)} in {peak.phase} {peak.layer}".rstrip()
    x = LEFT + (shown.index(peak) + 0.5) * dx
    parts = [
        *_axis(y, width),
        *_areas(shown, y, dx),
        *_phases(shown, dx, width),
        *_hovers(shown, dx),
        *_legend(shown, width),
        el("circle", cx=x, cy=y(peak.live_bytes / MIB), r=5, class_="mark"),
        text(LEFT, 16, clip(words, 0.9 * (width - LEFT)), class_="strong"),
    ]
    return drawing(HEIGHT, f"Live bytes over a training step: {words}", parts, width=width)


def _thinned(moments: Sequence[TimelineStep]) -> list[TimelineStep]:
    """At most COLUMNS or so, the highest of every few, no two phases in one."""
    each = -(-len(moments) // COLUMNS)
    if each <= 1:
        return list(moments)
    found: list[TimelineStep] = []
    for _, phase in groupby(moments, key=lambda moment: moment.phase):
        steps = list(phase)
        found += [max(steps[i : i + each], key=lambda m: m.live_bytes) for i in range(0, len(steps), each)]
    return found


def _axis(y: LinearScale, width: float) -> Iterator[Markup]:
    for value in y.ticks(5):
        yield line(LEFT, y(value), width - 12, y(value), class_="grid")
        yield text(LEFT - 7, y(value) + 4, f"{value:,g}", text_anchor="end")
    yield text(LEFT - 7, TOP - 12, "MiB", text_anchor="end", class_="muted")


def _areas(shown: Sequence[TimelineStep], y: LinearScale, dx: float) -> Iterator[Markup]:
    """A band a kind, the first at the bottom; one for all where the kinds are not known."""
    known = all(moment.kinds for moment in shown)
    stacks = [moment.kinds if known else (moment.live_bytes,) for moment in shown]
    floors = [0] * len(shown)
    for i, kind in enumerate(KINDS if known else ("alive",)):
        tops = [floor + stack[i] for floor, stack in zip(floors, stacks, strict=True)]
        if tops != floors:
            yield el("path", d=_band(floors, tops, y, dx), class_=f"kind-{kind}")
        floors = tops


def _band(floors: Sequence[int], tops: Sequence[int], y: LinearScale, dx: float) -> str:
    """Steps along the tops and back along the floors, equal neighbours as one."""
    there = [(i, y(v / MIB)) for i, v in enumerate(tops) if not i or v != tops[i - 1]]
    back = [(i + 1, y(v / MIB)) for i, v in enumerate(floors) if i + 1 == len(floors) or v != floors[i + 1]]
    path = [f"M{LEFT:.1f} {there[0][1]:.1f}"] + [f"H{LEFT + i * dx:.1f}V{at:.1f}" for i, at in there]
    path += [f"H{LEFT + i * dx:.1f}V{at:.1f}" for i, at in reversed(back)]
    return "".join(path) + f"H{LEFT:.1f}Z"


def _phases(shown: Sequence[TimelineStep], dx: float, width: float) -> Iterator[Markup]:
    """A line where each begins; its name below its middle, moved aside where names would touch."""
    spans, start = [], 0
    for phase, steps in groupby(shown, key=lambda moment: moment.phase):
        count = len(list(steps))
        spans.append((phase, LEFT + start * dx, LEFT + (start + count) * dx))
        start += count
    apart = min(PHASE, (width - LEFT - 12) / max(len(spans), 1))
    middles = spread([(low + high) / 2 for _, low, high in spans], apart, LEFT + 24, width - 34)
    for (phase, low, high), middle in zip(spans, middles, strict=True):
        yield line(low, TOP - 8, low, BOTTOM + 8, class_="link")
        yield line((low + high) / 2, BOTTOM + 2, middle, BOTTOM + 20, class_="link")
        yield text(middle, BOTTOM + 34, clip(phase, apart), text_anchor="middle")


def _hovers(shown: Sequence[TimelineStep], dx: float) -> Iterator[Markup]:
    bytes_ = FIGURES["peak_training_bytes"]
    for i, moment in enumerate(shown):
        kinds = [f"{kind} {bytes_.text(v)}" for kind, v in zip(KINDS, moment.kinds, strict=False) if v]
        told = "\n".join([f"{moment.phase} {moment.layer}: {bytes_.text(moment.live_bytes)}", *reversed(kinds)])
        yield rect(LEFT + i * dx, TOP, dx, BOTTOM - TOP, el("title", told), class_="hover")


def _legend(shown: Sequence[TimelineStep], width: float) -> Iterator[Markup]:
    """What each band is, with how much of it there is at the most."""
    if not all(moment.kinds for moment in shown):
        return
    x, y = LEFT, 28.0
    for kind in KINDS:
        if x + 90 > width:
            x, y = LEFT, y + 18
        yield rect(x, y, 11, 11, class_=f"kind-{kind}")
        yield text(x + 16, y + 10, kind)
        x += 30 + len(kind) * 7.4
