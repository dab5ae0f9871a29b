"""Static post-training quantization of an ONNX file by ONNX Runtime: weights of whole numbers a channel, activations by
the range that they had on images (QDQ form).
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.errors import TargetError, UsageError, words_of
from analyzer.exporting.pictures import Batch
from analyzer.exporting.results import Int8Result
from analyzer.exporting.runtime import alternated, operators, processor, require_runtime, session
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
    if len(images) < 2:
        raise UsageError("need two images: one calibrates, one judges", where="images", fix="give more")
    if out.exists() and out.samefile(path):
        raise UsageError("would overwrite its source", where=str(out), fix="name another file")
    half = len(images) // 2
    words, reduced = processor()
    with temporary_folder("int8") as folder, replaced(out) as temporary:
        _quantized(path, images[:half], Path(folder), temporary, reduced)
        inner = Path(folder) / "runs.onnx"
        ours, theirs = session(path, threads=threads), session(temporary, threads=threads, optimised=inner)
        same = [_top(ours(one)) == _top(theirs(one)) for one in np.split(images[half:], len(images) - half)]
        kernels = sum(n for name, n in operators(inner).items() if any(part in name for part in ON_WHOLE_NUMBERS))
        times = alternated(("fp32", ours), ("int8", theirs), images[:1], threads=threads)
        record, size = count_file(temporary, name=out.name), temporary.stat().st_size
    return Int8Result(
        file=str(out), bytes=size, from_bytes=path.stat().st_size, params=record.params or 0,
        param_bytes=record.param_bytes or 0, calibrated=half, judged=len(same), agreement=sum(same) / len(same),
        reduce_range=reduced, processor=words, kernels=kernels, times=times,
    )  # fmt: skip


def _top(output: Batch) -> int:
    return int(output.reshape(len(output), -1).argmax(1)[0])


def _quantized(path: Path, images: Batch, folder: Path, out: Path, reduced: bool) -> None:
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folded, prepared = folder / "folded.onnx", folder / "prepared.onnx"
    try:
        with _quiet():
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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What libraries log and print stays out of a command's streams."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
