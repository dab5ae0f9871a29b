"""A plan's runs on several workers: processes of this machine, or a Ray cluster whose nodes share the plan's folder.

Each worker keeps its run in the run's own folder, and tells what it does in a file there; what it kept is taken over
here. So one process alone writes each file, and a run whose worker is lost goes on elsewhere from its checkpoint.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from analyzer.errors import AnalyzerError, TrainingError, UsageError
from analyzer.executors.cluster import Cluster
from analyzer.executors.executor import Done, Executor
from analyzer.processes import Asked, finishing
from analyzer.storing.results_file import NAME
from analyzer.structs import Frozen
from analyzer.targets.resolving import FamilyTarget
from analyzer.training.run_records import Config, Epoch, RunOutcome
from analyzer.training.runs_file import RunsFile

if TYPE_CHECKING:
    from analyzer.training.planning import TrainPlan, TrainWatch
    from analyzer.training.trainer import TrainJob

LOCK, TOLD, STOP = ".training.lock", "told.jsonl", ".stop"
LOOK_S = 0.5
"""How often is looked at what workers tell."""


@dataclass(frozen=True)
class RunTask:
    """One run of a plan (of its target and seed alone), for a worker."""

    plan: TrainPlan
    run: str


@dataclass(frozen=True)
class RunEnd:
    """How a worker's run ended: with an error of its own, or before its end because it was told to."""

    error: TrainingError | None = None
    interrupted: bool = False


class Telling(Frozen, frozen=True, kw_only=True):
    """A line of what a worker tells."""

    kind: Literal["say", "warn", "began", "epoch"]
    words: str = ""
    config: Config | None = None
    done: int = 0
    epoch: Epoch | None = None


# -- on a worker -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def telling(folder: Path) -> Iterator[TrainWatch]:
    """A watch that writes what it is told to the run's folder, a line each."""
    from analyzer.training.planning import TrainWatch

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TOLD).open("wb") as file:

        def tell(**what: object) -> None:
            file.write(msgspec.json.encode(Telling(**what)) + b"\n")  # type: ignore[arg-type]
            file.flush()

        yield TrainWatch(
            say=lambda words: tell(kind="say", words=words), warn=lambda words: tell(kind="warn", words=words),
            began=lambda config, done: tell(kind="began", config=config, done=done),
            epoch=lambda config, epoch: tell(kind="epoch", config=config, epoch=epoch),
        )  # fmt: skip


def require_shared(out: Path) -> None:
    """Raises UsageError where a worker doesn't see the folder that the runs are kept in."""
    if not (out / LOCK).exists():
        raise UsageError(
            "is not there on a worker", where=str(out), fix="name an --out (and --data) on storage that every node has"
        )


def told_to_end(plan: TrainPlan, asked: Asked) -> Callable[..., None]:
    """What is called at each step: notes that the plan's runs are to end."""

    def look(*_: object) -> None:
        asked.to_end = asked.to_end or (plan.out / STOP).exists()

    return look


# -- here ------------------------------------------------------------------------------------------------------


Train = Callable[..., RunEnd]
"""Trains a RunTask, and may be told on which device."""


