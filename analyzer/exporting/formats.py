"""How each kind of file is written, run again and counted.

No file names a path or a host: exporters note the lines of code that each operator came from, which are taken out.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.errors import AnalyzerError, TargetError, UsageError, did_you_mean, words_of
from analyzer.exporting.exportee import Exportee
from analyzer.exporting.pictures import Batch
from analyzer.exporting.results import Format
from analyzer.exporting.runtime import Run, require_runtime, session
from analyzer.graphs.onnx_file import MOST_BYTES
from analyzer.records import Record

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

INPUT, OUTPUT = "images", "logits"
FACTS = "analyzer.json"
"""The file within an exported program that has its facts."""


@dataclass(frozen=True)
class FileFormat:
    """A kind of file: what writes it, what runs it again, what counts it, and how far its outputs may be from the
    network's, as a share of the largest. Each takes the exportee, the file, and those `beside` it (endings).
    """

    name: Format
    tolerance: float
    write: Callable[..., None]
    run: Callable[..., Run]
    count: Callable[..., Record]
    beside: tuple[str, ...] = ()


def format_of(path: Path) -> FileFormat:
    """By the name's ending. Raises UsageError, also where a package is missing."""
    found = {f".{each.name}": each for each in FORMATS}.get(path.suffix)
    if found is None:
        endings = [f".{each.name}" for each in FORMATS]
        fix = did_you_mean(path.suffix, endings) if path.suffix else f"end its name in {', '.join(endings)}"
        raise UsageError("is no kind of file that a network is exported to", where=str(path), fix=fix)
    if found.name == "onnx":
        require_runtime(str(path))
    return found


def run_of(model: nn.Module) -> Run:
    """A module on arrays, without gradients. Raises TargetError where it does not take them or gives no one tensor."""
    import torch

    def run(batch: Batch) -> Batch:
        try:
            with torch.no_grad():
                result = model(torch.from_numpy(batch))
        except Exception as error:  # whatever a user's own code leads it to
            what = f"does not take images of {batch.shape}: {words_of(error)[:300]}"
            raise TargetError(what, where=type(model).__name__, fix="give the input that it takes") from error
        if not isinstance(result, torch.Tensor):
            raise TargetError(
                f"gives a {type(result).__name__}, not one tensor", where=type(model).__name__,
                fix="export a module that returns its logits",
            )  # fmt: skip
        array: Batch = result.numpy()
        return array

    return run


# -- weights ---------------------------------------------------------------------------------------------------


def _write_weights(exportee: Exportee, path: Path) -> None:
    from safetensors.torch import save_file

    from analyzer.training.checkpoints import save_weights, unique

    if exportee.about is not None:
        save_weights(path, exportee.model, exportee.about)
        return
    tensors, tied = unique(exportee.model.state_dict())
    said = {**exportee.facts(), **({"tied": json.dumps(tied)} if tied else {})}
    save_file(tensors, path, metadata={"format": "pt", **said})


def _run_weights(exportee: Exportee, path: Path) -> Run:
    """The network emptied, its weights read again."""
    import torch
    from safetensors.torch import load_file

    from analyzer.training.checkpoints import unique

    empty = copy.deepcopy(exportee.model)
    with torch.no_grad():
        for tensor in empty.state_dict().values():
            tensor.zero_()
    tensors = load_file(path)
    tied = unique(exportee.model.state_dict())[1]
    empty.load_state_dict({**tensors, **{name: tensors[first] for name, first in tied.items()}})
    return run_of(empty)


def _count_weights(exportee: Exportee, path: Path) -> Record:
    """What the file itself holds; the count needs no network."""
    from analyzer.targets.files import weights_record

    return weights_record(path, exportee.name)


# -- an exported program ---------------------------------------------------------------------------------------


