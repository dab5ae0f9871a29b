"""Damages of stored files, fuzzing of what is read, and disks that are full."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import random
import resource
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
from trial import ROOT

from analyzer.budget import configuration, lock_file
from analyzer.cli import COMMANDS, cli
from analyzer.cli.base import run as run_command
from analyzer.errors import AnalyzerError, BaselineError, UsageError
from analyzer.measuring.calibration import calibrate
from analyzer.measuring.job import OperatorSurvey, Survey, Times
from analyzer.reading.latency import Profile, features, read_profile, write_profile
from analyzer.records import Record, Target
from analyzer.sweeping.database import Database
from analyzer.sweeping.results_store import open_store
from analyzer.sweeping.store import JsonlStore, read_jsonl

ROWS = [Record(target=Target(name=f"row{i}"), params=1000 + 37 * i, macs=10**6 + i, depth=i) for i in range(300)]
LAW = np.array([3e-12, 9e-12, 0.0, 4e-11, 1.5e-9, 7e-5])
"""A device whose times are known."""


def answer(asked: Survey | OperatorSurvey) -> tuple[int, str]:
    """What the device says of a survey."""
    assert isinstance(asked, Survey)
    seconds = [float(np.array(features(subject.variant, asked.batch)) @ LAW) for subject in asked.subjects]
    return 0, msgspec.json.encode(Times(seconds=tuple((s,) * asked.rounds for s in seconds), threads=2)).decode()


@functools.cache
def profile() -> Profile:
    return calibrate("cpu", worker=answer)


def outcome(words: list[str]) -> tuple[int, str]:
    """A command's exit code, and its stderr."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        return run_command(cli, words), errors.getvalue()


# -- damages ---------------------------------------------------------------------------------------------------


