"""Measuring as users ask for it: models against a baseline, the best batch, memory beside its prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import psutil

from analyzer.architecture.network import preset_name, trace
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError, UsageError
from analyzer.measurements import Conditions, Environment, Measurement
from analyzer.measuring import gpu
from analyzer.measuring.environment import environment, has_bfloat16_units, pick_device
from analyzer.measuring.job import Answer, Job, Subject
from analyzer.measuring.protocol import (
    Protocol,
    TimingSeries,
    Worker,
    in_a_process,
    measurement,
    predicted_bytes,
    refused,
    rounds,
    training_of,
)
from analyzer.reading.cuda_allocator import CudaHeap
from analyzer.reading.family import failed
from analyzer.reading.peak import inference_peak, training_peak
from analyzer.reading.prediction import largest_batch
from analyzer.records import Record, Target
from analyzer.structs import Frozen
from analyzer.targets.resolving import FamilyTarget, Resolved
from analyzer.units import mib

SWEEP = Protocol(discard=1, pairs=3, enough=2)
"""For many models in little time: fewer pairs a process, and no 95 % interval where there is no time for 8."""
MAX_AUTO_BATCH = 4096
SINGLES = 10
"""Forwards at batch 1 a process, for the percentiles of latency."""


def default_batch(device_type: str) -> int:
    """The batch of a measurement that was not told one."""
    return 64 if device_type == "cuda" else 2


def subject_of(target: Resolved | Variant) -> Subject:
    """What a worker is told to build. Raises UsageError for a model of the user's own without inputs."""
    if isinstance(target, FamilyTarget):
        target = target.variant
    if isinstance(target, Variant):
        return Subject(name=preset_name(target) or target.name, variant=target)
    if not target.inputs or not all(i.shape for i in target.inputs):
        raise UsageError(
            "needs inputs with a batch", where=target.name, fix="give --input, such as --input 8,3,224,224"
        )
    return Subject(
        name=target.name,
        location=target.location,
        attribute=target.attribute,
        kwargs=dict(target.kwargs),
        inputs=target.inputs,
        weights=None if target.weights is None else str(target.weights),
    )


def measure_all(
    subjects: Sequence[Subject],
    baseline: Subject,
    *,
    device: str = "auto",
    batch: int | None = None,
    conditions: Conditions | None = None,
    protocol: Protocol | None = None,
    worker: Worker = in_a_process,
) -> Iterator[tuple[str, Measurement | MeasureError]]:
    """Each subject's name with its measurement against the baseline, as soon as it has enough rounds.

    Raises UsageError where the device isn't there or can't do the dtype.
    """
    conditions, protocol = conditions or Conditions(), protocol or Protocol()
    where = pick_device(device)
    require_dtypes(str(where), conditions)
    place = environment(where)
    for series in rounds(
        subjects, baseline, device=str(where), batch=batch or default_batch(where.type), conditions=conditions,
        protocol=protocol, worker=worker,
    ):  # fmt: skip
        if isinstance(series, TimingSeries):
            made = measurement(
                series, baseline=baseline.name, environment=place, conditions=conditions, protocol=protocol
            )
            yield series.subject.name, made
        else:
            yield series.where, series


def record_of(name: str, made: Measurement | MeasureError, subjects: Sequence[Subject]) -> Record:
    """A model's row: its measurement, or why there is none."""
    if isinstance(made, MeasureError):
        return failed(name, made)
    subject = next(subject for subject in subjects if subject.name == name)
    return Record(
        target=Target(name=name, variant=subject.variant), batch=made.batch, inputs=subject.inputs, measured=made
    )


def require_dtypes(device: str, conditions: Conditions) -> None:
    """UsageError where a device has no arithmetic in the conditions' dtypes, or they don't go together."""
    training_of(conditions)
    require_dtype(device, conditions.dtype)
    if conditions.autocast != "none":
        require_dtype(device, conditions.autocast, where="--autocast")


def require_dtype(device: str, dtype: str, *, where: str = "--dtype") -> None:
    """UsageError where a device has no arithmetic in a dtype."""
    import torch

    if device.startswith("cuda") and dtype == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise UsageError(f"{device} has no bfloat16", where=where, fix="use float16 or float32")
    if device == "cpu" and dtype == "float16":
        raise UsageError("the CPU is slow and imprecise in float16", where=where, fix="use bfloat16 or float32")


