"""A second run does only what is missing, and gives what one run would have given."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analyzer
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError
from analyzer.executors.executor import Processes
from analyzer.measurements import Environment, Measurement
from analyzer.measuring.measure import SWEEP
from analyzer.measuring.protocol import described
from analyzer.reading.latency import Profile
from analyzer.records import Record
from analyzer.space.grid import Grid
from analyzer.sweeping import run
from analyzer.sweeping.database import Database
from analyzer.sweeping.results_store import open_store
from analyzer.sweeping.store import MemoryStore

HERE = Processes()
GRID = Grid.default({"block_config": [(2, 4, 3, 2)], "groups": [1, 3]})


def fake(timing: run.Timing, device: str) -> Measurement:
    seconds = timing.seconds
    environment = Environment(
        device="cpu", device_name="Abacus", python="3", torch="2", analyzer="0", platform="p", threads=1, cpu_count=1
    )
    return Measurement(
        protocol=described(SWEEP),
        environment=environment,
        batch=1,
        asked_batch=1,
        seconds_per_batch=(seconds,),
        baseline_seconds_per_batch=(1.0,),
        measured_latency_s=seconds,
        measured_images_per_s=1.0,
        ratio=seconds,
        ratio_low=seconds,
        ratio_high=seconds,
        baseline=timing.baseline.name,
        time="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture
def counted_variants(monkeypatch: pytest.MonkeyPatch) -> list[Variant]:
    """Every variant that is really counted."""
    seen: list[Variant] = []
    records = run.records

    def counting(variants: list[Variant], batch: int, profile: Profile | None) -> Iterator[Record]:
        seen.extend(variants)
        return records(variants, batch, profile)

    monkeypatch.setattr(run, "records", counting)
    return seen


@functools.cache
def counted_anew() -> tuple[run.SweepPlan, list[Record]]:
    plan = run.plan(GRID)
    return plan, list(run.count(plan, MemoryStore()))


@given(st.sets(st.integers(0, 60)))
@settings(max_examples=20, deadline=None)
def test_whatever_is_there_the_rows_are_the_same(missing: set[int]) -> None:
    plan, whole = counted_anew()
    there = {row.target.name: row for i, row in enumerate(whole) if i not in missing}
    store = MemoryStore()
    assert list(run.count(plan, store, there)) == whole == store.records()


def test_what_is_there_is_not_counted_again(tmp_path: Path, counted_variants: list[Variant]) -> None:
    small, large = (run.plan(Grid(growth=growth)) for growth in ([4, 8], [4, 8, 12, 16]))
    for plan, new in ((small, 2), (large, 2), (large, 0)):
        counted_variants.clear()
        with closing(open_store(tmp_path)) as store:
            list(run.count(plan, store, run.already_counted(plan, store)))
        assert len(counted_variants) == new


def test_measured_rows_take_no_time_and_the_rest_share_it() -> None:
    plan = run.plan(GRID, measure="all", seconds=12)
    store = MemoryStore()
    chosen = list(run.count(plan, store))[1:6]
    given_seconds: list[float] = []

    def one(timing: run.Timing, device: str) -> Measurement:
        given_seconds.append(timing.seconds)
        return fake(timing, device)

    good = [row for row in chosen if row.error is None]
    there = {row.target.name: fake(run.Timing(plan.baseline, plan.baseline, 99.0), "cpu") for row in good[:2]}
    done = list(run.measure(plan, good, store, HERE, measure_one=one, clock=lambda: 0.0, there=there))
    assert [row.target.name for row in done] == [row.target.name for row in good]
    assert [row.measured.ratio for row in done[:2]] == [99.0, 99.0]
    missing = len(good) - 2
    assert given_seconds == [12 / (missing - i) for i in range(missing)]


def test_a_row_that_was_not_measured_is_the_next_time_and_forgets_why(tmp_path: Path) -> None:
    plan = run.plan(Grid(growth=[4, 8]), measure="all")

    def refuses(timing: run.Timing, device: str) -> Measurement:
        raise MeasureError("does not fit")

    for one in (refuses, fake):
        with closing(open_store(tmp_path)) as store:
            rows = list(run.count(plan, store, run.already_counted(plan, store)))
            assert all(row.notes == () for row in rows)
            done = list(run.measure(plan, rows, store, HERE, measure_one=one))
            assert all(row.notes == () for row in done) == (one is fake)
    with closing(Database(tmp_path / "results.db")) as opened:
        assert [row.record for row in opened.rows()] == done


def test_a_measurement_made_otherwise_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from analyzer.measuring import environment as measuring

    plan = run.plan(Grid(growth=[4, 8]), measure="all")
    monkeypatch.setattr(measuring, "cpu_name", lambda: "Abacus")
    with closing(open_store(tmp_path)) as store:
        rows = list(run.count(plan, store))
        done = list(run.measure(plan, rows, store, HERE, measure_one=fake))
        names = {row.target.name for row in done}
        assert set(run.already_measured(plan, rows, store, HERE, 1)) == names
        assert run.already_measured(plan, rows, store, HERE, 2) == {}
        against_another = run.plan(Grid(growth=[4, 8], image=64), measure="all")
        assert run.already_measured(against_another, rows, store, HERE, 1) == {}
        monkeypatch.setattr(measuring, "cpu_name", lambda: "Slate")
        assert run.already_measured(plan, rows, store, HERE, 1) == {}


def test_from_python(tmp_path: Path, counted_variants: list[Variant]) -> None:
    grid = analyzer.Grid(growth=[4, 8])
    first = analyzer.sweep(grid, out=tmp_path)
    counted_variants.clear()
    assert analyzer.sweep(grid, out=tmp_path).records == first.records
    assert counted_variants == []
    assert analyzer.sweep(grid, out=tmp_path, resume=False).records == first.records
    assert len(counted_variants) == 2
    assert len(list(tmp_path.glob("results-*.db"))) == 1