@dataclass
class _Spread:
    """Runs on workers, as they go on."""

    plan: TrainPlan
    jobs: Sequence[TrainJob]
    watch: TrainWatch
    asked: Asked
    read: dict[Path, int] = field(default_factory=dict)
    looking: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> None:
        """Hands on what workers have told since the last look; an order to end is handed to them."""
        with self.looking:
            if self.asked.to_end:
                (self.plan.out / STOP).touch()
            for job in self.jobs:
                self._listen(job.folder / TOLD)

    def _listen(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                begin = self.read.get(path, 0)
                begin = begin if begin <= size else 0  # begun anew, as its worker was lost
                file.seek(begin)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            return
        self.read[path] = begin + len(whole) + len(newline)
        for line in whole.splitlines():
            told = msgspec.json.decode(line, type=Telling)
            if told.kind in ("say", "warn"):
                getattr(self.watch, told.kind)(told.words)
            elif told.config is not None and told.epoch is not None:
                self.watch.epoch(told.config, told.epoch)
            elif told.config is not None:
                self.watch.began(told.config, told.done)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Looks now and then, until what is inside is done, and once more."""
        over = threading.Event()

        def listen() -> None:
            while not over.wait(LOOK_S):
                self.look()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            (self.plan.out / STOP).touch()  # workers that go on save, and end
            raise
        finally:
            over.set()
            thread.join()
            self.look()


def spread(plan: TrainPlan, jobs: Sequence[TrainJob], watch: TrainWatch, train: Train) -> Iterator[RunOutcome | None]:
    """Trains jobs on the plan's workers by `train`, and gives each outcome when it is kept in the plan's results, first
    those that are trained already; None at the end where Ctrl-C ended it.

    Raises UsageError where a run can't be trained, once the others have ended.
    """
    (plan.out / STOP).unlink(missing_ok=True)
    with (
        contextlib.closing(RunsFile(plan.out / NAME, create=True)) as runs,
        contextlib.closing(plan.where.open(long=True)) as executor,
        finishing() as asked,
    ):
        waiting = [job for job in jobs if not _finished(job, runs)]
        for job in jobs:
            if job not in waiting:
                yield RunOutcome(job.config, tuple(runs.epochs(job.config.run)))
            (job.folder / TOLD).unlink(missing_ok=True)  # what an earlier command's worker told
        tasks = [_task(plan, job) for job in waiting]
        going = _Spread(plan, waiting, watch, asked)
        failed: AnalyzerError | None = None
        with going.listening():
            for done in _handed(executor, tasks, train, asked):
                job, result = waiting[done.index], done.result
                going.look()
                gathered(plan.out / NAME, [job])
                if isinstance(result, AnalyzerError):
                    failed = failed or result
                elif config := runs.configs().get(job.config.run):
                    yield RunOutcome(config, tuple(runs.epochs(config.run)), result.error)
        if failed is not None:
            raise failed
        if asked.to_end:
            yield None


def _handed(executor: Executor, tasks: Sequence[RunTask], train: Train, asked: Asked) -> Iterator[Done[RunEnd]]:
    """What comes of tasks; on a cluster's GPUs one at a time on each. Once it is to end, no task is begun."""

    def drawn() -> Iterable[RunTask]:
        for task in tasks:
            if asked.to_end:
                return
            yield task

    if isinstance(executor, Cluster) and executor.on_gpus:
        return executor.measure(train, drawn())
    return executor.compute(train, drawn())


def _finished(job: TrainJob, runs: RunsFile) -> bool:
    """Whether a run is trained as it is asked for."""
    kept = runs.configs().get(job.config.run)
    same = kept is not None and msgspec.structs.replace(kept, machine=job.config.machine, micro=job.config.micro)
    return same == job.config and len(runs.epochs(job.config.run)) >= (job.until or job.config.recipe.epochs)


def _task(plan: TrainPlan, job: TrainJob) -> RunTask:
    """A run alone. Raises UsageError where it can't be handed to another process."""
    trainee = job.trainee
    named = trainee.module if trainee.variant is None else FamilyTarget(trainee.variant, trainee.label)
    own = trainee.entrant or named
    assert own is not None
    task = RunTask(replace(plan, targets=(own,), seeds=(job.config.seed,)), job.config.run)
    try:
        pickle.dumps(task)
    except Exception as error:
        raise UsageError(
            f"can't be handed to another process: {error}", where="data", fix="give a path or module:attr, or --jobs 1"
        ) from error
    return task


def gathered(path: Path, jobs: Iterable[TrainJob]) -> None:
    """Takes over what workers kept in runs' own folders, into one results file."""
    kept = [own for job in jobs if (own := job.folder / NAME).exists()]
    if not kept:
        return
    with contextlib.closing(RunsFile(path, create=True)) as runs:
        for each in kept:
            with contextlib.closing(RunsFile(each)) as theirs:
                runs.take(theirs, newer=True)
            for suffix in ("", "-wal", "-shm"):
                each.with_name(each.name + suffix).unlink(missing_ok=True)