def damaged(chance: random.Random, path: Path) -> None:
    """Changes some bits of a file."""
    data = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def damaged_database(chance: random.Random, folder: Path) -> None:
    """Bytes changed anywhere: what is shown all the same is as it was written."""
    with closing(open_store(folder)) as store:
        store.put(ROWS)
    path = folder / "results.db"
    damaged(chance, path)
    with contextlib.suppress(UsageError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with closing(Database(path)) as opened:
            shown = [row.record for row in opened.rows()]
        assert all(row in ROWS for row in shown), "a figure that was never written"
    code, errors = outcome(["results", "list", str(path)])
    assert code in (0, 2), errors


def damaged_lines(chance: random.Random, folder: Path) -> None:
    """So of a file of JSON lines."""
    path = folder / "rows.jsonl"
    with closing(JsonlStore(path)) as store:
        store.put(ROWS)
    damaged(chance, path)
    with contextlib.suppress(UsageError):
        assert all(row in ROWS for row in read_jsonl(path)[0]), "a figure that was never written"
    code, errors = outcome(["report", str(path), "--format", "md"])
    assert code in (0, 2), errors


def damaged_profile(chance: random.Random, folder: Path) -> None:
    """A profile is refused, or says what it said."""
    path = folder / "profile.json"
    write_profile(profile(), path)
    damaged(chance, path)
    with contextlib.suppress(UsageError):
        assert read_profile(path) == profile(), "another profile"


def mutated_lock(chance: random.Random, folder: Path) -> None:
    """One change anywhere in a lock: refused, or of no meaning."""
    text = (ROOT / "examples" / "budget" / "analyzer.lock").read_text()
    place, kind = chance.randrange(len(text)), chance.randrange(4)
    other = chance.choice('0123456789abcdefxyz"{}[],:- ')
    changed = {
        0: text[:place] + other + text[place + 1 :],
        1: text[:place] + text[place + 1 :],
        2: text[:place] + other + text[place:],
        3: "".join(chance.sample(lines := text.splitlines(keepends=True), len(lines))),
    }[kind]
    with contextlib.suppress(BaselineError):
        assert lock_file.from_text(changed, "lock").models == lock_file.from_text(text, "lock").models


# -- fuzzing ---------------------------------------------------------------------------------------------------


def mutated_configuration(chance: random.Random, folder: Path) -> None:
    """Any configuration is read or refused."""
    text = (ROOT / "examples" / "budget" / "pyproject.toml").read_text()
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(len(text))
        piece = chance.choice(["", '"', "]", "= -1", "{}", "\0", "[[", "nan", "1e999", text[place : place + 20]])
        text = text[:place] + piece + text[place + chance.randint(0, 8) :]
    with contextlib.suppress(AnalyzerError):
        configuration.parse(text, "pyproject.toml")


WORDS = (
    "article", "densenet121", "--batch", "--input", "1,3,8,8", "--format", "json", "csv", "-1", "0", "1e999", "\0",
    "--depth", "--peak", "--classes", "2", "--config", "--against", "HEAD", "--output", "table", "--model", "x", "..",
    "--memory", "8GiB", "--timeout", "--witnesses", "net.py:build", "--kwarg", "a=b", "--check", "--help", "", "/", "é",
    "::error::", "\x1b[2J", "a" * 5000, "--out", "--report", "--export", "--html", "a/b/c.html",
)  # fmt: skip


def random_arguments(chance: random.Random, folder: Path) -> None:
    """Any words have an answer with a code that means something."""
    verb = chance.choice([verb for verb in COMMANDS if verb not in ("measure", "calibrate")])
    words = [verb, *(chance.choice(WORDS) for _ in range(chance.randint(0, 5)))]
    words += ["--dry-run"] if verb in ("sweep", "search") else []
    with contextlib.chdir(folder):
        code, errors = outcome(words)
    assert code in (0, 1, 2, 3, 4), (words, code, errors[-500:])
    assert "Traceback" not in errors, words


# -- full disks ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[None]:
    """A disk of so many bytes at a folder, where this user may mount; else no file may grow beyond that."""
    place.mkdir()
    mounted = os.getuid() == 0 and _ran("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        if mounted:
            _ran("umount", str(place))


def _ran(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def full_disk(chance: random.Random, folder: Path) -> str | None:
    """A disk that fills up while rows are put, or a file is written: told, and what was finished is whole."""
    with small_disk(folder / "disk", chance.randrange(4096, 3_000_000)):
        return chance.choice([rows_on, file_on])(chance, folder / "disk")


def rows_on(chance: random.Random, disk: Path) -> str | None:
    put: list[Record] = []
    full = False
    try:
        with closing(open_store(disk)) as store:
            for i in range(0, len(ROWS), 10):
                store.put(ROWS[i : i + 10])
                put += ROWS[i : i + 10]
    except UsageError:
        full = True
    assert full or len(put) == len(ROWS), "rows not put, and not told"
    if put:
        with closing(Database(disk / "results.db")) as opened:
            kept = [row.record for row in opened.rows()]
        assert kept == put, f"{len(kept)} of {len(put)} finished rows"
    return "with a full disk" if full else None


def file_on(chance: random.Random, disk: Path) -> str | None:
    """A report, a profile, an export: the new one whole, or the one before."""
    path = disk / "file.html"
    with contextlib.suppress(OSError):
        path.write_text("before")
    before = path.read_text() if path.exists() else None
    with contextlib.suppress(OSError):
        (disk / "filler").write_bytes(b"x" * chance.randrange(0, 3_000_000))
    verbs = (["show", "article", "--report"], ["compare", "article", "densenet121", "--report"])
    code, errors = outcome([*chance.choice(verbs), str(path)])
    assert code in (0, 2), errors
    if code == 0:
        assert path.read_text().rstrip().endswith("</html>"), "half a page"
        return None
    assert (path.read_text() if path.exists() else None) == before, "what was there is gone"
    assert not list(disk.glob(".*.tmp")), "half a file is left"
    return "with a full disk"
