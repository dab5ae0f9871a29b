"""The images that a compression learns from and is judged by: divided as its source's training was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from analyzer.errors import UsageError
from analyzer.files import temporary_folder
from analyzer.images.source import open_source
from analyzer.measuring.environment import pick_device
from analyzer.shown import silent
from analyzer.storing.results_file import NAME
from analyzer.training import keyed
from analyzer.training.dividing import Division, data_digest, divided
from analyzer.training.evaluation import answered
from analyzer.training.feeding import Feed, as_input
from analyzer.training.recipe import Recipe
from analyzer.training.run_records import Config, Machine, RunOutcome
from analyzer.training.runs_file import RunsFile
from analyzer.training.stepping import logits_of

if TYPE_CHECKING:
    from analyzer.compressing.original import Original
    from analyzer.images.splits import Split

SEEN = 512
"""Training images that are looked at where a lever asks for how a layer answers, or for gradients."""


@dataclass(frozen=True)
class Pictures:
    """Images of a network's size, divided; how its weights are trained on them, and on which device."""

    feed: Feed
    split: Split
    config: Config
    device: torch.device

    @contextlib.contextmanager
    def moved(self, model: nn.Module) -> Iterator[None]:
        """Has a model, whose place is the CPU, on the device for what is inside."""
        model.to(self.device)
        try:
            yield
        finally:
            model.cpu()

    def batches(self, most: int = SEEN) -> Iterator[tuple[Tensor, Tensor]]:
        """Training images, normalised, and their labels, on the device, in an order of the seed; none is augmented."""
        train = np.asarray(self.split.train, np.int64)
        chosen = train[keyed.order(self.config.seed, 0, len(train))][:most]
        size = self.config.recipe.batch
        parts = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        for part, pixels in zip(parts, self.feed.batches(parts), strict=True):
            yield as_input(pixels, self.device), torch.from_numpy(self.feed.labels[part]).to(self.device)

    def gradients(self, model: nn.Module) -> None:
        """Leaves in each parameter the gradient of the mean loss over training images, in evaluation mode."""
        model.zero_grad(set_to_none=True)
        model.eval().requires_grad_(True)
        with self.moved(model):
            for images, labels in self.batches():
                logits = logits_of(model(images), len(self.config.classes))
                F.cross_entropy(logits, labels, reduction="sum").backward()  # type: ignore[no-untyped-call]

    def accuracy(self, model: nn.Module) -> float | None:
        """The share of test images that a network gets right; None where there are none."""
        right = self.right(model)
        return float(right.mean()) if len(right) else None

    def right(self, model: nn.Module) -> NDArray[np.bool_]:
        """Which test images a network gets right."""
        asked = np.asarray(self.split.test, np.int64)
        with self.moved(model):
            said = answered(model, self.feed, asked, self.config, self.device)
        found: NDArray[np.bool_] = said.argmax(axis=1) == self.feed.labels[asked]
        return found


def pictures_of(
    data: Any, original: Original, recipe: Recipe, *, seed: int = 0, split: Path | None = None,
    device: str = "cpu", say: Callable[[str], None] = silent, warn: Callable[[str], None] = silent,
) -> Pictures:  # fmt: skip
    """The images of `data`, divided by a file, or as the original's run was where its folder says so, else as `train`
    divides them. Raises UsageError where they are of other classes, or the device is not there.
    """
    place = pick_device(device)
    source = open_source(data)
    _, channels, size, _ = original.input.shape
    about = original.about
    if about is not None and about.classes and tuple(about.classes) != tuple(source.classes):
        raise UsageError(
            f"has the classes {_listed(source.classes)}, and {original.name} was trained on {_listed(about.classes)}",
            where="--data", fix="give the images that it was trained on",
        )  # fmt: skip
    variant = original.variant or original.parent
    if variant is not None and variant.classes != len(source.classes):
        raise UsageError(
            f"has {len(source.classes)} classes, and {original.name} has {variant.classes}", where="--data",
            fix=f"name {replace(variant, classes=len(source.classes)).name}, or a checkpoint trained on them",
        )  # fmt: skip
    kept = split or split_of_run(original.path)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_folder("compress")))
        parts = divided(source, folder, Division(file=kept), accept=False, say=say, warn=warn)
    part = parts[0].split
    config = Config(
        run="compressed", network=original.name, label=original.name, image=size, classes=source.classes,
        data=data_digest(source, parts), split=part.digest,
        images=(len(part.train), len(part.val), len(part.test)), seed=seed, recipe=recipe,
        micro=recipe.batch,
        machine=Machine(
            device=place.type, threads=torch.get_num_threads(), torch=str(torch.__version__).partition("+")[0]
        ),
    )  # fmt: skip
    feed = Feed(source, size, channels)
    feed.keep(sorted({*part.train, *part.val, *part.test}))
    return Pictures(feed, part, config, place)


def split_of_run(checkpoint: Path | None) -> Path | None:
    """How the images of a run were divided, where its checkpoint is still in the run's folder: the file that has the
    run's own digest.
    """
    run = run_of(checkpoint)
    if checkpoint is None or run is None:
        return None
    for path in sorted(checkpoint.absolute().parents[2].glob("split*.json")):
        if msgspec.json.decode(path.read_bytes(), type=_Digest).digest == run.config.split:
            return path
    return None


class _Digest(msgspec.Struct):
    """Of a split.json no more than which it is."""

    digest: str = ""


def run_of(checkpoint: Path | None) -> RunOutcome | None:
    """The run that a checkpoint is of, where it still lies in the run's folder."""
    path = None if checkpoint is None else checkpoint.absolute()
    if path is None or len(path.parents) < 3 or path.parents[1].name != "runs":
        return None
    file = path.parents[2] / NAME
    if not file.is_file():
        return None
    with contextlib.closing(RunsFile(file)) as runs:
        config = runs.configs().get(path.parent.name)
        return None if config is None else RunOutcome(config, tuple(runs.epochs(config.run)))


def _listed(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:4]) + (f" and {len(classes) - 4} more" if len(classes) > 4 else "")
