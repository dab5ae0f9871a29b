"""A prediction of memory as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer import units
from analyzer.answers import AnswerTable
from analyzer.figures import FIGURES

if TYPE_CHECKING:
    from analyzer.reading.prediction import MemoryPrediction, PeakPlace


def training_words(training: dict[str, object]) -> str:
    """`float32, adam (foreach), zero_grad before forward`."""
    autocast = "" if training["autocast"] == "none" else f" under autocast to {training['autocast']}"
    words = [
        f"{training['dtype']}{autocast}",
        f"{str(training['optimizer']).replace('_', ' with ')} ({training['form']})",
        f"zero_grad {str(training['zero_grad']).replace('_', ' ')}",
    ]
    words += ["weight decay"] if training["weight_decay"] else []
    words += [f"{training['accumulate']} batches a step"] if training["accumulate"] != 1 else []
    words += ["layers checkpointed"] if training["checkpoint"] else []
    return ", ".join(words)


def memory_table(memory: MemoryPrediction) -> AnswerTable:
    """The peaks, where they stand, what is alive all the time, what CUDA's allocator makes of them."""
    rows = [
        _peak("peak_training_bytes", memory.peak_training_bytes, memory.training_peak_at),
        _peak("peak_inference_bytes", memory.peak_inference_bytes, memory.inference_peak_at),
        ("parameters", units.mib(memory.param_bytes), "exact; and their gradients as much again in training"),
        ("buffers", units.mib(memory.buffer_bytes), "exact"),
        ("optimizer state", units.mib(memory.optimizer_bytes), "exact; in training"),
        (FIGURES["saved_bytes"].label, units.mib(memory.saved_bytes), "exact; by a forward in training mode"),
    ]
    if memory.recomputed_macs:
        rows.append(("MACs run again", units.count(memory.recomputed_macs), "by checkpointing, each sample"))
    if memory.cuda_inference_allocated_bytes is not None:
        rows += [
            _on_cuda("training", memory.cuda_training_allocated_bytes, memory.cuda_training_reserved_bytes),
            _on_cuda("inference", memory.cuda_inference_allocated_bytes, memory.cuda_inference_reserved_bytes),
        ]
    found = [(name, words, size) for name, size, words in rows]
    headings = ("memory", "what of it", f"batch {memory.batch}")
    return AnswerTable(training_words(memory.training), headings, found, left=2)


def _peak(name: str, value: int | None, place: PeakPlace | None) -> tuple[str, str, str]:
    figure = FIGURES[name]
    where = "" if place is None else f"; in {place.phase}, {place.layer or 'the root'}"
    return figure.label, figure.text(value), f"{figure.standing}{where}"


def _on_cuda(mode: str, allocated: int | None, reserved: int | None) -> tuple[str, str, str]:
    more = f"allocated, about {units.mib(reserved)} reserved (simulated; workspaces and context on top)"
    return f"CUDA, {mode}", units.mib(allocated), more if allocated is not None else ""
