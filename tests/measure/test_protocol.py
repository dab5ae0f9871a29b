"""Order, stop, statistics and failures of the protocol with a fake worker; and small real measurements."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
import torch

from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError, UsageError
from analyzer.measurements import Conditions
from analyzer.measuring import measure
from analyzer.measuring import protocol as room
from analyzer.measuring.allocations import Allocations
from analyzer.measuring.environment import environment, pick_device
from analyzer.measuring.job import Answer, Job
from analyzer.measuring.measure import (
    best_batch,
    measure_all,
    measure_memory,
    require_dtype,
    subject_of,
)
from analyzer.measuring.protocol import Protocol, TimingSeries, Worker, in_a_process, measurement, rounds
from analyzer.measuring.statistics import (
    Stopper,
    autocorrelation,
    bootstrap_interval,
    caveats_of,
    interval_of,
    percentiles,
    process_ratios,
)
from analyzer.measuring.worker import prepare
from analyzer.processes import Ended
from analyzer.reading.peak import Training
from analyzer.reading.prediction import predict_memory
from analyzer.records import read_record
from analyzer.targets.resolving import resolve
from analyzer.units import mib

SMALL = subject_of(Variant(block_config=(1, 1), growth=4, init=8, image=64))
BASE = subject_of(Variant(block_config=(1,), growth=4, init=8, image=64))
HUGE = subject_of(Variant(block_config=(1,), growth=4, init=8, image=4096))


NUMBERS = 1024
"""Bytes of single numbers, such as the loss and the optimizer's counts of steps, which the prediction leaves out."""


class Machine:
    """A worker that answers with made-up times, a clock that its jobs move, and a log of them."""

    def __init__(self, ratio: float = 3.0, noise: float = 0.0, memory: int = 10**9, seconds: float = 1.0) -> None:
        self.now, self.ratio, self.noise, self.memory, self.seconds = 0.0, ratio, noise, memory, seconds
        self.jobs: list[Job] = []
        self.random = np.random.default_rng(0)

    def __call__(self, job: Job) -> Answer:
        self.jobs.append(job)
        self.now += self.seconds
        if job.batch > self.memory:
            return Answer(out_of_memory=True)
        ratio = self.ratio * float(np.exp(self.random.normal(0, self.noise)))
        return Answer(seconds=(ratio,) * job.pairs, baseline_seconds=(1.0,) * job.pairs, first_seconds=ratio, threads=2)

    def run(self, *subjects, **options) -> list[TimingSeries | MeasureError]:
        options = {"batch": 4, "protocol": Protocol(), "conditions": Conditions(), "device": "meta", **options}
        return list(rounds(subjects, BASE, worker=self, clock=lambda: self.now, **options))


def test_a_round_is_a_process_that_begins_in_turn_with_the_other_model() -> None:
    machine = Machine()
    machine.run(SMALL)
    assert [job.first for job in machine.jobs[:4]] == [True, False, True, False]
    assert all((job.discard, job.pairs) == (3, 6) for job in machine.jobs)


def test_a_quiet_machine_stops_after_the_second_narrow_interval() -> None:
    machine = Machine()
    (series,) = machine.run(SMALL)
    assert len(series.answers) == 9  # the first interval is of 8 processes


def test_a_noisy_machine_stops_at_the_cap() -> None:
    (series,) = Machine(noise=0.5).run(SMALL)
    assert len(series.answers) == 24


def test_time_that_is_spent_ends_it_after_enough_processes() -> None:
    (series,) = Machine(seconds=10).run(SMALL, protocol=Protocol(seconds=35))
    assert len(series.answers) == 3  # a fourth would end after the time
    (series,) = Machine(seconds=10).run(SMALL, protocol=Protocol(seconds=1, enough=5, limit_s=1000))
    assert len(series.answers) == 5


def test_rounds_of_several_models_are_interleaved() -> None:
    machine = Machine()
    machine.run(SMALL, BASE)
    assert [job.model for job in machine.jobs[:4]] == [SMALL, BASE, SMALL, BASE]


def test_a_batch_that_does_not_fit_is_halved_and_said() -> None:
    (series,) = Machine(memory=5).run(SMALL, batch=16)
    assert (series.batch, series.asked_batch) == (4, 16)
    assert [note.partition(" (predicted: it needs ")[0] for note in series.notes] == [
        "batch 16 did not fit", "batch 8 did not fit",
    ]  # fmt: skip
    needed = predict_memory(SMALL.variant, 16).peak_inference_bytes
    assert f"needs {mib(needed)}, and " in series.notes[0]
    assert series.notes[0].endswith("measured at 8")


