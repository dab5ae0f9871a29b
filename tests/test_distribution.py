"""The distribution's own name, wherever something is installed; and the stranger's package of the same import name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from analyzer.budget.ci_files import GITHUB, GITLAB
from analyzer.distribution import NAME, VERSION

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BARE = "ana" + "lyzer"
"""In parts, so that this file is none of those that it looks for."""
EXTRAS = "|".join(PROJECT["optional-dependencies"])
END = r"(?=[\s\"'`,;)]|$)"
TARGET = re.compile(
    rf"(?<!un)install\b[^\n#]*[\s\"'=]{BARE}{END}"  # pip install …
    rf"|\b{BARE}\[({EXTRAS})"  # …[ray]
    rf"|^\s*[-\"'\s]*{BARE}\s*(==|>=|~=|<|@\s)"  # a requirement
    rf"|^\s*-\s+{BARE}{END}",  # an item of a list, such as additional_dependencies
    re.MULTILINE,
)
RECORD = f"{BARE}/__init__.py,sha256=x,9\n{BARE}-0.1.1.dist-info/RECORD,,\n"


def test_the_constant_is_the_projects_name() -> None:
    assert PROJECT["name"] == NAME != BARE
    assert "version" in PROJECT["dynamic"]


@pytest.mark.parametrize(
    "text",
    ["pip install {}", 'pip install --quiet -U "{}"', "pip install {}[ray]", "  - pip install --index-url URL {}\n",
     "needs {}[optuna]", "{}==0.1.1", '    "{}>=0.1",', "{} @ git+https://host/x", "uv add {}[ray]", "    - {}\n"],
)  # fmt: skip
def test_the_pattern_finds_the_bare_name(text: str) -> None:
    assert TARGET.search(text.format(BARE))
    assert not TARGET.search(text.format(NAME))


def test_no_file_installs_the_bare_name() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    found = {
        f"{file.relative_to(ROOT)}: {match[0].strip()}"
        for file in files
        for match in TARGET.finditer(file.read_text(encoding="utf-8", errors="replace"))
    }
    assert not found


def test_what_is_printed_and_shipped_installs_the_distribution() -> None:
    for text in (GITHUB, GITLAB):
        assert re.search(rf"- (run: )?python -m pip install .* {NAME}$", text, re.MULTILINE)
    assert f'pip install "{NAME}[ray]"' in (ROOT / "docs/clusters.md").read_text()
    assert f"{NAME} @ git+https://" in (ROOT / "examples" / "ci" / "gitlab.yml").read_text()
    assert f"/{NAME}@COMMIT" in (ROOT / "examples" / "ci" / "github.yml").read_text()
    assert f"/{NAME}\n" in (ROOT / "examples" / "ci" / "pre-commit.yaml").read_text()


def python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


def stranger(folder: Path, record: str = RECORD) -> Path:
    """A folder of packages into which pip has put the stranger's."""
    (folder / BARE).mkdir(parents=True, exist_ok=True)
    (folder / BARE / "__init__.py").write_text("")
    (folder / f"{BARE}-0.1.1.dist-info").mkdir()
    (folder / f"{BARE}-0.1.1.dist-info" / "RECORD").write_text(record)
    return folder


def test_a_stranger_on_the_path_is_said_once_with_what_to_do(tmp_path: Path) -> None:
    done = python(f"import {BARE}\nfrom {BARE}.cli import main\nmain(['--version'])", ROOT, stranger(tmp_path))
    assert done.stdout == f"analyze {VERSION}\n"
    assert done.stderr.count("UserWarning") == 1
    assert str(tmp_path / f"{BARE}-0.1.1.dist-info") in done.stderr
    assert f"pip uninstall {BARE}, then pip install --force-reinstall --no-deps {NAME}" in done.stderr


def test_a_stranger_whose_package_lies_over_ours_is_said_by_the_command(tmp_path: Path) -> None:
    shutil.copytree(ROOT / BARE, tmp_path / BARE, ignore=shutil.ignore_patterns("__pycache__"))
    stranger(tmp_path)
    assert "UserWarning" in python(f"from {BARE}.cli import main; main(['--version'])", tmp_path).stderr


def test_what_is_no_stranger_is_not_said(tmp_path: Path) -> None:
    """Another checkout on the path, and an editable install's metadata, which list no file of the package."""
    stranger(tmp_path, f"__editable__.pth,,\n{BARE}-0.1.1.dist-info/RECORD,,\n")
    assert python(f"import {BARE}", ROOT, tmp_path, tmp_path / "absent").stderr == ""
