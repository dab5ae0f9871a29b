"""Search with measured figures: Optuna proposes, static constraints prune, devices measure. Optuna is an extra.

The study begins with the exact static front and is kept in a file, so that it can go on where it ended. A candidate
that misses a constraint is pruned before anything is built; one that is measured is a row of the results database at
once, which a sweep would find there too.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from analyzer.architecture.network import densenet121_like
from analyzer.architecture.variant import Variant
from analyzer.errors import ArchitectureError, MeasureError, UsageError, did_you_mean
from analyzer.executors.executor import Device, Executor, one_kind, result_of
from analyzer.figures import FIGURES
from analyzer.measurements import Measurement
from analyzer.measuring.exclusive import device_clock
from analyzer.reading import family
from analyzer.records import Record, Remark, variant_of
from analyzer.searching import engine
from analyzer.searching.candidates import Coding, evenly, excess_of, fitting, places
from analyzer.searching.optuna_storage import alone, optuna_here, storage_at, told
from analyzer.searching.query import Objective, Query, goals
from analyzer.searching.results import Find
from analyzer.space.pareto import front
from analyzer.space.space import Space
from analyzer.sweeping.store import Setting, Store
from analyzer.sweeping.timing import MeasureOne, Timing, measure_timing

if TYPE_CHECKING:
    import optuna

Sampler = Literal["tpe", "nsga2"]
MEASURED = {figure.name: figure for figure in FIGURES.values() if figure.standing == "measured" and figure.searched}
"""What can be measured for."""
STATIC_SHARE = 0.25
"""Of the time, at most, for the static front that the study begins with."""
WARM, WARM_MOST = 0.5, 16
"""The static front's part of the measurements, and how many it is where their number is left open."""
IN_VAIN = 32
"""Proposals in a row that are pruned or known, after which one that fits is drawn; each time half as many."""
DRAWS = 50
"""Chunks of random variants that are looked at for one that fits and is new."""


@dataclass(frozen=True)
class Question:
    """What a measured search looks for.

    The static `query` gives the constraints and the front to begin with; `static` are those of its objectives that
    count beside the `measured` ones. `trials` of None: as many measurements as `seconds` allow. A `batch` of None is
    the device's usual one.
    """

    space: Space
    query: Query
    measured: tuple[str, ...]
    static: tuple[Objective, ...] = ()
    trials: int | None = None
    seconds: float = 600.0
    batch: int | None = None
    sampler: Sampler = "tpe"
    seed: int = 0

    def __post_init__(self) -> None:
        for figure in self.measured:
            if figure not in MEASURED:
                raise UsageError(f"can't measure {figure!r}", where="--objective", fix=did_you_mean(figure, MEASURED))
        if not self.measured:
            raise UsageError("has no measured objective", where="--objective", fix="such as measured_latency_s")

    @property
    def maximized(self) -> list[bool]:
        """Of each objective, the measured first, whether more is better."""
        measured = (MEASURED[figure].better == "more" for figure in self.measured)
        return [*measured, *(objective.maximize for objective in self.static)]


@dataclass
class StudyResult:
    """What a study has measured: rows in the order of measuring, those of earlier runs first, and what was pruned."""

    question: Question
    static: engine.Result
    device: Device
    rows: list[Record] = field(default_factory=list)
    earlier: int = 0
    pruned: int = 0
    failed: int = 0
    ended: str = ""
    interrupted: bool = False

    def finds(self) -> list[Find]:
        """Every measured row, those on the front of the objectives first, by the first objective."""
        if not self.rows:
            return []
        table = np.array([values_of(self.question, row) for row in self.rows]) * np.where(
            self.question.maximized, -1.0, 1.0
        )
        keep = front(table)
        order = sorted(range(len(table)), key=lambda i: (not keep[i], *table[i]))
        return [Find(self.rows[i], bool(keep[i]), ()) for i in order]


def values_of(question: Question, row: Record) -> list[float]:
    """A measured row's objectives, as figures are: none is turned round."""
    names = (*question.measured, *(objective.figure for objective in question.static))
    return [float(FIGURES[name].of(row)) for name in names]


def comparable(measured: Measurement) -> bool:
    """Whether it is at the batch that was asked for: a smaller one, as the other didn't fit, is another figure."""
    return measured.batch == measured.asked_batch


