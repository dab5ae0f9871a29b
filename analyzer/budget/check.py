"""The check: every configured model counted, held to its budgets, compared with its baseline. It writes nothing.

What can't be judged fails: a budget that matches nothing (2), a model that can't be counted (3), a baseline that is
missing or another thing's (4); then what grew or is too large (1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from analyzer.budget import source
from analyzer.budget.baseline import Baseline, from_lock_file, from_merge_base, read_lock
from analyzer.budget.baseline_check import baseline_of, is_moved, standing_of
from analyzer.budget.blame import arguments_changed
from analyzer.budget.configuration import Project, find, line_of, seconds_of
from analyzer.budget.counting import Counted, count, identity_of
from analyzer.budget.edits import edits
from analyzer.budget.figures import STATIC
from analyzer.budget.limits import limits
from analyzer.budget.lock_file import Locked, locked
from analyzer.budget.model_check import Held, hold, needs_peaks, remarks
from analyzer.budget.predicted import hold_predicted, predicted_limits
from analyzer.budget.recount import counted_anew
from analyzer.budget.schema import Configuration, Model
from analyzer.budget.untrusted_files import read_text
from analyzer.budget.verdict import Finding, ModelVerdict, Verdict
from analyzer.budget.waivers import waive
from analyzer.errors import AnalyzerError, UsageError, did_you_mean
from analyzer.figures import known
from analyzer.reading import family
from analyzer.reporting.data import now
from analyzer.targets.loading import forget
from analyzer.targets.resolving import named

BUDGETS_FROM = ("head", "base")


def check(
    folder: str | Path = ".",
    *,
    config: str | Path | None = None,
    against: str | None = None,
    rebuild: bool | None = None,
    budget_from: str = "head",
    models: Sequence[str] = (),
    timeout: float | None = None,
    today: date | None = None,
    command: Sequence[str] = ("analyzer.check",),
    progress: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Holds the configured models (or those named) to their budgets, against the lock file or a ref's merge base.

    With `against`, the baseline is analyzer.lock at the merge base of HEAD and that ref, and `budget_from="base"` takes
    the budgets from there too. `rebuild` counts that commit's models in its place; by default only those that would
    have grown too much, for the lock may be behind; False never does. A model that takes over `timeout` seconds (by
    default the configuration's) is broken. Never raises for what it finds, a wrong configuration included: the
    verdict's `exit_code` and `findings` say it. Counting runs the models' own code.

    >>> an.check()
    Verdict(1 model: nothing found)
    """
    try:
        project = find(Path(folder), None if config is None else Path(config))
        seconds = timeout or seconds_of(project.configuration)
        verdict = _Check(project, models, seconds, today or datetime.now(UTC).date(), progress).run(
            against, rebuild, budget_from, tuple(command)
        )
        return _from_top(verdict, source.from_top(project.root))
    except AnalyzerError as error:
        kind = {3: "broken", 4: "no-baseline"}.get(error.exit_code, "configuration")
        file = Path(folder, "pyproject.toml") if config is None else Path(config)
        verdict = Verdict(
            models=(), findings=(_of_error(error, kind, ""),), baseline="nothing: the check could not begin",
            configuration=file.name, command=tuple(command), generated=now(),
        )  # fmt: skip
        return _from_top(verdict, source.from_top(file.parent))


def _from_top(verdict: Verdict, folder: str) -> Verdict:
    """The verdict with every file named from the repository's top, wherever the project stands in it."""
    if not folder:
        return verdict
    placed = tuple(
        msgspec.structs.replace(finding, file=f"{folder}/{finding.file}") if finding.file else finding
        for finding in verdict.findings
    )
    return msgspec.structs.replace(verdict, findings=placed, configuration=f"{folder}/{verdict.configuration}")


