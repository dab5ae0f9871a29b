"""What soak's work is about, and the times that each variant always has."""

from __future__ import annotations

from analyzer.limits import Limit
from analyzer.measurements import Environment, Measurement
from analyzer.measuring.measure import SWEEP
from analyzer.measuring.protocol import described
from analyzer.space.grid import Grid
from analyzer.space.space import Space
from analyzer.sweeping import run

AXES = {"blocks": [(1, 1)], "block": ["dense"], "image": [32]}
PLAN = run.plan(Grid(**AXES, growth=list(range(4, 24, 2)), compression=[0.5]), measure="all", seconds=600)
SPACE = Space(**AXES, growth=list(range(4, 40, 2)), compression=[0.25, 0.5, 1.0], init=[8, 16])
CONSTRAINTS = (Limit(figure="params", bound=9_000, source="--max-params"),)
DEVICE = "Abacus"


def expected(name: str, baseline: str) -> Measurement:
    """What measuring a variant gives."""
    seconds = 0.001 + sum(name.encode()) / 1e6
    place = Environment(
        device="cpu", device_name=DEVICE, python="3", torch="2", analyzer="0", platform="p", threads=1, cpu_count=1
    )
    return Measurement(
        protocol=described(SWEEP), environment=place, batch=2, asked_batch=2, seconds_per_batch=(seconds,),
        baseline_seconds_per_batch=(1.0,), measured_latency_s=seconds, measured_images_per_s=2 / seconds,
        ratio=seconds, ratio_low=seconds, ratio_high=seconds, baseline=baseline, time="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
