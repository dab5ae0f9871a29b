"""What a figure may be, and the one judgement whether it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analyzer.figures import HEADLINE, Figure, known
from analyzer.records import Record
from analyzer.structs import Frozen

State = Literal["within", "over", "unknown"]


class Limit(Frozen, frozen=True, kw_only=True):
    """The most, or the least, that a figure may be, inclusive; `source` is where that comes from (`--max-params`)."""

    figure: str
    bound: int
    side: Literal["most", "least"] = "most"
    source: str = ""

    def beyond(self, value: Any) -> Any:
        """How far a value (or each of an int64 array) is on the wrong side; 0 or less where the limit is met."""
        return value - self.bound if self.side == "most" else self.bound - value

    def excess(self, value: Any) -> Any:
        """`beyond` as a part of the limit."""
        return self.beyond(value) / max(self.bound, 1)

    def __str__(self) -> str:
        return f"{self.figure} at {self.side} {self.bound:,}"


@dataclass(frozen=True)
class Judged:
    """A limit, and the value that is held to it."""

    limit: Limit
    value: int | None

    @property
    def figure(self) -> Figure:
        """Of which the limit is."""
        return known(self.limit.figure)

    @property
    def state(self) -> State:
        """`within`, `over` (or under the least), or `unknown` where the figure is not known."""
        if self.value is None:
            return "unknown"
        return "over" if self.limit.beyond(self.value) > 0 else "within"

    @property
    def used(self) -> float:
        """How much of the limit is used up: above 1 where it is not met; 0 where the figure is not known."""
        parts = (self.value or 0, self.limit.bound)
        part, whole = parts if self.limit.side == "most" else parts[::-1]
        return 0.0 if self.value is None else part / max(whole, 1)


def hold(record: Record, limit: Limit) -> Judged:
    """A record's figure held to a limit."""
    return Judged(limit, known(limit.figure).of(record))


def hold_all(record: Record, limits: Iterable[Limit]) -> tuple[Judged, ...]:
    """A record held to limits."""
    return tuple(hold(record, limit) for limit in limits)


def state_of(judged: Iterable[Judged]) -> State:
    """`over` where any limit is not met, else `unknown` where any can't be judged, or there is none, else `within`."""
    states = {each.state for each in judged}
    return "over" if "over" in states else "unknown" if "unknown" in states or not states else "within"


def at_most(bounds: Mapping[str, int], source: str = "") -> tuple[Limit, ...]:
    """Limits from the most of each figure."""
    return tuple(Limit(figure=figure, bound=bound, source=source) for figure, bound in bounds.items())


def limits_said(
    name: str, limits: Mapping[str, int | str] | None, side: Literal["most", "least"] = "most"
) -> Iterator[Limit]:
    """Limits by figure as people give them, where `name` stands; one may be text as the command takes it (`8M`)."""
    for figure, limit in (limits or {}).items():
        where = f"{name}[{figure!r}]"
        bound = known(figure).parse(limit, where=where) if isinstance(limit, str) else limit
        yield Limit(figure=figure, bound=bound, side=side, source=where)


def default_limits(limits: Sequence[Limit], baseline: Record) -> tuple[Limit, ...]:
    """The limits that were given, else the baseline's own figures."""
    return tuple(limits) or own_limits(baseline, f"{baseline.target.shown}'s own")


def own_limits(record: Record, source: str) -> tuple[Limit, ...]:
    """A record's own headline figures as limits, those that are known."""
    values = {figure.name: figure.of(record) for figure in HEADLINE}
    return at_most({name: value for name, value in values.items() if value is not None}, source)
