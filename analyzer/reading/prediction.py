"""Memory of a variant, predicted without torch: what a training step and an inference need, where, and what fits.

Bytes are of live tensors, exactly. What a device's allocator rounds up is beside them (reading/cuda_allocator.py);
kernels' workspaces and a CUDA context (some hundred MB) come on top.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from analyzer import units
from analyzer.answers import Answering, AnswerParts
from analyzer.architecture.net import Net
from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.distribution import torch_version
from analyzer.errors import ArchitectureError, CountError
from analyzer.reading import family, peak
from analyzer.reading.cuda_allocator import CudaHeap
from analyzer.reading.exact import total
from analyzer.reading.heap import Moment
from analyzer.reading.memory_table import memory_table
from analyzer.reading.peak import DEFAULT, Peak, Training
from analyzer.records import Remark, Target
from analyzer.structs import Frozen

if TYPE_CHECKING:
    import pandas as pd

MAX_BATCH = 2**20
PROVEN = "2.11", "2.14"
"""The oldest and the newest torch on which peaks were held against torch's own storages, to the byte."""


class PeakPlace(Frozen, frozen=True, kw_only=True):
    """Where a peak stands: the phase of the step, and the module that runs (empty: the root itself)."""

    phase: str
    layer: str


class MemoryPrediction(Frozen, Answering, frozen=True, kw_only=True):
    """What one variant needs at a batch; bytes. `training` has the fields of reading.peak.Training.

    The training figures are None where the model can't train. `cuda_*` are those of a simulated CUDA caching allocator
    (`max_memory_allocated` and `max_memory_reserved`, the latter a rough one), known for the family only.
    `recomputed_macs` are those of one sample that checkpointing adds to a step. `timeline` has the steps of the
    training step, where asked for.
    """

    target: Target
    batch: int
    training: dict[str, Any]
    param_bytes: int
    buffer_bytes: int
    optimizer_bytes: int
    saved_bytes: int | None
    peak_training_bytes: int | None
    training_peak_at: PeakPlace | None
    peak_inference_bytes: int
    inference_peak_at: PeakPlace
    cuda_training_allocated_bytes: int | None = None
    cuda_training_reserved_bytes: int | None = None
    cuda_inference_allocated_bytes: int | None = None
    cuda_inference_reserved_bytes: int | None = None
    recomputed_macs: int = 0
    timeline: tuple[Moment, ...] | None = None
    notes: tuple[str, ...] = ()

    def frame(self) -> pd.DataFrame:
        """One row a kind of memory: what of it, and its bytes in words."""
        import pandas as pd

        table = memory_table(self)
        return pd.DataFrame(table.rows, columns=list(table.headings)).set_index("memory")

    def answer(self) -> AnswerParts:
        """The table, and what is to be said of it."""
        title = f"Memory of {self.target.shown} at batch {self.batch}"
        return AnswerParts(title=title, tables=(memory_table(self),), words=self.notes)

    def __repr__(self) -> str:
        trains = (
            "can't train" if self.peak_training_bytes is None else f"{units.mib(self.peak_training_bytes)} to train"
        )
        infers = f"{units.mib(self.peak_inference_bytes)} to infer"
        return f"MemoryPrediction({self.target.shown}, batch {self.batch}: {trains}, {infers})"


def predict_memory(
    variant: Variant, batch: int = 1, training: Training = DEFAULT, *, timeline: bool = False
) -> MemoryPrediction:
    """The peaks of a steady training step and of an inference, to the byte, and where they stand.

    Raises ArchitectureError where the variant makes no network.
    """
    net = trace(variant)
    itemsize = peak.ITEMSIZE[training.dtype]
    counts = peak.parameter_counts(net)
    inference = peak.inference_peak(net, batch, training, timeline=True)
    on_cuda = CudaHeap()
    peak.inference_peak(net, batch, training, heap=on_cuda)
    return MemoryPrediction(
        target=family.target(variant),
        batch=batch,
        training=msgspec.to_builtins(training),
        param_bytes=itemsize * int(total(net).params),
        buffer_bytes=int(sum(peak.buffer_sizes(net, itemsize))),
        optimizer_bytes=int(sum(peak.state_sizes(counts, training))),
        peak_inference_bytes=int(inference.bytes),
        inference_peak_at=place(inference),
        cuda_inference_allocated_bytes=int(on_cuda.peak),
        cuda_inference_reserved_bytes=on_cuda.reserved,
        **_trained(net, batch, training, timeline),
    )