def _program(exportee: Exportee) -> ExportedProgram:
    """Of any batch. Raises TargetError where torch.export can't have it so."""
    import torch

    example = torch.zeros(2, exportee.channels, *exportee.size)
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(exportee.model, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    except Exception as error:  # whatever a user's own code leads it to
        raise _refused(exportee, "torch.export", error) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _write_program(exportee: Exportee, path: Path) -> None:
    import torch

    with path.open("wb") as file, _quiet():
        torch.export.save(_program(exportee), file, extra_files={FACTS: json.dumps(exportee.facts())})


def _loaded_program(path: Path) -> nn.Module:
    import torch

    with path.open("rb") as file, _quiet():
        module: nn.Module = torch.export.load(file).module()
    return module


def _run_program(_: Exportee, path: Path) -> Run:
    return run_of(_loaded_program(path))


def _count_program(exportee: Exportee, path: Path) -> Record:
    from analyzer.targets.analysis import analyze

    with _quiet():
        return analyze(_loaded_program(path), inputs=(1, exportee.channels, *exportee.size))


# -- a module --------------------------------------------------------------------------------------------------


def _write_module(exportee: Exportee, path: Path, weights: Path) -> None:
    from safetensors.torch import save_file

    from analyzer.exporting.generated import generated

    try:
        with _quiet():
            made = generated(exportee)
    except Exception as error:  # whatever a user's own code leads it to
        raise _refused(exportee, "torch.fx", error) from error
    save_file(made.tensors, weights, metadata={"format": "pt", **exportee.facts()})
    path.write_text(made.code, encoding="utf-8")


def _loaded_module(exportee: Exportee, path: Path, weights: Path) -> nn.Module:
    """What the file's own `load` gives. Raises TargetError where it can't."""
    names: dict[str, Any] = {"__file__": str(path), "__name__": "exported"}
    try:
        exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), names)  # noqa: S102 - what was written a moment ago
        module: nn.Module = names["load"](weights)
    except Exception as error:
        raise _refused(exportee, "torch.fx", error) from error
    return module


def _run_module(exportee: Exportee, path: Path, weights: Path) -> Run:
    return run_of(_loaded_module(exportee, path, weights))


def _count_module(exportee: Exportee, path: Path, weights: Path) -> Record:
    from analyzer.targets.analysis import analyze

    return analyze(_loaded_module(exportee, path, weights), inputs=(1, exportee.channels, *exportee.size))


# -- ONNX ------------------------------------------------------------------------------------------------------


def _write_onnx(exportee: Exportee, path: Path) -> None:
    """By torch's exporter for exported programs, not optimised: BN stays an operator, so that its params are those of
    the network. What runs the file folds it as it loads.
    """
    import torch
    from onnxscript import ir, optimizer, rewriter
    from onnxscript.rewriter.rules import common

    program = _program(exportee)
    try:
        with _quiet():
            made = torch.onnx.export(
                program, (), dynamo=True, optimize=False, external_data=False, verbose=False, input_names=[INPUT],
                output_names=[OUTPUT],
            )  # fmt: skip
    except Exception as error:  # whatever its operators lead it to
        raise _refused(exportee, "the ONNX exporter", error) from error
    assert made is not None
    model = made.model
    optimizer.inline(model)
    optimizer.fold_constants(model)
    rewriter.rewrite(model, [common.materialize_reshape_shape_rule])
    _without_made_up_biases(model, exportee)
    optimizer.remove_unused_nodes(model)
    _anonymous(model, exportee)
    if sum(tensor.nbytes for tensor in exportee.model.state_dict().values()) > MOST_BYTES:
        raise UsageError("is too large for one ONNX file: 2 GiB at most", where=exportee.name, fix="export .pt2")
    ir.save(model, path, format="protobuf")


def _without_made_up_biases(model: Any, exportee: Exportee) -> None:
    """The exporter gives a convolution without bias one of zeros: taken out. The network's own stay, zeros or not."""
    from onnxscript import ir

    own = exportee.model.state_dict().keys()
    for node in model.graph.all_nodes():
        if node.op_type not in ("Conv", "ConvTranspose") or len(node.inputs) < 3 or node.inputs[2].name in own:
            continue
        bias = ir.convenience.get_const_tensor(node.inputs[2])
        if bias is not None and not bias.numpy().any():
            node.resize_inputs(2)


def _anonymous(model: Any, exportee: Exportee) -> None:
    """Takes out what the exporter noted of its own work, and says what the network is."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.metadata_props.update(exportee.facts())
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.shape = type(value.shape)(["batch", *list(value.shape)[1:]])


def _run_onnx(_: Exportee, path: Path) -> Run:
    return session(path)


def _count_onnx(exportee: Exportee, path: Path) -> Record:
    from analyzer.graphs.record import count_file

    return count_file(path, name=exportee.name)


FORMATS = (
    FileFormat("safetensors", 0.0, _write_weights, _run_weights, _count_weights),
    FileFormat("pt2", 1e-6, _write_program, _run_program, _count_program),
    FileFormat("py", 1e-6, _write_module, _run_module, _count_module, (".weights.safetensors",)),
    FileFormat("onnx", 1e-4, _write_onnx, _run_onnx, _count_onnx),
)


def _refused(exportee: Exportee, by: str, error: Exception) -> AnalyzerError:
    if isinstance(error, AnalyzerError):
        return error
    fix = "make its forward free of code that looks at sizes and values; --debug shows where it fails"
    return TargetError(f"can't be exported by {by}: {words_of(error)[:300]}", where=exportee.name, fix=fix)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What exporters warn of and log stays out of a command's streams."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