def test_a_model_that_does_not_fit_is_an_error_that_says_what_it_needs() -> None:
    (error,) = Machine(memory=0).run(SMALL)
    assert isinstance(error, MeasureError)
    assert "batch 1" in error.what
    assert "MiB" in error.fix


def test_a_cpu_that_would_be_killed_for_it_is_not_asked() -> None:
    machine = Machine()
    machine.run(HUGE, batch=2**20, device="cpu")
    assert max(job.batch for job in machine.jobs) < 2**20


def test_ctrl_c_hands_on_the_rounds_that_are_finished() -> None:
    machine = Machine()

    def worker(job: Job) -> Answer:
        if len(machine.jobs) == 5:
            raise KeyboardInterrupt
        return machine(job)

    found: list[TimingSeries] = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(
            rounds(
                [SMALL, BASE], BASE, worker=worker, device="meta", batch=1, conditions=Conditions(), protocol=Protocol()
            )
        )
    assert [(one.subject, len(one.answers)) for one in found] == [(SMALL, 3), (BASE, 2)]
    assert found[0].notes == ["interrupted after 3 processes"]


def test_what_fails_is_a_row_and_the_others_go_on() -> None:
    def worker(job: Job) -> Answer:
        return Answer(error="ValueError: no") if job.model == BASE else Machine()(job)

    found = list(
        rounds([BASE, SMALL], BASE, worker=worker, device="meta", batch=1, conditions=Conditions(), protocol=Protocol())
    )
    assert isinstance(found[0], MeasureError)
    assert isinstance(found[1], TimingSeries)


def test_the_record_has_every_raw_time_and_its_conditions() -> None:
    (series,) = Machine(noise=0.02).run(SMALL)
    made = measurement(
        series, baseline="b", environment=environment(torch.device("cpu")), conditions=Conditions(dtype="bfloat16"),
        protocol=Protocol(),
    )  # fmt: skip
    assert len(made.seconds_per_batch) == 6 * made.processes
    assert made.environment.dtype == "bfloat16"
    assert made.environment.threads == 2
    assert made.interval == "bootstrap95"
    assert made.ratio_low <= made.ratio <= made.ratio_high
    assert made.verdict == "slower"


def test_clocks_and_heat_are_kept_and_throttling_is_a_caveat() -> None:
    machine = Machine()

    def worker(job: Job) -> Answer:
        seen = {"clock_mhz": (1980, 1200), "celsius": (60, 85), "throttled": True, "gpu_processes": 2}
        return msgspec.structs.replace(machine(job), **seen)

    (series,) = rounds(
        [SMALL], BASE, worker=worker, device="meta", batch=1, conditions=Conditions(), protocol=Protocol(most=8)
    )
    made = measurement(
        series, baseline="b", environment=environment(torch.device("cpu")), conditions=Conditions(), protocol=Protocol()
    )
    assert made.clock_mhz == (1980, 1200) * 8
    assert made.celsius == (60, 85) * 8
    found = {caveat.kind: caveat for caveat in made.caveats}
    assert "1200 to 1980 MHz" in found["throttling"].what
    assert "shared-gpu" in found


# -- statistics ------------------------------------------------------------------------------------------------


def test_a_process_counts_once_by_the_median_of_its_pairs() -> None:
    assert process_ratios([1, 2, 9, 4, 4, 4], [1, 1, 1, 2, 2, 1], 3) == [2, 2]


@pytest.mark.slow
def test_the_interval_covers_the_truth_in_93_to_97_of_100_series() -> None:
    """1,000 series under the whole protocol: processes differ, skewed or heavy-tailed, and rounds stop when narrow."""
    random = np.random.default_rng(2)
    covered = 0
    for i in range(1000):
        kind = i % 3
        if kind == 0:
            series = np.exp(random.normal(0, 0.05, 24))
        elif kind == 1:
            series = np.exp(0.04 * random.standard_t(3, 24))
        else:
            series = np.exp(random.normal(0, 0.04, 24)) * np.where(random.random(24) < 0.1, 1.3, 1.0)
            series /= np.exp(0.04 * 0.14)  # the median of that mixture
        stopper = Stopper(0.03)
        n = next(n for n in range(1, 25) if stopper.enough(list(series[:n])))
        low, high = bootstrap_interval(list(series[:n]), seed=i, resamples=500)
        covered += low <= 1 <= high
    assert 930 <= covered <= 970


def test_no_interval_is_claimed_of_few_processes() -> None:
    assert interval_of([1.0, 3.0, 2.0]) == ("range", 1.0, 3.0)
    assert interval_of([2.0] * 8) == ("bootstrap95", 2.0, 2.0)


def test_autocorrelation_by_hand() -> None:
    assert autocorrelation([1, -1, 1, -1]) == pytest.approx(-0.75)
    assert autocorrelation([5, 5, 5]) == 0


@pytest.mark.parametrize(
    ("series", "options", "kind"),
    [
        ([1.0, 1.0], {}, "few-processes"),
        ([1.0, 1.5] * 5, {}, "wide"),
        ([1.0, 1.6] * 5, {}, "noisy"),
        ([1.0 + i / 100 for i in range(12)], {}, "autocorrelation"),
        ([1.0] * 8, {"first": [3.0], "later": [1.0]}, "first-run"),
        ([1.0] * 8, {"load_percent": 80.0}, "load"),
    ],
)
def test_caveats_have_their_reason_and_what_to_do(series, options, kind) -> None:
    found = {caveat.kind: caveat for caveat in caveats_of(series, **options)}
    assert kind in found
    assert found[kind].fix
    assert not caveats_of([1.0, 1.001, 0.999, 1.0, 1.001, 0.999, 1.0, 1.0], load_percent=1.0)


def test_percentiles_by_hand() -> None:
    assert percentiles([float(i) for i in range(101)]) == (50.0, 90.0, 99.0)


# -- real processes --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_small_model_against_another_in_real_processes() -> None:
    ((name, made),) = measure_all(
        [SMALL], BASE, device="cpu", batch=2, protocol=Protocol(discard=1, pairs=2, most=2, least=2, singles=3)
    )
    assert name == SMALL.name
    assert not isinstance(made, MeasureError)
    assert made.processes == 2
    assert len(made.latency_s) == 6
    assert all(t > 0 for t in made.seconds_per_batch)
    assert made.environment.threads >= 1


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(mode="training", threads=1),
        Conditions(dtype="bfloat16", channels_last=True, malloc="tuned"),
        Conditions(autocast="bfloat16"),
        Conditions(mode="training", autocast="bfloat16"),
    ],
)
def test_conditions_reach_the_worker(conditions: Conditions, here: Worker) -> None:
    job = Job(model=SMALL, baseline=BASE, device="cpu", batch=2, conditions=conditions, discard=1, pairs=1)
    answer = here(job)
    assert answer.error is None
    assert answer.threads == (conditions.threads or answer.threads)


@pytest.mark.slow
def test_a_model_of_ones_own_is_measured_and_its_failure_is_told(tmp_path: Path, here: Worker) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n"
        "    def __init__(self, bad=False):\n        super().__init__()\n"
        "        self.l = torch.nn.Linear(4, 2)\n        self.bad = bad\n"
        "    def forward(self, x):\n        print('noise')\n"
        "        if self.bad: raise ValueError('no good')\n        return self.l(x)\n"
    )
    good = subject_of(resolve(f"{tmp_path}/mine.py:Net", inputs=["3,4"]))
    bad = subject_of(resolve(f"{tmp_path}/mine.py:Net", inputs=["3,4"], kwargs=["bad=true"]))
    jobs = [
        Job(model=s, baseline=good, device="cpu", batch=3, conditions=Conditions(), discard=1, pairs=1)
        for s in (good, bad)
    ]
    assert room.in_a_process(jobs[0]).error is None
    assert "no good" in (here(jobs[1]).error or "")
    with pytest.raises(UsageError, match="inputs with a batch"):
        subject_of(resolve(f"{tmp_path}/mine.py:Net"))


def test_a_process_that_the_system_kills_has_run_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = Ended(b"", b"", -signal.SIGKILL)
    monkeypatch.setattr(room.processes, "run", lambda *a, **k: killed)
    job = Job(model=SMALL, baseline=BASE, device="cpu", batch=1, conditions=Conditions())
    assert room.in_a_process(job).out_of_memory


def test_the_best_batch_is_where_the_rate_stops_rising() -> None:
    def worker(job: Job) -> Answer:
        if job.batch > 64:
            return Answer(out_of_memory=True)
        seconds = 1.0 + max(0, job.batch - 16)
        return Answer(seconds=(seconds, seconds), baseline_seconds=(seconds, seconds))

    choice = best_batch(SMALL, device="cpu", worker=worker)
    assert choice.best == 16
    assert max(choice.images_per_s) == 64
    assert choice.predicted
    needed = predict_memory(SMALL.variant, choice.largest).peak_inference_bytes
    assert 0.5 * needed < psutil.virtual_memory().available


