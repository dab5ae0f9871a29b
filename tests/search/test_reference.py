"""The committed search: its rows are what counting one by one says, within the limits, and none beats another."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.architecture.axes import axis
from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.reading.family import record
from analyzer.searching.engine import search
from analyzer.searching.query import Objective, Query, limits_under
from analyzer.searching.results import finds
from analyzer.space.lists import many
from analyzer.space.space import Space
from analyzer.targets.resolving import named

FOLDER = Path(__file__).parents[2] / "reports" / "reference" / "search-under-densenet121"
FIGURES = ("params", "macs", "conv_activations", "saved_bytes")
GOALS = FIGURES[:3]


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("classes", [2, 1000])
@pytest.mark.parametrize("kind", ["classes", "doubling"])
def test_the_rows_are_right(kind: str, classes: int) -> None:
    baseline = record(replace(PRESETS["densenet121"], classes=classes), layers=False)
    found = rows(f"{kind}-{classes}.csv")
    points = []
    for row in found:
        counted = record(named(row["name"]), layers=False)
        values = {figure: getattr(counted, figure) for figure in FIGURES}
        assert values == {figure: int(row[figure]) for figure in FIGURES}
        for figure in ("params", "macs", "saved_bytes"):
            assert values[figure] <= getattr(baseline, figure)
        points.append((row["front"] == "True", [values[figure] for figure in GOALS]))
    for on_front, point in points:
        beaten = any(other != point and all(o >= p for o, p in zip(other, point, strict=True)) for _, other in points)
        assert on_front != beaten


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 1000])
def test_doubling_is_found_again(classes: int) -> None:
    space = Space(
        block=["residual"], growth=["double"], classes=[classes], ratio=[0.125, 0.25, 0.5, 1.0], bn_size=[1, 2, 4],
        blocks=[(2, 4, 3, 2), (2, 4, 8, 4), (3, 6, 12, 8), (4, 8, 8, 4), (6, 12, 12, 8), (6, 12, 24, 16)],
        compression=many(axis("compression"), ["0.1:1:0.05"]), init=many(axis("init"), ["16:128:8"]),
    )  # fmt: skip
    baseline = record(replace(PRESETS["densenet121"], classes=classes), layers=False)
    goals = tuple(Objective(figure, maximize=True) for figure in GOALS)
    result = search(space, Query(goals, tuple(limits_under(baseline, "densenet121")), best=3), jobs=1)
    front = {find.record.target.name for find in finds(result) if find.front}
    assert front == {row["name"] for row in rows(f"doubling-{classes}.csv") if row["front"] == "True"}
    assert all(Variant.parse(name).growth == "double" for name in front)
