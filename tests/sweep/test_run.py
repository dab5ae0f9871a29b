"""What a sweep measures, in which order, and what it says when time is spent; with a clock of our own."""

from __future__ import annotations

import pytest

from analyzer.architecture.network import PRESETS, densenet121_like
from analyzer.errors import MeasureError, UsageError
from analyzer.executors.executor import Processes
from analyzer.measurements import Environment, Measurement
from analyzer.reading.family import record
from analyzer.space.grid import Grid
from analyzer.sweeping import run
from analyzer.sweeping.choosing import pareto_names, subject_of
from analyzer.sweeping.store import MemoryStore

GRID = Grid.default({"block_config": [(2, 4, 3, 2)]})


def counted(plan: run.SweepPlan) -> tuple[MemoryStore, list]:
    store = MemoryStore()
    return store, list(run.count(plan, store))


def fake(timing: run.Timing, device: str) -> Measurement:
    place = Environment(
        device="cpu", device_name="Abacus", python="3", torch="2", analyzer="0", platform="p", threads=1, cpu_count=1
    )
    return Measurement(
        protocol="p", environment=place, batch=6, asked_batch=6, seconds_per_batch=(3.0,),
        baseline_seconds_per_batch=(1.0,), measured_latency_s=3.0, measured_images_per_s=2.0, ratio=3.0, ratio_low=2.0,
        ratio_high=4.0, baseline=timing.baseline.name, time="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def test_every_row_equals_the_scalar_count() -> None:
    _, rows = counted(run.plan(GRID))
    for row in rows[1:]:
        assert row == record(row.target.variant, layers=False)
    baseline = rows[0].target.variant
    assert baseline == densenet121_like(PRESETS["article"])


def test_the_front_of_params_and_macs_by_hand() -> None:
    _, rows = counted(run.plan(GRID))
    names = pareto_names(rows)
    points = {row.target.name: (row.params, row.macs) for row in rows}
    for name, (params, macs) in points.items():
        beaten = any(p <= params and m <= macs and (p, m) != (params, macs) for p, m in points.values())
        assert (name in names) == (not beaten)


def test_what_matters_is_measured_first() -> None:
    plan = run.plan(GRID)
    _, rows = counted(plan)
    names = [row.target.name for row in run.to_measure(plan, rows)]
    assert names[:2] == ["article", rows[0].target.name]
    assert set(names[2:]) == set(pareto_names(rows)) - set(names[:2])
    assert run.to_measure(run.plan(GRID, measure="none"), rows) == []
    assert len(run.to_measure(run.plan(GRID, measure="all"), rows)) == len(rows)


def test_time_spent_leaves_a_note_and_a_failure_is_a_row() -> None:
    plan = run.plan(GRID, measure="all", seconds=10)
    store, rows = counted(plan)
    now = [0.0]

    def one(timing: run.Timing, device: str) -> Measurement:
        now[0] += 4
        if now[0] == 8:
            raise MeasureError("does not fit the device at batch 1")
        return fake(timing, device)

    done = list(run.measure(plan, rows[:5], store, Processes(), measure_one=one, clock=lambda: now[0]))
    assert [row.measured is not None for row in done] == [True, False, True, False, False]
    assert "does not fit" in done[1].notes[-1]
    assert "10 s" in done[4].notes[-1]
    assert store.records()[:5] == done


def test_a_grid_of_bad_variants_alone_is_an_error() -> None:
    with pytest.raises(UsageError, match="no variant"):
        run.plan(Grid(kernel=[2, 4]))


def test_a_verdicts_subject() -> None:
    _, rows = counted(run.plan(GRID))
    assert subject_of(rows).target.name == "article"
    with pytest.raises(UsageError, match="no row is named"):
        subject_of(rows, "artcle")
