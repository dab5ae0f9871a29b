"""CONTRIBUTING's recipes, followed in a copy of the package: what they say is all that it takes."""

from __future__ import annotations

import csv
import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]
CONTAINERS = {
    "a row of _ROWS": r"^_ROWS = \($",
    "an entry of READINGS": r"^READINGS: .*= \{$",
    "a field of Record": r"^    depth: Whole \| None = None$",
    "an entry of _HOMES": r"^_HOMES = \{$",
}
"""Where a block goes that is not a file: after the line that looks so."""


def follow(heading: str, tree: Path) -> None:
    """Does what the blocks of a section say."""
    section = (ROOT / "CONTRIBUTING.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        place, _, code = block.partition("\n")
        what, _, path = place.removeprefix("# ").rpartition(" in ")
        if not what:
            (tree / path).write_text(code)
            continue
        lines = (tree / path).read_text().splitlines(keepends=True)
        (at,) = [i for i, line in enumerate(lines) if re.match(CONTAINERS[what], line.rstrip("\n"))]
        (tree / path).write_text("".join([*lines[: at + 1], code, *lines[at + 1 :]]))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "analyzer", tmp_path / "analyzer", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture
def run(tree: Path) -> Run:
    work = tree / "work"
    work.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tree)}

    def analyze(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "analyzer", *args]
        return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)

    return analyze


def changed(tree: Path) -> list[str]:
    """The package's code files that differ from ours, or are new."""
    files = [path.relative_to(tree) for path in (tree / "analyzer").rglob("*.py")]
    return [str(p) for p in files if not (ROOT / p).exists() or not filecmp.cmp(ROOT / p, tree / p, shallow=False)]


def test_a_figure_takes_three_files_and_is_everywhere(tree: Path, run: Run) -> None:
    follow("Add a figure", tree)
    assert len(changed(tree)) == 3
    convs = 1 + 3 * (2 + 4 + 3 + 2) + 3  # the stem's, three a layer, one a transition
    shown = run("show", "article", "--format", "json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["convs"] == convs
    assert re.search(rf"^convolutions +exact +{convs} ", run("show", "article").stdout, re.MULTILINE)
    done = run("sweep", "--growth", "16,24", "--measure", "none", "--out", "out", "--max-convs", str(convs))
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tree / "work" / "out" / "results.csv").open()))
    assert {int(row["convs"]) for row in rows if row["block"] == "residual"} == {convs}
    page = (tree / "work" / "out" / "report.html").read_text()
    assert "<dt>convolutions</dt><dd>How many convolutions there are." in page
    found = run(
        "search", "--blocks", "1,1", "--blocks", "2,2", "--growth", "8", "--minimize", "convs", "--format", "jsonl"
    )
    assert [json.loads(line)["convs"] for line in found.stdout.splitlines()] == [1 + 3 * 2 + 1]
    (tree / "work" / "analyzer.toml").write_text(
        '[models.m]\ntarget = "article"\n[models.m.budgets]\nconvs = { max = 36 }\n'
    )
    checked = run("check")
    assert checked.returncode == 1
    assert "convolutions 37: 1 above the limit 36" in checked.stdout


def test_an_output_format_takes_a_file_and_a_line(tree: Path, run: Run) -> None:
    follow("Add an output format", tree)
    new, other = sorted(changed(tree), key=lambda path: (ROOT / path).exists())
    assert not (ROOT / new).exists()
    assert len((tree / other).read_text().splitlines()) == len((ROOT / other).read_text().splitlines()) + 1
    (tree / "work" / "analyzer.toml").write_text(
        '[models.m]\ntarget = "article"\n[models.m.budgets]\nparams = { max = "1M" }\n'
    )
    done = run("check", "--output", "words")
    assert (done.returncode, done.stdout) == (1, "Over budget: 1 error in 1 model\nm: params excess\n"), done.stderr