def run_study(
    question: Question,
    store: Store,
    executor: Executor,
    path: Path | None = None,
    *,
    measure_one: MeasureOne = measure_timing,
    on_static: Callable[[engine.Result], None] = lambda _: None,
    starting: Callable[[Record], None] = lambda _: None,
    clock: Callable[[], float] = device_clock,
) -> StudyResult:
    """Searches; the study is kept at `path` (None: nowhere). On Ctrl-C what is measured comes back, `interrupted`.

    Raises UsageError where Optuna is missing, no variant meets the constraints, or devices are unlike.
    """
    end = clock() + question.seconds
    optuna_here()
    device = one_kind(executor.devices())
    query = replace(question.query, best=max(question.query.best, question.trials or 0, WARM_MOST))
    static = engine.search(question.space, query, seconds=STATIC_SHARE * question.seconds, seed=question.seed)
    on_static(static)
    outcome = StudyResult(question, static, device)
    with alone(path), told(path):
        run = _Run(question, outcome, store, path, starting, end, clock)
        try:
            for done in executor.measure(measure_one, run.timings()):
                made = done.result if isinstance(done.result, MeasureError) else result_of(done)
                run.tell(done.index, made, done.host)
        except KeyboardInterrupt:
            outcome.interrupted, outcome.ended = True, "interrupted"
    return outcome


@dataclass
class _Open:
    """A candidate that is being measured."""

    trial: optuna.trial.Trial
    row: Record


