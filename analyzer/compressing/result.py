"""A compressed network: its module, its map, its record; and the checkpoint that it is kept as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from torch import nn

from analyzer import units
from analyzer.answers import Answering, AnswerParts, AnswerTable
from analyzer.architecture.variant import Variant
from analyzer.channel_maps import CompressionMap
from analyzer.errors import UsageError
from analyzer.figures import FIGURES
from analyzer.shown import silent
from analyzer.targets.checkpoints import SUFFIX, Checkpoint, OwnModel
from analyzer.targets.compressions import Compression, CompressionRecord, StepDone
from analyzer.training import checkpoints
from analyzer.training.feeding import MEAN, STD, statistics

if TYPE_CHECKING:
    import pandas as pd

    from analyzer.compressing.original import Original
    from analyzer.exporting.results import Exported


@dataclass(frozen=True, repr=False)
class Compressed(Answering):
    """What came out: the network in evaluation mode, what was done to its `parent` in order (None: to one's own model),
    and the record of it.

    `variant` is what it is, where it is one of the family; `exported` the files of int8, where the plan ended with it.
    """

    model: nn.Module
    map: CompressionMap
    record: CompressionRecord
    original: Original
    variant: Variant | None
    parent: Variant | None
    classes: tuple[str, ...] = ()
    exported: Exported | None = None

    def save(self, path: str | Path) -> Path:
        """Writes it as a checkpoint, which every verb takes. Raises UsageError where that would be its source's file,
        is no .safetensors, or can't be written.
        """
        path = Path(path)
        require_free(path, self.original.path)
        checkpoints.save_weights(path, self.model, self._about())
        return path

    def quantize(self, path: str | Path, data: Any = None, say: Callable[[str], None] = silent) -> Exported:
        """Writes it as ONNX (`small.onnx`) and, beside that, quantised to int8 (`small.int8.onnx`), calibrated, judged
        and timed on images of `data` (None: seeded stand-ins). Raises UsageError, and then nothing is written.
        """
        from analyzer.exporting.execution import ExportPlan, execute
        from analyzer.exporting.exportee import exportee

        made = exportee(self.model, self.original.input.shape, name=self.name, about=self._about())
        return execute(ExportPlan(exportee=made, out=Path(path), data=data, int8=True), say)

    def _about(self) -> Checkpoint:
        of, source = self.original, self.original.about
        _, channels, size, _ = of.input.shape
        mean, std = statistics(channels) if channels in (1, 3) else (MEAN, STD)
        own = of.own if self.variant is None else None
        return Checkpoint(
            run="compressed" if source is None else source.run, network=self.name,
            variant=None if self.variant is None else self.variant.to_dict(), own=own, classes=self.classes,
            image=size, channels=channels, mean=mean, std=std, seed=self.record.seed, epoch=self.record.epochs or 0,
            step=0, digest="", compression=self._compression(own),
        )  # fmt: skip

    def _compression(self, own: OwnModel | None) -> Compression:
        fields = None if own is not None or self.parent is None else self.parent.to_dict()
        return Compression(parent=fields, map=self.map, record=self.record)

    @property
    def name(self) -> str:
        """The variant's name; of any other the source's, with its parameters."""
        if self.variant is not None:
            return self.variant.name
        source = self.record.source.partition("-compressed-")[0]
        return f"{source}-compressed-{self.record.after['params']}"

    def frame(self) -> pd.DataFrame:
        """One row a step: what it did, and what the network is then."""
        import pandas as pd

        rows = [
            {"step": done.step, "did": done.did, **done.figures, "epochs": done.epochs, "test_accuracy":
             done.test_accuracy} for done in self.record.steps
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def answer(self) -> AnswerParts:
        """The tables, what could not be pruned, the files of int8."""
        left = tuple(f"{layer} was not pruned: {why}" for layer, why in self.record.left.items())
        exported = () if self.exported is None else (self.exported.table(),)
        title = f"{self.record.source} made smaller: {self.name}"
        return AnswerParts(title=title, tables=(*self.tables(), *exported), words=left)

    def tables(self) -> tuple[AnswerTable, AnswerTable]:
        """Each figure before and after; the steps."""
        record = self.record
        rows = [
            (FIGURES[name].label, FIGURES[name].text(value), FIGURES[name].text(record.after[name]),
             units.ratio(record.after[name], value))
            for name, value in record.before.items() if name in record.after
        ]  # fmt: skip
        steps = [
            (done.step, "–" if done.epochs is None else str(done.epochs), _shown(done, "params"), _shown(done, "macs"),
             "–" if done.test_accuracy is None else f"{100 * done.test_accuracy:.1f} %")
            for done in record.steps
        ]  # fmt: skip
        course = ("step", "epochs", "params", "MACs", "test accuracy")
        return (
            AnswerTable("What it came to", ("", record.source, self.name, "ratio"), rows),
            AnswerTable("Step by step", course, steps),
        )

    def __repr__(self) -> str:
        before, after = self.record.before["params"], self.record.after["params"]
        return f"Compressed({self.name}: {before:,} to {after:,} params, {len(self.record.steps)} steps)"

    def to_json(self) -> str:
        """The record, and the name of the result; what it was exported as, too."""
        more = {} if self.exported is None else {"exported": self.exported}
        return msgspec.json.encode({"name": self.name, "record": self.record, **more}).decode()


def _shown(done: StepDone, name: str) -> str:
    return FIGURES[name].text(done.figures.get(name))


def require_free(path: Path, source: Path | None) -> None:
    """UsageError where a checkpoint can't go to a path: it is the source's, or no .safetensors."""
    require_checkpoint(path)
    if source is not None and path.exists() and path.samefile(source):
        raise UsageError("is what is compressed, and stays as it is", where=str(path), fix="choose another --out")


def require_checkpoint(path: Path) -> None:
    """UsageError where a path is no checkpoint's."""
    if path.suffix != SUFFIX:
        raise UsageError("is no name of a checkpoint", where=str(path), fix=f"such as small{SUFFIX}")
