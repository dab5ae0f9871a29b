"""`analyze lock`: the configured models counted into a lock file, or held against the one that is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.budget.baseline import read_lock
from analyzer.budget.configuration import Project, find, seconds_of
from analyzer.budget.counting import count, identity_of
from analyzer.budget.figures import STATIC
from analyzer.budget.limits import limits
from analyzer.budget.lock_file import Lock, Locked, locked, write
from analyzer.budget.model_check import needs_peaks
from analyzer.errors import AnalyzerError, BaselineError, CountError, UsageError
from analyzer.figures import known
from analyzer.files import require_writable
from analyzer.targets.loading import forget


@dataclass(frozen=True)
class Relock:
    """What was counted, and how it differs from the lock file that was there, in words (empty: it doesn't)."""

    lock: Lock
    path: Path
    differences: tuple[str, ...]
    before: Lock = field(default_factory=lambda: Lock({}))


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
