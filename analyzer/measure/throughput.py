"""Inference time of a model against a baseline, in interleaved rounds in this process.

Each round times the baseline and the model one after the other, in alternating order, so that slow drifts of the
machine hit both; the figure that compares is the median of the rounds' own ratios. Times are of a forward pass in
eval mode without gradients, on random input. One process, so a ratio can still be off by what differs between
processes (memory layout, malloc): its spread is given, and nothing finer than the spread is claimed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil

from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError
from analyzer.measure.environment import environment
from analyzer.records import Measurement

if TYPE_CHECKING:
    import torch

PROTOCOL = "interleaved-1: 2 warm-ups, rounds of baseline and model in alternating order, one process"
WARM_UPS = 2
MIN_ROUNDS, MAX_ROUNDS = 3, 15

Timer = Callable[[], float]
"""Runs one batch to its end and returns its seconds."""


class OutOfMemoryError(Exception):
    """The device could not hold the model and its batch."""


def default_batch(device: torch.device) -> int:
    """The batch of a measurement that was not told one."""
    return 64 if device.type == "cuda" else 2


def timer(variant: Variant, device: torch.device, batch: int) -> Timer:
    """A variant built on a device, warm, with an input of `batch` images. Raises OutOfMemoryError."""
    import torch

    from analyzer.build import build

    _require_memory(variant, device, batch)
    try:
        model = build(variant, device=device).eval()
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(batch, 3, variant.image, variant.image, generator=generator).to(device)
        run = _cuda_timer(model, images) if device.type == "cuda" else _wall_timer(model, images)
        for _ in range(WARM_UPS):
            run()
    except Exception as error:
        if _is_out_of_memory(error):
            raise OutOfMemoryError from error
        raise
    return run


def _wall_timer(model: torch.nn.Module, images: torch.Tensor) -> Timer:
    import torch

    def run() -> float:
        with torch.inference_mode():
            start = time.perf_counter()
            model(images)
            if images.device.type == "mps":
                torch.mps.synchronize()
            return time.perf_counter() - start

    return run


def _cuda_timer(model: torch.nn.Module, images: torch.Tensor) -> Timer:
    import torch

    def run() -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.inference_mode(), torch.cuda.device(images.device):
            torch.cuda.synchronize()
            start.record()
            model(images)
            end.record()
            end.synchronize()
        return float(start.elapsed_time(end)) / 1000

    return run


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def _require_memory(variant: Variant, device: torch.device, batch: int) -> None:
    """Refuses on the CPU what the system would kill the process for: it hands out memory that it doesn't have."""
    if device.type != "cpu":
        return
    from analyzer.architecture.network import trace
    from analyzer.count import exact

    cost = exact.total(trace(variant))
    # Weights (twice while they are made) and, generously, every convolution's output with its BN and ReLU.
    needed = 4 * (2 * cost.params + 3 * batch * cost.conv_activations)
    if needed > psutil.virtual_memory().available:
        raise OutOfMemoryError


def measure_against(
    variant: Variant,
    baseline: Variant,
    *,
    baseline_name: str,
    device: torch.device,
    batch: int,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    make_timer: Callable[[Variant, torch.device, int], Timer] = timer,
) -> Measurement:
    """Measures a variant in interleaved rounds with a baseline, for about `seconds`, at least 3 rounds.

    A batch that does not fit is halved until it does, for both alike, and `notes` says so. Raises MeasureError where
    not even one image fits.
    """
    asked = batch
    notes: list[str] = []
    while True:
        try:
            pair = make_timer(baseline, device, batch), make_timer(variant, device, batch)
            break
        except OutOfMemoryError:
            pass  # freed here, outside the handler's traceback, before the next try
        if batch == 1:
            raise MeasureError(
                "does not fit the device at batch 1", where=variant.name, fix="use a device with more memory"
            )
        batch //= 2
        notes.append(f"batch {batch * 2} did not fit, measured at {batch}")
    base_times, times = _rounds(*pair, seconds=seconds, clock=clock)
    return summarise(
        times,
        base_times,
        environment=environment(device),
        batch=batch,
        asked=asked,
        baseline=baseline_name,
        notes=notes,
    )


def _rounds(
    base: Timer, model: Timer, *, seconds: float, clock: Callable[[], float]
) -> tuple[list[float], list[float]]:
    base_times: list[float] = []
    times: list[float] = []
    end = clock() + seconds
    while len(times) < MIN_ROUNDS or (len(times) < MAX_ROUNDS and clock() < end):
        if len(times) % 2 == 0:
            base_times.append(base())
            times.append(model())
        else:
            times.append(model())
            base_times.append(base())
    return base_times, times


def summarise(
    times: list[float],
    base_times: list[float],
    *,
    environment: object,
    batch: int,
    asked: int,
    baseline: str,
    notes: list[str],
) -> Measurement:
    """The record of the rounds' raw times."""
    ratios = [model / base for model, base in zip(times, base_times, strict=True)]
    latency = statistics.median(times)
    return Measurement(
        protocol=PROTOCOL,
        environment=environment,  # type: ignore[arg-type]
        batch=batch,
        asked_batch=asked,
        seconds_per_batch=tuple(times),
        baseline_seconds_per_batch=tuple(base_times),
        measured_latency_s=latency,
        measured_images_per_s=batch / latency,
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        baseline=baseline,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=tuple(notes),
    )
