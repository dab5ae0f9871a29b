"""Trainings from their plan to their end: what the command and Python both conduct."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from analyzer import units
from analyzer.errors import TrainingError, UsageError
from analyzer.files import locked
from analyzer.measuring.environment import pick_device
from analyzer.processes import Asked, finishing
from analyzer.storing.results_file import NAME
from analyzer.training.moving import divided_words, going_on, moved
from analyzer.training.planning import TrainPlan, TrainWatch, prepare
from analyzer.training.run_records import Config, Epoch, RunOutcome, changes
from analyzer.training.together import Together, joined
from analyzer.training.workers import LOCK, RunEnd, RunTask, gathered, require_shared, spread, telling, told_to_end

if TYPE_CHECKING:
    from analyzer.training.preflight import Need, Pace
    from analyzer.training.trainer import TrainerWatch, TrainJob


@dataclass(frozen=True)
class Preflight:
    """What one run will take, and what to doubt; `done` epochs of it are trained, `left` are not that are to be now."""

    job: TrainJob
    need: Need
    pace: Pace | None
    done: int
    left: int
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class TrainResult:
    """The runs of a plan, those that were begun; Ctrl-C keeps what is finished."""

    runs: tuple[RunOutcome, ...]
    interrupted: bool


# -- before the first step -------------------------------------------------------------------------------------


def preflights(plan: TrainPlan, jobs: Sequence[TrainJob], watch: TrainWatch) -> Iterator[Preflight]:
    """What each run will take: its memory predicted, its steps timed. A run whose memory is short gets smaller parts.

    Raises UsageError where a run that was begun has changed and that is not accepted.
    """
    from analyzer.training import preflight

    paces: dict[str, Pace] = {}
    needs: dict[str, Need] = {}
    used = sorted({index for job in jobs for index in job.split.train + job.split.val + job.split.test})
    for job in jobs:
        config, done = job.together.first(partial(_begun, job, plan, watch))
        job = replace(job, config=config)
        left = max(plan.end - done, 0)
        need = preflight.Need(None, job.config.micro, 0, "nothing is left to do")
        if left > 0:
            job.feed.keep(used)
            if config.network not in needs:
                needs[config.network] = preflight.need(job, preflight.free_for_each(job) // plan.beside)
            need = needs[config.network]
            job = replace(job, config=msgspec.structs.replace(job.config, micro=need.micro))
            if plan.timed and job.config.network not in paces:
                paces[job.config.network] = preflight.pace(job)
        pace = paces.get(job.config.network)
        yield Preflight(job, need, pace, done, left, tuple(preflight.doubts(job)) if left else ())


def _begun(job: TrainJob, plan: TrainPlan, watch: TrainWatch) -> tuple[Config, int]:
    """A run as its checkpoint takes it up, and how many epochs it has. Raises UsageError where it has changed."""
    from analyzer.training import checkpoints

    last = checkpoints.last_of(job.folder)
    if last is None:
        return job.config, 0
    if last.checkpoint.network != job.config.network:
        raise UsageError(
            f"is a checkpoint of {last.checkpoint.network}, not of {job.config.network}",
            where=str(job.folder / checkpoints.LAST), fix="choose another --out",
        )  # fmt: skip
    at = checkpoints.progress(job.folder, last)
    before = at.config
    now = going_on(before, job.config)
    changed = [f"{name} {_shown(old)} -> {_shown(new)}" for name, old, new in changes(before, now)]
    if changed and not plan.accept:
        raise UsageError(
            f"was begun differently: {'; '.join(changed)}", where=job.config.run,
            fix="go on as it was begun, choose another --out, or --accept what changed",
        )  # fmt: skip
    if before.machine.processes != now.machine.processes:
        watch.warn(f"{now.shown}: {moved(before, now)}")
    return now, at.epoch


def _shown(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def dry_run(plan: TrainPlan, watch: TrainWatch) -> list[Preflight]:
    """What the plan would take; nothing is written but how the images are divided."""
    with threads(plan.threads), joined(pick_device("cpu" if plan.spread else plan.device)) as together:
        return list(preflights(plan, prepare(plan, watch, together), watch))


@contextlib.contextmanager
def threads(asked: int | None) -> Iterator[None]:
    """torch's threads for what is inside (None: as they are), and then as they were."""
    import torch

    before = torch.get_num_threads()
    if asked is not None:
        torch.set_num_threads(asked)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# -- the runs --------------------------------------------------------------------------------------------------


