"""What was measured or predicted of a model's times, and where: the parts of a record that are not counts."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from analyzer.structs import Frozen, Positive, Seconds, Share, Some, Span, Whole


class Environment(Frozen, frozen=True, kw_only=True):
    """Where a figure was measured."""

    device: str
    device_name: str
    python: str
    torch: str
    analyzer: str
    platform: str
    threads: int
    cpu_count: int
    cuda: str | None = None
    cudnn: int | None = None
    driver: str | None = None
    dtype: str = "float32"
    commit: str | None = None
    governor: str | None = None
    processes_on_gpu: int | None = None
    environment_variables: dict[str, str] = msgspec.field(default_factory=dict)


class Conditions(Frozen, frozen=True, kw_only=True):
    """How models were run. They move a ratio more than noise does, so they belong to the figure.

    `mode` is `inference` (a forward in eval mode) or `training` (forward, backward, step of Adam). `autocast` is the
    dtype that torch.autocast computes in (`none`: without it), `dtype` that of the parameters. `malloc` `tuned` keeps
    freed memory (glibc's mmap and trim thresholds raised). `threads` of None are torch's own choice. `flush_l2` empties
    CUDA's L2 cache before each time.
    """

    mode: str = "inference"
    dtype: str = "float32"
    autocast: str = "none"
    channels_last: bool = False
    compile: bool = False
    threads: int | None = None
    malloc: str = "default"
    flush_l2: bool = False


class Caveat(Frozen, frozen=True, kw_only=True):
    """Why a measured figure may mislead: a kind (`noisy`), what was seen, and what to do."""

    kind: str
    what: str
    fix: str


class Ends(NamedTuple):
    """Between which a measured figure lies: a 95 % `interval`, or else the least and the largest of the processes'."""

    low: float
    high: float
    interval: bool


class Measurement(Frozen, frozen=True, kw_only=True):
    """Times on a device, in interleaved pairs with a baseline, over fresh processes; every raw time is kept.

    `seconds_per_batch` and `baseline_seconds_per_batch` hold the pairs' times in order, as many a process as
    `pairs_per_process`. A process's ratio is the median of its pairs' (above 1: slower than the baseline); `ratio` is
    the median over processes, `ratio_low` and `ratio_high` the ends of what `interval` says: `bootstrap95`, the 95 %
    bootstrap interval over processes, or `range`, the least and largest, where there are too few for one.
    `latency_low_s` and `latency_high_s` are such ends of the median time of a batch (None: not kept).
    `latency_s` are single forwards at batch 1. `clock_mhz` and `celsius` are the GPU's, before and after each process's
    times, where NVML tells them.
    """

    protocol: str
    environment: Environment
    batch: Some
    asked_batch: Some
    seconds_per_batch: tuple[Seconds, ...]
    baseline_seconds_per_batch: tuple[Seconds, ...]
    measured_latency_s: Seconds
    measured_images_per_s: Positive
    ratio: Positive
    ratio_low: Positive
    ratio_high: Positive
    baseline: str
    time: str
    pairs_per_process: Some = 1
    interval: str = "range"
    latency_low_s: Seconds | None = None
    latency_high_s: Seconds | None = None
    conditions: Conditions = Conditions()
    caveats: tuple[Caveat, ...] = ()
    latency_s: tuple[Seconds, ...] = ()
    clock_mhz: tuple[Whole, ...] = ()
    celsius: tuple[int, ...] = ()
    measured_peak_bytes: Whole | None = None
    notes: tuple[str, ...] = ()

    @property
    def processes(self) -> int:
        """How many processes measured."""
        return max(len(self.seconds_per_batch) // self.pairs_per_process, 1)

    @property
    def caution(self) -> str:
        """`2 processes: indicative only`, where they are too few for an interval; else empty."""
        return "" if self.interval == "bootstrap95" else f"{self.counted}: indicative only"

    def ends(self, what: Literal["ratio", "seconds", "rate"]) -> Ends:
        """Those of the ratio, of the time of a batch, or of images a second."""
        if what == "ratio":
            return Ends(self.ratio_low, self.ratio_high, not self.caution)
        low, high = self.latency_low_s, self.latency_high_s
        interval = not self.caution and low is not None
        if low is None or high is None:
            low, high = min(self._medians), max(self._medians)
        return Ends(self.batch / high, self.batch / low, interval) if what == "rate" else Ends(low, high, interval)

    @property
    def _medians(self) -> list[float]:
        """Each process's time of a batch."""
        from statistics import median

        times, pairs = self.seconds_per_batch, self.pairs_per_process
        return [median(times[i : i + pairs]) for i in range(0, len(times), pairs)]

    def within(self, ends: str, *, interval: bool) -> str:
        """`95 % interval 5.74 to 7.21, 8 processes`, or `8.00 to 8.27 in 2 processes ⚠ indicative only`."""
        if interval:
            return f"95 % interval {ends}, {self.counted}"
        return f"{ends} in {self.few}"

    @property
    def few(self) -> str:
        """`8 processes`; `2 processes ⚠ indicative only`, where they are too few for an interval."""
        return f"{self.counted}{' ⚠ indicative only' if self.caution else ''}"

    @property
    def counted(self) -> str:
        """`8 processes`."""
        return "1 process" if self.processes == 1 else f"{self.processes} processes"

    @property
    def verdict(self) -> str:
        """`slower`, `faster`, or `not told apart` where the interval includes 1, or there is none."""
        if self.interval != "bootstrap95" or self.ratio_low <= 1 <= self.ratio_high:
            return "not told apart"
        return "slower" if self.ratio > 1 else "faster"


class TrainedFigures(Frozen, frozen=True, kw_only=True):
    """What a network's runs came to at the epoch that was declared to count: means over `runs`, each of `epochs`.

    Accuracy is a share, the gap in points; `low` and `high` are the ends of their 95 % t intervals over the runs (None:
    one run alone has none). `cpu_s` are CPU-seconds of a run's steps. Rows of one `setting` were trained equally.
    """

    test_accuracy: Share
    test_low: float | None = None
    test_high: float | None = None
    generalisation_gap: float | None = None
    gap_low: float | None = None
    gap_high: float | None = None
    cpu_s: Span
    runs: Some
    epochs: Some
    setting: str

    @property
    def counted(self) -> str:
        """`3 runs`."""
        return "1 run" if self.runs == 1 else f"{self.runs} runs"

    def ends(self, figure: str) -> Ends | None:
        """Those of a figure's interval; None where it has none."""
        known = {
            "test_accuracy": (self.test_low, self.test_high), "generalisation_gap": (self.gap_low, self.gap_high),
        }  # fmt: skip
        low, high = known.get(figure, (None, None))
        return None if low is None or high is None else Ends(low, high, True)


class PredictedLatency(Frozen, frozen=True, kw_only=True):
    """A forward's time as a device's profile predicts it, of one batch.

    In 90 % of the cases that were left out of the fit the time lies between `low_s` and `high_s`; `mean_error` is the
    relative one there, of networks of its kind. `on` is the profile's name, `settings` how its models ran, `outside`
    what it has not seen. `training` is of a step of training, where the device has a profile of that.
    """

    latency_s: Span
    batch: Some
    device_name: str
    dtype: str
    mean_error: Span
    low_s: Span | None = None
    high_s: Span | None = None
    on: str = ""
    settings: str = ""
    outside: tuple[str, ...] = ()
    training: PredictedLatency | None = None

    @property
    def images_per_s(self) -> float | None:
        """Images a second; None where no time is predicted."""
        return self.batch / self.latency_s if self.latency_s else None

    @property
    def image_ns(self) -> int:
        """Nanoseconds an image."""
        return round(1e9 * self.latency_s / self.batch)
