"""git runs nothing that a repository's own settings name, and says what is there whatever they say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from project import Project

from analyzer.budget.history import history
from analyzer.git_calls import git

CONFIG = '[models.net]\ntarget = "net.py:build"\ninput = [1, 8]\nbudgets.params = { max = 72 }\n'
SIGNATURE = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n nothing\n -----END PGP SIGNATURE-----\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A signed commit of a small model, in a repository whose every program leaves a mark."""
    made = Project(tmp_path / "models", example=False)
    made.write("net.py", "from torch import nn\n\n\ndef build():\n    return nn.Linear(8, 8)\n")
    made.write("analyzer.toml", CONFIG)
    assert made.run("lock").returncode == 0
    made.write(".gitattributes", "* filter=evil\n")
    made.commit("Ünïcode")
    commit = subprocess.run(["git", "cat-file", "commit", "HEAD"], cwd=made.folder, capture_output=True, check=True)
    signed = commit.stdout.replace(b"\n\n", b"\n" + SIGNATURE + b"\n", 1)
    write = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
    sha = subprocess.run(write, cwd=made.folder, input=signed, capture_output=True, check=True).stdout.decode().strip()
    made.git("update-ref", "HEAD", sha)
    evil = tmp_path / "evil.sh"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/marks\ncat\n')
    evil.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        (hooks / name).symlink_to(evil)
    settings = {"log.showSignature": "true", "i18n.logOutputEncoding": "UTF-16", "core.hooksPath": str(hooks)}
    settings |= {"log.follow": "true", "log.showRoot": "false"}  # together they hide the first commit
    programs = (
        "gpg.program", "gpg.ssh.program", "core.fsmonitor", "core.pager", "core.editor", "core.askPass",
        "filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "core.sshCommand", "diff.external",
    )  # fmt: skip
    for name, value in {**settings, **dict.fromkeys(programs, str(evil))}.items():
        made.git("config", name, value)
    made.git("config", "filter.evil.required", "true")
    return made


@pytest.mark.parametrize("elsewhere", [".", "/nowhere"])
def test_a_work_tree_elsewhere_is_wrong_use(project: Project, elsewhere: str) -> None:
    project.git("config", "core.worktree", elsewhere)
    for words in (["check", "--against", "main"], ["history"]):
        done = project.run(*words)
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr


def test_git_runs_nothing_that_the_repository_names(project: Project, tmp_path: Path) -> None:
    assert [step.commit.subject for step in history(project.folder).steps] == ["Ünïcode"]
    for more in ([], ["--rebuild"]):
        done = project.run("check", "--against", "main", *more)
        assert done.returncode == 0, (done.stdout, done.stderr)
    (project.folder / "net.py").touch()
    assert git("describe", "--always", "--dirty=+", folder=project.folder).returncode == 0
    assert not (tmp_path / "marks").exists(), (tmp_path / "marks").read_text()
