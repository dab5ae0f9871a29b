"""A changed digit in what is stored is never shown as a figure: named, left out, and counted again."""

from __future__ import annotations

import json
import re
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from fakes import measurement

from analyzer.cli import cli
from analyzer.cli.base import run as run_command
from analyzer.errors import DamageWarning, UsageError
from analyzer.measurements import PredictedLatency
from analyzer.records import Record, Target
from analyzer.seals import sealed, unsealed
from analyzer.space.grid import Grid
from analyzer.sweeping import run
from analyzer.sweeping.database import Database
from analyzer.sweeping.results_store import open_store
from analyzer.sweeping.store import JsonlStore, read_jsonl

PLAN = run.plan(Grid(blocks=[(1, 1)], growth=[4, 8, 12], compression=[0.5], block=["dense"]), measure="none")
COLUMNS = ("name", "host", "created", "analyzer", "record", "checksum", "batch")


def swept(folder: Path) -> list[Record]:
    with closing(open_store(folder)) as store:
        return list(run.count(PLAN, store, run.already_counted(PLAN, store)))


def flip(folder: Path, column: str, row: int = 2) -> None:
    """Changes one bit of a character of a row's column, as a disk or an editor may."""
    with closing(sqlite3.connect(folder / "results.db")) as raw, raw:
        (value,) = raw.execute(f"SELECT {column} FROM rows WHERE id = ?", (row,)).fetchone()
        text = str(value)
        at = (
            next(i for i, char in enumerate(text) if char.isdigit() and i > len(text) // 2) if column == "record" else 0
        )
        other = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        raw.execute(f"UPDATE rows SET {column} = ? WHERE id = ?", (other, row))


@pytest.mark.parametrize("column", COLUMNS)
def test_a_flipped_digit_is_named_left_out_and_counted_again(tmp_path: Path, column: str) -> None:
    counted = swept(tmp_path)
    flip(tmp_path, column)
    damaged = pytest.warns(DamageWarning, match="row 2 .* is damaged")
    with closing(Database(tmp_path / "results.db")) as database, damaged:
        left = [row.record for row in database.rows()]
    assert left == [*counted[:1], *counted[2:]]
    if column in ("batch", "analyzer"):  # it is no longer among those of this batch and version
        assert swept(tmp_path) == counted
        return
    with pytest.warns(DamageWarning):
        assert swept(tmp_path) == counted
    with closing(Database(tmp_path / "results.db")) as database:
        assert {row.record.target.name for row in database.rows()} == {row.target.name for row in counted}


@pytest.mark.parametrize("column", ["name", "record", "host", "analyzer", "checksum"])
@pytest.mark.parametrize("measured", [False, True])
def test_a_row_that_is_no_text_any_more_hides_no_other(tmp_path: Path, column: str, measured: bool) -> None:
    """A flipped highest bit leaves bytes that are not UTF-8: SQLite would give none of the rows."""
    counted = swept(tmp_path)
    if measured:
        with closing(open_store(tmp_path)) as store:
            store.put([msgspec.structs.replace(counted[1], measured=measurement(1.5, "b"))])
    with closing(sqlite3.connect(tmp_path / "results.db", isolation_level=None)) as raw:
        (row,) = raw.execute("SELECT max(id) FROM rows").fetchone() if measured else (2,)
        raw.execute(f"UPDATE rows SET {column} = CAST(X'B3' || substr({column}, 2) AS TEXT) WHERE id = ?", (row,))
    with closing(Database(tmp_path / "results.db")) as database, pytest.warns(DamageWarning, match=f"row {row} "):
        left = [record.record for record in database.rows()]
    assert left == (counted if measured else [*counted[:1], *counted[2:]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        assert swept(tmp_path) == counted
    with closing(Database(tmp_path / "results.db")) as database, warnings.catch_warnings():
        warnings.simplefilter("ignore", DamageWarning)
        assert {row.record.target.name for row in database.rows()} == {row.target.name for row in counted}


def test_every_digit_of_a_record_is_held(tmp_path: Path) -> None:
    swept(tmp_path)
    with closing(sqlite3.connect(tmp_path / "results.db", isolation_level=None)) as raw:
        (text,) = raw.execute("SELECT record FROM rows WHERE id = 2").fetchone()
        for place in [match.start() for match in re.finditer(r"\d", text)][::5]:
            changed = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
            raw.execute("UPDATE rows SET record = ? WHERE id = 2", (changed,))
            with closing(Database(tmp_path / "results.db")) as database, pytest.warns(DamageWarning):
                assert len(database.rows()) == 3


def test_a_database_of_before_gets_checksums(tmp_path: Path) -> None:
    counted = swept(tmp_path)
    with closing(sqlite3.connect(tmp_path / "results.db")) as raw, raw:
        for table in ("runs", "epochs", "predictions", "images"):  # as the first version had it
            raw.execute(f"DROP TABLE {table}")
        raw.execute("ALTER TABLE rows DROP COLUMN checksum")
        raw.execute("PRAGMA user_version = 1")
    assert swept(tmp_path) == counted
    with closing(sqlite3.connect(tmp_path / "results.db")) as raw:
        assert all(len(seal) == 16 for (seal,) in raw.execute("SELECT checksum FROM rows"))
    flip(tmp_path, "record")
    with closing(Database(tmp_path / "results.db")) as database, pytest.warns(DamageWarning):
        assert len(database.rows()) == 3


def test_the_command_names_the_row_and_says_nothing_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swept(tmp_path)
    flip(tmp_path, "record")
    capsys.readouterr()
    assert run_command(cli, ["results", "list", str(tmp_path), "--format", "json"]) == 0
    out, errors = capsys.readouterr()
    assert len(json.loads(out)) == 3
    assert re.search(r"warning: .*row 2 .* is damaged", errors)


def test_a_line_with_a_flipped_digit_is_left_out_and_named(tmp_path: Path) -> None:
    rows = [Record(target=Target(name=name), params=1234, depth=5) for name in "abc"]
    with closing(JsonlStore(tmp_path / "rows.jsonl")) as store:
        store.put(rows)
    text = (tmp_path / "rows.jsonl").read_text()
    assert all(re.search(r',"checksum":"[0-9a-f]{16}"}$', line) for line in text.splitlines())
    assert read_jsonl(tmp_path / "rows.jsonl") == (rows, [])
    (tmp_path / "rows.jsonl").write_text(text.replace("1234", "1235", 1))
    found, warnings = read_jsonl(tmp_path / "rows.jsonl")
    assert found == rows[1:]
    assert len(warnings) == 1
    assert "rows.jsonl:1" in warnings[0]
    bare = re.sub(r',"checksum":"\w+"', "", text)  # of a version before checksums
    (tmp_path / "rows.jsonl").write_text(bare)
    assert read_jsonl(tmp_path / "rows.jsonl") == (rows, [])


@pytest.mark.parametrize("figure", ["params", "macs", "saved_bytes", "depth", "batch"])
@pytest.mark.parametrize("value", [-1, 2**64, 10**30])
def test_a_figure_that_can_not_be_is_refused(tmp_path: Path, figure: str, value: int) -> None:
    if figure == "batch" and value > 0:
        return
    row = Record(target=Target(name="a"), params=1, macs=1, saved_bytes=1, depth=1).to_dict()
    (tmp_path / "rows.jsonl").write_text(json.dumps({**row, figure: value}) + "\n")
    with pytest.raises(UsageError, match="not a result"):
        read_jsonl(tmp_path / "rows.jsonl")


IMPOSSIBLE = [
    ("measured", {"batch": 0}), ("measured", {"asked_batch": -1}), ("measured", {"pairs_per_process": 0}),
    ("measured", {"pairs_per_process": -3}), ("measured", {"ratio": -1.0}), ("measured", {"measured_latency_s": 0.0}),
    ("measured", {"seconds_per_batch": [1.0, -1.0]}), ("measured", {"clock_mhz": [-1]}),
    ("predicted", {"latency_s": -1e-3}), ("predicted", {"latency_s": 1e300}), ("predicted", {"batch": 0}),
    ("predicted", {"mean_error": -0.5}),
    (None, {"input": [1, -3]}), (None, {"inputs": [{"shape": [-1]}]}),
    (None, {"uncounted": [{"operator": "x", "module": "", "calls": -1}]}),
]  # fmt: skip


@pytest.mark.parametrize(("part", "change"), IMPOSSIBLE, ids=str)
def test_a_time_or_size_that_can_not_be_is_refused(tmp_path: Path, part: str | None, change: dict) -> None:
    predicted = PredictedLatency(latency_s=1e-3, batch=8, device_name="Abacus", dtype="float32", mean_error=0.1)
    row = Record(target=Target(name="a"), measured=measurement(1.5, "b"), predicted=predicted).to_dict()
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    assert len(read_jsonl(tmp_path / "rows.jsonl")[0]) == 1
    changed = {**row, **change} if part is None else {**row, part: {**row[part], **change}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(changed) + "\n")
    with pytest.raises(UsageError, match="not a result"):
        read_jsonl(tmp_path / "rows.jsonl")


def test_a_line_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"target": {"name": "\xf4"}}\n')
    with pytest.raises(UsageError, match="not a result"):
        read_jsonl(tmp_path / "rows.jsonl")


def test_a_seal_is_of_the_content_and_not_of_its_spaces() -> None:
    data = sealed({"a": 1, "b": [1.5, "x"], "c": None})
    assert unsealed(json.loads(json.dumps(data, indent=2)), "here") == {"a": 1, "b": [1.5, "x"], "c": None}