def execute(plan: TrainPlan, watch: TrainWatch) -> TrainResult:
    """Trains what is not trained yet; each epoch is durable before the next begins. Ctrl-C finishes a step and saves.

    Raises UsageError where something can't be read, written or trained, or another process trains in `out`.
    """
    with contextlib.ExitStack() as stack:
        together = stack.enter_context(joined(pick_device("cpu" if plan.spread else plan.device)))
        together.first(partial(_hold, plan.out, stack))
        stack.enter_context(threads(plan.threads))
        begun: list[RunOutcome] = []
        try:
            _execute(plan, watch, begun, together)
        except KeyboardInterrupt:
            return TrainResult(tuple(begun), True)
        return TrainResult(tuple(begun), False)


def _hold(out: Path, stack: contextlib.ExitStack) -> None:
    """Keeps other trainings out of a folder."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        stack.enter_context(locked(out / LOCK, wait=False))
    except BlockingIOError:
        raise UsageError(
            "another process trains there", where=str(out), fix="wait for it, or choose another --out"
        ) from None


def _execute(plan: TrainPlan, watch: TrainWatch, begun: list[RunOutcome], together: Together) -> None:
    # A driver that has no GPU hands on runs to workers that have.
    jobs = prepare(replace(plan, device="cpu") if plan.spread else plan, watch, together)
    together.first(lambda: gathered(plan.out / NAME, jobs))
    if not plan.spread:
        with finishing() as asked:
            _train_here(plan, jobs, plan.out / NAME, watch, asked, begun)
        return
    order = {job.config.run: index for index, job in enumerate(jobs)}
    for outcome in spread(plan, jobs, watch, run_alone):
        if outcome is None:
            raise KeyboardInterrupt
        begun.append(outcome)
        begun.sort(key=lambda each: order[each.config.run])


def run_alone(task: RunTask, device: str | None = None) -> RunEnd:
    """One run to its end on a worker, on a device (None: the plan's), kept in the run's own folder.

    Raises UsageError where it can't be trained.
    """
    plan = task.plan if device is None else replace(task.plan, device=device)
    require_shared(plan.out)
    folder, asked, begun = plan.out / "runs" / task.run, Asked(), list[RunOutcome]()
    with telling(folder) as watch, locked(folder / LOCK), threads(plan.threads):
        jobs = [job for job in prepare(plan, watch) if job.config.run == task.run]
        try:
            _train_here(plan, jobs, folder / NAME, replace(watch, step=told_to_end(plan, asked)), asked, begun)
        except KeyboardInterrupt:
            return RunEnd(interrupted=True)
    return RunEnd(begun[0].error)


def _train_here(
    plan: TrainPlan, jobs: Sequence[TrainJob], results: Path, watch: TrainWatch, asked: Asked, begun: list[RunOutcome]
) -> None:
    from analyzer.training.runs_file import SharedRuns

    ready = list(preflights(plan, jobs, watch))
    for sentence in told(ready) if plan.timed else ():
        watch.say(sentence)
    for doubt in doubts_of(ready):
        watch.warn(doubt)
    with contextlib.closing(SharedRuns(results, jobs[0].together)) as runs:
        for each in ready:
            error = _train(each, runs, watch, asked, begun)
            begun[-1:] = [RunOutcome(each.job.config, tuple(runs.epochs(each.job.config.run)), error)]


def _train(
    ready: Preflight, runs: Any, watch: TrainWatch, asked: Asked, begun: list[RunOutcome]
) -> TrainingError | None:
    """One run to its end; a loss that is no number ends it alone."""
    from analyzer.training.trainer import TrainerWatch

    job = ready.job
    config = job.config
    runs.begin(config, {name: job.images(name) for name in ("val", "test")})
    watch.began(config, ready.done)
    epochs: list[Epoch] = list(runs.epochs(config.run))
    begun.append(RunOutcome(config, tuple(epochs)))

    def finished(config: Config, epoch: Epoch) -> None:
        epochs.append(epoch)
        begun[-1] = RunOutcome(config, tuple(epochs))
        watch.epoch(config, epoch)

    if not ready.left:
        return None
    try:
        _train_within_memory(job, runs, TrainerWatch(watch.step, finished, asked), watch.warn)
    except TrainingError as error:
        watch.warn(str(error))
        return error
    return None


def _train_within_memory(job: TrainJob, runs: Any, watch: TrainerWatch, warn: Callable[[str], None]) -> None:
    """Trains; where the device runs out of memory, on from the last checkpoint in parts of half as many images."""
    import torch

    from analyzer.training.trainer import train

    while True:
        try:
            train(job, runs, watch)
            return
        except torch.OutOfMemoryError as error:
            micro = job.config.micro
            if micro == 1:
                what = f"one image alone is too much for {job.device}"
                fix = "take a smaller --image or network"
                raise UsageError(what, where=job.config.run, fix=fix) from error
            if not job.together.alone:  # the others wait within the step
                what = f"{micro} images at a time are too many for {job.device}"
                fix = "start more processes, or say a smaller --batch"
                raise UsageError(what, where=job.config.run, fix=fix) from error
        job = replace(job, config=msgspec.structs.replace(job.config, micro=-(-micro // 2)))
        warn(
            f"{job.config.run}: out of memory at {micro} images: goes on from its last checkpoint with parts of "
            f"{job.config.micro} at the same batch of {job.config.recipe.batch}; batch norm sees the parts"
        )
        runs.begin(job.config)


def doubts_of(ready: Sequence[Preflight]) -> list[str]:
    """What is to be doubted, each once."""
    return list(dict.fromkeys(doubt for each in ready for doubt in each.doubts))


def told(ready: Sequence[Preflight]) -> Iterator[str]:
    """The preflight in words: the images, a line a run, the whole time."""
    for images in dict.fromkeys(each.job.config.images for each in ready):
        train, val, test = images
        classes = len(ready[0].job.config.classes)
        yield f"{train:,} images to train on, {val:,} to validate, {test:,} to test; {classes} classes"
    yield from dict.fromkeys(words for each in ready if (words := divided_words(each.job.config)))
    whole = 0.0
    for each in ready:
        config, need = each.job.config, each.need
        if not each.left:
            yield f"{config.shown}: trained, {each.done} epochs"
            continue
        seconds = 0.0 if each.pace is None else each.left / config.recipe.epochs * each.pace.run_s(each.job)
        whole += seconds
        memory = f"not predicted ({need.why})" if need.peak_bytes is None else units.mib(need.peak_bytes)
        yield (
            f"{config.shown}: {each.left} epochs, about {units.span(seconds)}; predicted peak {memory} at "
            f"{need.micro} images, {units.format_gib(need.free_bytes)} free"
        )
    yield from _sight(ready)
    if len(ready) > 1 and whole:
        yield f"about {units.span(whole)} in all, by three timed steps of each network"


def _sight(ready: Sequence[Preflight]) -> Iterator[str]:
    """What as many pairs as there are can see, where two networks are trained from the same seeds."""
    from analyzer.training.statistics import detectable

    networks = {each.job.config.network for each in ready}
    pairs = len({(each.job.config.seed, each.job.config.fold) for each in ready})
    sees = detectable(pairs, 3.0) if len(networks) > 1 else None
    if sees is not None:
        yield f"{pairs} pairs see {sees:.1f} points, 80 times in 100, where pairs' differences have an SD of 3"
