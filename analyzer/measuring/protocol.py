"""Times of models against a baseline that can be trusted: a fresh process a round, interleaved pairs, an interval.

A round is a fresh process for each model: it builds the baseline and the model, discards 3 pairs, then times 6 pairs in
alternating order. Its estimate is the median of its pairs' ratios; the result is the median over processes with a 95 %
bootstrap interval over processes, from at least 8. Rounds stop when the half-width is under the target twice in a row,
at 24, or when the time is spent. Longer runs in one process don't help: its times are autocorrelated.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

from analyzer import processes
from analyzer.architecture.network import trace
from analyzer.errors import MeasureError
from analyzer.measurements import Caveat, Conditions, Environment, Measurement
from analyzer.measuring.exclusive import device_clock, exclusive
from analyzer.measuring.job import WORKER_LIMIT_S, Answer, Job, OperatorSurvey, Subject, Survey
from analyzer.measuring.statistics import Stopper, caveats_of, interval_of, process_ratios
from analyzer.reading.peak import Training, inference_peak, training_peak
from analyzer.units import mib

PROTOCOL = "pairs-2: a fresh process a round, interleaved pairs in alternating order"
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}
GRACE_S = 10.0
"""What a process that runs when the time is over may take all the same; it is ended then."""

Worker = Callable[[Job], Answer]
"""Runs a job in a process of its own."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How much to measure: pairs a process, when to stop. `seconds` ends it early, after `enough` processes.

    After `limit_s` (None: `seconds`) it ends whatever there is: with less than `enough` processes, or with none.
    """

    discard: int = 3
    pairs: int = 6
    seconds: float = 600.0
    enough: int = 1
    least: int = 8
    most: int = 24
    target: float = 0.03
    singles: int = 0
    limit_s: float | None = None


@dataclass
class TimingSeries:
    """One model's rounds so far."""

    subject: Subject
    batch: int
    asked_batch: int
    answers: list[Answer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    done: bool = False

    def ratios(self, pairs: int) -> list[float]:
        """Each process's."""
        return [r for a in self.answers for r in process_ratios(a.seconds, a.baseline_seconds, pairs)]


def in_a_process(job: Job) -> Answer:
    """Runs the job in a fresh Python. One that the system kills has run out of memory."""
    code, answer = ask(job)
    if code == -signal.SIGKILL:
        return Answer(out_of_memory=True)
    try:
        return msgspec.json.decode(answer, type=Answer)
    except msgspec.MsgspecError:
        return Answer(error=answer)


def ask(job: Job | Survey | OperatorSurvey) -> tuple[int, str]:
    """A fresh worker's exit code, and its answer (or else the last words of its stderr); alone on its device."""
    places = [str(Path(__file__).parents[2]), *sys.path[:1], os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in places if place)}
    if job.conditions.malloc == "tuned":
        variables.update(TUNED_MALLOC)
    limit = job.limit_s if isinstance(job, Job) else WORKER_LIMIT_S
    command = [sys.executable, "-m", "analyzer.measuring"]
    with exclusive(job.device) as lock:
        done = processes.run(command, msgspec.json.encode(job), seconds=limit, variables=variables, descriptors=lock)
    if done.code is None:
        return 1, f"one process took over {limit:.0f} s: use a smaller batch or image, or a longer --time"
    lines = done.said.decode(errors="replace").splitlines()
    if done.code == 0 and lines:
        return 0, lines[-1]
    words = done.words.decode(errors="replace").strip().splitlines()
    return done.code, f"the process ended with {done.code}: {words[-1] if words else 'no words'}"


