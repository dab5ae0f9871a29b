"""What a check compares with: the lock file beside the configuration, or the lock at the merge base with a ref."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analyzer.budget import lock_file
from analyzer.budget.configuration import FILES, Project, parse
from analyzer.budget.git import Repository
from analyzer.budget.lock_file import Lock, Locked
from analyzer.budget.schema import Configuration
from analyzer.budget.untrusted_files import read_text
from analyzer.errors import AnalyzerError


@dataclass(frozen=True)
class MergeBase:
    """The commit where HEAD left `ref`, and the folder in which its configuration stands (then, not now)."""

    repository: Repository
    ref: str
    commit: str
    root: Path

    def text(self, file: str) -> str | None:
        """A file of the project as it was; None where it was not there."""
        return self.repository.file_at(self.commit, self.root / file)


@dataclass(frozen=True)
class Baseline:
    """Locked models, and where they come from. `problem` says why there are none; `fix` what gives some.

    Of a merge base also the commit and its own configuration, None where there is none; `wrong` says why it can't be
    read. `counted` are the models whose code there was counted, so that no lock is asked.
    """

    label: str
    models: dict[str, Locked]
    problem: AnalyzerError | None = None
    fix: str = "run `analyze lock` and commit analyzer.lock"
    merge_base: MergeBase | None = None
    configuration: Configuration | None = None
    wrong: AnalyzerError | None = None
    has_digests: bool = True
    counted: frozenset[str] = frozenset()

    @property
    def is_base(self) -> bool:
        """Whether it is another commit's."""
        return self.merge_base is not None

    @property
    def begins(self) -> bool:
        """Whether budgets begin with this branch: the merge base has none, so there is nothing to have grown from."""
        there = self.configuration or self.wrong or self.problem or self.models
        return self.is_base and not there


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


def from_merge_base(project: Project, against: str) -> Baseline:
    """The lock and configuration at the commit where HEAD left `against`.

    Raises UsageError where there is no such ref, BaselineError where the clone is too shallow.
    """
    repository = Repository(project.root)
    commit = repository.merge_base(against)
    label = f"{against} (merge base {commit[:10]})"
    fix = f"commit an analyzer.lock to {against}, or add --rebuild, which counts the old commit's models"
    base = MergeBase(repository, against, commit, _root_at(repository, commit, project))
    configuration, wrong, lock, problem = None, None, None, None
    try:
        configuration = _configuration_at(base, project)
    except AnalyzerError as error:
        wrong = error
    try:
        lock = _locked_at(base)
    except AnalyzerError as error:
        problem = error
    lock = lock or Lock({})
    return Baseline(label, lock.models, problem, fix, base, configuration, wrong, lock.has_digests)


def _root_at(repository: Repository, commit: str, project: Project) -> Path:
    """The configuration's folder then: where it is now, else where the one lock stood that is there no more."""
    if repository.has_file(commit, project.lock) or repository.has_file(commit, project.path):
        return project.root
    left = [path for path in repository.files_named(commit, lock_file.FILE) if not path.exists()]
    return left[0].parent if len(left) == 1 else project.root


def _configuration_at(base: MergeBase, project: Project) -> Configuration | None:
    """The budgets at a commit, in the file where they are now or in the other one where they may have been."""
    for name in dict.fromkeys([project.file, *FILES]):
        text = base.repository.file_at(base.commit, base.root / name)
        configuration = parse(text, name) if text is not None else None
        if configuration is not None:
            return configuration
    return None


def _locked_at(base: MergeBase) -> Lock | None:
    text = base.repository.file_at(base.commit, base.root / lock_file.FILE)
    return None if text is None else lock_file.from_text(text, f"{lock_file.FILE} at {base.commit[:10]}")
