"""`analyze lock`: the configured models counted into a lock file, or held against the one that is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analyzer.budget.baseline import read_lock
from analyzer.budget.configuration import Found, find
from analyzer.budget.counting import count
from analyzer.budget.figures import STATIC
from analyzer.budget.holding import needs_peaks
from analyzer.budget.limits import limits
from analyzer.budget.lock import Lock, Locked, identity_of, locked, write
from analyzer.errors import AnalyzerError, BaselineError, CountError, UsageError
from analyzer.figures import known
from analyzer.targets.resolving import forget


@dataclass(frozen=True)
class Relock:
    """What was counted, and in words how it differs from the lock file that was there (empty: it doesn't)."""

    lock: Lock
    path: Path
    differences: tuple[str, ...]


def lock(
    folder: str | Path = ".",
    *,
    config: str | Path | None = None,
    check: bool = False,
    not_from: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Relock:
    """Counts every configured model and writes analyzer.lock beside the configuration, whole or not at all.

    With `check` nothing is written, and BaselineError says where the lock is not what would be. Raises an AnalyzerError
    where a model can't be loaded or fully counted. Counting runs the models' own code.
    """
    found = find(Path(folder), None if config is None else Path(config))
    made = Relock(counted(found, not_from, progress), found.lock, ())
    differences = tuple(_differences(found, made.lock))
    if not check:
        write(made.lock, found.lock)
    elif differences:
        raise BaselineError(
            "; ".join(differences), where=found.lock.name, fix="run `analyze lock` and commit what it writes"
        )
    return Relock(made.lock, found.lock, differences)


def counted(found: Found, not_from: Path | None = None, progress: Callable[[str], None] = lambda text: None) -> Lock:
    """The configured models as a lock. Raises an AnalyzerError that names the model."""
    if not found.configuration.models:
        raise UsageError("configures no model", where=found.file, fix="`analyze init` proposes one")
    forget()
    models = {}
    for name, model in found.configuration.models.items():
        progress(name)
        try:
            made = count(model, found.root, peaks=needs_peaks(limits(model)), not_from=not_from)
            if made.record.uncounted:
                names = made.record.uncounted_operators
                raise CountError(
                    f"operators without a formula: {names}", fix="leave out input to lock parameters alone"
                )
            models[name] = locked(made.record, identity_of(model, found.root))
        except AnalyzerError as error:
            error.where = f"{name}: {error.where}" if error.where else name
            raise
    return Lock(models)


def _differences(found: Found, now: Lock) -> list[str]:
    try:
        was = read_lock(found.lock)
    except BaselineError as error:
        return [error.what]
    if was is None:
        return ["there is no lock file"]
    told = [f"{name} is new" for name in now.models if name not in was]
    told += [f"{name} is no longer configured" for name in was if name not in now.models]
    for name in now.models:
        if name in was and was[name] != now.models[name]:
            told.append(f"{name}: {_difference(was[name], now.models[name])}")
    return told


def _difference(was: Locked, now: Locked) -> str:
    if was.identity != now.identity:
        return "target, kwargs or input changed"
    pairs = [(known(figure), was.figure(figure), now.figure(figure)) for figure in STATIC]
    moved = [f"{f.label} from {f.exact(before)} to {f.exact(after)}" for f, before, after in pairs if before != after]
    return ", ".join(moved) or "modules changed, with the same totals"
