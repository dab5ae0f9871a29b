"""Work to be killed at: a sweep, a search or a Ray run with real stores and times that are known; a real calibration.

`python work.py KIND FOLDER` prints `put NAME …` once rows are durable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from known import CONSTRAINTS, DEVICE, PLAN, SPACE, expected

from analyzer.executors.executor import Device, Executor, Processes
from analyzer.measurements import Measurement
from analyzer.measuring.job import OperatorSurvey, Survey
from analyzer.records import Record
from analyzer.sweeping import run
from analyzer.sweeping.results_store import SqliteStore, open_store


def measured(timing: run.Timing, device: str) -> Measurement:
    """What a variant always gives, after a moment."""
    time.sleep(0.02)
    return expected(timing.variant.name, timing.baseline.name)


def told(folder: Path) -> SqliteStore:
    """The folder's store, which says what is durable."""
    store = open_store(folder)
    put = store.put

    def and_tell(records: Iterable[Record], host: str | None = None) -> None:
        rows = list(records)
        put(rows, host)
        print("put", *(row.target.name for row in rows if row.measured), flush=True)

    store.put = and_tell  # type: ignore[method-assign]
    return store


def sweep(folder: Path, executor: Executor) -> None:
    with closing(told(folder)) as store, closing(executor):
        rows = list(run.count(PLAN, store, run.already_counted(PLAN, store), executor))
        chosen = run.to_measure(PLAN, rows)
        there = {name: made for name, made in measurements(folder).items() if name in {r.target.name for r in chosen}}
        list(run.measure(PLAN, chosen, store, executor, measure_one=measured, there=there))


def measurements(folder: Path) -> dict[str, Measurement]:
    from analyzer.sweeping.database import ALL, Database

    with closing(Database(folder / "results.db")) as opened:
        return {row.record.target.name: row.record.measured for row in opened.rows(ALL) if row.record.measured}


class Here(Processes):
    """This process, on a device whose name is always the same."""

    def devices(self) -> tuple[Device, ...]:
        return (Device(DEVICE, "cpu"),)


def search(folder: Path) -> None:
    from analyzer.searching.query import Query
    from analyzer.searching.study import Question, run_study

    question = Question(SPACE, Query(constraints=CONSTRAINTS), ("measured_latency_s",), trials=12, seconds=600)
    with closing(told(folder)) as store:
        run_study(question, store, Here(), folder / "study.db", measure_one=measured)


def calibrate(folder: Path) -> None:
    from damages import answer

    from analyzer.measuring.calibration import calibrate as calibrated
    from analyzer.reading.latency import write_profile

    def slowly(asked: Survey | OperatorSurvey) -> tuple[int, str]:
        time.sleep(0.05)
        return answer(asked)

    folder.mkdir(exist_ok=True)
    for _ in range(20):
        write_profile(calibrated("cpu", worker=slowly), folder / "profile.json")
        print("put profile", flush=True)


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind == "ray":
        from analyzer.executors.cluster import Cluster

        sweep(folder, Cluster(sys.argv[3], "cpu"))
    else:
        {"sweep": lambda f: sweep(f, Processes()), "search": search, "calibrate": calibrate}[kind](folder)


if __name__ == "__main__":
    main()
