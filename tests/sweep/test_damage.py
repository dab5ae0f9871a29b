"""A database of another version, of another program, damaged, or on a full disk: told, and nothing lost."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from analyzer.errors import UsageError
from analyzer.files import write_text
from analyzer.records import Record, Remark, Target
from analyzer.storing import schema
from analyzer.sweeping.database import Database
from analyzer.sweeping.results_store import open_store

ROOT = Path(__file__).parents[2]
VERSION = 7
ROWS = [Record(target=Target(name=name), params=i) for i, name in enumerate("abcd")]


def records_in(path: Path) -> list[Record]:
    with closing(Database(path)) as opened:
        return [row.record for row in opened.rows()]


# -- versions --------------------------------------------------------------------------------------------------


def test_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    open_store(tmp_path).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(UsageError, match=f"is of version {VERSION + 1}, this analyze reads up to {VERSION}"):
        open_store(tmp_path)
    with pytest.raises(UsageError, match=f"is of version {VERSION + 1}"):
        open_store(tmp_path, resume=False)
    assert [file.name for file in tmp_path.iterdir()] == ["results.db"]


def test_an_older_version_is_migrated_with_all_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_store(tmp_path)) as store:
        store.put(ROWS)
    step = "ALTER TABLE rows ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    assert records_in(tmp_path / "results.db") == ROWS
    with closing(sqlite3.connect(tmp_path / "results.db")) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
        assert raw.execute("SELECT DISTINCT colour FROM rows").fetchall() == [("red",)]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_store(tmp_path)) as store:
        store.put(ROWS)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "DROP TABLE rows", "no SQL"))
        with pytest.raises(UsageError, match="syntax"):
            open_store(tmp_path)
    assert records_in(tmp_path / "results.db") == ROWS


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE bookmarks (url)")
    before = path.read_bytes()
    for resume in (True, False):
        with pytest.raises(UsageError, match="another program's"):
            open_store(tmp_path, resume=resume)
    assert path.read_bytes() == before


# -- damage ----------------------------------------------------------------------------------------------------


def _scribble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5000:9000] = b"\xff" * 4000
    path.write_bytes(bytes(data))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


@pytest.mark.parametrize("damage", [_scribble, _truncate, _overwrite])
def test_a_damaged_file_is_named_and_kept_aside(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "results.db"
    with closing(open_store(tmp_path)) as store:
        store.put(
            [Record(target=Target(name=f"row {i}"), remarks=(Remark(kind="note", text="x" * 200),)) for i in range(100)]
        )
    damage(path)
    damaged = path.read_bytes()
    with pytest.raises(UsageError, match=r"damaged.*results-.*\.db"):
        open_store(tmp_path)
    (kept,) = tmp_path.glob("results-*.db")
    assert kept.read_bytes() == damaged
    with closing(open_store(tmp_path)) as store:
        store.put(ROWS)
    assert records_in(path) == ROWS


def test_reading_a_damaged_file_leaves_it_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    _overwrite(path)
    with pytest.raises(UsageError, match="damaged"):
        Database(path)
    assert [file.name for file in tmp_path.iterdir()] == ["results.db"]


FILL = """
import sys
from pathlib import Path
from analyzer.errors import UsageError
from analyzer.files import write_text
from analyzer.records import Record, Remark, Target
from analyzer.sweeping.results_store import open_store
store = open_store(Path(sys.argv[1]))
for i in range(10_000):
    try:
        remarks = (Remark(kind="note", text="x" * 500),)
        store.put([Record(target=Target(name=f"{i}-{j}"), remarks=remarks) for j in range(10)])
    except UsageError as error:
        print(error)
        sys.exit(error.exit_code)
    print(i, flush=True)
"""


def test_a_full_disk_is_told_and_loses_no_finished_row(tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=small_files,
        capture_output=True,
        text=True,
        check=False,
    )
    *blocks, error = done.stdout.splitlines()
    assert done.returncode == 2, done.stderr
    assert "can't read or write results" in error
    assert "results.db" in error
    names = [row.target.name for row in records_in(tmp_path / "results.db")]
    assert names == [f"{i}-{j}" for i in range(len(blocks)) for j in range(10)]
    assert len(blocks) > 5


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=os.strerror(errno.ENOTDIR)):
        open_store(tmp_path / "file" / "out")


# -- places that can't be written, and what killed processes left ----------------------------------------------

READ_ONLY = """
mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" || exit 77
"$1" -m analyzer results list "$0" --format json && "$1" -m analyzer report "$0" --format md && exit 0
exit 1
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts are Linux's")
def test_results_on_a_read_only_mount_are_read(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "kept")) as store:
        store.put([Record(target=Target(name=name), params=12345, macs=1) for name in ("base", "one")])
        # What a writer that still runs, or was killed, has beside the file belongs to it.
        command = ["unshare", "-rm", "bash", "-c", READ_ONLY, str(tmp_path / "kept"), sys.executable]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no mounts here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("12345") + done.stdout.count("12,345") >= 2


def test_a_database_that_can_not_be_written_is_read_and_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_store(tmp_path)) as store:
        store.put(ROWS)
    with closing(sqlite3.connect(tmp_path / "results.db")) as raw, raw:
        for table in ("runs", "epochs", "predictions", "images"):  # as the first version had it
            raw.execute(f"DROP TABLE {table}")
        raw.execute("ALTER TABLE rows DROP COLUMN checksum")
        raw.execute("PRAGMA user_version = 1")
    before = (tmp_path / "results.db").read_bytes()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, os.getppid()):  # a killed reader's copy, and one that is still read
        (tmp_path / "tmp" / f"analyzer-read-{pid}-x").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with closing(Database(tmp_path / "results.db")) as opened:
        assert [row.record for row in opened.rows()] == ROWS
        with pytest.raises(UsageError, match="nothing can be written"):
            opened.remove(lambda row: True)
    assert (tmp_path / "results.db").read_bytes() == before
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == [f"analyzer-read-{os.getppid()}-x"]


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f".report.html.{ended.pid}.tmp"
    mine, others = tmp_path / f".report.html.{os.getppid()}.tmp", tmp_path / f".other.html.{ended.pid}.tmp"
    for path in (left, mine, others):
        path.write_text("half")
    write_text(tmp_path / "report.html", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["report.html", mine.name, others.name])
