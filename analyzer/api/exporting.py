"""Networks as files that others run: export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.exporting.results import PICTURES
from analyzer.shown import silent, to_stderr
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, resolve

if TYPE_CHECKING:
    from torch import nn

    from analyzer.exporting.exportee import Exportee
    from analyzer.exporting.results import Exported


def export(
    target: Variant | str | nn.Module, path: str | Path, *, inputs: Sequence[int] | None = None,
    kwargs: Mapping[str, Any] | None = None, data: Any = None, int8: bool = False, images: int = PICTURES,
    threads: int = 1, quiet: bool = False,
) -> Exported:  # fmt: skip
    """Writes a network as `.safetensors` (weights), `.pt2` (an exported program of any batch), `.py` (a module, its
    `.weights.safetensors` beside it, that needs torch and safetensors alone) or `.onnx`.

    A target is a variant, a name, a checkpoint, `module:attr` (with `kwargs`), or a module; a model of one's own takes
    `inputs`, the shape (N, C, H, W) of its images. The file is compared with the network at two batches on images of
    `data` (as `train` takes it; None: seeded stand-ins), counted, and an .onnx timed in ONNX Runtime on `threads`;
    `int8` writes a quantised `.int8.onnx` beside it, on so many `images`.

    Raises UsageError and TargetError; then nothing is written. A source is never written over.

    >>> import analyzer as an
    >>> small = an.Variant(block="dense", block_config=(1, 1), growth=4, image=32)
    >>> an.export(small, "small.safetensors", quiet=True)
    Exported(dense_b1-1_g4_bn4_c0.5_s32 as small.safetensors: 0.0642 MiB)
    """
    from analyzer.exporting.execution import ExportPlan, execute

    plan = ExportPlan(
        exportee=_exportee(target, inputs, kwargs), out=Path(path), data=data, int8=int8, pictures=images,
        threads=threads,
    )  # fmt: skip
    return execute(plan, silent if quiet else to_stderr)


def _exportee(
    target: Variant | str | nn.Module, inputs: Sequence[int] | None, kwargs: Mapping[str, Any] | None
) -> Exportee:
    from dataclasses import replace

    from analyzer.exporting.exportee import exportee, exportee_of

    if isinstance(target, Variant):
        return exportee_of(FamilyTarget(target))
    if not isinstance(target, str):
        if inputs is None:
            raise UsageError("needs its input", where=type(target).__name__, fix="such as inputs=(1, 3, 224, 224)")
        return exportee(target, tuple(inputs), name=type(target).__name__)
    given = [] if inputs is None else [",".join(map(str, inputs))]
    resolved = resolve(target, inputs=given)
    if isinstance(resolved, ModuleTarget) and kwargs:
        resolved = replace(resolved, kwargs=tuple(kwargs.items()))
    return exportee_of(resolved)
