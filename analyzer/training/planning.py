"""What is trained, from what a user names to one job a run: networks, images and how they are divided."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.errors import UsageError
from analyzer.executors.workplace import Workplace
from analyzer.files import require_writable
from analyzer.images.base import Source
from analyzer.images.source import open_source
from analyzer.shown import silent
from analyzer.storing.results_file import NAME
from analyzer.targets.resolving import Resolved
from analyzer.training.dividing import Division, Parts, data_digest, divided
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config, Epoch, Machine, Outcome
from analyzer.training.together import ALONE, Together, is_first, launched, own_device
from analyzer.training.trainees import Entrant, Trainee, trainee_of
from analyzer.units import GIB

if TYPE_CHECKING:
    import torch

    from analyzer.training.trainer import TrainJob


@dataclass(frozen=True)
class TrainWatch:
    """Is told how training goes on. `say` gets sentences, `warn` what to doubt, `began` each run with how many epochs
    it has already, `step` the images of an epoch so far, `epoch` each finished one.
    """

    say: Callable[[str], None] = silent
    warn: Callable[[str], None] = silent
    began: Callable[[Config, int], None] = silent
    step: Callable[[Config, int, int], None] = silent
    epoch: Callable[[Config, Epoch], None] = silent


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What to train: each target, on each fold, from each seed; kept in `out`. `accept` takes a run on where its data,
    recipe or machine changed. `threads` of None are torch's own choice, or one where several runs are trained at once.
    `where` says by what: this process, several of this machine, a Ray cluster. Runs end at their recipe's last epoch,
    or pause after the epoch `until`: a later plan without it goes on to the same bits as if they had not. Where it is
    `timed`, some steps of each network are taken before, to say for how long it will train.
    """

    targets: tuple[Resolved | Entrant, ...]
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
    outcome: Outcome = field(default_factory=Outcome)
    best: bool = False
    accept: bool = False
    until: int | None = None
    where: Workplace = field(default_factory=lambda: Workplace(jobs=1))
    timed: bool = True

    @property
    def end(self) -> int:
        """The epochs after which runs end or pause."""
        return self.recipe.epochs if self.until is None else min(self.until, self.recipe.epochs)

    @property
    def spread(self) -> bool:
        """Whether several runs are trained at once, each by a worker."""
        return self.where.executor == "ray" or self.where.jobs != 1

    @property
    def beside(self) -> int:
        """How many runs are trained at once on this machine, and share its memory."""
        if self.where.executor == "ray":
            return 1
        return self.where.jobs or os.cpu_count() or 1

    def __post_init__(self) -> None:
        if not self.targets:
            raise UsageError("nothing to train", where="targets", fix="name a network, such as densenet121")
        if len(set(self.seeds)) < len(self.seeds) or any(not 0 <= seed < 2**63 for seed in self.seeds):
            raise UsageError("seeds are whole numbers from 0, each once", where="--seeds", fix="such as 0,1,2")
        if self.spread and launched():
            fix = "start it without torchrun, or leave out --jobs and --executor"
            raise UsageError("several runs at once are not trained by torchrun", where="--jobs", fix=fix)
        if self.spread and self.threads is None:
            object.__setattr__(self, "threads", 1)
        if is_first():
            require_writable(self.out / NAME)


