"""What of a target fits in a memory: a variant's ways to train there, and the one way of any other model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer import units
from analyzer.answers import Answering, AnswerParts, AnswerTable
from analyzer.architecture.network import preset_name
from analyzer.distribution import torch_version
from analyzer.errors import UsageError
from analyzer.reading.peak import Training
from analyzer.reading.prediction import Way, largest_batch, unproven, ways_to_fit
from analyzer.records import Input
from analyzer.structs import Frozen
from analyzer.targets.analysis import analyze_target, predict
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, Resolved

if TYPE_CHECKING:
    import pandas as pd

MOST_OF_A_MODULE = 4096


class Fit(Frozen, Answering, frozen=True, kw_only=True):
    """What of a target fits in `memory_bytes`: as it is, then each way that needs less; peaks at `batch`."""

    target: str
    memory_bytes: int
    batch: int
    ways: tuple[Way, ...]

    def frame(self) -> pd.DataFrame:
        """One row a way: the largest batches that train and infer, the training peak at the batch asked for."""
        import pandas as pd

        rows = [
            {
                "change": way.change or "as it is",
                "training_batch": way.training_batch,
                "inference_batch": way.inference_batch,
                "peak_training_bytes": way.peak_bytes,
                "fits": way.peak_bytes is not None and way.peak_bytes <= self.memory_bytes,
            }
            for way in self.ways
        ]
        table = pd.DataFrame(rows).set_index("change")
        counts = ["training_batch", "inference_batch", "peak_training_bytes"]
        table[counts] = table[counts].astype("Int64")
        return table

    def answer(self) -> AnswerParts:
        """The table of ways."""
        title = f"{self.target} in {units.mib(self.memory_bytes)}"
        return AnswerParts(title=title, tables=(self.table(),), words=("Peaks are replayed: live tensors, exactly.",))

    def table(self) -> AnswerTable:
        """One row a way: what trains and infers, the training peak at the batch asked for, what it costs."""
        headings = ("change", "trains", "infers", f"peak at batch {self.batch}", "fits", "MACs run again")
        rows = [
            (
                way.change or "as it is",
                _batch(way.training_batch),
                _batch(way.inference_batch),
                units.mib(way.peak_bytes),
                "–" if way.peak_bytes is None else "yes" if way.peak_bytes <= self.memory_bytes else "no",
                units.count(way.more_macs) if way.more_macs else "–",
            )
            for way in self.ways
        ]
        return AnswerTable("What fits", headings, rows)

    def __repr__(self) -> str:
        first = self.ways[0]
        trains = "no image trains" if first.training_batch is None else f"batch {first.training_batch:,} trains"
        return f"Fit({self.target} in {units.mib(self.memory_bytes)}: {trains} as it is, {len(self.ways)} ways)"


def _batch(largest: int | None) -> str:
    return "no batch" if largest is None else f"batch {largest:,}"


def fitting(
    target: Resolved, memory: int, batch: int, training: Training, say: Callable[[str], None] = lambda _: None
) -> Fit:
    """Raises UsageError on a memory under 1 MiB, and on a model whose inputs are not given."""
    if memory < units.MIB:
        raise UsageError(f"{memory:,} bytes hold no network", where="memory", fix=f"name the unit: {memory}GiB")
    if isinstance(target, FamilyTarget):
        name = target.label or preset_name(target.variant) or target.variant.name
        ways = tuple(ways_to_fit(target.variant, memory, batch, training))
    else:
        name, ways = target.name, (_way_of_module(target, memory, batch, training, say),)
    for note in unproven(torch_version()):
        say(note)
    return Fit(target=name, memory_bytes=memory, batch=batch, ways=ways)


def _way_of_module(model: ModuleTarget, memory: int, batch: int, training: Training, say: Callable[[str], None]) -> Way:
    """By running the model on meta at one batch after another; the first size of each input is its batch."""
    if not model.inputs or not all(i.shape for i in model.inputs):
        raise UsageError(
            "needs inputs whose first size is the batch", where="--input", fix="such as --input 1,3,224,224"
        )
    known: dict[int, tuple[int | None, int]] = {}

    def peaks(n: int) -> tuple[int | None, int]:
        if n not in known:
            say(f"batch {n} on meta")
            inputs = tuple(Input(shape=(n, *i.shape[1:]), dtype=i.dtype, name=i.name) for i in model.inputs)
            target = replace(model, inputs=inputs)
            memory = predict(target, analyze_target(target), training)
            known[n] = memory.peak_training_bytes, memory.peak_inference_bytes
        return known[n]

    def largest(side: int) -> int | None:
        peak_of: Callable[[int], int | None] = lambda n: peaks(n)[side]  # noqa: E731
        return largest_batch(peak_of, memory, MOST_OF_A_MODULE)

    return Way(change="", training_batch=largest(0), inference_batch=largest(1), peak_bytes=peaks(batch)[0])
