"""The process that times: `python -m analyzer.measuring PARENT PIPE` reads a Job on stdin and prints an Answer.

It is fresh for every round, because what differs between processes (memory layout, malloc, threads' placement) moves a
ratio more than what differs within one.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import torch
from torch import nn

from analyzer.architecture.facts import TorchCall
from analyzer.building import modules
from analyzer.errors import lines_of, words_of
from analyzer.measurements import Conditions
from analyzer.measuring import gpu
from analyzer.measuring.allocations import autocast, cpu_peaks, cuda_peaks, loss_of
from analyzer.measuring.job import Answer, Job, Operator, OperatorSurvey, Subject, Survey, Times
from analyzer.targets.inputs import tensors
from analyzer.targets.loading import load
from analyzer.targets.resolving import ModuleTarget

Run = Callable[[], Any]
L2_BYTES = 256 * 2**20


def main() -> int:
    """Answers the job on stdin."""
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # a model that prints doesn't spoil the answer
        asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Job | Survey | OperatorSurvey)
        answer = work(asked) if isinstance(asked, Job) else survey(asked)
    out.write(msgspec.json.encode(answer).decode() + "\n")
    out.flush()
    return 0


def work(job: Job) -> Answer:
    """Times or measures memory as the job says; what fails is in the answer."""
    device = torch.device(job.device)
    prepare(device, job.conditions, searches=not job.memory)
    try:
        return _memory(job, device) if job.memory else _times(job, device)
    except Exception as error:
        if is_out_of_memory(error):
            return Answer(out_of_memory=True)
        return Answer(error=words_of(error))


def survey(asked: Survey | OperatorSurvey) -> Times:
    """Times many models or operators in turn, round after round, so that a drift of the machine hits all alike."""
    device = torch.device(asked.device)
    prepare(device, asked.conditions)
    clock = _clock(device, False)
    try:
        if isinstance(asked, Survey):
            runs = [runner(subject, asked, device, asked.batch) for subject in asked.subjects]
        else:
            runs = [operator_runner(operator, asked, device) for operator in asked.operators]
        for run in runs:
            clock(run)
        rounds = [[clock(run) for run in runs] for _ in range(asked.rounds)]
    except Exception as error:
        return Times(error=words_of(error))
    return Times(seconds=tuple(zip(*rounds, strict=True)), threads=torch.get_num_threads())


def prepare(device: torch.device, conditions: Conditions, *, searches: bool = True) -> None:
    """Threads, and cuDNN's search for the fastest algorithm: for times alone, as it lasts long and torch by itself does
    without.
    """
    if conditions.threads:
        torch.set_num_threads(conditions.threads)
    if device.type == "cuda":
        if device.index is not None:  # plain `cuda` is the current one, and no name that this takes
            torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = searches


def _times(job: Job, device: torch.device) -> Answer:
    readings = gpu.Readings(device)
    runs = [runner(subject, job, device, job.batch) for subject in (job.baseline, job.model)]
    clock = _clock(device, job.conditions.flush_l2)
    first = [clock(run) for run in runs]
    for _ in range(job.discard - 1):
        for run in runs:
            clock(run)
    readings.take()
    times: list[list[float]] = [[], []]
    for i in range(job.pairs):
        order = (0, 1) if (i % 2 == 0) == job.first else (1, 0)
        for side in order:
            times[side].append(clock(runs[side]))
    readings.take()
    return Answer(
        seconds=tuple(times[1]),
        baseline_seconds=tuple(times[0]),
        first_seconds=first[1],
        latency_s=_singles(job, device, clock) if job.singles else (),
        threads=torch.get_num_threads(),
        clock_mhz=tuple(readings.clock_mhz),
        celsius=tuple(readings.celsius),
        throttled=readings.throttled,
        gpu_processes=readings.processes,
        rss_bytes=psutil.Process().memory_info().rss,
    )


def _singles(job: Job, device: torch.device, clock: Callable[[Run], float]) -> tuple[float, ...]:
    run = runner(job.model, job, device, 1)
    for _ in range(3):
        clock(run)
    return tuple(clock(run) for _ in range(job.singles))


def _memory(job: Job, device: torch.device) -> Answer:
    peaks = cuda_peaks if device.type == "cuda" else cpu_peaks
    model, args, kwargs = made(job.model, job, device, job.batch)
    allocated = peaks(model, args, kwargs, job.conditions, device)
    return Answer(
        peak_bytes=allocated.phases,
        reserved_bytes=allocated.reserved,
        kernel=allocated.kernel,
        kernel_bytes=allocated.kernel_bytes,
        rss_bytes=psutil.Process().memory_info().rss,
        threads=torch.get_num_threads(),
    )


def made(
    subject: Subject, job: Job | Survey, device: torch.device, batch: int
) -> tuple[nn.Module, list[Any], dict[str, Any]]:
    """The model on the device in its dtype and layout, and its inputs with `batch` as their first size."""
    dtype = getattr(torch, job.conditions.dtype)
    if subject.variant is not None:
        variant = subject.variant
        model: Any = modules.build(variant, device=device)
        args: list[Any] = [torch.randn(batch, 3, variant.image, variant.image, device=device)]
        kwargs: dict[str, Any] = {}
    else:
        target = ModuleTarget(
            subject.name, subject.location, subject.attribute, tuple(subject.kwargs.items()), _inputs(subject, batch),
            weights=None if subject.weights is None else Path(subject.weights),
        )  # fmt: skip
        model = load(target, device="cpu")
        args, kwargs = tensors(target.inputs, "cpu")
    model = model.to(device)
    args = [_cast(value, device, dtype) for value in args]
    kwargs = {name: _cast(value, device, dtype) for name, value in kwargs.items()}
    if dtype != torch.float32:
        model = model.to(dtype)
    if job.conditions.channels_last:
        model = model.to(memory_format=torch.channels_last)
        args = [value.to(memory_format=torch.channels_last) if value.dim() == 4 else value for value in args]
    return model, args, kwargs


def _inputs(subject: Subject, batch: int) -> Any:
    return tuple(msgspec.structs.replace(i, shape=(batch, *i.shape[1:]) if i.shape else ()) for i in subject.inputs)


def _cast(value: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    return value.to(device, dtype) if value.is_floating_point() else value.to(device)


def runner(subject: Subject, job: Job | Survey, device: torch.device, batch: int) -> Run:
    """A call that runs the model once, as the conditions say."""
    model, args, kwargs = made(subject, job, device, batch)
    if job.conditions.mode == "training":
        return training_runner(model, args, kwargs, job.conditions, device)
    model.eval()
    forward: Any = torch.compile(model) if job.conditions.compile else model

    def infer() -> None:
        with torch.inference_mode(), autocast(job.conditions, device):
            forward(*args, **kwargs)

    return infer


def operator_runner(asked: Operator, survey: OperatorSurvey, device: torch.device) -> Run:
    """A call that runs one operator in eval mode; its input is made anew each time, outside the time that counts."""
    dtype = getattr(torch, survey.conditions.dtype)
    images = [torch.randn(survey.batch, *shape).to(device, dtype) for shape in asked.inputs]
    said = TorchCall(asked.name, asked.arguments, dict(asked.options))
    call: Any = modules.module(said).to(device, dtype).eval() if asked.is_module else modules.function(said)

    def run() -> None:
        with torch.inference_mode():
            call(*images)

    return run


def training_runner(
    model: nn.Module, args: list[Any], kwargs: dict[str, Any], conditions: Conditions, device: torch.device
) -> Run:
    """A call that makes one step: Adam in its default form, cross-entropy where there are classes, else the sum."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters())
    forward: Any = torch.compile(model) if conditions.compile else model
    targets: list[torch.Tensor] = []

    def step() -> None:
        optimizer.zero_grad()
        with autocast(conditions, device):
            loss = loss_of(forward(*args, **kwargs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _clock(device: torch.device, flush: bool) -> Callable[[Run], float]:
    """Seconds of one call, to its end on the device."""
    if device.type != "cuda":

        def wall(run: Run) -> float:
            start = time.perf_counter()
            run()
            if device.type == "mps":
                torch.mps.synchronize()
            return time.perf_counter() - start

        return wall
    cache = torch.empty(L2_BYTES, dtype=torch.int8, device=device) if flush else None

    def events(run: Run) -> float:
        if cache is not None:
            cache.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000

    return events


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device refused memory."""
    text = "\n".join(lines_of(error)).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )
