"""A measured search: only what fits is measured, the static front first, nothing twice; it goes on after any end."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from analyzer.architecture.variant import Variant
from analyzer.errors import AnalyzerError, ArchitectureError, MeasureError, UsageError
from analyzer.executors.executor import Device, Processes
from analyzer.limits import Limit
from analyzer.measurements import Environment, Measurement
from analyzer.measuring.measure import SWEEP
from analyzer.measuring.protocol import described
from analyzer.reading.family import record
from analyzer.searching import study
from analyzer.searching.candidates import Coding, evenly, fitting
from analyzer.searching.engine import search
from analyzer.searching.query import Objective, Query
from analyzer.searching.results import finds
from analyzer.searching.study import Question, StudyResult, run_study
from analyzer.space.space import Space
from analyzer.sweeping.database import ALL, Database
from analyzer.sweeping.results_store import open_store
from analyzer.sweeping.run import Timing
from analyzer.sweeping.store import MemoryStore

pytest.importorskip("optuna")
ROOT = Path(__file__).parents[2]
SPACE = Space(
    block=["residual", "dense"], blocks=[(1, 1)], growth=["double", *range(4, 16, 2)], compression=[0.25, 0.5, 1.0],
    init=[8, 16], image=[32],
)  # fmt: skip
LIMIT = 9_000
QUERY = Query((Objective("params"), Objective("macs")), (Limit(figure="params", bound=LIMIT, source="--max-params"),))


class Here(Processes):
    """This process, on a device whose name is always the same."""

    def devices(self) -> tuple[Device, ...]:
        return tuple(Device("Abacus", "cpu") for _ in self.places)


def latency(variant: Variant) -> float:
    """Nothing like params or MACs: what a static search can't find."""
    row = record(variant, layers=False)
    return 0.001 + 0.01 * abs(variant.init / 16 - 1) + 0.002 * abs((row.params or 0) % 97) / 97 + (row.macs or 0) / 1e10


class Measurer:
    """Measures by `latency`, and remembers what."""

    def __init__(self, clock: Callable[[], None] = lambda: None, fails: frozenset[int] = frozenset()) -> None:
        self.seen: list[Variant] = []
        self.clock, self.fails = clock, fails

    def __call__(self, timing: Timing, device: str) -> Measurement:
        self.clock()
        self.seen.append(timing.variant)
        if len(self.seen) in self.fails:
            raise MeasureError("does not fit")
        return made(timing)


def made(timing: Timing) -> Measurement:
    seconds = latency(timing.variant)
    place = Environment(
        device="cpu", device_name="Abacus", python="3", torch="2", analyzer="0", platform="p", threads=1, cpu_count=1
    )
    return Measurement(
        protocol=described(SWEEP), environment=place, batch=2, asked_batch=2, seconds_per_batch=(seconds,),
        baseline_seconds_per_batch=(1.0,), measured_latency_s=seconds, measured_images_per_s=2 / seconds,
        ratio=seconds, ratio_low=seconds, ratio_high=seconds, baseline=timing.baseline.name,
        time="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def run(
    measurer: Measurer, folder: Path | None = None, executor: Processes | None = None, **fields: object
) -> StudyResult:
    question = replace(Question(SPACE, QUERY, ("measured_latency_s",), seconds=600), **fields)
    with closing(MemoryStore() if folder is None else open_store(folder)) as store:
        path = None if folder is None else folder / "study.db"
        return run_study(question, store, executor or Here(), path, measure_one=measurer)


def everything() -> dict[Variant, tuple[int, float]]:
    """Each variant that fits, with its params and latency, by looking at them one by one."""
    found = {}
    for part in SPACE.parts:
        for variant in map(part.variant, range(part.size)):
            try:
                params = record(variant, layers=False).params
            except ArchitectureError:
                continue
            if params <= LIMIT:
                found[variant] = (params, latency(variant))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_with_time_for_all_it_is_the_front_that_brute_force_finds(sampler: study.Sampler) -> None:
    table = everything()
    assert 10 < len(table) < SPACE.size
    measurer = Measurer()
    outcome = run(measurer, sampler=sampler, static=(Objective("params"),), trials=1000)
    assert outcome.ended == "every variant that fits is measured"
    assert sorted(map(str, measurer.seen)) == sorted(map(str, table)), "each that fits once, nothing else"
    expected = {
        v for v, p in table.items() if not any(o != p and o[0] <= p[0] and o[1] <= p[1] for o in table.values())
    }
    found = [(f.record.target.variant, f.front) for f in outcome.finds()]
    assert {variant for variant, on_front in found if on_front} == expected
    assert len(found) == len(table)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_small_budget_beats_the_static_front(sampler: study.Sampler) -> None:
    table = everything()
    front = {f.record.target.variant for f in finds(search(SPACE, QUERY, jobs=1))}
    outcome = run(Measurer(), sampler=sampler, trials=16)
    assert len(outcome.rows) == 16
    best = outcome.finds()[0].record
    assert best.measured is not None
    assert best.measured.measured_latency_s < min(table[variant][1] for variant in front)


def test_it_begins_with_the_static_front_and_prunes_the_rest_before_it_is_built() -> None:
    front = [f.record.target.variant for f in finds(search(SPACE, QUERY, jobs=1))]
    measurer = Measurer()
    outcome = run(measurer, trials=12)
    warm = {front[i] for i in evenly(len(front), 6)}
    assert set(measurer.seen[: len(warm)]) == warm
    assert len(measurer.seen) == 12
    assert outcome.pruned > 0
    assert all(record(variant, layers=False).params <= LIMIT for variant in measurer.seen)


@pytest.mark.slow
def test_it_goes_on_where_it_ended_and_measures_nothing_twice(tmp_path: Path) -> None:
    first, second, third = Measurer(), Measurer(), Measurer()
    run(first, tmp_path, trials=5)
    outcome = run(second, tmp_path, trials=5)
    assert len(first.seen) == len(second.seen) == 5
    assert not set(first.seen) & set(second.seen)
    assert outcome.earlier == 5
    assert len(outcome.rows) == 10
    again = run(third, tmp_path, trials=1000)
    assert sorted(map(str, [*first.seen, *second.seen, *third.seen])) == sorted(map(str, everything()))
    assert len(again.rows) == len(everything())
    with closing(Database(tmp_path / "results.db")) as opened:
        names = [row.record.target.name for row in opened.rows(ALL) if row.record.measured]
    assert len(names) == len(set(names)) == len(everything())
    other = Measurer()
    run(other, tmp_path, trials=3, measured=("measured_images_per_s",))
    assert not other.seen, "another question's study knows what is measured"


def test_what_a_sweep_measured_is_not_measured_again(tmp_path: Path) -> None:
    front = [f.record.target.variant for f in finds(search(SPACE, QUERY, jobs=1))]
    base = study._baseline(Question(SPACE, QUERY, ("measured_latency_s",)))
    with closing(open_store(tmp_path)) as store:
        rows = [record(variant, layers=False) for variant in front]
        store.put(
            [
                msgspec.structs.replace(row, measured=made(Timing(v, base, 1)))
                for row, v in zip(rows, front, strict=True)
            ]
        )
    measurer = Measurer()
    outcome = run(measurer, tmp_path, trials=6)
    assert not set(measurer.seen) & set(front)
    assert {f.record.target.name for f in outcome.finds()} > {row.target.name for row in rows[:1]}


def test_failures_are_told_and_it_goes_on(tmp_path: Path) -> None:
    measurer = Measurer(fails=frozenset({2, 3}))
    outcome = run(measurer, tmp_path, trials=6)
    assert (outcome.failed, len(outcome.rows), len(set(measurer.seen))) == (2, 4, 6)


class Halves(Measurer):
    def __call__(self, timing: Timing, device: str) -> Measurement:
        made = super().__call__(timing, device)
        return msgspec.structs.replace(made, batch=1) if len(self.seen) % 2 else made


def test_a_smaller_batch_is_another_figure(tmp_path: Path) -> None:
    outcome = run(Halves(), tmp_path, trials=6)
    assert (outcome.failed, len(outcome.rows)) == (3, 3)
    assert all(row.measured.batch == 2 for row in outcome.rows)
    after = run(Measurer(), tmp_path, trials=1)
    assert all(row.measured.batch == 2 for row in after.rows)


class Fills(Measurer):
    """The disk is full when the third is measured: no file may grow."""

    def __call__(self, timing: Timing, device: str) -> Measurement:
        if len(self.seen) == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        return super().__call__(timing, device)


def test_a_full_disk_is_told_and_keeps_what_is_measured(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(UsageError, match="can't"):
            run(Fills(), tmp_path, trials=9)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    with closing(Database(tmp_path / "results.db")) as opened:
        assert len([row for row in opened.rows(ALL) if row.record.measured]) == 2
    assert run(Measurer(), tmp_path, trials=2).earlier == 2


def test_a_full_disk_for_the_study_alone(tmp_path: Path) -> None:
    """Rows are kept elsewhere here: the study's own words on a full disk are no traceback."""
    question = Question(SPACE, QUERY, ("measured_latency_s",), trials=9, seconds=600)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(UsageError, match="can't keep the study"):
            run_study(question, MemoryStore(), Here(), tmp_path / "study.db", measure_one=Fills())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_time_is_kept() -> None:
    now = [0.0]

    def tick() -> None:
        now[0] += 7

    question = Question(SPACE, QUERY, ("measured_latency_s",), seconds=30)
    measurer = Measurer(tick)
    outcome = run_study(question, MemoryStore(), Here(), measure_one=measurer, clock=lambda: now[0])
    assert len(measurer.seen) == 5  # the one that begins at 28 s is the last
    assert "30 s were spent" in outcome.ended


def test_several_devices_measure_at_once() -> None:
    measurer = Measurer(lambda: time.sleep(0.02))
    outcome = run(measurer, executor=Here(places=("cuda:0", "cuda:1")), trials=12)
    assert len({str(v) for v in measurer.seen}) == len(measurer.seen) == len(outcome.rows) == 12


class Interrupts(Measurer):
    def __call__(self, timing: Timing, device: str) -> Measurement:
        if len(self.seen) == 3:
            raise KeyboardInterrupt
        return super().__call__(timing, device)


def test_ctrl_c_keeps_what_is_measured(tmp_path: Path) -> None:
    outcome = run(Interrupts(), tmp_path, trials=9)
    assert outcome.interrupted
    assert len(outcome.rows) == 3
    after = run(Measurer(), tmp_path, trials=2)
    assert (after.earlier, len(after.rows)) == (3, 5)


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
import test_study
measurer = test_study.Measurer(lambda: (print("measuring", flush=True), time.sleep(0.05)))
test_study.run(measurer, Path(sys.argv[1]), trials=8)
print("end", flush=True)
"""


@pytest.mark.slow
def test_kill_9_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(3)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    kept: set[str] = set()
    for _ in range(3):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(chance.randint(1, 3)):
            process.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=300)
        with closing(Database(tmp_path / "results.db")) as opened:
            names = [row.record.target.name for row in opened.rows(ALL) if row.record.measured]
        assert len(names) == len(set(names))
        assert kept <= set(names)
        kept = set(names)
    outcome = run(Measurer(), tmp_path, trials=1000)
    assert outcome.earlier >= len(kept) - 1  # what was kept but not told is found in the rows
    assert len(outcome.rows) == len(everything())


# -- candidates ------------------------------------------------------------------------------------------------


def test_every_variant_has_parameters_of_its_own() -> None:
    space = Space(
        block=["residual", "dense", "add"], blocks=[(1, 1), (2, 1, 1)], growth=["double", 4, 8, (4, 8), (8, 16)],
        ratio=[0.25, 0.5], bn_size=[2], compression=[0.25, 1.0, (0.5,)], init=[8, 16],
    )  # fmt: skip
    coding, seen = Coding(space), set()
    for number, part in enumerate(space.parts):
        for index in range(part.size):
            params = coding.params(number, index)
            assert coding.variant(params) == part.variant(index)
            seen.add(json.dumps(params, sort_keys=True))
    assert len(seen) == space.size


def test_drawn_variants_fit() -> None:
    table = everything()
    drawn = set()
    for seed in range(100):
        for part, index in fitting(SPACE, QUERY, random.Random(seed)):
            drawn.add(SPACE.parts[part].variant(index))
    assert drawn == set(table)


@pytest.mark.parametrize(("count", "most"), [(0, 3), (1, 3), (3, 3), (10, 3), (10, 1), (1000, 16)])
def test_evenly(count: int, most: int) -> None:
    places = evenly(count, most)
    assert len(places) == min(count, most)
    assert places == sorted(set(places))
    if count and most > 1:
        assert (places[0], places[-1]) == (0, count - 1)
    if 1 < most < count:
        assert np.diff(places).max() <= -(-(count - 1) // (most - 1))


# -- bad input -------------------------------------------------------------------------------------------------


def test_bad_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="did you mean 'measured_latency_s'"):
        run(Measurer(), measured=("measured_latncy_s",))
    with pytest.raises(UsageError, match="alone excludes all"):
        run(Measurer(), query=Query(constraints=(Limit(figure="params", bound=1, source="--max-params"),)))

    class Unlike(Processes):
        def devices(self) -> tuple[Device, ...]:
            return Device("Abacus", "cpu"), Device("Slate", "cpu")

    with pytest.raises(UsageError, match="don't compare"):
        run(Measurer(), executor=Unlike())
    (tmp_path / "study.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UsageError, match="can't keep the study"):
        run(Measurer(), tmp_path)
    assert (tmp_path / "study.db").read_bytes() == b"no database" * 1000
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r'pip install "modelbudget\[optuna\]"'):
        run(Measurer())


def test_two_processes_are_kept_apart(tmp_path: Path) -> None:
    class Second(Measurer):
        def __call__(self, timing: Timing, device: str) -> Measurement:
            with pytest.raises(AnalyzerError, match="in use by another process"):
                run(Measurer(), tmp_path, trials=1)
            return super().__call__(timing, device)

    assert len(run(Second(), tmp_path, trials=2).rows) == 2


# -- on real networks ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_on_small_networks(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "analyzer", "search", "--block", "dense", "--blocks", "1,1", "--growth", "4:12:4",
        "--image", "32", "--max-params", "100k", "--objective", "measured_latency_s", "--maximize", "conv_activations",
        "--batch", "1", "--trials", "1", "--time", "60s", "--out", "kept", "--format", "jsonl",
        "--export", "found.csv", "--report", "found.html",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    rows = []
    for measured in (1, 2):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(rows) == measured
        assert f"kept{os.sep}" in done.stderr or "--out kept" in done.stderr
    assert all(row["measured_latency_s"] > 0 and row["params"] <= 100_000 for row in rows)
    assert any(row["front"] for row in rows)
    assert "Time of a batch as a multiple of" in (tmp_path / "found.html").read_text()
    assert len((tmp_path / "found.csv").read_text().splitlines()) == 3
    for args, says in ((["--trials", "2"], "--objective"), (["--objective", "latency"], "measured_latency_s")):
        done = subprocess.run(
            [*command[:4], "--growth", "8", *args], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert says in done.stderr


def test_from_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import analyzer as an
    from analyzer.executors import workplace

    asked: list[Question] = []

    def fake(
        question: Question, store: MemoryStore, executor: Processes, path: Path | None, **_: object
    ) -> StudyResult:
        asked.append(question)
        return run_study(question, store, Here(), path, measure_one=Measurer())

    monkeypatch.setattr(study, "run_study", fake)
    monkeypatch.setattr(workplace, "executor_of", lambda *_, **__: Here())
    table = an.search(
        SPACE, objective="measured_latency_s", limits={"params": LIMIT}, maximize="conv_activations", batch=2,
        trials=6, out=tmp_path, device="cpu",
    ).frame()  # fmt: skip
    assert len(table) == 6
    assert (table["params"] <= LIMIT).all()
    assert table["front"].any()
    assert table["measured_latency_s"].notna().all()
    assert table["measured_ratio"].notna().all()
    assert (asked[0].batch, asked[0].query.batch) == (2, 2)
    assert (tmp_path / "study.db").exists()