def test_the_largest_batch_of_a_gpu_is_lowered_until_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prediction leaves workspaces out; what a model of one's own needs isn't known, so it is what ran."""
    monkeypatch.setattr(measure.gpu, "free_bytes", lambda _: 2**30)
    variant = SMALL.variant
    tried: list[int] = []

    def worker(job: Job) -> Answer:
        tried.append(job.batch)
        needed = predict_memory(variant, job.batch).peak_inference_bytes
        return Answer(out_of_memory=needed + 100 * 2**20 > 2**30)

    ran = Job(model=SMALL, baseline=SMALL, device="cuda", batch=64, conditions=Conditions(), memory=True)
    largest = measure._largest(ran, worker)
    assert largest == tried[-1]
    assert predict_memory(variant, tried[0]).peak_inference_bytes <= 2**30
    assert 0.8 * 2**30 < predict_memory(variant, largest).peak_inference_bytes <= 2**30 - 100 * 2**20
    own = msgspec.structs.replace(ran, model=msgspec.structs.replace(SMALL, variant=None))
    assert measure._largest(own, worker) == 64


@pytest.mark.parametrize("name", ["cuda", "cpu"])
def test_a_device_without_a_number_is_prepared(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.cuda.set_device refuses one without a number, on builds without CUDA too."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    prepare(torch.device(name), Conditions())
    assert torch.backends.cudnn.benchmark == (name == "cuda")
    prepare(torch.device(name), Conditions(), searches=False)
    assert not torch.backends.cudnn.benchmark


def test_weights_that_autocast_copies_are_in_the_measured_memory(here: Worker) -> None:
    """A network of weights much more than of activations: their copies, which autocast keeps, are a third."""
    variant = Variant(block="bottleneck", block_config=(1, 1, 1), growth="double", init=128, image=32, classes=10)
    found = measure_memory(
        subject_of(variant), batch=1, device="cpu", conditions=Conditions(autocast="bfloat16"), worker=here
    )
    assert found.predicted_bytes is not None
    weights = predict_memory(variant, 1).param_bytes
    assert 1.45 * weights < found.predicted_bytes < 1.6 * weights
    assert found.predicted_bytes <= found.measured_bytes <= found.predicted_bytes + found.kernel_bytes + NUMBERS


@pytest.mark.parametrize("autocast", ["none", "bfloat16"])
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_measured_memory_on_the_cpu_is_the_predicted_and_a_kernels_own_buffers(
    mode: str, autocast: str, here: Worker
) -> None:
    """The allocator's own events: never less than live tensors, and what is more has a name, on every processor."""
    variant = Variant(block="dense", block_config=(2, 2), growth=16, init=32, image=96, classes=10)
    found = measure_memory(
        subject_of(variant), batch=8, device="cpu", conditions=Conditions(mode=mode, autocast=autocast), worker=here
    )
    predicted = predict_memory(variant, 8, Training(autocast=autocast))
    expected = predicted.peak_training_bytes if mode == "training" else predicted.peak_inference_bytes
    assert found.predicted_bytes == expected
    assert expected is not None
    assert expected <= found.measured_bytes <= expected + found.kernel_bytes + NUMBERS
    if found.measured_bytes > expected + NUMBERS:
        assert f" in {found.kernel})" in found.why
    assert found.environment.threads >= 1
    assert found.conditions.mode == mode
    assert set(found.phases) == ({"forward", "backward", "optimizer"} if mode == "training" else {"forward"})


@pytest.mark.parametrize(("units", "told"), [(False, True), (True, False)])
@pytest.mark.parametrize("conditions", [Conditions(dtype="bfloat16"), Conditions(autocast="bfloat16")])
def test_memory_in_bfloat16_without_units_for_it_is_explained(
    conditions: Conditions, units: bool, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "has_bfloat16_units", lambda: units)

    def worker(job: Job) -> Answer:
        return Answer(peak_bytes={"forward": 2**30}, kernel="slow_conv2d", kernel_bytes=3 * 2**20)

    found = measure_memory(SMALL, batch=2, device="cpu", conditions=conditions, worker=worker)
    assert "(3.00 MiB in slow_conv2d)" in found.why
    assert ("without bfloat16 units" in found.why) is told
    plain = measure_memory(SMALL, batch=2, device="cpu", worker=worker)
    assert "bfloat16" not in plain.why


def test_an_operators_own_buffers_are_what_it_gives_back_before_it_ends() -> None:
    """By hand: a 3x3 convolution by im2col takes 9 numbers for each of its input, and keeps 4 channels."""
    image, weight, kept = torch.ones(2, 3, 8, 8), torch.ones(4, 3, 3, 3), []

    def call() -> None:
        kept.append(torch.ops.aten._slow_conv2d_forward(image, weight, [3, 3], None, [1, 1], [1, 1]))

    made = Allocations(call)
    unfolded, result = 4 * 9 * image.numel(), 4 * 2 * 4 * 8 * 8
    assert (made.running[-1], made.high) == (result, result + unfolded)
    assert made.kernel() == ("_slow_conv2d_forward", unfolded)


