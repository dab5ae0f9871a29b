"""The stores behave alike; a database refuses what it can't keep and keeps what it has."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors import UsageError
from analyzer.measurements import Environment, Measurement
from analyzer.records import Failure, Record, Remark, Target
from analyzer.seals import checksum
from analyzer.storing import results_file
from analyzer.storing.schema import COLUMNS
from analyzer.sweeping import results_store
from analyzer.sweeping.database import Database, made_here, merge_into
from analyzer.sweeping.results_store import SqliteStore, open_store
from analyzer.sweeping.store import JsonlStore, MemoryStore, Setting, Store, setting_of

ROOT = Path(__file__).parents[2]
ENVIRONMENT = Environment(
    device="cpu", device_name="Abacus", python="3", torch="2", analyzer="0", platform="p", threads=1, cpu_count=1
)
MAKE: dict[str, Callable[[Path], Store]] = {
    "memory": lambda folder: MemoryStore(),
    "jsonl": lambda folder: JsonlStore(folder / "results.jsonl"),
    "sqlite": lambda folder: SqliteStore(folder / "results.db"),
}
ROWS = [Record(target=Target(name=name), params=i, macs=i) for i, name in enumerate("abcd")]


def measured(record: Record, *, device: str = "Abacus", baseline: str = "a", ratio: float = 2.0) -> Record:
    result = Measurement(
        protocol="p-1",
        environment=msgspec.structs.replace(ENVIRONMENT, device_name=device),
        batch=4,
        asked_batch=8,
        seconds_per_batch=(ratio,),
        baseline_seconds_per_batch=(1.0,),
        measured_latency_s=ratio,
        measured_images_per_s=1 / ratio,
        ratio=ratio,
        ratio_low=ratio,
        ratio_high=ratio,
        baseline=baseline,
        time="2026-01-01T00:00:00+00:00",
    )
    return msgspec.structs.replace(record, measured=result)


@pytest.fixture(params=MAKE)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MAKE[request.param](tmp_path)


def records_in(path: Path) -> list[Record]:
    with closing(Database(path)) as opened:
        return [row.record for row in opened.rows()]


# -- every store -----------------------------------------------------------------------------------------------


def test_the_latest_of_each_name_in_the_order_of_their_coming(store: Store) -> None:
    store.put(ROWS[:3])
    later = msgspec.structs.replace(ROWS[1], remarks=(Remark(kind="note", text="again"),))
    store.put([later, ROWS[3]])
    store.put([])
    assert store.records() == [ROWS[0], later, ROWS[2], ROWS[3]]
    store.close()
    assert store.records() == [ROWS[0], later, ROWS[2], ROWS[3]]


def test_what_was_counted_is_found_at_its_batch_without_its_times(store: Store) -> None:
    store.put(ROWS)
    store.put([measured(ROWS[2])])
    assert store.counted(1) == {row.target.name: row for row in ROWS}
    assert store.counted(2) == {}


def test_what_was_measured_is_found_in_exactly_its_setting(store: Store) -> None:
    store.put(ROWS)
    row = measured(ROWS[2])
    store.put([row])
    setting = setting_of(row.measured)
    assert setting == Setting("p-1", "Abacus", 8, "a")
    assert store.measured(setting) == {"c": row.measured}
    for field, other in (("protocol", "p-2"), ("device", "Slate"), ("batch", 4), ("baseline", "b")):
        assert store.measured(msgspec.structs.replace(setting, **{field: other})) == {}


@pytest.mark.parametrize("kind", MAKE)
@given(puts=st.lists(st.lists(st.tuples(st.sampled_from("abc'\"\x00é%;"), st.integers(0, 3)), max_size=4), max_size=6))
@settings(max_examples=15, deadline=None)
def test_any_sequence_of_puts_leaves_what_a_dict_would(kind: str, puts: list[list[tuple[str, int]]]) -> None:
    expected: dict[str, Record] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = MAKE[kind](Path(folder))
        for block in puts:
            rows = [Record(target=Target(name=name), params=params) for name, params in block]
            store.put(rows)
            expected.update((row.target.name, row) for row in rows)
        store.close()
        assert store.records() == list(expected.values())
        if kind == "sqlite":
            assert {row.target.name: row for row in records_in(Path(folder) / "results.db")} == expected


# -- the database ----------------------------------------------------------------------------------------------


def test_earlier_runs_are_found_and_not_this_runs_rows(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as first:
        first.put(ROWS)
        first.put([measured(ROWS[1])])
    with closing(open_store(tmp_path)) as second:
        assert second.records() == []
        assert list(second.counted(1).values()) == ROWS
        assert list(second.measured(Setting("p-1", "Abacus", 8, "a"))) == ["b"]


def test_a_row_stands_once_a_measurement_in_place_of_its_count(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        store.put(ROWS)
        store.put([measured(ROWS[1])])
        store.put(ROWS)
        store.put([measured(ROWS[1], device="Slate")])
    shown = records_in(tmp_path / "results.db")
    assert shown == [ROWS[0], measured(ROWS[1]), measured(ROWS[1], device="Slate"), *ROWS[2:]]


def test_putting_the_same_again_keeps_its_origin(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "results.db", create=True)) as opened:
        opened.put([made_here(ROWS[0])])
        before = opened.rows()
        opened.put([made_here(ROWS[0])])
        assert opened.rows() == before
        changed = msgspec.structs.replace(ROWS[0], params=9)
        opened.put([made_here(changed)])
        (after,) = opened.rows()
    assert (after.id, after.record) == (before[0].id, changed)
    assert after.created > before[0].created


def test_counts_of_another_version_are_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_store(tmp_path)) as store:
        store.put(ROWS)
        for module in (results_store, results_file):
            monkeypatch.setattr(module, "package_version", lambda: "99")
        assert store.counted(1) == {}
        store.put(ROWS)
        assert list(store.counted(1).values()) == ROWS


def test_hostile_names_are_data(tmp_path: Path) -> None:
    rows = [Record(target=Target(name=name)) for name in ("'; DROP TABLE rows; --", '"', "\x00", "\u202e", "%s", "")]
    with closing(open_store(tmp_path)) as store:
        store.put(rows)
    assert records_in(tmp_path / "results.db") == rows


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("record", '{"evil": 1}'),
        ("record", b"\x00"),
        ("record", "[" * 100_000),
        ("created", "yesterday"),
        ("created", "2026-01-01"),
        ("host", b"\xff"),
    ],
)
def test_a_row_that_is_no_record_is_named(tmp_path: Path, column: str, value: object) -> None:
    path = tmp_path / "results.db"
    with closing(open_store(tmp_path)) as store:
        store.put(ROWS)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.create_function("seal", len(COLUMNS), checksum)
        raw.execute(f"UPDATE rows SET {column} = ? WHERE id = 2", (value,))
        raw.execute(f"UPDATE rows SET checksum = seal({', '.join(COLUMNS)})")
    with pytest.raises(UsageError, match=r"results\.db: row 2: not a result"):
        records_in(path)


def test_starting_anew_keeps_the_old_file(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        store.put(ROWS)
    with closing(open_store(tmp_path, resume=False)) as store:
        assert store.counted(1) == {}
    (kept,) = tmp_path.glob("results-*.db")
    assert records_in(kept) == ROWS


def test_a_file_in_use_is_not_set_aside(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        store.put(ROWS)
        with pytest.raises(UsageError, match="in use"):
            open_store(tmp_path, resume=False)
        store.put([measured(ROWS[0])])
    assert len(records_in(tmp_path / "results.db")) == len(ROWS)


def test_exports_from_before_the_database_are_kept_aside(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text(ROWS[0].to_json() + "\n")
    open_store(tmp_path).close()
    assert not (tmp_path / "results.jsonl").exists()
    (kept,) = tmp_path.glob("results-*.jsonl")
    assert kept.read_text() == ROWS[0].to_json() + "\n"


def test_a_store_loads_nothing_heavy() -> None:
    code = "import sys, analyzer.sweeping.database, analyzer.sweeping.export; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"torch", "numpy", "pandas", "plotly", "pyarrow"} & set(done.stdout.split())


# -- several processes -----------------------------------------------------------------------------------------

WRITE = """
import sys
from pathlib import Path
from analyzer.records import Record, Target
from analyzer.sweeping.results_store import open_store
store = open_store(Path(sys.argv[1]))
for i in range(30):
    store.put([Record(target=Target(name=f"shared {i}")), Record(target=Target(name=f"{sys.argv[2]} {i}"))])