# -- the best batch --------------------------------------------------------------------------------------------


class BatchChoice(Frozen, frozen=True, kw_only=True):
    """The batch with the most images a second among powers of two, the largest that fits, and every rate.

    `largest` is what ran on a GPU; on a CPU, where a too large one would swap or be killed, what is predicted to fit
    the free memory (`predicted`), and of a model that is not of the family the largest that was timed.
    """

    best: int
    largest: int
    images_per_s: dict[int, float]
    predicted: bool = False


def best_batch(
    subject: Subject, *, device: str = "auto", conditions: Conditions | None = None, most: int = MAX_AUTO_BATCH,
    worker: Worker = in_a_process, patience: int = 2,
) -> BatchChoice:  # fmt: skip
    """Doubles the batch until it doesn't fit, or until the rate has not risen by 2 % for `patience` doublings.

    Raises MeasureError where not even one image runs.
    """
    conditions = conditions or Conditions()
    where = str(pick_device(device))
    require_dtypes(where, conditions)
    rates: dict[int, float] = {}
    batch, behind = 1, 0
    while batch <= most and behind < patience:
        job = Job(model=subject, baseline=subject, device=where, batch=batch, conditions=conditions, discard=1, pairs=2)
        answer = refused(job) or worker(job)
        if answer.out_of_memory:
            break
        if answer.error is not None:
            raise MeasureError(answer.error, where=subject.name, fix="see that it runs on this device by itself")
        so_far = max(rates.values(), default=0.0)
        rates[batch] = batch / min(*answer.seconds, *answer.baseline_seconds)  # what disturbs a time only adds to it
        behind = 0 if rates[batch] > 1.02 * so_far else behind + 1
        batch *= 2
    if not rates:
        raise MeasureError("does not fit at batch 1", where=subject.name, fix="`analyze fit` says what would")
    ran = Job(model=subject, baseline=subject, device=where, batch=max(rates), conditions=conditions, memory=True)
    return BatchChoice(
        best=max(rates, key=lambda b: rates[b]),
        largest=_largest(ran, worker),
        images_per_s=rates,
        predicted=where == "cpu" and subject.variant is not None,
    )


