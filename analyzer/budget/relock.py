"""`analyze lock`: the configured models counted into a lock file, or held against the one that is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer import units
from analyzer.answers import Answering, AnswerParts, AnswerTable
from analyzer.budget.baseline import read_lock
from analyzer.budget.configuration import Project, find, seconds_of
from analyzer.budget.counting import count, identity_of
from analyzer.budget.figures import STATIC
from analyzer.budget.limits import limits
from analyzer.budget.lock_file import Lock, Locked, locked, write
from analyzer.budget.model_check import needs_peaks
from analyzer.errors import AnalyzerError, BaselineError, CountError, UsageError
from analyzer.figures import HEADLINE, Figure, known
from analyzer.files import require_writable
from analyzer.shown import plain
from analyzer.targets.loading import forget

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Relock(Answering):
    """What was counted, and how it differs from the lock file that was there, in words (empty: it doesn't)."""

    lock: Lock
    path: Path
    differences: tuple[str, ...]
    before: Lock = field(default_factory=lambda: Lock({}))

    def frame(self) -> pd.DataFrame:
        """One row a model and figure: what was locked, and what it is now."""
        import pandas as pd

        rows = [(name, figure.name, was, now) for name, figure, was, now in self._figures()]
        table = pd.DataFrame(rows, columns=["model", "figure", "was", "now"])
        table[["was", "now"]] = table[["was", "now"]].astype("Int64")
        return table

    def answer(self) -> AnswerParts:
        """The table, and the differences in words."""
        words = tuple(plain(difference) for difference in self.differences)
        return AnswerParts(title=f"What {self.path.name} says", tables=(self.table(),), words=words)

    def table(self) -> AnswerTable:
        """Each model's figures as they were locked, as they are now, and the change."""
        rows = []
        for name, figure, was, now in self._figures():
            share = units.change(now, was) if now is not None and was is not None else ""
            rows.append([plain(name), figure.label, figure.text(was), figure.text(now), share or "–"])
        return AnswerTable("What the models cost", ("model", "figure", "was", "now", "change"), rows, left=2)

    def _figures(self) -> Iterator[tuple[str, Figure, int | None, int | None]]:
        for name, model in sorted(self.lock.models.items()):
            was = self.before.models.get(name)
            yield from ((name, f, was.figure(f.name) if was else None, model.figure(f.name)) for f in HEADLINE)

    def __repr__(self) -> str:
        told = "; ".join(self.differences) or "as it was"
        models = len(self.lock.models)
        return f"Relock({self.path.name}: {models} model{'s' * (models != 1)}, {told})"


def lock(
    folder: str | Path = ".",
    *,
    config: str | Path | None = None,
    check: bool = False,
    timeout: float | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Relock:
    """Counts every configured model and writes analyzer.lock beside the configuration, whole or not at all.

    `timeout` is the most seconds a model may take (None: the configuration's). With `check` nothing is written, and
    BaselineError says where the lock is not what would be. Raises an AnalyzerError where a model can't be loaded or
    fully counted. Counting runs the models' own code.

    >>> import analyzer as an
    >>> an.lock()
    Relock(analyzer.lock: 1 model, as it was)
    """
    project = find(Path(folder), None if config is None else Path(config))
    if not check:
        require_writable(project.lock)
    made = counted(project, timeout, progress)
    before, differences = _before(project, made)
    if not check:
        write(made, project.lock)
    elif differences:
        raise BaselineError(
            "; ".join(differences), where=project.lock.name, fix="run `analyze lock` and commit what it writes"
        )
    return Relock(made, project.lock, tuple(differences), before)


def counted(
    project: Project, timeout: float | None = None, progress: Callable[[str], None] = lambda text: None
) -> Lock:
    """The configured models as a lock. Raises an AnalyzerError that names the model."""
    seconds = timeout or seconds_of(project.configuration)
    if not project.configuration.models:
        raise UsageError("configures no model", where=project.file, fix="`analyze init` proposes one")
    forget()
    models = {}
    for name, model in project.configuration.models.items():
        progress(name)
        try:
            peaks = needs_peaks(limits(model))
            made = count(model, project.root, peaks=peaks, seconds=seconds)
            if made.record.uncounted:
                names = made.record.uncounted_operators
                raise CountError(
                    f"operators without a formula: {names}", fix="leave out input to lock parameters alone"
                )
            models[name] = locked(made.record, identity_of(model, project.root))
        except AnalyzerError as error:
            error.where = f"{name}: {error.where}" if error.where else name
            raise
    return Lock(models)


def _before(project: Project, now: Lock) -> tuple[Lock, list[str]]:
    try:
        was = read_lock(project.lock)
    except BaselineError as error:
        return Lock({}), [error.what]
    if was is None:
        return Lock({}), ["there is no lock file"]
    return was, _differences(was, now)


def _differences(was: Lock, now: Lock) -> list[str]:
    told = [] if was.has_digests else ["it is of an older form, without digests: `analyze lock` upgrades it"]
    told += [f"{name} is new" for name in now.models if name not in was.models]
    told += [f"{name} is no longer configured" for name in was.models if name not in now.models]
    for name in now.models:
        if name in was.models and was.models[name] != now.models[name]:
            told.append(f"{name}: {_difference(was.models[name], now.models[name])}")
    return told


def _difference(was: Locked, now: Locked) -> str:
    if was.identity != now.identity:
        return "target, kwargs or input changed"
    pairs = [(known(figure), was.figure(figure), now.figure(figure)) for figure in STATIC]
    moved = [f"{f.label} from {f.exact(before)} to {f.exact(after)}" for f, before, after in pairs if before != after]
    return ", ".join(moved) or "modules changed, with the same totals"
