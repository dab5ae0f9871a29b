"""The protocol's order, stop and statistics with a fake clock; and one small real measurement."""

from __future__ import annotations

import statistics

import pytest
import torch

from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError, UsageError
from analyzer.measure.environment import environment, pick_device
from analyzer.measure.throughput import (
    MAX_ROUNDS,
    MIN_ROUNDS,
    OutOfMemoryError,
    measure_against,
)

SMALL = Variant(block_config=(1, 1), growth=4, init=8, image=64)
BASE = Variant(block_config=(1,), growth=4, init=8, image=64)
CPU = torch.device("cpu")


class Machine:
    """A clock that each run moves; a log of who ran."""

    def __init__(self, seconds: dict[Variant, float], memory: int = 1024) -> None:
        self.now, self.seconds, self.memory = 0.0, seconds, memory
        self.log: list[Variant] = []
        self.batches: list[int] = []

    def timer(self, variant: Variant, device: torch.device, batch: int):
        if batch > self.memory:
            raise OutOfMemoryError
        self.batches.append(batch)

        def run() -> float:
            self.now += self.seconds[variant]
            self.log.append(variant)
            return self.seconds[variant]

        return run

    def measure(self, **options):
        return measure_against(
            SMALL,
            BASE,
            baseline_name="base",
            device=CPU,
            clock=lambda: self.now,
            make_timer=self.timer,
            **options,
        )


def test_rounds_alternate_their_order() -> None:
    machine = Machine({SMALL: 0.3, BASE: 0.1})
    machine.measure(batch=2, seconds=0)
    assert machine.log == [BASE, SMALL, SMALL, BASE, BASE, SMALL]


@pytest.mark.parametrize(("seconds", "rounds"), [(0, MIN_ROUNDS), (2.0, 5), (1e9, MAX_ROUNDS)])
def test_it_stops_by_time_within_its_bounds(seconds: float, rounds: int) -> None:
    result = Machine({SMALL: 0.3, BASE: 0.1}).measure(batch=2, seconds=seconds)
    assert len(result.seconds_per_batch) == len(result.baseline_seconds_per_batch) == rounds
    assert result.ratio == pytest.approx(3.0)
    assert result.measured_images_per_s == pytest.approx(2 / 0.3)


def test_a_batch_that_does_not_fit_is_halved_for_both_and_said() -> None:
    machine = Machine({SMALL: 0.3, BASE: 0.1}, memory=5)
    result = machine.measure(batch=16, seconds=0)
    assert (result.asked_batch, result.batch) == (16, 4)
    assert set(machine.batches) == {4}
    assert len(result.notes) == 2


def test_not_even_one_image_is_an_error() -> None:
    with pytest.raises(MeasureError, match="batch 1"):
        Machine({SMALL: 1, BASE: 1}, memory=0).measure(batch=4, seconds=0)


def test_a_real_measurement_keeps_every_raw_time_and_leaves_random_state_alone() -> None:
    before = torch.get_rng_state()
    result = measure_against(SMALL, BASE, baseline_name="base", device=CPU, batch=2, seconds=0)
    assert torch.equal(before, torch.get_rng_state())
    ratios = [a / b for a, b in zip(result.seconds_per_batch, result.baseline_seconds_per_batch, strict=True)]
    assert result.ratio == statistics.median(ratios)
    assert result.environment == environment(CPU)
    assert result.baseline == "base"


def test_a_model_beyond_the_machines_memory_is_refused_before_it_is_built() -> None:
    huge = Variant(block_config=(2, 4, 3, 2), init=1024)
    with pytest.raises(MeasureError, match="does not fit"):
        measure_against(huge, BASE, baseline_name="base", device=CPU, batch=1, seconds=0)


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "nonsense:x", ""])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(UsageError, match=r"device|there"):
        pick_device(name)


def test_a_measurement_outlives_json() -> None:
    import msgspec

    from analyzer.family import record
    from analyzer.records import read_record

    result = measure_against(SMALL, BASE, baseline_name="base", device=CPU, batch=1, seconds=0)
    row = msgspec.structs.replace(record(SMALL, layers=False), measured=result)
    assert read_record(row.to_json()) == row
