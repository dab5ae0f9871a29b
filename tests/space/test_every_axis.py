"""Whatever stands in the table of axes can be named, swept, searched, explained, exported and read back."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from axes_of_the_table import small, working

from analyzer import cli
from analyzer.architecture.axes import AXES, Axis, alternatives
from analyzer.architecture.variant import Variant
from analyzer.limits import Limit
from analyzer.reading.family import record, records
from analyzer.records import read_record
from analyzer.reporting.variants import differences, label, varying
from analyzer.searching.explain import cheapest, elasticities, levers
from analyzer.space.lists import many

EVERY = pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.field)


def run(*args: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*args])
    assert ended.value.code == 0


def options(axis: Axis, variants: Sequence[Variant]) -> list[str]:
    """The small network's axes and every value of the axis, as the command takes them."""
    said = {name: [value] for name, value in small(axis).items() if name not in alternatives(axis.field)}
    said[axis.field] = [getattr(variant, axis.field) for variant in variants]
    named = [(known, value) for known in AXES for value in said.get(known.field, ())]
    return [word for known, value in named for word in (f"--{known.option}", known.text(value))]


@EVERY
def test_it_is_read_as_it_is_written(axis: Axis) -> None:
    for variant in working(axis, 20):
        value = getattr(variant, axis.field)
        assert Variant.parse(variant.name) == Variant.from_json(variant.to_json()) == variant
        assert axis.one(axis.text(value)) == value
        assert many(axis, [axis.text(value)]) == (value,)


@EVERY
def test_it_is_swept_and_stands_in_every_file_and_on_the_page(axis: Axis, tmp_path: Path) -> None:
    variants = working(axis, 3)
    assert len(variants) > 1
    run("sweep", *options(axis, variants), "--measure", "none", "--quiet", "--out", str(tmp_path))
    rows = [read_record(line) for line in (tmp_path / "results.jsonl").read_bytes().splitlines()]
    found = [row.target.variant for row in rows if row.target.variant is not None]
    assert set(variants) <= set(found)
    table = [row for row in csv.DictReader((tmp_path / "results.csv").open()) if row["block"]]
    cells = [row[axis.field] for row in table]
    assert [axis.values.parsed(cell) if cell else None for cell in cells] == [getattr(v, axis.field) for v in found]
    assert re.search(rf'<th scope="col" class="n"[^>]*>{axis.label}</th>', (tmp_path / "report.html").read_text())


@EVERY
def test_it_is_searched_and_exported(axis: Axis, tmp_path: Path) -> None:
    variants, path = working(axis, 3), tmp_path / "found.csv"
    run("search", *options(axis, variants), "--best", "9", "--export", str(path))
    found = {axis.values.parsed(row[axis.field]) for row in csv.DictReader(path.open())}
    assert found == {getattr(variant, axis.field) for variant in variants}


@EVERY
def test_it_is_told_apart(axis: Axis) -> None:
    rows = list(records(working(axis, 2)))
    assert axis.field in varying(rows)
    assert axis.field in (differences(*rows) or ())
    assert label(axis.field) == axis.label


@EVERY
def test_it_is_explained(axis: Axis, capsys: pytest.CaptureFixture[str]) -> None:
    variants = working(axis, 3)
    stepped = axis.step is not None and not all(isinstance(getattr(v, axis.field), str) for v in variants)
    changes, steps = set(), set()
    for variant in variants:
        budget = [Limit(figure="params", bound=(record(variant, layers=False).params or 0) - 1)]
        changes |= {(c.axis, c.kind) for c in (*levers(variant), *cheapest(variant, budget))}
        steps |= {each.axis.partition(",")[0] for each in elasticities(variant)}
    assert ((axis.option, axis.change) in changes) == bool(axis.change)
    assert (axis.option in steps) == stepped
    run("explain", *options(axis, variants[:1]), "--format", "json")
    told = json.loads(capsys.readouterr().out)["target"]["variant"]
    assert Variant.from_dict(told) == variants[0]