def unproven(version: str | None) -> tuple[str, ...]:
    """What is said of peaks beside a torch (None: none is there) that is newer than those on which they are proven."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    if found is None or (int(found[1]), int(found[2])) <= tuple(map(int, PROVEN[1].split("."))):
        return ()
    oldest, newest = PROVEN
    return (f"peaks are proven on torch {oldest} to {newest}: {version} may allocate and free in another order",)


def _trained(net: Net, batch: int, training: Training, timeline: bool) -> dict[str, Any]:
    try:
        step = peak.training_peak(net, batch, training, timeline=True)
    except ArchitectureError as error:
        names = ("saved_bytes", "peak_training_bytes", "training_peak_at")
        return {**dict.fromkeys(names), "notes": (f"no training step: {error}", *unproven(torch_version()))}
    on_cuda = CudaHeap()
    peak.training_peak(net, batch, training, heap=on_cuda)
    return {
        "saved_bytes": peak.saved_bytes(net, batch, training),
        "peak_training_bytes": step.bytes,
        "training_peak_at": place(step),
        "cuda_training_allocated_bytes": on_cuda.peak,
        "cuda_training_reserved_bytes": on_cuda.reserved,
        "recomputed_macs": step.recomputed_macs,
        "timeline": step.moments if timeline else None,
        "notes": unproven(torch_version()),
    }


def no_peaks(error: CountError) -> Remark:
    """What is said of a record whose peaks can't be told, though its counts are known."""
    return Remark(kind="unseen", text=f"no peak_training_bytes and no peak_inference_bytes: {error}")


def place(found: Peak) -> PeakPlace:
    """Where a peak that was found with its timeline stands."""
    moment = found.at
    assert moment is not None
    return PeakPlace(phase=moment.phase, layer=moment.layer)


# -- what fits -------------------------------------------------------------------------------------------------


class Way(Frozen, frozen=True, kw_only=True):
    """One way to run: what it changes (empty: nothing), the largest batches that fit (None: not even one image).

    `peak_bytes` is the training peak at the batch that was asked for, `least_bytes` at the least that trains (None of a
    model of one's own); `more_macs` what a step of it adds, one sample.
    """

    change: str
    training_batch: int | None
    inference_batch: int | None
    peak_bytes: int | None
    least_bytes: int | None = None
    more_macs: int = 0


