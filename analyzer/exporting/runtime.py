"""ONNX Runtime on this CPU: sessions, times in alternated pairs, and what the processor has for whole numbers."""

from __future__ import annotations

import contextlib
import logging
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from analyzer.distribution import installing
from analyzer.errors import UsageError
from analyzer.exporting.pictures import Batch
from analyzer.exporting.results import PairedTimes
from analyzer.measuring.environment import cpu_name

Run = Callable[[Batch], Batch]
WARM_UP, MOST_PAIRS, LEAST_PAIRS = 3, 30, 5
SECONDS = 10.0
"""After which no more pairs are begun."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What libraries warn of and log stays out of a command's streams."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def require_runtime(where: str) -> None:
    """UsageError unless onnx, its exporter and ONNX Runtime are installed."""
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        what = f"needs {error.name or 'onnx'}, which is not installed"
        raise UsageError(what, where=where, fix=installing("onnx")) from None
    del onnx, onnxruntime, onnxscript


def session(path: Path, *, threads: int = 1, optimised: Path | None = None) -> Run:
    """An ONNX file of one input and one output, ready to run on the CPU; `optimised` gets the graph that then runs.

    Raises UsageError where ONNX Runtime does not take it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    try:
        made = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own errors share no base
        reason = str(error).splitlines()[0][:200]
        raise UsageError(f"ONNX Runtime does not take it: {reason}", where=str(path), fix="export it anew") from error
    name = made.get_inputs()[0].name

    def run(batch: Batch) -> Batch:
        result: Batch = made.run(None, {name: batch})[0]
        return result

    return run


def alternated(first: tuple[str, Run], second: tuple[str, Run], image: Batch, *, threads: int = 1) -> PairedTimes:
    """Both on the same images in turn, after a warm-up; which begins alternates. Nothing is left out."""
    for _ in range(WARM_UP):
        for _, run in (first, second):
            run(image)
    taken: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + SECONDS
    while len(taken[0]) < MOST_PAIRS and (len(taken[0]) < LEAST_PAIRS or time.perf_counter() < end):
        order = (0, 1) if len(taken[0]) % 2 == 0 else (1, 0)
        for which in order:
            begun = time.perf_counter()
            (first, second)[which][1](image)
            taken[which].append(time.perf_counter() - begun)
    return PairedTimes(
        first=first[0], second=second[0], first_s=tuple(taken[0]), second_s=tuple(taken[1]), batch=len(image),
        threads=threads, device=cpu_name(),
    )  # fmt: skip


def processor() -> tuple[str, bool]:
    """What this CPU multiplies whole numbers with, and whether weights then need a smaller range: AVX2's product of
    bytes saturates (onnxruntime #6004), VNNI's does not.
    """
    flags = _flags()
    if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return platform.machine() or "unknown", False
    for flag, name in {"amx_int8": "AMX", "avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI"}.items():
        if flag in flags:
            return name, False
    return ("AVX-512 without VNNI" if "avx512bw" in flags else "AVX2 without VNNI" if "avx2" in flags else "SSE"), True


def _flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def operators(path: Path) -> Any:
    """How often each operator stands in an ONNX file."""
    from collections import Counter

    from analyzer.graphs.onnx_file import read_model

    return Counter(node.op_type for node in read_model(path).graph.node)
