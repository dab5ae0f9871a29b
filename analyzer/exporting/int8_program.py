"""Static post-training quantization of an exported program by torchao (PyTorch 2 Export): weights of whole numbers a
channel, activations by the range that they had on images.

The program that comes out computes on floating-point numbers between its quantised tensors: where a compiler makes
kernels on whole numbers of it, it is faster, and as it is, it is not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.distribution import installing
from analyzer.errors import TargetError, UsageError, words_of
from analyzer.exporting.exportee import Exportee
from analyzer.exporting.formats import loaded_program, run_of, write_program
from analyzer.exporting.int8 import CALIBRATED_AT_ONCE, QuantisedFile, judged, require_images
from analyzer.exporting.pictures import Batch
from analyzer.exporting.results import Int8Result
from analyzer.exporting.runtime import processor, quiet
from analyzer.files import replaced
from analyzer.targets.checkpoints import OBSERVED

if TYPE_CHECKING:
    from torch import fx, nn

ON_WHOLE_NUMBERS = "onednn.q"
"""How the names of torch's operators on whole numbers begin on a CPU."""


def require_torchao(where: str) -> None:
    """UsageError unless torchao is installed."""
    try:
        with quiet():
            import torchao.quantization.pt2e.quantize_pt2e as torchao
    except ImportError:
        raise UsageError("needs torchao, which is not installed", where=where, fix=installing("torchao")) from None
    del torchao


def quantize_program(exportee: Exportee, path: Path, images: Batch, out: Path, *, threads: int = 1) -> Int8Result:
    """Quantises the exported program of an exportee into another, judges and times it. Batch norms are folded into the
    convolutions before them. The first half of `images` (N, C, H, W) calibrates, the other half judges.

    Raises UsageError where there are fewer than two images or torchao is not installed, TargetError where it can't
    quantise the program.
    """
    require_torchao(str(path))
    require_images(images, path, out)
    _, reduced = processor()
    with replaced(out) as temporary:
        made = _quantized(path, images[: len(images) // 2], reduced)
        write_program(replace(exportee, model=made), temporary)
        theirs = loaded_program(temporary)
        params, size = _held(theirs)
        pair = QuantisedFile(
            path=path, out=out, sizes=(path.stat().st_size, temporary.stat().st_size), params=params, param_bytes=size,
            kernels=sum(str(node.target).startswith(ON_WHOLE_NUMBERS) for node in theirs.graph.nodes),
            runs=(run_of(loaded_program(path)), run_of(theirs)),
        )  # fmt: skip
        return judged(pair, images, threads)


def _quantized(path: Path, images: Batch, reduced: bool) -> nn.Module:
    import torch
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    try:
        with quiet(), torch.no_grad():
            quantizer = x86.X86InductorQuantizer()
            quantizer.set_global(x86.get_default_x86_inductor_quantization_config(reduce_range=reduced))
            prepared = prepare_pt2e(loaded_program(path), quantizer)
            for start in range(0, len(images), CALIBRATED_AT_ONCE):
                prepared(torch.from_numpy(images[start : start + CALIBRATED_AT_ONCE]))
            made: fx.GraphModule = move_exported_model_to_eval(convert_pt2e(prepared))
    except Exception as error:  # its own errors share no base
        what = f"torchao can't quantise it: {words_of(error)[:300]}"
        raise TargetError(what, where=str(path), fix="keep it in fp32") from error
    _without_unread(made)
    return made


def _without_unread(made: fx.GraphModule) -> None:
    """Takes out the weights in floating point, which nothing reads once there are whole ones."""
    read = {node.target for node in made.graph.nodes if node.op == "get_attr"}
    for name in made.state_dict():
        if name not in read:
            owner, _, last = name.rpartition(".")
            delattr(made.get_submodule(owner), last)


def _held(module: Any) -> tuple[int, int]:
    """Params and their bytes: weights of whole numbers, and what was learnt in floating point."""
    learnt = [
        tensor for name, tensor in module.state_dict().items()
        if name.rpartition(".")[2] not in OBSERVED and not name.startswith(("_scale_", "_zero_point_"))
    ]  # fmt: skip
    return sum(tensor.numel() for tensor in learnt), sum(tensor.numel() * tensor.element_size() for tensor in learnt)
