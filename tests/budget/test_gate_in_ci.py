"""The gate where people work, with the real command: the action's step, the GitLab script, pre-commit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ci import ROOT, Runner, load
from project import Project

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A branch on which one layer grew."""
    project = Project(tmp_path / "models")
    project.branch("grow")
    project.edit("cnn.py", "4 * width", "5 * width")
    project.run("lock")
    project.commit("Wider")
    return project


@pytest.fixture
def path(tmp_path: Path) -> str:
    """PATH with the real `analyze` and this Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "analyze"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -P -m analyzer "$@"\n')
    script.chmod(0o755)
    (folder / "python").symlink_to(sys.executable)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_the_action_fails_with_the_layer_on_its_line(project: Project, path: str, tmp_path: Path) -> None:
    runner = Runner("action.yml", tmp_path / "job", project.folder, PATH=path)
    done = runner.step("Check", {"against": "main", "budget-from": "base"})
    assert done.returncode == 1, done.stderr
    assert "::error file=cnn.py,line=6,title=cnn%3A params excess::" in done.stdout
    assert "stage3.conv2" in runner.summary.read_text()
    assert Path(runner.outputs()["report"]).read_text().startswith("<!-- analyzer-budget -->")


def test_the_action_passes_where_nothing_grew(project: Project, path: str, tmp_path: Path) -> None:
    project.git("checkout", "--quiet", "main")
    runner = Runner("action.yml", tmp_path / "job", project.folder, PATH=path)
    done = runner.step("Check", {"against": "main"})
    assert (done.returncode, runner.outputs()["exit-code"]) == (0, "0"), done.stderr


def test_the_script_for_gitlab_runs(project: Project, path: str) -> None:
    project.git("update-ref", "refs/remotes/origin/main", "main")
    (script,) = [line for line in load("examples/ci/gitlab.yml")["model-budgets"]["script"] if "analyze" in line]
    environment = {**os.environ, "PATH": path, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=project.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "stage3.conv2" in project.read("budget-quality.json")


@pytest.mark.slow
def test_pre_commit_stops_growth_and_a_stale_lock(project: Project, path: str, tmp_path: Path) -> None:
    project.git("checkout", "--quiet", "main")
    hooks = Project(tmp_path / "hooks", example=False)
    # The command of this environment, as `language: system` gives it: no install from the index.
    here = (ROOT / ".pre-commit-hooks.yaml").read_text().replace("language: python", "language: system")
    hooks.write(".pre-commit-hooks.yaml", here)
    rev = hooks.commit("Hooks")
    config = load("examples/ci/pre-commit.yaml")
    config["repos"][0].update(repo=str(hooks.folder), rev=rev)
    project.write(".pre-commit-config.yaml", yaml.safe_dump(config))
    environment = {**os.environ, "PATH": path, "PRE_COMMIT_HOME": str(tmp_path / "cache")}

    def hooked() -> subprocess.CompletedProcess[str]:
        project.git("add", "--all")
        command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
        return subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)

    assert hooked().returncode == 0
    project.edit("cnn.py", "4 * width", "5 * width")
    stopped = hooked()
    assert stopped.returncode == 1
    assert "paid by: stage3.conv2" in stopped.stdout
    project.edit("cnn.py", "5 * width", "3 * width")  # smaller is no growth, but the lock is behind
    stopped = hooked()
    assert "analyzer.lock is up to date" in stopped.stdout
    assert stopped.returncode == 1
    project.run("lock")
    assert hooked().returncode == 0
