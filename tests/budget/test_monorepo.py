"""Many projects in one repository, matrices of jobs, merge queues, containers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from project import Project, finding, kinds

pytestmark = pytest.mark.slow

NET = """
from torch import nn
from shared.layers import Wide


def build(width={width}):
    return nn.Sequential(Wide(3, width), nn.Linear(width, 2))
"""
SHARED = """
from torch import nn


class Wide(nn.Linear):
    pass
"""
CONFIG = """
pythonpath = [{path}]

[models.net]
target = "net.py:build"
input = [1, 3]
budgets.params = {{ max = "{most}", growth = "0%" }}
"""


def params(width: int) -> int:
    return 4 * width + 2 * width + 2


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "made", example=False)
    made.write("libs/shared/__init__.py", "")
    made.write("libs/shared/layers.py", SHARED)
    for name, width in (("a", 4), ("b", 6)):
        made.write(f"services/{name}/net.py", NET.format(width=width))
        made.write(f"services/{name}/analyzer.toml", CONFIG.format(path='"../../libs"', most=100))
        assert made.run("lock", cwd=f"services/{name}").returncode == 0
    made.commit("Two services")
    return made


EACH = [
    ("--config", "services/a/analyzer.toml", "--config", "services/b/analyzer.toml"),
    ("--config", "services/*/analyzer.toml"),
    ("--config", "**/analyzer.toml"),
]


@pytest.mark.parametrize("configs", EACH)
def test_several_configurations_have_one_verdict(project: Project, configs: tuple[str, ...]) -> None:
    code, verdict = project.check(*configs)
    assert code == 0
    assert [model["name"] for model in verdict["models"]] == ["services/a/net", "services/b/net"]
    project.branch("grow")
    project.write("services/b/net.py", NET.format(width=7))
    code, verdict = project.check(*configs, "--against", "main")
    assert (code, kinds(verdict, "error")) == (1, ["growth"])
    grown = finding(verdict, "growth", model="services/b/net")
    assert (grown["base"], grown["value"]) == (params(6), params(7))
    assert grown["file"].startswith("services/b/")
    assert project.check(*configs, "--model", "services/a/net")[0] == 0
    assert project.run("check", *configs, "--model", "services/c/net").returncode == 2


def test_one_that_is_wrong_does_not_hide_the_others(project: Project) -> None:
    project.edit("services/a/analyzer.toml", "models.net", "modles.net")
    project.write("services/b/net.py", NET.format(width=7))
    code, verdict = project.check(*EACH[1])
    assert code == 2
    assert set(kinds(verdict, "error")) == {"configuration", "growth"}
    assert finding(verdict, "configuration")["file"] == "services/a/analyzer.toml"


def test_a_glob_that_names_nothing_is_refused(project: Project) -> None:
    done = project.run("check", "--config", "nowhere/*.toml")
    assert done.returncode == 2
    assert "names no file" in done.stderr


@pytest.mark.parametrize("more", [(), ("--against", "main", "--rebuild")])
def test_shared_code_above_the_configuration_is_the_commits_own(project: Project, more: tuple[str, ...]) -> None:
    project.branch("grow")
    project.write(
        "libs/shared/layers.py",
        SHARED.replace("pass", "extra = None")
        + """
class Wide(nn.Linear):  # noqa: F811
    def __init__(self, a, b):
        super().__init__(a, b)
        self.more = nn.Linear(1, 1)
""",
    )
    code, verdict = project.check(*more, cwd="services/a")
    assert code == 1
    assert finding(verdict, "growth")["base"] == params(4)


@pytest.mark.parametrize("path", ['"/tmp"', '"../../.."'])
def test_the_path_stays_in_the_repository(project: Project, path: str) -> None:
    project.write("services/a/analyzer.toml", CONFIG.format(path=path, most=100))
    code, verdict = project.check(cwd="services/a")
    assert code == 2
    assert "leaves the repository" in finding(verdict, "configuration")["what"]


# -- where CI services differ ----------------------------------------------------------------------------------


def test_an_empty_base_ref_is_the_merge_queues_base_or_the_lock(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = project.git("rev-parse", "main")
    project.branch("grow")
    project.write("services/a/net.py", NET.format(width=5))
    assert project.run("lock", cwd="services/a").returncode == 0
    project.commit("Wider, and locked")
    code, verdict = project.check("--against", "origin/", "--budget-from", "base", cwd="services/a")
    assert (code, verdict["baseline"]) == (0, "analyzer.lock")
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"merge_group": {"base_sha": main, "base_ref": "refs/heads/main"}}))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "merge_group")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    code, verdict = project.check("--against", "origin/", cwd="services/a")
    assert code == 1
    assert finding(verdict, "growth")["base"] == params(4)
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "none"))
    assert project.check("--against", "origin/", cwd="services/a")[0] == 0


def test_a_container_of_another_user_is_told_the_command(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    code, verdict = project.check("--against", "main", cwd="services/a")
    assert code == 2
    assert finding(verdict, "configuration")["fix"] == (
        f"git config --global --add safe.directory {project.folder.resolve()}"
    )
