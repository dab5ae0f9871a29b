"""What a search's page shows behind its front: some of what fits, and nothing else."""

from __future__ import annotations

from itertools import product

from analyzer.architecture.variant import Variant
from analyzer.limits import Limit
from analyzer.reading.family import record
from analyzer.records import Record
from analyzer.reporting.page import render
from analyzer.searching import cloud
from analyzer.searching.engine import search
from analyzer.searching.query import Objective, Query
from analyzer.space.space import Space
from analyzer.sweeping.report import report_data

GROWTHS, BLOCKS = range(4, 20), [(1, 1), (1, 2)]
BOUND = 30_000


def _records() -> list[Record]:
    made = (Variant(block="dense", block_config=b, growth=g, bn_size=2, image=64) for b, g in product(BLOCKS, GROWTHS))
    return [record(variant, layers=False) for variant in made]


def _search() -> cloud.Result:
    space = Space(block=["dense"], blocks=BLOCKS, growth=list(GROWTHS), bn_size=[2], image=[64])
    return search(space, Query((Objective("conv_activations", True),), (Limit(figure="params", bound=BOUND),)))


def test_a_small_spaces_cloud_is_all_that_fits() -> None:
    points, told = cloud.cloud(_search())
    fitting = sorted((row.params, row.macs) for row in _records() if row.params <= BOUND)
    assert 0 < len(fitting) < len(_records())
    assert list(points) == fitting
    assert f"Light points are {len(fitting)} of the variants that fit" in told


def test_a_large_spaces_cloud_is_a_few_that_fit_and_the_same_each_time(monkeypatch) -> None:
    monkeypatch.setattr(cloud, "SHOWN", 4)
    points, told = cloud.cloud(_search())
    assert len(points) == 4
    assert set(points) < {(row.params, row.macs) for row in _records() if row.params <= BOUND}
    assert cloud.cloud(_search()) == (points, told)


def test_the_page_draws_it() -> None:
    rows = _records()[:4]
    page = render(report_data(rows, (), command=("search",), searched=("All.",), cloud=((50_000, 2_000_000),)))
    assert 'class="cloud"' in page
    assert "Light points are some of what fits." in page
    without = render(report_data(rows, (), command=("search",), searched=("All.",)))
    assert 'class="cloud"' not in without
