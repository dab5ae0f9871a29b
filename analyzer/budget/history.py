"""The lock file over git history: what each model cost at every commit that changed it, so that slow growth shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from analyzer.budget import lock_file
from analyzer.budget.configuration import find
from analyzer.budget.figures import STATIC
from analyzer.budget.git import Commit, Repository
from analyzer.budget.limits import limits
from analyzer.budget.schema import Configuration
from analyzer.errors import AnalyzerError, BaselineError, UsageError, did_you_mean
from analyzer.structs import Shown

if TYPE_CHECKING:
    import pandas as pd

MOST = 200


@dataclass(frozen=True)
class HistoryEntry:
    """One model after one commit; `figures` are those that the lock file had. `error` says why there are none."""

    commit: Commit
    model: str
    figures: dict[str, int]
    error: str = ""

    @property
    def date(self) -> str:
        """The day of the commit, UTC."""
        return datetime.fromtimestamp(self.commit.time, UTC).strftime("%Y-%m-%d")


@dataclass(frozen=True, repr=False)
class History(Shown):
    """The steps, the oldest first. `truncated` says that older commits were not read, or are not here.

    `limits` are what the configuration allows now, by model and figure; `web` is the address of the repository's page.
    """

    shown_by: ClassVar[str] = "analyzer.budget.history_page"
    steps: tuple[HistoryEntry, ...]
    truncated: str = ""
    limits: dict[tuple[str, str], int] = field(default_factory=dict)
    web: str = ""

    def series(self, model: str, figure: str) -> list[tuple[HistoryEntry, int]]:
        """One figure of one model, commit by commit, where it is known."""
        return [(s, s.figures[figure]) for s in self.steps if s.model == model and figure in s.figures]

    def frame(self) -> pd.DataFrame:
        """One row a commit and model; a figure that the lock file did not have is missing."""
        import pandas as pd

        rows = [
            {"commit": s.commit.sha, "time": s.date, "subject": s.commit.subject, "model": s.model, **s.figures}
            for s in self.steps
            if s.model
        ]
        table = pd.DataFrame(rows)
        counts = [figure for figure in STATIC if figure in table]
        table[counts] = table[counts].astype("Int64")
        return table

    def __repr__(self) -> str:
        commits = len({step.commit.sha for step in self.steps})
        return f"History({len(self.models)} model{'s' * (len(self.models) != 1)} over {commits:,} commits)"

    @property
    def models(self) -> tuple[str, ...]:
        """The models' names, in the order in which they came."""
        return tuple(dict.fromkeys(step.model for step in self.steps if step.model))


def history(
    folder: str | Path = ".",
    *,
    config: str | Path | None = None,
    models: Sequence[str] = (),
    most: int = MOST,
) -> History:
    """What the configured models cost over the last `most` commits on this branch that changed analyzer.lock.

    Reads git alone, runs no model. Raises UsageError outside a repository, BaselineError where no commit has a lock.

    >>> import analyzer as an
    >>> an.history()
    History(1 model over 1 commits)
    """
    project = find(Path(folder), None if config is None else Path(config))
    repository = Repository(project.root, where="history")
    commits = repository.history(project.lock, most + 1)
    if not commits:
        raise BaselineError(
            "no commit on this branch has a lock file", where=lock_file.FILE, fix="run `analyze lock` and commit it"
        )
    told = ""
    if len(commits) > most:
        commits, told = commits[1:], f"only the last {most:,} commits are shown: --last says how many"
    elif repository.is_shallow():
        told = "the clone is shallow: older commits are not here"
    steps = tuple(step for commit in commits for step in _steps(repository, commit, project.lock))
    known = {step.model for step in steps if step.model}
    for name in models:
        if name not in known:
            raise UsageError(f"there is no model {name[:80]!r}", where="--model", fix=did_you_mean(name, known))
    kept = tuple(s for s in steps if not models or s.model in models or s.error)
    return History(kept, told, _allowed(project.configuration), repository.web())


def _allowed(configuration: Configuration) -> dict[tuple[str, str], int]:
    """The most of each figure, where a budget says a number."""
    return {
        (name, limit.figure): limit.max
        for name, model in configuration.models.items()
        for limit in limits(model, name)
        if limit.group is None and limit.max is not None
    }


def _steps(repository: Repository, commit: Commit, path: Path) -> Iterator[HistoryEntry]:
    try:
        text = repository.file_at(commit.sha, path)
        models = {} if text is None else lock_file.from_text(text, f"{lock_file.FILE} at {commit.sha[:10]}").models
    except AnalyzerError as error:
        yield HistoryEntry(commit, "", {}, error.what)
        return
    for name, model in sorted(models.items()):
        yield HistoryEntry(commit, name, {f: v for f in STATIC if (v := model.figure(f)) is not None})
