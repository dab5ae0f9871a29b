"""What a search asks: constraints and objectives on figures, and how chunks of variants are judged by them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from analyzer.architecture.network import Columns
from analyzer.errors import UsageError, did_you_mean
from analyzer.figures import LIMITED
from analyzer.limits import Limit, own_limits
from analyzer.reading.latency import Profile
from analyzer.reading.vector import ColumnCounts, count_columns
from analyzer.records import Record
from analyzer.space.pareto import front, spread, standing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    from analyzer.later import np

FIGURES = tuple(figure.name for figure in LIMITED if figure.arrays)
"""What a search can constrain and optimise: figures that exist in array form."""
PREDICTED = "predicted_image_ns"
COLUMN = {figure: number for number, figure in enumerate(FIGURES)}
"""The column of each in a table of points."""

Ints: TypeAlias = "npt.NDArray[np.int64]"
Floats: TypeAlias = "npt.NDArray[np.float64]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"


def require_figure(figure: str, where: str) -> None:
    """UsageError with the nearest name for a figure that search doesn't know."""
    if figure not in FIGURES:
        raise UsageError(f"can't search by {figure!r}", where=where, fix=did_you_mean(figure, FIGURES))


def limits_under(record: Record, name: str) -> list[Limit]:
    """A record's own headline figures as limits."""
    return [
        msgspec.structs.replace(limit, source=f"{limit.source} ({limit.figure} {limit.bound:,})")
        for limit in own_limits(record, f"under {name}")
    ]


@dataclass(frozen=True)
class Objective:
    """A figure to minimise, or to maximise."""

    figure: str
    maximize: bool = False

    def __post_init__(self) -> None:
        require_figure(self.figure, "objective")


@dataclass(frozen=True)
class Query:
    """What to look for. Memory is at `batch`; `best` variants are kept for each objective. A device's `profile` tells
    predicted times.
    """

    objectives: tuple[Objective, ...] = (Objective("params"), Objective("macs"))
    constraints: tuple[Limit, ...] = ()
    batch: int = 1
    best: int = 0
    profile: Profile | None = None

    def __post_init__(self) -> None:
        if not self.objectives:
            raise UsageError("has no objective", where="search", fix="such as --minimize params,macs")
        for limit in self.constraints:
            require_figure(limit.figure, limit.source or "constraint")
            if not 0 <= limit.bound < 2**63:
                raise UsageError(f"{limit.bound:,} is out of range", where=limit.source, fix="use 0 to 2^63-1")

    @property
    def used(self) -> tuple[str, ...]:
        """The figures that must be counted."""
        used = {*(o.figure for o in self.objectives), *(c.figure for c in self.constraints)}
        return tuple(figure for figure in FIGURES if figure in used)

    def count(self, columns: Columns) -> ColumnCounts:
        """The figures that must be counted, of many variants."""
        clock = None if self.profile is None else self.profile.clock
        return count_columns(columns, self.batch, self.used, clock=clock)

    def require_profile(self) -> None:
        """UsageError where predicted times are asked for, and no device is named."""
        if PREDICTED in self.used and self.profile is None:
            raise UsageError(
                "predicted times need a device", where="search", fix="name one: --on rtx4090, on='rtx4090'"
            )


@dataclass
class Finds:
    """What a part of the space gave: the front and the best of what fits, and how near the rest came.

    A row of `points` holds the figures in FIGURES' order; `where` the (part, index) of that variant. `met` counts the
    variants that meet each constraint alone; `nearest` is the least excess over the limits (relative), and whose.
    """

    seen: int = 0
    valid: int = 0
    fitting: int = 0
    points: Ints = field(default_factory=lambda: np.empty((0, len(FIGURES)), np.int64))
    where: Ints = field(default_factory=lambda: np.empty((0, 2), np.int64))
    best: dict[int, tuple[Ints, Ints]] = field(default_factory=dict)
    met: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    nearest: tuple[float, int, int] = (float("inf"), -1, -1)


def valid_of(counts: ColumnCounts) -> Mask:
    """Which variants make a network, and train where a figure of training is asked for."""
    return ~counts.invalid if counts.untrainable is None else ~counts.invalid & ~counts.untrainable


def fits_of(query: Query, counts: ColumnCounts) -> Mask:
    """Which variants meet every constraint."""
    return np.asarray(np.logical_and.reduce([valid_of(counts), *_meets(query, counts)]))