def prepare(plan: TrainPlan, watch: TrainWatch, together: Together = ALONE) -> list[TrainJob]:
    """The runs of a plan, in order, their data read and divided. Raises UsageError on what can't be trained on."""
    import torch

    from analyzer.measuring.environment import pick_device
    from analyzer.training.feeding import Feed

    device = own_device(pick_device(plan.device))
    source = open_source(plan.data)
    trainees = _trainees(plan, source)
    _same(together, hashlib.sha256("\n".join(source.keys).encode(errors="surrogateescape")).hexdigest())
    parts = together.first(
        lambda: divided(source, plan.out, plan.division, accept=plan.accept, say=watch.say, warn=watch.warn)
    )
    sizes = dict.fromkeys((trainee.image, trainee.channels) for trainee in trainees)
    cache_bytes = plan.cache_bytes // len(sizes) // together.local
    feeds = {size: Feed(source, *size, workers=plan.workers, cache_bytes=cache_bytes) for size in sizes}
    about = _About(_same(together, data_digest(source, parts)), source.classes, device, together, Machine(
        device=device.type, threads=torch.get_num_threads(), torch=str(torch.__version__).partition("+")[0],
        processes=together.processes,
    ))  # fmt: skip
    return [
        _job(plan, about, trainee, part, seed, feeds[trainee.image, trainee.channels])
        for seed in plan.seeds for part in parts for trainee in trainees
    ]  # fmt: skip


@dataclass(frozen=True)
class _About:
    """What all runs of a plan share."""

    data: str
    classes: tuple[str, ...]
    device: torch.device
    together: Together
    machine: Machine


def _same(together: Together, digest: str) -> str:
    """What is over the images that each process reads itself. Raises UsageError where one reads others."""
    each = together.all_of(digest)

    def require_same() -> None:
        unlike = [rank for rank, read in enumerate(each) if read != digest]
        if unlike:
            what = f"process {unlike[0]} reads other images than the first"
            raise UsageError(what, where="--data", fix="give every machine the same files, under the same names")

    together.first(require_same)
    return digest


def _trainees(plan: TrainPlan, source: Source) -> list[Trainee]:
    trainees = [trainee_of(target, len(source.classes), plan.image) for target in plan.targets]
    twice = {trainee.name for trainee in trainees if [s.name for s in trainees].count(trainee.name) > 1}
    if twice:
        what = f"{min(twice)} is named twice, at the data's classes and image"
        raise UsageError(what, where="targets", fix="name each network once")
    for trainee in trainees:
        if trainee.variant is not None:  # an image too small for it is told before anything is read
            from analyzer.architecture.network import trace

            trace(trainee.variant)
    return trainees


def _job(plan: TrainPlan, about: _About, trainee: Trainee, part: Parts, seed: int, feed: Any) -> TrainJob:
    from analyzer.training.augmenting import extra_augmentation
    from analyzer.training.trainer import TrainJob

    split = part.split
    run = f"{trainee.name}_seed{seed}" + ("" if part.fold is None else f"_fold{part.fold}")
    config = Config(
        run=run, network=trainee.name, label=trainee.label, image=trainee.image, classes=about.classes,
        data=about.data, split=split.digest, images=(len(split.train), len(split.val), len(split.test)), seed=seed,
        fold=part.fold, recipe=plan.recipe, outcome=plan.outcome,
        micro=about.together.largest(plan.recipe.batch), machine=about.machine,
    )  # fmt: skip
    _require_trainable(config)
    folder = plan.out / "runs" / run
    extra = extra_augmentation(plan.recipe)
    return TrainJob(trainee, config, split, feed, about.device, folder, about.together, plan.best, extra, plan.end)


def _require_trainable(config: Config) -> None:
    train, batch = config.images[0], config.recipe.batch
    if train < max(batch, 2):
        fix = f"say --batch {train}, or give more images" if train > 1 else "give more images"
        raise UsageError(f"{train} images to train on are fewer than a batch of {batch}", where=config.run, fix=fix)
    if config.machine.processes > 1:
        _require_divisible(config)


def _require_divisible(config: Config) -> None:
    recipe, processes = config.recipe, config.machine.processes
    if recipe.batch < config.least:
        what = f"a batch of {recipe.batch} is too small for {processes} processes"
        raise UsageError(what, where="--batch", fix=f"say --batch {config.least} or more, or start fewer processes")
    if recipe.compile and recipe.batch_norm == "sync":
        what = "batch norm over several processes can't be compiled"
        raise UsageError(what, where="--compile", fix="leave it out, or say --batch-norm ghost")
