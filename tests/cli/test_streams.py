"""What becomes of the exit code and of files where stdout's reader goes away, or stdout is full or closed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = '[models.net]\ntarget = "article"\n[models.net.budgets]\nparams = {{ max = {most} }}\n'
GOOD, OVER = 1_000_000_000, 10


def budget(folder: Path, most: int) -> None:
    (folder / "analyzer.toml").write_text(CONFIG.format(most=most))


def ended(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which `$A` is the command."""
    command = f"{sys.executable} -m analyzer"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("$A", command)], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}, timeout=300, check=False,
    )  # fmt: skip


GONE, FULL, CLOSED = (
    "{ $A %s; echo code $? >&2; } | true",
    "$A %s >/dev/full; echo code $? >&2",
    "$A %s >&-; echo code $? >&2",
)


@pytest.mark.parametrize("stdout", [GONE, FULL, CLOSED])
def test_a_verdict_stands_whatever_happens_to_stdout(tmp_path: Path, stdout: str) -> None:
    budget(tmp_path, OVER)
    done = ended(tmp_path, stdout % "check --output table --output json=verdict.json")
    assert "code 1\n" in done.stderr, done.stderr
    assert (tmp_path / "verdict.json").stat().st_size > 0
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr


@pytest.mark.parametrize(("stdout", "code"), [(GONE, 0), (FULL, 74), (CLOSED, 74)])
@pytest.mark.parametrize("verb", ["check", "show article", "--help"])
def test_without_one_a_lost_reader_is_none_and_a_lost_output_is_told(
    tmp_path: Path, stdout: str, code: int, verb: str
) -> None:
    budget(tmp_path, GOOD)
    done = ended(tmp_path, stdout % verb)
    assert f"code {code}\n" in done.stderr, done.stderr
    assert ("stdout" in done.stderr) == (code == 74)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_full_stderr_changes_no_code(tmp_path: Path) -> None:
    budget(tmp_path, OVER)
    assert "code 1\n" in ended(tmp_path, "$A check --output json=v.json 2>/dev/full; echo code $?").stdout
    assert "code 2\n" in ended(tmp_path, "$A shw 2>/dev/full; echo code $?").stdout


def test_an_output_that_cannot_be_written_keeps_none_of_the_others_off(tmp_path: Path) -> None:
    budget(tmp_path, GOOD)
    (tmp_path / "file").write_text("")
    done = ended(tmp_path, "$A check --output csv=file/x.csv --output json=v.json --output table")
    assert done.returncode == 2
    assert (tmp_path / "v.json").exists()
    assert "Within budget" in done.stdout
    assert "code 2\n" in ended(tmp_path, GONE % "check --output csv=file/x.csv --output table").stderr