def _largest(ran: Job, worker: Worker) -> int:
    """The largest batch that fits: predicted from the free memory; on a GPU then tried, and lowered until it runs."""
    if ran.model.variant is None:
        return ran.batch
    on_cpu = ran.device == "cpu"
    free = psutil.virtual_memory().available if on_cpu else gpu.free_bytes(ran.device)
    fits = largest_batch(lambda batch: predicted_bytes(ran.model, batch, ran.conditions), free)
    batch = max(fits or 1, ran.batch)
    while not on_cpu and batch > ran.batch and worker(msgspec.structs.replace(ran, batch=batch)).out_of_memory:
        batch = max(batch * 15 // 16, ran.batch)
    return batch


def choose_batch(subjects: Sequence[Subject], device: str, conditions: Conditions, say: Callable[[str], None]) -> int:
    """The least of all models' best batches; says what each gave."""
    chosen = []
    for subject in subjects:
        choice = best_batch(subject, device=device, conditions=conditions)
        rates = ", ".join(f"{batch}: {rate:.1f}" for batch, rate in choice.images_per_s.items())
        how = "predicted to fit" if choice.predicted else "that ran"
        say(f"{subject.name}: most images/s at batch {choice.best}, largest {how} {choice.largest:,} ({rates})")
        chosen.append(choice.best)
    return min(chosen)


# -- memory ----------------------------------------------------------------------------------------------------


class MemoryMeasurement(Frozen, frozen=True, kw_only=True):
    """A device's allocator beside the prediction; bytes.

    `phases` has the allocator's peak in each phase of a warm step. `predicted_bytes` are of live tensors,
    `predicted_allocated_bytes` what CUDA's allocator would make of them (None on the CPU, and of models that are not of
    the family). `kernel` is the operator that ran at the peak on a CPU and `kernel_bytes` its own buffers: what is
    measured above `predicted_bytes` is at most those. `why` says it in words.
    """

    name: str
    environment: Environment
    conditions: Conditions
    time: str
    batch: int
    phases: dict[str, int]
    reserved_bytes: int | None
    rss_bytes: int | None
    predicted_bytes: int | None
    predicted_allocated_bytes: int | None
    kernel: str | None = None
    kernel_bytes: int = 0
    why: str

    @property
    def measured_bytes(self) -> int:
        """The peak of all phases."""
        return max(self.phases.values())


def measure_memory(
    subject: Subject, *, batch: int, device: str = "auto", conditions: Conditions | None = None,
    worker: Worker = in_a_process,
) -> MemoryMeasurement:  # fmt: skip
    """Runs warm steps in a fresh process and reads the allocator. Raises MeasureError where it can't."""
    conditions = conditions or Conditions()
    where = pick_device(device)
    require_dtypes(str(where), conditions)
    job = Job(model=subject, baseline=subject, device=str(where), batch=batch, conditions=conditions, memory=True)
    answer = refused(job) or worker(job)
    if answer.out_of_memory or answer.error is not None:
        needed = predicted_bytes(subject, batch, conditions)
        needs = f": it needs {mib(needed)} (predicted)" if needed else ""
        what = answer.error or f"batch {batch} does not fit{needs}"
        raise MeasureError(what, where=subject.name, fix="`analyze fit` says which batch does")
    exact, allocated = _predicted(subject, batch, conditions, on_cuda=where.type == "cuda")
    return MemoryMeasurement(
        name=subject.name,
        environment=msgspec.structs.replace(environment(where), threads=answer.threads, dtype=conditions.dtype),
        conditions=conditions,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        batch=batch,
        phases=answer.peak_bytes,
        reserved_bytes=answer.reserved_bytes,
        rss_bytes=answer.rss_bytes,
        predicted_bytes=exact,
        predicted_allocated_bytes=allocated,
        kernel=answer.kernel,
        kernel_bytes=answer.kernel_bytes,
        why=_why(answer, exact, allocated, where.type, conditions),
    )


def _predicted(subject: Subject, batch: int, conditions: Conditions, *, on_cuda: bool) -> tuple[int | None, int | None]:
    if subject.variant is None:
        return None, None
    net = trace(subject.variant)
    training = training_of(conditions)

    def peak(heap: CudaHeap | None) -> int:
        if conditions.mode == "training":
            return int(training_peak(net, batch, training, heap=heap).bytes)
        return int(inference_peak(net, batch, training, heap=heap).bytes)

    return peak(None), peak(CudaHeap()) if on_cuda else None


def _why(answer: Answer, exact: int | None, allocated: int | None, device: str, conditions: Conditions) -> str:
    """What stands between the prediction and the allocator's figure."""
    measured = max(answer.peak_bytes.values())
    if exact is None:
        return "no prediction of a model of your own here: `analyze show --peak` tracks it"
    if device == "cuda" and allocated is not None:
        rounding, rest = allocated - exact, measured - allocated
        return f"{mib(rounding)} rounded up by the allocator, {_signed(rest)} workspaces of cuBLAS and cuDNN"
    named = f" ({mib(answer.kernel_bytes)} in {answer.kernel})" if answer.kernel else ""
    converts = device == "cpu" and "bfloat16" in (conditions.dtype, conditions.autocast) and not has_bfloat16_units()
    without = "; without bfloat16 units torch unfolds a convolution's input" if converts else ""
    return f"{_signed(measured - exact)} kernels' own buffers{named}{without}"


def _signed(size: int) -> str:
    return f"{'-' if size < 0 else ''}{mib(abs(size))}"


# -- for a sweep -----------------------------------------------------------------------------------------------


def measure_variant(
    variant: Variant, baseline: Variant, *, device: str, batch: int | None, seconds: float, limit_s: float | None = None
) -> Measurement:
    """One variant against another within about `seconds`, and at most `limit_s` (None: `seconds`).

    Raises MeasureError where it can't be measured.
    """
    measured = measure_all(
        [subject_of(variant)],
        subject_of(baseline),
        device=device,
        batch=batch,
        protocol=replace(SWEEP, seconds=seconds, limit_s=limit_s),
    )
    ((_, made),) = measured  # to its end: an interrupted one is no measurement of a sweep's
    if isinstance(made, MeasureError):
        raise made
    return made
