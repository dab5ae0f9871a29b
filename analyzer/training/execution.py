"""Trainings from their plan to their end: what the command and Python both conduct."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from analyzer.errors import TrainingError, UsageError
from analyzer.files import locked, require_writable
from analyzer.images.base import Source
from analyzer.images.source import open_source
from analyzer.processes import Asked, finishing
from analyzer.storing.results_file import NAME
from analyzer.targets.resolving import Resolved
from analyzer.training.dividing import Division, Parts, data_digest, divided
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config, Epoch, Machine, changes
from analyzer.training.subjects import Subject, subject_of
from analyzer.units import GIB

if TYPE_CHECKING:
    import torch

    from analyzer.training.preflight import Need, Pace
    from analyzer.training.trainer import Job, TrainerWatch


def _silent(*_: object) -> None:
    pass


@dataclass(frozen=True)
class TrainWatch:
    """Is told how training goes on. `say` gets sentences, `warn` what to doubt, `began` each run with how many epochs
    it has already, `step` the images of an epoch so far, `epoch` each finished one.
    """

    say: Callable[[str], None] = _silent
    warn: Callable[[str], None] = _silent
    began: Callable[[Config, int], None] = _silent
    step: Callable[[Config, int, int], None] = _silent
    epoch: Callable[[Config, Epoch], None] = _silent


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What to train: each target, on each fold, from each seed; kept in `out`. `accept` takes a run on where its data,
    recipe or machine changed. `threads` of None are torch's own choice.
    """

    targets: tuple[Resolved, ...]
    data: Any
    out: Path
    recipe: Recipe = field(default_factory=Recipe)
    image: int | None = None
    seeds: tuple[int, ...] = (0,)
    division: Division = field(default_factory=Division)
    device: str = "auto"
    threads: int | None = None
    workers: int = 0
    cache_bytes: int = 2 * GIB
    best: bool = False
    accept: bool = False

    def __post_init__(self) -> None:
        if not self.targets:
            raise UsageError("nothing to train", where="targets", fix="name a network, such as densenet121")
        if len(set(self.seeds)) < len(self.seeds) or any(not 0 <= seed < 2**63 for seed in self.seeds):
            raise UsageError("seeds are whole numbers from 0, each once", where="--seeds", fix="such as 0,1,2")
        require_writable(self.out / NAME)


@dataclass(frozen=True)
class Preflight:
    """What one run will take, and what to doubt; `left` epochs of it are not trained yet."""

    job: Job
    need: Need
    pace: Pace | None
    left: int
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class RunOutcome:
    """A run's configuration and its epochs; `error` where it could not go on."""

    config: Config
    epochs: tuple[Epoch, ...]
    error: TrainingError | None = None


@dataclass(frozen=True)
class TrainResult:
    """The runs of a plan, those that were begun; Ctrl-C keeps what is finished."""

    runs: tuple[RunOutcome, ...]
    interrupted: bool


# -- before the first step -------------------------------------------------------------------------------------


