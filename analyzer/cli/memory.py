"""A prediction of memory as text."""

from __future__ import annotations

from analyzer import units
from analyzer.cli import text
from analyzer.figures import FIGURES
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


def show_memory(memory: MemoryPrediction, format_: str) -> None:
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
    headings = ("memory", f"batch {memory.batch}", training_words(memory.training))
    if format_ == "md":
        text.show("\n" + text.markdown(headings, rows))
    elif format_ == "table":
        text.show("")
        text.show(headings[2])
        text.show_table((headings[0], "what of it", headings[1]), [(a, words, b) for a, b, words in rows], left=2)


def _peak(name: str, value: int | None, place: PeakPlace | None) -> tuple[str, str, str]:
    figure = FIGURES[name]
    where = "" if place is None else f"; in {place.phase}, {place.layer or 'the root'}"
    return figure.label, figure.text(value), f"{figure.standing}{where}"


def _on_cuda(mode: str, allocated: int | None, reserved: int | None) -> tuple[str, str, str]:
    more = f"allocated, about {units.mib(reserved)} reserved (simulated; workspaces and context on top)"
    return f"CUDA, {mode}", units.mib(allocated), more if allocated is not None else ""