class _Check:
    def __init__(
        self, project: Project, models: Sequence[str], seconds: float, today: date, progress: Callable[[str], None]
    ) -> None:
        self.project, self.seconds, self.today, self.progress = project, seconds, today, progress
        self.only = tuple(models)
        self.findings: list[Finding] = []
        self.counted: dict[str, Counted] = {}
        self.broken: dict[str, AnalyzerError] = {}

    def run(self, against: str | None, rebuild: bool | None, budget_from: str, command: tuple[str, ...]) -> Verdict:
        self._require(against, rebuild, budget_from)
        baseline = from_lock_file(self.project) if against is None else from_merge_base(self.project, against)
        configuration = self._configuration(baseline, budget_from)
        chosen = dict(self._chosen(configuration))
        forget()  # a second check in one process sees what was edited since the first
        baseline = self._as_it_costs(baseline, chosen, rebuild)
        self._told_baseline(baseline)
        verdicts = tuple(self._model(name, model, baseline, configuration) for name, model in chosen.items())
        return Verdict(
            models=verdicts, findings=tuple(self.findings), baseline=baseline.label, configuration=self.project.file,
            command=command, generated=now(),
        )  # fmt: skip

    @staticmethod
    def _require(against: str | None, rebuild: bool | None, budget_from: str) -> None:
        if budget_from not in BUDGETS_FROM:
            raise UsageError(
                f"{budget_from!r} is no side", where="--budget-from", fix=did_you_mean(budget_from, BUDGETS_FROM)
            )
        if against is None and (rebuild or budget_from == "base"):
            raise UsageError("needs a ref to compare with", where="--rebuild or --budget-from", fix="add --against REF")

    # -- the baseline ------------------------------------------------------------------------------------------

    def _as_it_costs(self, baseline: Baseline, chosen: Mapping[str, Model], rebuild: bool | None) -> Baseline:
        """The baseline, counted anew where that is asked for, or where a model would pay for growth against a lock."""
        if not baseline.is_base or baseline.begins or rebuild is False:
            return baseline
        asked = {name: model for name, model in chosen.items() if rebuild or self._outgrows(name, model, baseline)}
        if not asked:
            return baseline
        fresh, told = counted_anew(baseline, asked, self.seconds, every=bool(rebuild))
        self.findings += map(self._at_configuration, told)
        return fresh

    def _outgrows(self, name: str, model: Model, baseline: Baseline) -> bool:
        try:
            held, _ = self._held(name, model, baseline)
        except AnalyzerError:
            return False
        growing = (
            (limit, *held.values(limit.figure, limit.group)) for limit in limits(model) if limit.growth is not None
        )
        return any(
            value is not None and base is not None and value > limit.most_grown(base) for limit, value, base in growing
        )

    def _told_baseline(self, baseline: Baseline) -> None:
        """What is to be said of the baseline as a whole."""
        if baseline.problem is not None:
            self.findings.append(_of_error(baseline.problem, _kind_of(baseline.problem), ""))
        if not baseline.has_digests:
            what = f"{baseline.label} is of a form without digests, in which an edited figure is not always seen"
            fix = "run `analyze lock` and commit what it writes"
            self.findings.append(Finding(kind="stale", level="note", model="", what=what, fix=fix))
        if baseline.begins:
            what = f"budgets begin here: {baseline.label} has none. max, min and ratios are held; growth is, next time"
            self.findings.append(Finding(kind="no-baseline", level="note", model="", what=what))
        if baseline.is_base:
            self._told_edits(baseline)

    # -- which models and budgets ------------------------------------------------------------------------------

    def _configuration(self, baseline: Baseline, budget_from: str) -> Configuration:
        """The models and budgets to hold: the branch's, or with the merge base's budgets where that is asked for."""
        head = self.project.configuration
        if budget_from == "head" or baseline.begins:
            return head
        if baseline.wrong is not None:
            raise baseline.wrong
        if baseline.configuration is None:
            raise UsageError(
                f"{baseline.label} has no configuration with budgets", where="--budget-from base",
                fix="take them from head until the first configuration has landed",
            )  # fmt: skip
        models = dict(head.models)
        for name, model in baseline.configuration.models.items():
            if name in models:
                held = {"budgets": model.budgets, "groups": model.groups, "waivers": model.waivers}
                models[name] = msgspec.structs.replace(models[name], **held)
            elif model.target is None or not source.is_gone(model.target, self.project.root):
                models[name] = model
            else:
                what = "was removed from the configuration together with its code, so its budgets hold nothing"
                self.findings.append(Finding(kind="budget-changed", level="warning", model=name, what=what))
        return Configuration(models=models)

    def _chosen(self, configuration: Configuration) -> list[tuple[str, Model]]:
        if not configuration.models:
            raise UsageError("configures no model", where=self.project.file, fix="`analyze init` proposes one")
        for name in self.only:
            if name not in configuration.models:
                raise UsageError(
                    f"there is no model {name[:80]!r}", where="--model", fix=did_you_mean(name, configuration.models)
                )
        return [(name, model) for name, model in configuration.models.items() if not self.only or name in self.only]

    def _told_edits(self, baseline: Baseline) -> None:
        if baseline.wrong is not None:
            error = baseline.wrong
            what = f"the base's budgets can't be read, so what changed in them is not shown: {error.what}"
            self.findings.append(
                Finding(kind="budget-changed", level="warning", model="", what=what, where=error.where)
            )
        elif baseline.configuration is not None:
            for edit in edits(baseline.configuration, self.project.configuration):
                self.findings.append(self._at_configuration(edit))
        for finding in self._relocked(baseline):
            self.findings.append(finding)

    def _relocked(self, baseline: Baseline) -> Iterator[Finding]:
        """Figures that the branch's own lock file raises above the baseline's."""
        try:
            lock = read_lock(self.project.lock)
        except AnalyzerError as error:
            what = f"the branch's lock can't be read: {error.what}"
            yield Finding(kind="relocked", level="warning", model="", what=what, where=error.where, fix=error.fix)
            return
        own = lock.models if lock else {}
        for name in sorted(own.keys() & baseline.models.keys()):
            pairs = [(known(f), baseline.models[name].figure(f), own[name].figure(f)) for f in STATIC]
            raised = [
                f"{f.label} from {f.exact(a)} to {f.exact(b)}" for f, a, b in pairs if a is not None and b and b > a
            ]
            if raised:
                what = f"the branch's lock raises {', '.join(raised)}"
                fix = "see that this growth is meant: after the merge it is the baseline"
                yield self._at_configuration(Finding(kind="relocked", level="warning", model=name, what=what, fix=fix))

    # -- one model ---------------------------------------------------------------------------------------------

    def _held(self, name: str, model: Model, baseline: Baseline) -> tuple[Held, Locked | None]:
        """The model counted beside its baseline, and what was found as one. Raises an AnalyzerError."""
        root = self.project.root
        identity = identity_of(model, root)
        counted = self._count(name, model)
        base = baseline_of(name, identity, baseline)
        fits = base is not None and (base.identity == identity or is_moved(base.identity, identity, root))
        now_locked = locked(counted.record, identity)
        place, is_base = self._place(name), baseline.is_base
        held = Held(name, now_locked, counted, base if fits else None, place, not is_base)
        held.arguments = lambda: self._arguments(held, baseline)
        return held, base

    def _arguments(self, held: Held, baseline: Baseline) -> list[str]:
        """The numbers that differ between the merge base's source of the model's modules and today's."""
        if baseline.merge_base is None:
            return []
        files = dict.fromkeys(file for file, _ in held.counted.places.values())
        try:
            before = {file: baseline.merge_base.text(file) for file in files}
            after = {file: read_text(self.project.root / file) for file in files}
        except AnalyzerError:
            return []
        return arguments_changed(*({f: t for f, t in each.items() if t is not None} for each in (before, after)))

    def _model(self, name: str, model: Model, baseline: Baseline, configuration: Configuration) -> ModelVerdict:
        where = f"{self.project.file}: models.{name}"
        held_to, predicted = limits(model, where), predicted_limits(model, where)
        target = model.target or "a variant"
        try:
            held, base = self._held(name, model, baseline)
        except AnalyzerError as error:
            kind = "broken" if error.exit_code == 3 else "configuration"
            self.findings.append(self._at_configuration(_of_error(error, kind, name)))
            return ModelVerdict(name=name, target=target, figures=())
        standing = map(self._at_configuration, standing_of(held, base, held_to, baseline))
        own = [*self._uncounted(held), *standing]
        try:
            exceeded, lines = hold(held, held_to, self._reference(configuration))
        except AnalyzerError as error:  # of the model that a ratio refers to
            exceeded, lines = [self._at_configuration(_of_error(error, "broken", name))], []
        own += exceeded
        for line, finding in hold_predicted(held, predicted):
            lines += [line] if line else []
            own += [finding] if finding else []
        failed = {(finding.figure, finding.group) for finding in own}
        self.findings += waive(held, own, model.waivers, self.today)
        self.findings += remarks(held, held_to, lines, failed)
        before = held.base.record(target) if held.base else None
        return ModelVerdict(name=name, target=target, figures=tuple(lines), record=held.counted.record, before=before)

    def _count(self, name: str, model: Model) -> Counted:
        """Once a model, whether it is asked for itself or as another's reference first."""
        if name in self.broken:
            raise self.broken[name]
        if name not in self.counted:
            self.progress(name)
            try:
                peaks = needs_peaks(limits(model))
                work = bool(predicted_limits(model))
                self.counted[name] = count(model, self.project.root, peaks=peaks, work=work, seconds=self.seconds)
            except AnalyzerError as error:
                self.broken[name] = error
                raise
        return self.counted[name]

    def _uncounted(self, held: Held) -> Iterator[Finding]:
        if held.counted.record.uncounted:
            first = held.counted.record.uncounted[0]
            names = held.counted.record.uncounted_operators
            yield held.found(
                "uncounted", "error", f"operators without a formula, so the MACs are a lower bound: {names}",
                where=first.module or "the root", fix="leave out input to hold the model to its parameters alone",
            )  # fmt: skip

    def _reference(self, configuration: Configuration) -> Callable[[str, str], int]:
        def value(name: str, figure: str) -> int:
            if name in configuration.models:
                record = self._count(name, configuration.models[name]).record
            else:
                record = family.record(named(name), 1, layers=False)
            own: int | None = known(figure).of(record)
            if own is None:
                raise UsageError(f"{name} has no {figure}", where="max-ratio", fix="budget another figure")
            return own

        return value

    # -- places ------------------------------------------------------------------------------------------------

    def _place(self, model: str) -> source.Place:
        return self.project.file, line_of(self.project, model)

    def _at_configuration(self, finding: Finding) -> Finding:
        file, line = self._place(finding.model)
        return msgspec.structs.replace(finding, file=file, line=line)


def _kind_of(error: AnalyzerError) -> str:
    return {4: "stale"}.get(error.exit_code, "configuration")


def _of_error(error: AnalyzerError, kind: Any, model: str) -> Finding:
    return Finding(kind=kind, level="error", model=model, what=error.what, where=error.where, fix=error.fix)
