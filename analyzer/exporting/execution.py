"""Exports a network: written beside its place, compared with the network and counted there, then put in its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.errors import TargetError, UsageError
from analyzer.exporting.exportee import Exportee
from analyzer.exporting.formats import FileFormat, format_of, run_of
from analyzer.exporting.pictures import SampleImages, pictures_for
from analyzer.exporting.results import PICTURES, Agreement, Exported, Int8Result, PairedTimes
from analyzer.exporting.runtime import Run, alternated
from analyzer.files import replaced, require_writable
from analyzer.records import Record
from analyzer.shown import silent

BATCHES = (1, 5)
"""On which a file is compared: one image, and a number that no code was traced with."""


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """What to export where; `data` are images as `train` takes them (None: stand-ins), `int8` asks for a quantised file
    beside an .onnx, `pictures` is how many images that takes, `threads` how many ONNX Runtime uses.
    """

    exportee: Exportee
    out: Path
    data: Any = None
    int8: bool = False
    pictures: int = PICTURES
    threads: int = 1

    def __post_init__(self) -> None:
        kind = format_of(self.out)
        if self.int8 and kind.name != "onnx":
            raise UsageError("is made from an .onnx", where="--int8", fix="write --out NAME.onnx")
        if self.pictures < 2:
            raise UsageError("takes two images or more", where="--images", fix=f"such as --images {PICTURES}")
        if self.threads < 1:
            raise UsageError("takes a thread or more", where="--threads", fix="such as --threads 1")
        for path in (*self.paths, *([self.int8_path] if self.int8 else [])):
            require_writable(path)
            if path.exists() and any(path.samefile(source) for source in self.exportee.sources if source.exists()):
                raise UsageError("would overwrite its source", where=str(path), fix="name another file")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file, and that of its weights where they lie beside it."""
        return self.out, *(self.out.with_suffix(each) for each in format_of(self.out).beside)

    @property
    def int8_path(self) -> Path:
        """Where the quantised file goes: `net.int8.onnx` beside `net.onnx`."""
        return self.out.with_suffix(f".int8{self.out.suffix}")


def execute(plan: ExportPlan, say: Callable[[str], None] = silent) -> Exported:
    """Exports a network. Raises UsageError and TargetError; then what was at `out` stays, and nothing else is left.

    Where only int8 fails, the .onnx that it was to be made from is there.
    """
    kind, exportee = format_of(plan.out), plan.exportee
    pictures = pictures_for(exportee, plan.data, max(plan.pictures if plan.int8 else 0, *BATCHES))
    eager = run_of(exportee.model)
    expected = [eager(_taken(pictures, batch)) for batch in BATCHES]
    with contextlib.ExitStack() as stack:  # what lies beside takes its place first
        places = [stack.enter_context(replaced(path)) for path in plan.paths]
        say(f"writing {plan.out.name}")
        kind.write(exportee, *places)
        run = kind.run(exportee, *places)
        agreements = tuple(_agreements(run, pictures, expected))
        _require_equal(kind, agreements, plan.out)
        counted, size = kind.count(exportee, *places), sum(place.stat().st_size for place in places)
        times = _timed(eager, run, pictures, plan.threads) if kind.name == "onnx" else None
    return Exported(
        file=str(plan.out), beside=next(map(str, plan.paths[1:]), None), format=kind.name, network=exportee.name,
        source=exportee.digest, bytes=size,
        images=pictures.said, tolerance=kind.tolerance, agreements=agreements, params=counted.params or 0,
        macs=counted.macs, unequal=tuple(_unequal(exportee, counted)), times=times, int8=_int8(plan, pictures, say),
        untimed=None if times else "an .onnx is timed, in ONNX Runtime",
    )  # fmt: skip


def _taken(pictures: SampleImages, count: int) -> Any:
    """So many images, from the first again where there are fewer."""
    return pictures.batch[np.arange(count) % len(pictures.batch)]


def _agreements(run: Run, pictures: SampleImages, expected: list[Any]) -> Iterator[Agreement]:
    for batch, ours in zip(BATCHES, expected, strict=True):
        theirs = run(_taken(pictures, batch))
        if theirs.shape != ours.shape:
            yield Agreement(batch=batch, difference=float("inf"))
            continue
        largest = float(np.abs(ours).max()) or 1.0
        yield Agreement(batch=batch, difference=float(np.abs(theirs - ours).max()) / largest)


def _require_equal(kind: FileFormat, agreements: tuple[Agreement, ...], path: Path) -> None:
    for one in agreements:
        if not one.difference <= kind.tolerance:  # no number at all is not within it
            raise TargetError(
                f"differs from the network by {one.difference:.2g} of its largest output at batch {one.batch}, more "
                f"than {kind.tolerance:g}: not written",
                where=str(path), fix="see that its outputs are numbers, and depend on the images alone",
            )  # fmt: skip


def _timed(eager: Run, run: Run, pictures: SampleImages, threads: int) -> PairedTimes:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return alternated(("PyTorch", eager), ("ONNX Runtime", run), pictures.batch[:1], threads=threads)
    finally:
        torch.set_num_threads(before)


def _unequal(exportee: Exportee, counted: Record) -> Iterator[str]:
    """What the file's figures differ in from the network's own, as the counting core has them."""
    from analyzer.targets.analysis import analyze

    own = analyze(exportee.model, inputs=(1, exportee.channels, *exportee.size))
    for name in ("params", "param_bytes", "macs", "conv_activations"):
        ours, theirs = getattr(own, name), getattr(counted, name)
        if theirs is not None and ours != theirs:
            yield f"{name}: {theirs:,} in the file, {ours:,} in the network"
    if counted.uncounted:
        yield f"without a formula in the file: {counted.uncounted_operators}"


def _int8(plan: ExportPlan, pictures: SampleImages, say: Callable[[str], None]) -> Int8Result | None:
    if not plan.int8:
        return None
    from analyzer.exporting.int8 import quantize

    say(f"quantising {plan.int8_path.name}: {len(pictures.batch) // 2} images calibrate")
    return quantize(plan.out, pictures.batch, plan.int8_path, threads=plan.threads)