"""


def test_processes_on_one_file_lose_and_double_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen([*command, str(i)], env=environment) for i in range(4)]
    assert [process.wait(timeout=300) for process in running] == [0] * 4
    names = [row.target.name for row in records_in(tmp_path / "results.db")]
    assert sorted(names) == sorted(f"{who} {i}" for who in ("shared", *range(4)) for i in range(30))


# -- merging ---------------------------------------------------------------------------------------------------


def test_a_file_that_another_process_begins_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")  # and not yet in WAL mode, into which SQLite would not wait to change it
        ends = threading.Timer(0.2, other.execute, ("ROLLBACK",))
        ends.start()
        with closing(Database(path, create=True)) as database:
            ends.join()
            assert database.rows() == []


def test_a_merge_keeps_every_rows_origin(tmp_path: Path) -> None:
    paths = [tmp_path / "one.db", tmp_path / "two.db"]
    rows = [msgspec.structs.replace(made_here(row), host=f"host {i}") for i, row in enumerate(ROWS[:2])]
    for path, row in zip(paths, rows, strict=True):
        with closing(Database(path, create=True)) as opened:
            opened.put([row])
    merged = merge_into(tmp_path / "all.db", paths)
    assert (merged.read, merged.kept) == (2, 2)
    assert merge_into(tmp_path / "all.db", paths).kept == 2
    merge_into(tmp_path / "again.db", [tmp_path / "all.db"])
    for name in ("all.db", "again.db"):
        with closing(Database(tmp_path / name)) as opened:
            found = opened.rows()
        assert [(row.host, row.source, row.created) for row in found] == [
            (row.host, str(path), row.created) for path, row in zip(paths, rows, strict=True)
        ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_that_differ_the_later_made_is_kept(tmp_path: Path, order: tuple[int, int]) -> None:
    paths = [tmp_path / "0.db", tmp_path / "1.db"]
    for i, path in enumerate(paths):
        with closing(Database(path, create=True)) as opened:
            record = msgspec.structs.replace(ROWS[0], params=i)
            opened.put([msgspec.structs.replace(made_here(record), created=datetime(2026, 1, i + 1, tzinfo=UTC))])
    merge_into(tmp_path / "all.db", [paths[i] for i in order])
    assert [record.params for record in records_in(tmp_path / "all.db")] == [1]


def test_a_merge_with_a_source_that_is_none_does_nothing(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "one.db", create=True)) as opened:
        opened.put([made_here(ROWS[0])])
    with pytest.raises(UsageError, match="is not there"):
        merge_into(tmp_path / "all.db", [tmp_path / "one.db", tmp_path / "two.db"])
    with pytest.raises(UsageError, match="itself"):
        merge_into(tmp_path / "one.db", [tmp_path / "one.db"])
    assert not (tmp_path / "all.db").exists()


def test_a_failed_row_is_kept_as_it_is(tmp_path: Path) -> None:
    row = Record(target=Target(name="bad"), error=Failure(what="no", where="there", fix="that"))
    with closing(open_store(tmp_path)) as store:
        store.put([row])
        assert store.counted(1) == {"bad": row}
