"""Results outlive whatever ends a run."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.reading.family import failed, record
from analyzer.reading.flat import to_csv
from analyzer.records import Record, Remark, Target, read_record
from analyzer.sweeping.store import JsonlStore, MemoryStore, read_jsonl

ROWS = [record(PRESETS[name], layers=False) for name in ("article", "densenet121", "resnet50")]


@pytest.mark.parametrize("make", [lambda folder: MemoryStore(), lambda folder: JsonlStore(folder / "results.jsonl")])
def test_a_store_keeps_the_latest_of_each_name(tmp_path: Path, make) -> None:
    store = make(tmp_path)
    store.put(ROWS)
    later = msgspec.structs.replace(ROWS[1], remarks=(Remark(kind="note", text="again"),))
    store.put([later])
    store.close()
    assert store.records() == [ROWS[0], later, ROWS[2]]


def test_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    store = JsonlStore(tmp_path / "results.jsonl")
    store.put(ROWS)
    assert read_jsonl(store.path) == (ROWS, [])
    store.close()
    assert read_jsonl(store.path) == (ROWS, [])
    assert len(store.path.read_text().splitlines()) == len(ROWS)


def test_an_unfinished_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    whole = "".join(row.to_json() + "\n" for row in ROWS)
    path.write_text(whole[:-30])
    records, warnings = read_jsonl(path)
    assert records == ROWS[:2]
    assert "unfinished" in warnings[0]


@pytest.mark.parametrize("line", ["{}", "[1]", "nonsense", '{"schema": 99, "target": {"name": "x"}}', '{"evil": 1}'])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(ROWS[0].to_json() + "\n" + line + "\n")
    with pytest.raises(UsageError, match=r"results\.jsonl:2"):
        read_jsonl(path)


def test_a_killed_run_keeps_every_row_it_had_put(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from analyzer.architecture.variant import Variant; from analyzer.reading.family import record\n"
        "from analyzer.sweeping.store import JsonlStore\n"
        "store = JsonlStore(Path(sys.argv[1]))\n"
        "for growth in range(4, 14):\n"
        "    store.put([record(Variant(growth=growth), layers=False)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "results.jsonl"
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == -signal.SIGKILL
    records, warnings = read_jsonl(path)
    assert [r.target.variant.growth for r in records if r.target.variant] == list(range(4, 14))
    assert warnings == []


def test_csv_has_raw_integers_and_runs_no_formula() -> None:
    hostile = Record(target=Target(name='=HYPERLINK("x")', label="+1"))
    error = failed("@bad", UsageError("=1+1", where="-x"), Variant())
    rows = list(csv.DictReader(io.StringIO(to_csv([*ROWS, hostile, error]))))
    assert [int(row["macs"]) for row in rows[:3]] == [row.macs for row in ROWS]
    for row in rows[3:]:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())


def test_a_record_reads_back_from_its_json() -> None:
    full = record(PRESETS["article"], 32)
    assert read_record(full.to_json()) == full


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="can't be written"):
        JsonlStore(tmp_path / "file" / "results.jsonl")