def test_devices_and_dtypes_that_are_not_there_are_refused() -> None:
    with pytest.raises(UsageError, match="not there"):
        pick_device("cuda:7")
    with pytest.raises(UsageError, match="float16"):
        require_dtype("cpu", "float16")
    for call in (measure_memory, best_batch):
        options = {"batch": 1} if call is measure_memory else {}
        with pytest.raises(UsageError, match="float16"):
            call(SMALL, device="cpu", conditions=Conditions(dtype="float16"), **options)


def run_measure(*words: str, folder: Path) -> subprocess.Popen[str]:
    """The command in a process group of its own, so that an interrupt reaches its workers too, as a terminal's does."""
    command = [sys.executable, "-m", "analyzer", "measure", "--device", "cpu", "--batch", "1", *words]
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command, env=variables, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    """The first model is done before the second: its row is on disk when the signal comes."""
    out = tmp_path / "rows.jsonl"
    process = run_measure(
        SMALL.name, BASE.name, "--against", BASE.name, "--rounds", "1", "--time", "100s", "--out", str(out),
        "--format", "jsonl", folder=tmp_path,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (out.exists() and out.read_text()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode in (0, 130), stderr
    assert SMALL.name in out.read_text()
    assert SMALL.name in stdout


@pytest.mark.slow
def test_without_a_name_the_rows_go_to_reports_and_each_failure_is_one(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import torch\ndef net():\n    return torch.nn.Linear(3, 2)\n")
    process = run_measure(
        SMALL.name, "bad.py:net", "--input", "1,4", "--against", BASE.name, "--rounds", "2", folder=tmp_path
    )
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    (path,) = (tmp_path / "reports").glob("measure-*.jsonl")
    rows = {row.target.name: row for row in map(read_record, path.read_text().splitlines())}
    assert rows[SMALL.name].measured is not None
    assert len(rows[SMALL.name].measured.latency_s) == 2 * measure.SINGLES
    assert rows["bad.py:net"].error is not None
    assert "batch-1 p50" in stdout
    assert "bad.py:net: " in stderr
    assert "few-processes" in stderr


def test_a_process_that_takes_too_long_is_ended_and_says_what_helps() -> None:
    article = subject_of(PRESETS["article"])
    job = Job(
        model=article,
        baseline=article,
        device="cpu",
        batch=64,
        conditions=Conditions(),
        discard=1,
        pairs=50,
        limit_s=1.0,
    )
    answer = in_a_process(job)
    assert answer.error is not None
    assert "one process took over 1 s: use a smaller batch" in answer.error


def test_the_time_given_bounds_each_process() -> None:
    limits = []

    def worker(job: Job) -> Answer:
        limits.append(job.limit_s)
        return Answer(error="stop")

    for seconds in (5.0, 100.0, 10_000.0):
        protocol = Protocol(seconds=seconds)
        subject = subject_of(PRESETS["article"])
        list(
            rounds([subject], subject, device="cpu", batch=1, conditions=Conditions(), protocol=protocol, worker=worker)
        )
    assert limits[0] == 10.0
    assert 99 < limits[1] <= 100
    assert limits[2] == 3600.0


def test_time_is_kept_and_what_cannot_be_had_in_it_says_so() -> None:
    """Rounds of 10 s each: of three models in 15 s two are begun, the second with the grace, the third never."""
    machine = Machine(seconds=10)
    first, second, third = machine.run(SMALL, BASE, HUGE, protocol=Protocol(seconds=2, enough=2, limit_s=15))
    assert [len(series.answers) for series in (first, second)] == [1, 1]
    assert isinstance(third, MeasureError)
    assert third.what == "the 15 s for measuring were spent (--time)"
    assert machine.now == 20


def test_a_process_that_is_ended_at_the_end_leaves_the_others_of_its_model() -> None:
    machine = Machine(seconds=10)

    def worker(job: Job) -> Answer:
        answer = machine(job)
        return answer if machine.now <= 10 else Answer(error="one process took over 10 s")

    (series,) = rounds(
        [SMALL], BASE, worker=worker, clock=lambda: machine.now, device="cpu", batch=1, conditions=Conditions(),
        protocol=Protocol(seconds=25, enough=2),
    )  # fmt: skip
    assert len(series.answers) == 1
