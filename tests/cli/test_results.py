"""`analyze results`, on the database of a real sweep."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from analyzer.errors import UsageError
from analyzer.measurements import Environment, Measurement
from analyzer.reading.family import failed
from analyzer.reading.flat import COLUMNS
from analyzer.records import Record, read_record
from analyzer.sweeping import export
from analyzer.sweeping.database import Database, StoredRow, made_here

SWEEP = ("sweep", "--blocks", "2,4,3,2", "--growth", "12", "--measure", "none", "--out", "out")
HOSTILE = "=cmd|'/c calc'\x1b[31m|<b>"


@pytest.fixture
def swept(analyze, tmp_path: Path) -> Path:
    assert analyze(*SWEEP).returncode == 0
    return tmp_path / "out" / "results.db"


def measured(record: Record, device: str, name: str) -> Record:
    environment = Environment(
        device=device, device_name=name, python="3", torch="2", analyzer="0", platform="p", threads=1, cpu_count=1
    )
    result = Measurement(
        protocol="p-1",
        environment=environment,
        batch=4,
        asked_batch=4,
        seconds_per_batch=(0.5,),
        baseline_seconds_per_batch=(0.25,),
        measured_latency_s=0.5,
        measured_images_per_s=8.0,
        ratio=2.0,
        ratio_low=2.0,
        ratio_high=2.0,
        baseline="densenet121",
        time="2026-01-01T00:00:00+00:00",
    )
    return msgspec.structs.replace(record, measured=result)


def put(path: Path, *rows: StoredRow) -> None:
    with closing(Database(path)) as opened:
        opened.put(rows)


def rows_of(path: Path) -> list[StoredRow]:
    with closing(Database(path)) as opened:
        return opened.rows()


def test_list_finds_the_databases_below_a_folder(analyze, swept: Path, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "results.db").write_bytes(b"no database " * 200)
    done = analyze("results", "list", ".", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = {entry["database"]: entry["rows"] for entry in json.loads(done.stdout)}
    assert found["out/results.db"] == 7
    assert "damaged" in found["deep/er/results.db"]
    table = analyze("results", "list", ".").stdout.splitlines()
    assert table[0].split() == ["database", "rows", "MiB", "written"]
    assert len(table) == 3


def test_list_without_any_database_says_so(analyze, tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    done = analyze("results", "list")
    assert done.returncode == 0
    assert "no database below reports" in done.stderr


def test_list_shows_rows_in_every_format(analyze, swept: Path) -> None:
    names = [row.record.target.name for row in rows_of(swept)]
    assert [line.split()[0] for line in analyze("results", "list", "out").stdout.splitlines()[1:]] == names
    jsonl = analyze("results", "list", "out/results.db", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["record"]["target"]["name"] for line in jsonl] == names
    assert json.loads(analyze("results", "list", "out", "--format", "json").stdout) == [
        json.loads(row) for row in jsonl
    ]
    table = csv.DictReader(io.StringIO(analyze("results", "list", "out", "--format", "csv").stdout))
    assert [row["name"] for row in table] == names
    assert len(analyze("results", "list", "out", "--format", "md").stdout.splitlines()) == len(names) + 2


def test_rows_say_where_they_come_from(analyze, swept: Path) -> None:
    for line in analyze("results", "list", "out", "--format", "jsonl").stdout.splitlines():
        row = json.loads(line)
        assert row["host"]
        assert row["analyzer"]
        assert datetime.fromisoformat(row["created"]).tzinfo is not None
        assert row["source"] == ""


def test_show_one_row_by_name_or_number(analyze, swept: Path) -> None:
    row = rows_of(swept)[0]
    by_name = analyze("results", "show", "out", row.record.target.name, "--format", "json")
    assert analyze("results", "show", "out", str(row.id), "--format", "json").stdout == by_name.stdout
    assert read_record(json.dumps(json.loads(by_name.stdout)["record"])) == row.record
    shown = analyze("results", "show", "out", str(row.id)).stdout
    assert f"{row.record.params:,}" in shown
    assert row.created.isoformat() in shown


def test_show_of_an_unknown_or_ambiguous_name(analyze, swept: Path) -> None:
    row = rows_of(swept)[1]
    put(swept, *(made_here(measured(row.record, "cpu", name)) for name in ("Abacus", "Slate")))
    done = analyze("results", "show", "out", row.record.target.name)
    assert done.returncode == 2
    assert "2 rows are" in done.stderr
    done = analyze("results", "show", "out", row.record.target.name[:-1])
    assert done.returncode == 2
    assert "did you mean" in done.stderr


def test_exports_hold_the_same_rows(analyze, swept: Path, tmp_path: Path) -> None:
    rows = rows_of(swept)
    put(swept, made_here(measured(rows[1].record, "cpu", "Abacus")))
    rows = rows_of(swept)
    for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
        done = analyze("results", "export", "out", "--out", f"new/{name}")
        assert (done.returncode, done.stdout) == (0, f"new/{name}\n"), done.stderr
    lines = (tmp_path / "new" / "rows.jsonl").read_text().splitlines()
    assert [read_record(line) for line in lines] == [row.record for row in rows]
    table = list(csv.DictReader((tmp_path / "new" / "rows.csv").open()))
    assert [int(row["macs"]) for row in table] == [row.record.macs for row in rows]
    assert [row["host"] for row in table] == [row.host for row in rows]
    assert [row["device"] for row in table].count("Abacus") == 1
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "new" / "rows.parquet").to_pylist()
    assert [row["macs"] for row in parquet] == [row.record.macs for row in rows]
    assert [read_record(row["record"]) for row in parquet] == [row.record for row in rows]
    assert [str(row["params"]) for row in parquet] == [row["params"] for row in table]
    assert parquet[1]["measured_ratio"] == 2.0


NAMES = [*COLUMNS, *export.ORIGIN]


def test_an_export_has_its_columns_also_without_rows(tmp_path: Path) -> None:
    export.export([], tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().splitlines() == [",".join(NAMES)]
    pq = pytest.importorskip("pyarrow.parquet")
    export.export([], tmp_path / "none.parquet")
    assert pq.read_table(tmp_path / "none.parquet").column_names == [*NAMES, "record"]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r'pip install "modelbudget\[parquet\]"'):
        export.export([], tmp_path / "rows.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_a_source_whose_name_is_no_text_is_merged(analyze, swept: Path, tmp_path: Path) -> None:
    other = tmp_path / "\udcff"
    other.mkdir()
    (other / "results.db").write_bytes(swept.read_bytes())
    assert analyze("results", "merge", str(other), "--out", "merged.db").returncode == 0
    assert {row.source for row in Database(tmp_path / "merged.db").rows()} == {rf"{tmp_path}/\udcff/results.db"}


def test_merge_keeps_each_rows_source(analyze, swept: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "out", tmp_path / "other")
    put(tmp_path / "other" / "results.db", made_here(measured(rows_of(swept)[1].record, "cpu", "Abacus")))
    done = analyze("results", "merge", "out", "other/results.db", "--out", "all.db")
    assert (done.returncode, done.stdout) == (0, "all.db\n"), done.stderr
    assert "15 rows read, 7 rows there now" in done.stderr
    merged = rows_of(tmp_path / "all.db")
    assert [row.record.target.name for row in merged] == [row.record.target.name for row in rows_of(swept)]
    assert {row.source for row in merged} == {"out/results.db", "other/results.db"}
    assert [row.source for row in merged if row.record.measured] == ["other/results.db"]


def test_prune_removes_what_all_options_name(analyze, swept: Path) -> None:
    first, second = (row.record for row in rows_of(swept)[:2])
    old = msgspec.structs.replace(
        made_here(measured(first, "cuda:0", "Slate")), created=datetime(2020, 1, 1, tzinfo=UTC)
    )
    bad = made_here(failed("bad", UsageError("is bad")))
    put(swept, old, made_here(measured(second, "cpu", "Abacus")), bad)

    def pruned(*options: str) -> list[str]:
        done = analyze("results", "prune", "out", *options, "--format", "jsonl")
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["record"]["target"]["name"] for line in done.stdout.splitlines() if line]

    assert pruned("--device", "cpu", "--before", "2021-01-01") == []
    assert pruned("--device", "Slate", "--dry-run") == [first.target.name]
    assert len(rows_of(swept)) == 8
    assert pruned("--before", "2021-01-01") == [first.target.name]
    assert pruned("--failed") == ["bad"]
    assert pruned("--device", "Abacus") == [second.target.name]
    assert [row.record for row in rows_of(swept)[:2]] == [first, second], "the counts stay"
    assert len(rows_of(swept)) == 7


def test_text_from_a_database_is_escaped(analyze, swept: Path, tmp_path: Path) -> None:
    put(swept, msgspec.structs.replace(made_here(failed(HOSTILE, UsageError("no"))), host="\x1b]0;owned\x07"))
    for args in (["list", "out"], ["show", "out", "8"], ["list", "out", "--format", "md"]):
        done = analyze("results", *args)
        assert done.returncode == 0, done.stderr
        assert not any(char in done.stdout for char in "\x1b\x07")
    assert "<b>" not in analyze("results", "list", "out", "--format", "md").stdout.replace("\\<b\\>", "")
    table = csv.DictReader(io.StringIO(analyze("results", "list", "out", "--format", "csv").stdout))
    assert list(table)[-1]["name"].startswith("'=")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["show", "nowhere", "article"], "is not there"),
        (["export", "out", "--out", "rows.xlsx"], "no form to export"),
        (["export", "out", "--out", "rows"], "no suffix"),
        (["merge", "out", "--out", "out/results.db"], "itself"),
        (["prune", "out"], "nothing to remove"),
        (["prune", "out", "--before", "soon"], "no date"),
        (["lst"], "list"),
        (["show", "out", "article", "--format", "xml"], "xml"),
    ],
)
def test_bad_use(analyze, swept: Path, args: list[str], says: str) -> None:
    before = rows_of(swept)
    done = analyze("results", *args)
    assert done.returncode == 2, done.stdout
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert rows_of(swept) == before


def test_a_foreign_database_is_refused(analyze, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "history.db")) as raw, raw:
        raw.execute("CREATE TABLE urls (url)")
    done = analyze("results", "list", "history.db")
    assert done.returncode == 2
    assert "another program's" in done.stderr


def test_a_report_from_a_database(analyze, swept: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "results.jsonl").unlink()
    for source in ("out", "out/results.db"):
        done = analyze("report", source, "--out", "new.html")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "new.html").stat().st_size > 10_000
        (tmp_path / "new.html").unlink()
