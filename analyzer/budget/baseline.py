"""What a check compares with: the lock file beside the configuration, or the lock at the merge base with a ref."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from analyzer.budget import lock_file
from analyzer.budget.configuration import FILES, Project, parse
from analyzer.budget.git import Repository
from analyzer.budget.lock_file import Lock, Locked
from analyzer.budget.schema import Configuration
from analyzer.budget.untrusted_files import read_text
from analyzer.errors import AnalyzerError, BaselineError

_REBUILD_SECONDS = 1800


@dataclass(frozen=True)
class Baseline:
    """Locked models, and where they come from. `problem` says why there are none; `fix` what gives some.

    `configuration` is the merge base's own, None where it is not asked for or there is none; `wrong` says why it
    can't be read.
    """

    label: str
    models: dict[str, Locked]
    problem: AnalyzerError | None = None
    fix: str = "run `analyze lock` and commit analyzer.lock"
    is_base: bool = False
    configuration: Configuration | None = None
    wrong: AnalyzerError | None = None
    has_digests: bool = True


def read_lock(path: Path) -> Lock | None:
    """A lock file; None where there is none. Raises BaselineError, UsageError."""
    text = read_text(path)
    return None if text is None else lock_file.from_text(text, path.name)


def from_lock_file(project: Project) -> Baseline:
    """The lock beside the configuration."""
    try:
        lock = read_lock(project.lock)
    except AnalyzerError as error:
        return Baseline(lock_file.FILE, {}, error)
    if lock is None:
        return Baseline(f"{lock_file.FILE} (there is none yet)", {})
    return Baseline(lock_file.FILE, lock.models, has_digests=lock.has_digests)


def from_merge_base(project: Project, against: str, *, rebuild: bool) -> Baseline:
    """The lock and configuration at the commit where HEAD left `against`; with `rebuild` its models counted anew.

    Raises UsageError where there is no such ref, BaselineError where the clone is too shallow.
    """
    repository = Repository(project.root)
    commit = repository.merge_base(against)
    label = f"{against} (merge base {commit[:10]})"
    fix = f"commit an analyzer.lock to {against}, or add --rebuild, which counts the old commit's models"
    configuration, wrong = None, None
    try:
        configuration = _configuration_at(repository, commit, project)
    except AnalyzerError as error:
        wrong = error
    try:
        lock = _rebuilt(repository, commit, project) if rebuild else _locked_at(repository, commit, project)
        problem = None
    except AnalyzerError as error:
        lock, problem = None, error
    lock = lock or Lock({})
    return Baseline(label, lock.models, problem, fix, True, configuration, wrong, lock.has_digests)


def _configuration_at(repository: Repository, commit: str, project: Project) -> Configuration | None:
    """The budgets at a commit, in the file where they are now or in the other one where they may have been."""
    for name in dict.fromkeys([project.file, *FILES]):
        text = repository.file_at(commit, project.root / name)
        configuration = parse(text, name) if text is not None else None
        if configuration is not None:
            return configuration
    return None


def _locked_at(repository: Repository, commit: str, project: Project) -> Lock | None:
    text = repository.file_at(commit, project.lock)
    return None if text is None else lock_file.from_text(text, f"{lock_file.FILE} at {commit[:10]}")


def _rebuilt(repository: Repository, commit: str, project: Project) -> Lock:
    """The old commit's models, counted by this version in a process of its own, in a worktree of that commit."""
    with repository.worktree(commit) as tree:
        folder = tree / repository.relative(project.root)
        arguments = ["lock", "--output", "-", "--config", str(folder / project.file), "--not-from", str(repository.top)]
        # -P: no file of the worktree stands in for a module of ours.
        code = "from analyzer.processes import end_with_parent as end; end(); from analyzer.cli import main; main()"
        command = [sys.executable, "-P", "-c", code, *arguments]
        path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            done = subprocess.run(
                command, cwd=folder if folder.is_dir() else tree,
                env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"}, capture_output=True, encoding="utf-8",
                errors="replace", stdin=subprocess.DEVNULL, timeout=_REBUILD_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise BaselineError(f"took over {_REBUILD_SECONDS} s", where=f"--rebuild of {commit[:10]}") from None
        if done.returncode:
            said = " ".join(done.stderr.split())
            raise BaselineError(
                f"can't be counted: {said[-600:]}",
                where=f"--rebuild of {commit[:10]}",
                fix="leave out --rebuild; submodules and built files are not in its worktree",
            )
        return lock_file.from_text(done.stdout, f"--rebuild of {commit[:10]}")