class _Run:
    """One run of a study: what is asked of Optuna, measured, and told."""

    def __init__(
        self,
        question: Question,
        outcome: StudyResult,
        store: Store,
        path: Path | None,
        starting: Callable[[Record], None],
        end: float,
        clock: Callable[[], float],
    ) -> None:
        self.question, self.outcome, self.store, self.starting = question, outcome, store, starting
        self.end, self.clock = end, clock
        self.coding = Coding(question.space)
        self.baseline = _baseline(question)
        self.setting = _setting(question, outcome.device, self.baseline)
        self.known = {name: made for name, made in store.measured(self.setting).items() if comparable(made)}
        self.tried: set[str] = set()
        self.open: dict[int, _Open] = {}
        self.chance = random.Random(question.seed)
        self.study = _study(question, self.setting, path)
        self.patience = IN_VAIN
        self.reserve = iter(places(outcome.static.finds))
        self._resume()
        self._warm()

    def _resume(self) -> None:
        """Takes up what earlier runs of this study measured; a trial that a killed run left open is no trial."""
        state = optuna_here().trial.TrialState
        for trial in self.study.get_trials(deepcopy=False):
            name = trial.user_attrs.get("name")
            if trial.state == state.RUNNING:
                self.study.tell(trial.number, state=state.FAIL)
            elif trial.state == state.COMPLETE and name in self.known and name not in self.tried:
                self._keep(self._row(self.coding.variant(trial.params)), self.known[name])
        self.outcome.earlier = len(self.outcome.rows)

    def _warm(self) -> None:
        """Proposes the static front, evenly where it is larger than its part of the measurements."""
        finds = self.outcome.static.finds
        order = np.argsort(goals(self.question.query, finds.points)[:, 0], kind="stable")
        most = WARM_MOST if self.question.trials is None else max(1, int(WARM * self.question.trials))
        for part, index in (finds.where[order[i]] for i in evenly(len(order), most)):
            self.study.enqueue_trial(self.coding.params(int(part), int(index)), skip_if_exists=True)

    # -- asking ------------------------------------------------------------------------------------------------

    def timings(self) -> Iterator[Timing]:
        """Candidates to measure, one after the other, until the question's measurements or its time are spent."""
        number = 0
        while (reason := self._enough(number)) is None:
            candidate = self._candidate()
            if candidate is None:
                self.outcome.ended = "every variant that fits is measured, or none that is new was found"
                return
            self.open[number] = candidate
            self.starting(candidate.row)
            left = max(self.end - self.clock(), 0.0)
            trials = self.question.trials
            share = left / (trials - number) if trials is not None else 0.0
            yield Timing(variant_of(candidate.row), self.baseline, share, self.question.batch, left)
            number += 1
        self.outcome.ended = reason

    def _enough(self, number: int) -> str | None:
        if self.question.trials is not None and number >= self.question.trials:
            return f"{number} measurements were made (--trials)"
        if number and self.clock() >= self.end:
            return f"the {self.question.seconds:g} s were spent (--time)"
        finds = self.outcome.static.finds
        if self.outcome.static.exhaustive and len(self.tried) >= finds.fitting:
            return "every variant that fits is measured"
        return None

    def _candidate(self) -> _Open | None:
        """The next variant that fits and is not known; what Optuna proposes in vain is told so."""
        for attempt in range(2 * IN_VAIN):
            if attempt >= self.patience:
                self.patience = max(1, self.patience // 2)
                if not self._draw():
                    return None
            trial = self.study.ask()
            row = self._row(self.coding.ask(trial))
            trial.set_user_attr("name", row.target.name)
            excess = [excess_of(constraint, row) for constraint in self.question.query.constraints]
            for number, each in enumerate([*excess, float(not self._counted(row))]):
                trial.set_constraint(str(number), each)
            if any(each > 0 for each in excess) or not self._counted(row):
                self.outcome.pruned += 1
                self.study.tell(trial, state=optuna_here().trial.TrialState.PRUNED)
            elif row.target.name in self.tried:
                self.study.tell(trial, state=optuna_here().trial.TrialState.FAIL)  # nothing new to be learnt
            elif (measured := self.known.get(row.target.name)) is not None:
                self.study.tell(trial, values_of(self.question, self._keep(row, measured)))
            else:
                self.tried.add(row.target.name)
                if attempt < self.patience:
                    self.patience = IN_VAIN
                return _Open(trial, row)
        return None

    def _counted(self, row: Record) -> bool:
        """Whether it makes a network and has every static objective."""
        return row.error is None and all(FIGURES[o.figure].of(row) is not None for o in self.question.static)

    def _draw(self) -> bool:
        """Proposes a variant that fits and is new, of what the static search found, else at random; False for none."""
        space, query = self.question.space, self.question.query
        drawn = (place for _ in range(DRAWS) for place in fitting(space, query, self.chance))
        for part, index in itertools.chain(self.reserve, drawn):
            if family.target(space.parts[part].variant(index)).name not in self.tried:
                self.study.enqueue_trial(self.coding.params(part, index))
                return True
        return False

    def _row(self, variant: Variant) -> Record:
        try:
            return family.record(variant, self.question.query.batch, layers=False)
        except ArchitectureError as error:
            return family.failed(variant.name, error, variant, self.question.query.batch)

    # -- telling -----------------------------------------------------------------------------------------------

    def tell(self, number: int, made: Measurement | MeasureError, host: str) -> None:
        """Keeps what was measured, then tells Optuna."""
        candidate = self.open.pop(number)
        if isinstance(made, MeasureError) or not comparable(made):
            self.outcome.failed += 1
            self.store.put([_failed(candidate.row, made)], host)
            self.study.tell(candidate.trial, state=optuna_here().trial.TrialState.FAIL)
            return
        row = self._keep(candidate.row, made, host)
        self.study.tell(candidate.trial, values_of(self.question, row))

    def _keep(self, row: Record, measured: Measurement, host: str | None = None) -> Record:
        """The row with its measurement, as one of the outcome's and of the store's."""
        done = msgspec.structs.replace(row, measured=measured)
        self.store.put([done], host)
        self.tried.add(row.target.name)
        self.outcome.rows.append(done)
        return done


def _failed(row: Record, made: Measurement | MeasureError) -> Record:
    """The row with what is known all the same."""
    if isinstance(made, MeasureError):
        return row.remarked(Remark(kind="not-measured", text=f"not measured: {made}"))
    return msgspec.structs.replace(row, measured=made)


def _baseline(question: Question) -> Variant:
    """DenseNet121 at the space's classes and image; the space's first variant where that makes no network."""
    first = question.space.parts[0].variant(0)
    return densenet121_like(first) if family.baseline_or_none(first) is not None else first


def _setting(question: Question, device: Device, baseline: Variant) -> Setting:
    from analyzer.measuring.measure import SWEEP, default_batch
    from analyzer.measuring.protocol import described

    return Setting(described(SWEEP), device.name, question.batch or default_batch(device.type), baseline.name)


def _study(question: Question, setting: Setting, path: Path | None) -> optuna.Study:
    """The study of this very question, made where it is new; another question's in the same file is another study."""
    kit = optuna_here()
    asked = [question.space.axes, question.query.constraints, question.static, question.measured, setting]
    name = hashlib.sha256(json.dumps(asked, default=str, sort_keys=True).encode()).hexdigest()[:16]
    study: optuna.Study = kit.create_study(
        storage=None if path is None else storage_at(path),
        study_name=name,
        load_if_exists=True,
        directions=["maximize" if more else "minimize" for more in question.maximized],
    )
    seed = question.seed + len(study.get_trials(deepcopy=False))  # else it would propose the same again
    if question.sampler == "nsga2":
        size = max(4, min(50, (question.trials or 50) // 3))
        study.sampler = kit.samplers.NSGAIISampler(population_size=size, seed=seed)
    else:
        study.sampler = kit.samplers.TPESampler(seed=seed)
    return study