def prepare(plan: TrainPlan, watch: TrainWatch) -> list[Job]:
    """The runs of a plan, in order, their data read and divided. Raises UsageError on what can't be trained on."""
    import torch

    from analyzer.measuring.environment import pick_device
    from analyzer.training.feeding import Feed

    device = pick_device(plan.device)
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    source = open_source(plan.data)
    subjects = _subjects(plan, source)
    parts = divided(source, plan.out, plan.division, watch.say, watch.warn)
    feeds = {
        size: Feed(source, *size, workers=plan.workers, cache_bytes=plan.cache_bytes // max(len(subjects), 1))
        for size in dict.fromkeys((subject.image, subject.channels) for subject in subjects)
    }
    about = _About(data_digest(source, parts), source.classes, Machine(
        device=device.type, threads=torch.get_num_threads(), torch=str(torch.__version__).partition("+")[0]
    ))  # fmt: skip
    return [
        _job(plan, about, subject, part, seed, feeds[subject.image, subject.channels], device)
        for seed in plan.seeds for part in parts for subject in subjects
    ]  # fmt: skip


@dataclass(frozen=True)
class _About:
    """What all runs of a plan share."""

    data: str
    classes: tuple[str, ...]
    machine: Machine


def _subjects(plan: TrainPlan, source: Source) -> list[Subject]:
    subjects = [subject_of(target, len(source.classes), plan.image) for target in plan.targets]
    twice = {subject.name for subject in subjects if [s.name for s in subjects].count(subject.name) > 1}
    if twice:
        what = f"{min(twice)} is named twice, at the data's classes and image"
        raise UsageError(what, where="targets", fix="name each network once")
    for subject in subjects:
        if subject.variant is not None:  # an image too small for it is told before anything is read
            from analyzer.architecture.network import trace

            trace(subject.variant)
    return subjects


def _job(
    plan: TrainPlan, about: _About, subject: Subject, part: Parts, seed: int, feed: Any, device: torch.device
) -> Job:
    from analyzer.training.augmenting import extra_augmentation
    from analyzer.training.trainer import Job

    split = part.split
    run = f"{subject.name}_seed{seed}" + ("" if part.fold is None else f"_fold{part.fold}")
    config = Config(
        run=run, network=subject.name, label=subject.label, image=subject.image, classes=about.classes,
        data=about.data, split=split.digest, images=(len(split.train), len(split.val), len(split.test)), seed=seed,
        fold=part.fold, recipe=plan.recipe, micro=min(plan.recipe.batch, len(split.train)), machine=about.machine,
    )  # fmt: skip
    _require_trainable(config)
    folder = plan.out / "runs" / run
    return Job(subject, config, split, feed, device, folder, plan.best, extra_augmentation(plan.recipe))


def _require_trainable(config: Config) -> None:
    train, batch = config.images[0], config.recipe.batch
    if train < max(batch, 2):
        fix = f"say --batch {train}, or give more images" if train > 1 else "give more images"
        raise UsageError(f"{train} images to train on are fewer than a batch of {batch}", where=config.run, fix=fix)


def preflights(plan: TrainPlan, jobs: Sequence[Job], watch: TrainWatch) -> Iterator[Preflight]:
    """What each run will take: its memory predicted, its steps timed. A run whose memory is short gets smaller parts.

    Raises UsageError where a run that was begun has changed and that is not accepted.
    """
    from analyzer.training import preflight

    paces: dict[str, Pace] = {}
    for job in jobs:
        there = _begun(job, plan)
        job, done = there if there is not None else (job, 0)
        left = job.config.recipe.epochs - done
        need = preflight.Need(None, job.config.micro, "nothing is left to do")
        if left > 0:
            need = preflight.need(job, preflight.free_bytes(job.device))
            job = replace(job, config=msgspec.structs.replace(job.config, micro=need.micro))
            if job.config.network not in paces:
                paces[job.config.network] = preflight.pace(job)
        pace = paces.get(job.config.network)
        yield Preflight(job, need, pace, left, tuple(preflight.doubts(job)) if left else ())


def _begun(job: Job, plan: TrainPlan) -> tuple[Job, int] | None:
    """A run that its checkpoint takes up, and how many epochs it has. Raises UsageError where it has changed."""
    from analyzer.training import checkpoints

    last = checkpoints.last_of(job.folder)
    if last is None:
        return None
    if last.checkpoint.network != job.config.network:
        raise UsageError(
            f"is a checkpoint of {last.checkpoint.network}, not of {job.config.network}",
            where=str(job.folder / checkpoints.LAST), fix="choose another --out",
        )  # fmt: skip
    at = checkpoints.progress(job.folder, last)
    before = at.config
    now = msgspec.structs.replace(job.config, micro=before.micro)
    changed = [f"{name} {_shown(old)} -> {_shown(new)}" for name, old, new in changes(before, now)]
    if changed and not plan.accept:
        raise UsageError(
            f"was begun differently: {'; '.join(changed)}", where=job.config.run,
            fix="go on as it was begun, choose another --out, or --accept what changed",
        )  # fmt: skip
    return replace(job, config=now), at.epoch


def _shown(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def dry_run(plan: TrainPlan, watch: TrainWatch) -> list[Preflight]:
    """What the plan would take; nothing is written but how the images are divided."""
    jobs = prepare(plan, watch)
    return list(preflights(plan, jobs, watch))


# -- the runs --------------------------------------------------------------------------------------------------


def execute(plan: TrainPlan, watch: TrainWatch) -> TrainResult:
    """Trains what is not trained yet; each epoch is durable before the next begins. Ctrl-C finishes a step and saves.

    Raises UsageError where something can't be read, written or trained, or another process trains in `out`.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(plan.out / ".training.lock", wait=False))
        except BlockingIOError:
            raise UsageError(
                "another process trains there", where=str(plan.out), fix="wait for it, or choose another --out"
            ) from None
        asked = stack.enter_context(finishing())
        begun: list[RunOutcome] = []
        try:
            _execute(plan, watch, asked, begun)
        except KeyboardInterrupt:
            return TrainResult(tuple(begun), True)
        return TrainResult(tuple(begun), False)


def _execute(plan: TrainPlan, watch: TrainWatch, asked: Asked, begun: list[RunOutcome]) -> None:
    from analyzer.training.runs_file import RunsFile

    jobs = prepare(plan, watch)
    ready = []
    for each in preflights(plan, jobs, watch):
        ready.append(each)
        if asked.to_end:
            raise KeyboardInterrupt
    for sentence in told(ready):
        watch.say(sentence)
    for doubt in dict.fromkeys(doubt for each in ready for doubt in each.doubts):
        watch.warn(doubt)
    with contextlib.closing(RunsFile(plan.out / NAME, create=True)) as runs:
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
    runs.begin(config)
    watch.began(config, config.recipe.epochs - ready.left)
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


def _train_within_memory(job: Job, runs: Any, watch: TrainerWatch, warn: Callable[[str], None]) -> None:
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
        job = replace(job, config=msgspec.structs.replace(job.config, micro=-(-micro // 2)))
        warn(
            f"{job.config.run}: out of memory at {micro} images: goes on from its last checkpoint with parts of "
            f"{job.config.micro} at the same batch of {job.config.recipe.batch}; batch norm sees the parts"
        )
        runs.begin(job.config)


def told(ready: Sequence[Preflight]) -> Iterator[str]:
    """The preflight in words, one line a run, and the whole time."""
    from analyzer import units

    whole = 0.0
    for each in ready:
        config, pace = each.job.config, each.pace
        train, val, test = config.images
        if not each.left:
            yield f"{config.run}: trained, {config.recipe.epochs} epochs"
            continue
        memory = units.mib(each.need.peak_bytes) if each.need.peak_bytes else f"not predicted ({each.need.why})"
        share = each.left / config.recipe.epochs
        seconds = 0.0 if pace is None else share * pace.run_s(each.job)
        whole += seconds
        yield (
            f"{config.run}: {train:,} images to train on, {val:,} to validate, {test:,} to test, "
            f"{len(config.classes)} classes; predicted peak {memory} at {each.need.micro}; "
            f"{each.left} epochs, about {units.seconds(seconds)}"
        )
    if len(ready) > 1 and whole:
        yield f"about {units.seconds(whole)} in all, by three timed steps of each network"