def rounds(
    subjects: Sequence[Subject],
    baseline: Subject,
    *,
    device: str,
    batch: int,
    conditions: Conditions,
    protocol: Protocol,
    worker: Worker = in_a_process,
    clock: Callable[[], float] = device_clock,
) -> Iterator[TimingSeries | MeasureError]:
    """Measures all subjects, their rounds interleaved, and hands on each as soon as it has enough.

    A batch that doesn't fit is halved. What fails, or has no process within the time, is handed on as a MeasureError in
    place of its series. Ctrl-C hands on what each has so far before it goes on to the caller.
    """
    end, stop = (clock() + given for given in (protocol.seconds, _limit_s(protocol)))
    series = [TimingSeries(subject, batch, batch) for subject in subjects]
    stoppers = [Stopper(protocol.target, protocol.least, protocol.most) for _ in subjects]
    longest, number = 0.0, 0
    try:
        while not all(one.done for one in series):
            for one, stopper in zip(series, stoppers, strict=True):
                if one.done:
                    continue
                start = clock()
                work = _Work(baseline, device, conditions, protocol, worker, max(stop - start, GRACE_S))
                over = longest > 0 and start >= stop
                error = _spent(one, protocol) if over else _round(one, work, first=number % 2 == 0)
                longest = max(longest, clock() - start)
                spent = clock() + longest > end and len(one.answers) >= protocol.enough
                if clock() + longest > stop and one.answers:  # what there is, be its last process ended
                    spent, error = True, None
                if error is not None or stopper.enough(one.ratios(protocol.pairs)) or spent:
                    one.done = True
                    yield error if error is not None else one
            number += 1
    except KeyboardInterrupt:
        yield from _interrupted(series)
        raise


def _interrupted(series: Sequence[TimingSeries]) -> Iterator[TimingSeries]:
    """What each has so far."""
    for one in series:
        if one.answers and not one.done:
            one.notes.append(f"interrupted after {len(one.answers)} processes")
            yield one


def _limit_s(protocol: Protocol) -> float:
    return protocol.seconds if protocol.limit_s is None else protocol.limit_s


def _spent(one: TimingSeries, protocol: Protocol) -> MeasureError | None:
    """Why a model has no times, where it has none and the time is over."""
    if one.answers:
        return None
    what = f"the {_limit_s(protocol):g} s for measuring were spent (--time)"
    return MeasureError(what, where=one.subject.name, fix="give more --time, or an idle machine")


@dataclass(frozen=True)
class _Work:
    """What a round of any model runs under; `limit_s` is what its process may take."""

    baseline: Subject
    device: str
    conditions: Conditions
    protocol: Protocol
    worker: Worker
    limit_s: float


def _round(one: TimingSeries, work: _Work, *, first: bool) -> MeasureError | None:
    protocol = work.protocol
    while True:
        load = psutil.cpu_percent(interval=0.1)
        job = Job(
            model=one.subject, baseline=work.baseline, device=work.device, batch=one.batch,
            conditions=work.conditions, discard=protocol.discard, pairs=protocol.pairs, first=first,
            singles=protocol.singles, limit_s=min(WORKER_LIMIT_S, work.limit_s),
        )  # fmt: skip
        answer = refused(job) or work.worker(job)
        if answer.error is not None:
            return MeasureError(answer.error, where=one.subject.name, fix="see that it runs on this device by itself")
        if not answer.out_of_memory:
            one.answers.append(answer)
            one.loads.append(load)
            return None
        if one.batch == 1:
            return MeasureError(
                "does not fit the device at batch 1", where=one.subject.name, fix=_what_fits(one.subject)
            )
        one.batch //= 2
        one.answers.clear()
        one.notes.append(f"batch {job.batch} did not fit{_needs(job)}, measured at {one.batch}")


def _needs(job: Job) -> str:
    """What a job that did not fit needs, where that is predicted."""
    model, baseline = (predicted_bytes(one, job.batch, job.conditions) for one in (job.model, job.baseline))
    if model is None:
        return ""
    beside = f", and {mib(baseline)} for {job.baseline.name} beside it" if baseline else ""
    return f" (predicted: it needs {mib(model)}{beside})"


