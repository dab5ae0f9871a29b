"""Work that a test can watch: importable, as it runs in other processes and on other nodes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from analyzer.measurements import Environment, Measurement
from analyzer.sweeping.run import Timing

LOG = "ANALYZER_TEST_LOG"
"""The environment variable with the file that work is noted in."""


def note(*words: object) -> None:
    """One line, whole, also where several processes write."""
    with Path(os.environ[LOG]).open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


def noted() -> list[list[str]]:
    path = Path(os.environ[LOG])
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def measurement(ratio: float, baseline: str, device: str = "Abacus") -> Measurement:
    place = Environment(
        device="cpu", device_name=device, python="3", torch="2", analyzer="0", platform="p", threads=1, cpu_count=1
    )
    return Measurement(
        protocol="p", environment=place, batch=2, asked_batch=2, seconds_per_batch=(ratio,),
        baseline_seconds_per_batch=(1.0,), measured_latency_s=ratio, measured_images_per_s=2 / ratio, ratio=ratio,
        ratio_low=ratio, ratio_high=ratio, baseline=baseline, time="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def slowly(timing: Timing, device: str) -> Measurement:
    """What a variant always gives, after a moment; on a node that is doomed it never ends."""
    note("begin", node(), timing.variant.name)
    time.sleep(0 if node() == "here" else 0.2)
    while ["doomed", node(), "-"] in noted():
        time.sleep(0.1)
    note("end", node(), timing.variant.name)
    return measurement(1 + sum(timing.variant.name.encode()) / 1000, timing.baseline.name)


def node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else "here"