def _meets(query: Query, counts: ColumnCounts) -> list[Mask]:
    return [np.asarray(limit.beyond(counts.figures[limit.figure]) <= 0) for limit in query.constraints]


class Standing:
    """The goals of the best that a process has found so far: what they dominate is on no front."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.points: Ints = np.empty((0, len(query.objectives)), np.int64)
        self.few = self.points

    def learn(self, finds: Finds) -> None:
        """Takes in the front of some finds."""
        points = np.concatenate([self.points, goals(self.query, finds.points)])
        self.points = points[front(points)]
        self.few = np.asarray(spread(self.points), np.int64)


def judge(standing_: Standing, counts: ColumnCounts, part: int, indices: Ints) -> Finds:
    """The finds of one chunk of a part, without what is dominated by what stands already."""
    query, valid = standing_.query, valid_of(counts)
    meets = [met & valid for met in _meets(query, counts)]
    fits = np.logical_and.reduce([valid, *meets])
    finds = Finds(
        seen=len(indices),
        valid=int(valid.sum()),
        fitting=int(fits.sum()),
        met=np.array([int(m.sum()) for m in meets], np.int64),
    )
    if finds.fitting:
        _reduce(standing_, finds, counts, np.flatnonzero(fits), (part, indices))
    elif query.constraints and finds.valid:
        excess = [limit.excess(counts.figures[limit.figure]) for limit in query.constraints]
        worst = np.where(valid, np.max(excess, axis=0), np.inf)
        at = int(worst.argmin())
        finds.nearest = (float(worst[at]), part, int(indices[at]))
    return finds


def _reduce(standing_: Standing, finds: Finds, counts: ColumnCounts, fits: Ints, place: tuple[int, Ints]) -> None:
    """Keeps of the fitting variants the front and the best of each objective."""
    query = standing_.query
    part, indices = place
    wanted = [(-1 if o.maximize else 1) * counts.figures[o.figure] for o in query.objectives]
    if len(fits) < len(indices):
        wanted = [column[fits] for column in wanted]
    for i, column in enumerate(wanted if query.best else ()):
        rows = fits[np.argsort(column, kind="stable")[: query.best]]
        finds.best[i] = (figures_of(counts, rows), _where(part, indices, rows))
    rows = standing(wanted, standing_.few)
    rows = fits[rows[front(np.column_stack([column[rows] for column in wanted]))]]
    finds.points, finds.where = figures_of(counts, rows), _where(part, indices, rows)


def _where(part: int, indices: Ints, rows: Ints) -> Ints:
    return np.column_stack([np.full(len(rows), part, np.int64), indices[rows]])


def figures_of(counts: ColumnCounts, rows: Ints) -> Ints:
    """One row a variant, the figures in FIGURES' order; 0 where one was not counted."""
    nothing = np.zeros(len(rows), np.int64)
    known = counts.figures
    return np.column_stack([known[figure][rows] if figure in known else nothing for figure in FIGURES])


def goals(query: Query, points: Ints) -> Ints:
    """The objectives' columns, all to be minimised."""
    return np.column_stack([(-1 if o.maximize else 1) * points[:, COLUMN[o.figure]] for o in query.objectives])


def merged(query: Query, finds: list[Finds]) -> Finds:
    """Several parts' finds as one; the same whatever the order."""
    total = Finds(
        seen=sum(f.seen for f in finds),
        valid=sum(f.valid for f in finds),
        fitting=sum(f.fitting for f in finds),
        met=np.sum([f.met for f in finds], axis=0) if finds else np.zeros(0, np.int64),
        nearest=min((f.nearest for f in finds), default=(float("inf"), -1, -1)),
    )
    points = np.concatenate([total.points, *(f.points for f in finds)])
    where = np.concatenate([total.where, *(f.where for f in finds)])
    if len(points):
        rows = np.flatnonzero(front(goals(query, points)))
        rows = rows[np.lexsort((where[rows, 1], where[rows, 0]))]
        total.points, total.where = points[rows], where[rows]
    for i in sorted({i for f in finds for i in f.best}):
        ranked = [f.best[i] for f in finds if i in f.best]
        values, places = (np.concatenate([pair[side] for pair in ranked]) for side in (0, 1))
        order = np.lexsort((places[:, 1], places[:, 0], goals(query, values)[:, i]))[: query.best]
        total.best[i] = (values[order], places[order])
    return total
