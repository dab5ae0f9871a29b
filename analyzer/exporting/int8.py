"""Static post-training quantization of an ONNX file by ONNX Runtime: weights of whole numbers a channel, activations by
the range that they had on images (QDQ form).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.errors import TargetError, UsageError, words_of
from analyzer.exporting.pictures import Batch
from analyzer.exporting.results import Int8Result
from analyzer.exporting.runtime import Run, alternated, operators, processor, quiet, require_runtime, session
from analyzer.files import replaced, temporary_folder
from analyzer.graphs.record import count_file

CALIBRATED_AT_ONCE = 8
QUANTISED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Relu")
"""Operators that become whole numbers. A batch norm before its convolution, as in DenseNets, has no such kernel."""
ON_WHOLE_NUMBERS = ("QLinear", "Integer", "QGemm", "QAttention", "NhwcMaxPool")
"""Parts of the names of operators that ONNX Runtime runs on whole numbers."""


def quantize(path: Path, images: Batch, out: Path, *, threads: int = 1) -> Int8Result:
    """Quantises an ONNX file of one input into another, judges and times it. Batch norms are folded into convolutions
    before it. The first half of `images` (N, C, H, W) calibrates, the other half judges.

    Raises UsageError where there are fewer than two images or it would write over its source, TargetError where ONNX
    Runtime can't quantise it.
    """
    require_runtime(str(path))
    require_images(images, path, out)
    _, reduced = processor()
    with temporary_folder("int8") as folder, replaced(out) as temporary:
        _quantized(path, images[: len(images) // 2], Path(folder), temporary, reduced)
        inner = Path(folder) / "runs.onnx"
        runs = session(path, threads=threads), session(temporary, threads=threads, optimised=inner)
        record = count_file(temporary, name=out.name)
        pair = QuantisedFile(
            path=path, out=out, sizes=(path.stat().st_size, temporary.stat().st_size), params=record.params or 0,
            param_bytes=record.param_bytes or 0, runs=runs,
            kernels=sum(n for name, n in operators(inner).items() if any(part in name for part in ON_WHOLE_NUMBERS)),
        )  # fmt: skip
        return judged(pair, images, threads)


@dataclass(frozen=True, kw_only=True)
class QuantisedFile:
    """A file and what it was quantised to: the bytes of both, what the second holds, how many of its operators run on
    whole numbers here, and both ready to run.
    """

    path: Path
    out: Path
    sizes: tuple[int, int]
    params: int
    param_bytes: int
    kernels: int
    runs: tuple[Run, Run]


def require_images(images: Batch, path: Path, out: Path) -> None:
    """UsageError where there are fewer than two images, or a file would be written over what it is made from."""
    if len(images) < 2:
        raise UsageError("need two images: one calibrates, one judges", where="images", fix="give more")
    if out.exists() and out.samefile(path):
        raise UsageError("would overwrite its source", where=str(out), fix="name another file")


def judged(pair: QuantisedFile, images: Batch, threads: int) -> Int8Result:
    """What came of a quantization: agreement on the second half of the images, times in alternated pairs."""
    words, reduced = processor()
    half, (ours, theirs) = len(images) // 2, pair.runs
    same = [_top(ours(one)) == _top(theirs(one)) for one in np.split(images[half:], len(images) - half)]
    times = alternated(("fp32", ours), ("int8", theirs), images[:1], threads=threads)
    return Int8Result(
        file=str(pair.out), bytes=pair.sizes[1], from_bytes=pair.sizes[0], params=pair.params,
        param_bytes=pair.param_bytes, calibrated=half, judged=len(same), agreement=sum(same) / len(same),
        reduce_range=reduced, processor=words, kernels=pair.kernels, times=times,
    )  # fmt: skip


def _top(output: Batch) -> int:
    return int(output.reshape(len(output), -1).argmax(1)[0])


def _quantized(path: Path, images: Batch, folder: Path, out: Path, reduced: bool) -> None:
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folded, prepared = folder / "folded.onnx", folder / "prepared.onnx"
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            name = _fold(path, folded)
            # The runtime's own folding is left out: it renames weights, which then are no module's of the network.
            quant_pre_process(str(folded), str(prepared), skip_symbolic_shape=True, skip_optimization=True)
            quantization.quantize_static(
                str(prepared), str(out), _Reader(name, images), quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED),
                per_channel=True, reduce_range=reduced, activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8, calibrate_method=quantization.CalibrationMethod.MinMax,
            )  # fmt: skip
    except UsageError:
        raise
    except Exception as error:  # its own errors share no base
        what = f"ONNX Runtime can't quantise it: {words_of(error)[:300]}"
        raise TargetError(what, where=str(path), fix="keep it in fp32") from error


def _fold(path: Path, out: Path) -> str:
    """Writes a file with its batch norms folded into the convolutions before them; gives its input's name."""
    import onnx
    from onnxscript import rewriter
    from onnxscript.rewriter.rules import common

    model = onnx.load(path, load_external_data=False)
    rules = [common.fuse_batchnorm_into_conv_rule, common.fuse_batchnorm_into_conv_transpose_rule,
             common.fuse_batchnorm_into_gemm_rule]  # fmt: skip
    onnx.save(rewriter.rewrite(model, pattern_rewrite_rules=rules), out)
    held = {tensor.name for tensor in model.graph.initializer}
    return next(str(value.name) for value in model.graph.input if value.name not in held)


class _Reader:
    """The images that calibrate, a few at a time, as ONNX Runtime asks for them."""

    def __init__(self, name: str, images: Batch) -> None:
        parts = [images[start : start + CALIBRATED_AT_ONCE] for start in range(0, len(images), CALIBRATED_AT_ONCE)]
        self._parts = iter([{name: part} for part in parts])

    def get_next(self) -> dict[str, Any] | None:
        """The next few, None after the last."""
        return next(self._parts, None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._parts
