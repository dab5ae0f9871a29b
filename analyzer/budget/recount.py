"""What a merge base costs, counted in a git worktree, so that nobody pays for growth that its lock has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from analyzer.budget import lock_file
from analyzer.budget.baseline import Baseline, MergeBase
from analyzer.budget.counting import count, identity_of
from analyzer.budget.figures import TRACKED
from analyzer.budget.limits import limits
from analyzer.budget.lock_file import Locked, locked
from analyzer.budget.model_check import needs_peaks
from analyzer.budget.schema import Configuration, Model
from analyzer.budget.source import is_gone
from analyzer.budget.verdict import Finding
from analyzer.errors import AnalyzerError, BaselineError
from analyzer.figures import known

_FIX = "commit an analyzer.lock there in its place; submodules and built files are not in the worktree"


def counted_anew(
    baseline: Baseline, models: Mapping[str, Model], seconds: float, *, every: bool
) -> tuple[Baseline, list[Finding]]:
    """The baseline with what these models cost at its commit, and where its lock says otherwise.

    With `every` no lock is asked any more; without, one that can't be counted keeps what its lock says.
    """
    base = baseline.merge_base
    assert base is not None
    try:
        made = _recount(base, models, (baseline.configuration or Configuration()).models, seconds)
    except AnalyzerError as error:
        return _as_locked(baseline, error, every)
    told = [
        _behind(base, name, was, now)
        for name, now in made.models.items()
        if (was := baseline.models.get(name)) is not None and was.identity == now.identity and was != now
    ]
    kept = {} if every else baseline.models
    problem = None if every else baseline.problem
    if made.errors:
        what = "; ".join(f"{name} can't be counted: {why}" for name, why in made.errors.items())
        failed = BaselineError(what, where=f"--rebuild of {base.commit[:10]}", fix=_FIX)
        if every:
            problem = failed
        else:
            told += _as_locked(baseline, failed, every)[1]
    label = f"{baseline.label}, its code counted in a worktree"
    counted = frozenset(made.models)
    fresh = replace(baseline, label=label, models={**kept, **made.models}, problem=problem, counted=counted)
    return (replace(fresh, fix=f"commit an analyzer.lock to {base.ref}") if every else fresh), told


def _as_locked(baseline: Baseline, error: AnalyzerError, every: bool) -> tuple[Baseline, list[Finding]]:
    if every:
        assert baseline.merge_base is not None
        fix = f"commit an analyzer.lock to {baseline.merge_base.ref}"
        return replace(baseline, models={}, problem=error, fix=fix), []
    what = f"growth is held against the lock, since its commit's code can't be counted: {error.what}"
    return baseline, [Finding(kind="lock-behind", level="note", model="", what=what)]


def _behind(base: MergeBase, name: str, was: Locked, now: Locked) -> Finding:
    pairs = [(known(figure), was.figure(figure), now.figure(figure)) for figure in TRACKED]
    moved = [f"{f.label} {f.exact(a)} locked, {f.exact(b)} counted" for f, a, b in pairs if a != b]
    differs = ", ".join(moved) or "other modules of the same totals"
    what = f"{base.ref}'s lock is behind its code ({differs}); growth is held against what the code costs"
    branch = base.ref.removeprefix("origin/")
    fix = f"git switch {branch} && analyze lock && git commit -m 'What the models cost' {lock_file.FILE}"
    return Finding(kind="lock-behind", level="warning", model=name, what=what, fix=fix)


@dataclass(frozen=True)
class _Recount:
    """What the models cost there, and in words why others could not be counted."""

    models: dict[str, Locked]
    errors: dict[str, str]


def _recount(commit: MergeBase, head: Mapping[str, Model], base: Mapping[str, Model], seconds: float) -> _Recount:
    """What the old code of the models in `head` costs under today's terms, else under those that `base` had.

    A model that the commit has not is left out.
    """
    made = _Recount({}, {})
    repository = commit.repository
    with repository.worktree(commit.commit) as tree:
        folder = tree / repository.relative(commit.root)
        for name, model in head.items():
            terms = _terms(model, base.get(name), folder)
            try:
                if terms:
                    made.models[name] = _first(terms, folder, repository.top, seconds)
            except AnalyzerError as error:
                if name in base:
                    made.errors[name] = error.what
    return made


def _terms(head: Model, base: Model | None, folder: Path) -> list[Model]:
    """Today's terms on the code where it is named now, else where it was named then; then the terms of then."""
    terms = [head] if head.target is None or not is_gone(head.target, folder) else []
    if base is not None:
        old = msgspec.structs.replace(head, target=base.target)
        terms += [old, base] if (base.target is None) == (head.target is None) else [base]
    return terms


def _first(terms: Sequence[Model], root: Path, not_from: Path, seconds: float) -> Locked:
    """The model under the first terms that it can be counted under. Raises the first AnalyzerError."""
    first: AnalyzerError | None = None
    peaks = needs_peaks(limits(terms[0]))
    for model in terms:
        try:
            made = count(model, root, peaks=peaks, not_from=not_from, seconds=seconds).record
        except AnalyzerError as error:
            first = first or error
            continue
        if made.uncounted:
            first = first or BaselineError(f"operators without a formula: {made.uncounted_operators}")
            continue
        return locked(made, identity_of(model, root))
    assert first is not None
    raise first
