"""What one fresh process is asked to time, and what it answers: JSON on its stdin and stdout."""

from __future__ import annotations

from typing import Any

import msgspec

from analyzer.architecture.variant import Variant
from analyzer.measurements import Conditions
from analyzer.records import Input
from analyzer.structs import Frozen


class Subject(Frozen, frozen=True, kw_only=True):
    """A model to run: a variant, or a target with its arguments, inputs and checkpoint (see targets/)."""

    name: str
    variant: Variant | None = None
    location: str = ""
    attribute: str = ""
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    weights: str | None = None


class Survey(Frozen, frozen=True, kw_only=True, tag=True):
    """Many models in one process, for a calibration: every one timed once a round, `rounds` times after a warm-up."""

    subjects: tuple[Subject, ...]
    device: str
    batch: int
    conditions: Conditions
    rounds: int = 5


Argument = bool | int | float | str


class Operator(Frozen, frozen=True, kw_only=True):
    """One operator: a module of torch.nn, or a function, and its arguments; the shape of each input, without a
    batch.
    """

    is_module: bool
    name: str
    arguments: tuple[Argument, ...]
    options: tuple[tuple[str, Argument], ...]
    inputs: tuple[tuple[int, ...], ...]


class OperatorSurvey(Frozen, frozen=True, kw_only=True, tag=True):
    """Operators to time one by one, each `rounds` times after a warm-up."""

    operators: tuple[Operator, ...]
    device: str
    batch: int
    conditions: Conditions
    rounds: int = 3


class Times(Frozen, frozen=True, kw_only=True):
    """A survey's answer: each subject's times, in the order asked."""

    seconds: tuple[tuple[float, ...], ...] = ()
    threads: int = 0
    error: str | None = None


WORKER_LIMIT_S = 3600.0
"""The longest that any process may take."""


class Job(Frozen, frozen=True, kw_only=True, tag=True):
    """One process's work: warm both up with `discard` pairs, then time `pairs` in alternating order.

    `first` says whether the baseline begins. `singles` forwards at batch 1 are timed after that, of the model alone.
    `memory` asks for the allocator's peaks in place of times. A process that takes over `limit_s` is ended.
    """

    model: Subject
    baseline: Subject
    device: str
    batch: int
    conditions: Conditions
    discard: int = 3
    pairs: int = 6
    first: bool = True
    singles: int = 0
    memory: bool = False
    limit_s: float = WORKER_LIMIT_S


class Answer(Frozen, frozen=True, kw_only=True):
    """What came out. `out_of_memory` says that the batch doesn't fit; `error` is any other failure's text.

    Bytes are of the model alone: phases of a step -> the allocator's peak in it; `kernel` is the operator that ran at
    the highest on a CPU, `kernel_bytes` its own buffers.
    """

    seconds: tuple[float, ...] = ()
    baseline_seconds: tuple[float, ...] = ()
    first_seconds: float | None = None
    latency_s: tuple[float, ...] = ()
    peak_bytes: dict[str, int] = msgspec.field(default_factory=dict)
    reserved_bytes: int | None = None
    kernel: str | None = None
    kernel_bytes: int = 0
    rss_bytes: int | None = None
    threads: int = 0
    clock_mhz: tuple[int, ...] = ()
    celsius: tuple[int, ...] = ()
    throttled: bool = False
    gpu_processes: int | None = None
    out_of_memory: bool = False
    error: str | None = None