def refused(job: Job) -> Answer | None:
    """Out of memory, said before the system kills for it: the CPU's hands out memory that it doesn't have."""
    if job.device != "cpu":
        return None
    needed = sum(predicted_bytes(subject, job.batch, job.conditions) or 0 for subject in (job.model, job.baseline))
    return Answer(out_of_memory=True) if needed > psutil.virtual_memory().available else None


def training_of(conditions: Conditions) -> Training:
    """The step whose memory is predicted: Adam in its foreach form, as the worker runs it."""
    return Training(dtype=conditions.dtype, autocast=conditions.autocast)  # type: ignore[arg-type]


def predicted_bytes(subject: Subject, batch: int, conditions: Conditions) -> int | None:
    """The predicted peak of a variant under the conditions; None of another model."""
    if subject.variant is None:
        return None
    net = trace(subject.variant)
    training = training_of(conditions)
    peak = training_peak if conditions.mode == "training" else inference_peak
    return int(peak(net, batch, training).bytes)


def _what_fits(subject: Subject) -> str:
    needed = predicted_bytes(subject, 1, Conditions())
    return f"it needs {mib(needed)}; `analyze fit` says what would" if needed else "use a device with more memory"


def described(protocol: Protocol) -> str:
    """The protocol in words: what makes two measurements comparable."""
    return f"{PROTOCOL}; {protocol.discard} pairs discarded, {protocol.pairs} timed"


def measurement(
    one: TimingSeries, *, baseline: str, environment: Environment, conditions: Conditions, protocol: Protocol
) -> Measurement:
    """The record of a series."""
    times = tuple(t for answer in one.answers for t in answer.seconds)
    base = tuple(t for answer in one.answers for t in answer.baseline_seconds)
    ratios = one.ratios(protocol.pairs)
    kind, low, high = interval_of(ratios)
    latency = statistics.median(times)
    _, fast, slow = interval_of([statistics.median(answer.seconds) for answer in one.answers])
    return Measurement(
        protocol=described(protocol),
        environment=msgspec.structs.replace(environment, threads=one.answers[0].threads, dtype=conditions.dtype),
        batch=one.batch,
        asked_batch=one.asked_batch,
        seconds_per_batch=times,
        baseline_seconds_per_batch=base,
        measured_latency_s=latency,
        measured_images_per_s=one.batch / latency,
        ratio=statistics.median(ratios),
        ratio_low=low,
        ratio_high=high,
        baseline=baseline,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        pairs_per_process=protocol.pairs,
        interval=kind,
        latency_low_s=fast,
        latency_high_s=slow,
        conditions=conditions,
        caveats=tuple(_caveats(one, ratios, protocol)),
        latency_s=tuple(t for answer in one.answers for t in answer.latency_s),
        clock_mhz=tuple(mhz for answer in one.answers for mhz in answer.clock_mhz),
        celsius=tuple(degrees for answer in one.answers for degrees in answer.celsius),
        notes=tuple(one.notes),
    )


def _caveats(one: TimingSeries, ratios: Sequence[float], protocol: Protocol) -> Iterator[Caveat]:
    first = [a.first_seconds for a in one.answers if a.first_seconds is not None]
    later = [statistics.median(a.seconds) for a in one.answers]
    load = statistics.median(one.loads) if one.loads else None
    yield from caveats_of(ratios, first=first, later=later, load_percent=load, target=protocol.target)
    if any(answer.throttled for answer in one.answers):
        clocks = sorted(mhz for answer in one.answers for mhz in answer.clock_mhz)
        yield Caveat(
            kind="throttling",
            what=f"the GPU slowed itself down ({clocks[0]} to {clocks[-1]} MHz)" if clocks else "the GPU slowed down",
            fix="let it cool, or lock its clocks below the limit, and measure again",
        )
    if any((answer.gpu_processes or 0) > 1 for answer in one.answers):
        yield Caveat(kind="shared-gpu", what="another process used the GPU", fix="measure on a GPU of your own")
