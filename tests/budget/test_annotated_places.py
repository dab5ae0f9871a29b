"""Where annotations land: files are named from the repository's top, whatever the check was called from."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from project import Project

pytestmark = pytest.mark.slow

CONFIG = (
    '[models.small]\ntarget = "net.py:Small"\ninput = [1, 3, 16, 16]\n[models.small.budgets]\nparams = { max = "1k" }\n'
)
NET = """from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 40, 3)

    def forward(self, x):
        return self.conv(x)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "made", example=False)
    made.write("net.py", "NOTHING = None\n")  # of the same name as the one that is checked
    made.write("services/small/net.py", NET)
    made.write("services/small/analyzer.toml", CONFIG)
    made.commit("A service")
    return made


CALLS = [
    (".", ("--config", "services/small/analyzer.toml")),
    ("services/small", ()),
    ("services", ("--config", "small/analyzer.toml")),
    ("services/small", ("--config", "../../services/small/analyzer.toml")),
]


@pytest.mark.parametrize(("cwd", "more"), CALLS)
@pytest.mark.parametrize("workspace", ["", ".", "services/small", "elsewhere"])
def test_the_file_is_the_same_in_every_format(
    project: Project, cwd: str, more: tuple[str, ...], workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI_PROJECT_DIR", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.folder / workspace) if workspace else "")
    out = project.folder / "out"
    out.mkdir()
    wanted = [f"--output={format}={out}/{format}" for format in ("github", "sarif", "gitlab", "junit", "json", "csv")]
    assert project.run("check", *more, *wanted, cwd=cwd).returncode == 1
    said = {path.name: path.read_text() for path in out.iterdir()}
    file = "services/small/net.py"
    assert said["github"].startswith(f"::error file={file},line=4,")
    (result,) = json.loads(said["sarif"])["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == file
    assert json.loads(said["gitlab"])[0]["location"] == {"path": file, "lines": {"begin": 4}}
    assert f"at: {file}:4" in (ET.fromstring(said["junit"]).findtext(".//failure") or "")
    assert json.loads(said["json"])["findings"][0]["file"] == file
    assert f",{file},4" in said["csv"]


def test_what_has_no_file_stands_at_the_configuration(project: Project) -> None:
    project.edit("services/small/analyzer.toml", "max", "mex")
    for cwd, more in CALLS:
        done = project.run("check", *more, "--output=github", cwd=cwd)
        assert done.returncode == 2
        name = "analyzer.toml" if more else "pyproject.toml"
        assert done.stdout.startswith(f"::error file=services/small/{name},line=1,"), done.stdout


@pytest.mark.parametrize("variable", ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"])
def test_outside_of_a_repository_the_checkout_is_the_top(
    project: Project, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / ".git").rename(project.folder.parent / "kept")
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.setenv(variable, str(project.folder))
    done = project.run("check", "--output", "gitlab", cwd="services/small")
    assert json.loads(done.stdout)[0]["location"]["path"] == "services/small/net.py"