def largest_batch(peak_of: Callable[[int], int | None], budget: int, most: int = MAX_BATCH) -> int | None:
    """The largest batch up to `most` whose peak is within the budget, inclusive; None where none is.

    `peak_of` grows with the batch, and is None where it can't run (batch normalisation of single values, at batch 1).
    """

    known: dict[int, int | None] = {}

    def fits(batch: int) -> bool:
        if batch not in known:
            known[batch] = peak_of(batch)
        size = known[batch]
        return size is not None and size <= budget

    low = 1 if fits(1) else 2
    if low == 2 and (known[1] is not None or not fits(2)):
        return None
    high = min(2 * low, most)
    while high > low and fits(high):
        low, high = high, min(most, max(_on_the_line(known, low, high, budget), high) + 1)
    while high - low > 1:
        likely = min(max(_on_the_line(known, low, high, budget), low + 1), high - 1)
        next_to_it = likely + 1 if fits(likely) else likely - 1
        for batch in (likely, next_to_it, (low + high) // 2):
            if low < batch < high:
                low, high = (batch, high) if fits(batch) else (low, batch)
    return low


def _on_the_line(known: dict[int, int | None], low: int, high: int, budget: int) -> int:
    """A batch about where the line through the peaks of two meets the budget: peaks are nearly straight."""
    at_low, at_high = known[low], known[high]
    if at_low is None or at_high is None or at_high <= at_low:
        return 2 * high
    return low + (budget - at_low) * (high - low) // (at_high - at_low)


def fitting_batches(variant: Variant, budget: int, training: Training = DEFAULT) -> tuple[int | None, int | None]:
    """The largest batches that train and that infer within a budget of bytes."""
    net = trace(variant)
    return (
        largest_batch(lambda batch: _training_bytes(net, batch, training), budget),
        largest_batch(lambda batch: int(peak.inference_peak(net, batch, training).bytes), budget),
    )


def _training_bytes(net: Net, batch: int, training: Training) -> int | None:
    try:
        return int(peak.training_peak(net, batch, training).bytes)
    except ArchitectureError:
        return None


def ways_to_fit(variant: Variant, budget: int, batch: int, training: Training = DEFAULT) -> Iterator[Way]:
    """The variant as it is, then each change that lowers its training peak at `batch`, and all that keep figures."""
    now = _way("", variant, budget, batch, training)
    yield now
    for name, changed in _changes(training):
        way = _way(name, variant, budget, batch, changed)
        if now.peak_bytes is None or (way.peak_bytes is not None and way.peak_bytes < now.peak_bytes):
            yield way
    smaller = smaller_growth(variant, budget, batch, training)
    if smaller is not None:
        yield _way(f"growth {smaller.growth}", smaller, budget, batch, training)


def _changes(training: Training) -> Iterator[tuple[str, Training]]:
    """Other ways to train: each change alone, then together those that leave the optimizer's rule as it is."""
    together: dict[str, dict[str, Any]] = {}
    if training.form != "fused":
        together["fused optimizer"] = {"form": "fused"}
    if training.dtype == "float32" and training.autocast == "none":
        yield "autocast to bfloat16", replace(training, autocast="bfloat16")
        together["bfloat16"] = {"dtype": "bfloat16"}
    if not training.checkpoint:
        together["checkpointed layers"] = {"checkpoint": True}
    for name, change in together.items():
        yield name, replace(training, **change)
    if training.optimizer in ("adam", "adamw"):
        yield "SGD with momentum", replace(training, optimizer="sgd_momentum")
    if len(together) > 1:
        changes = {key: value for change in together.values() for key, value in change.items()}
        yield " + ".join(together), replace(training, **changes)


def _way(name: str, variant: Variant, budget: int, batch: int, training: Training) -> Way:
    net = trace(variant)
    fits = fitting_batches(variant, budget, training)
    more = int(peak.training_peak(net, max(batch, 2), training).recomputed_macs) if training.checkpoint else 0
    return Way(
        change=name,
        training_batch=fits[0],
        inference_batch=fits[1],
        peak_bytes=_training_bytes(net, batch, training),
        least_bytes=_training_bytes(net, 1, training) or _training_bytes(net, 2, training),
        more_macs=more,
    )


def smaller_growth(variant: Variant, budget: int, batch: int, training: Training = DEFAULT) -> Variant | None:
    """The variant with the largest one growth for all layers that trains at `batch` within the budget.

    None where it fits as it is, where its growth isn't what to change, or where none fits.
    """

    def size(growth: int) -> int | None:
        try:
            return _training_bytes(trace(replace(variant, growth=growth)), batch, training)
        except ArchitectureError:
            return None

    own = _training_bytes(trace(variant), batch, training)
    if own is None or own <= budget or isinstance(variant.growth, tuple):
        return None
    most = variant.growth - 1 if isinstance(variant.growth, int) else 256
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        bytes_ = size(middle)
        low, high = (low, middle) if bytes_ is not None and bytes_ > budget else (middle, high)
    return replace(variant, growth=low) if low and (size(low) or budget + 1) <= budget else None
