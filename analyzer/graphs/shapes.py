"""The shapes of an ONNX graph's values, inferred from its inputs'; what the file claims of them is not believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.errors import UsageError, lines_of
from analyzer.graphs.onnx_file import Stored, damaged
from analyzer.records import Input

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

SMALL = 1024
"""Elements of a tensor whose values inference may need, such as the sizes of a Reshape."""


def inputs_of(model: ModelProto, held: Mapping[str, Stored], given: Sequence[Input], path: Path) -> tuple[Input, ...]:
    """The graph's inputs with the sizes that are given, else its own; a first size that is open is a batch of 1.

    Raises UsageError for an input that the graph has not, or of other sizes.
    """
    asked = [value for value in model.graph.input if value.name not in held]
    named = {one.name: one for one in given if one.name is not None}
    ordered = iter([one for one in given if one.name is None])
    found = []
    for value in asked:
        one = named.pop(value.name, None) or next(ordered, None)
        found.append(_sized(value, one, path))
    if named or next(ordered, None) is not None:
        names = ", ".join(value.name[:40] for value in asked[:8])
        raise UsageError(f"has no such input: its own are {names}", where=f"--input of {path}", fix="name those")
    return tuple(found)


def _sized(value: ValueInfoProto, given: Input | None, path: Path) -> Input:
    """One input; a size that is not known is 0. It is written into the graph, too."""
    from onnx import TensorProto

    kind = value.type.tensor_type
    own = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
    if given is not None:
        same = len(own) == len(given.shape) and all(
            said in (None, asked) for said, asked in zip(own, given.shape, strict=True)
        )
        if not same:
            said = ",".join("N" if size is None else str(size) for size in own)
            what = f"{given.shape} is not the {said} of its input {value.name[:80]!r}"
            raise UsageError(what, where=f"--input of {path}", fix="give the sizes that are open")
        own = list(given.shape)
    elif own and own[0] is None:
        own[0] = 1
    if any(size is not None and not 0 <= size < 2**31 for size in own):
        raise damaged(path, f"is damaged: its input {value.name[:80]!r} has sizes that can't be")
    for size, known in zip(kind.shape.dim, own, strict=True):
        if known is not None:
            size.dim_value = known
    names = {number: name.lower() for name, number in TensorProto.DataType.items()}
    dtype = {"float": "float32", "double": "float64"}.get(names[kind.elem_type], names[kind.elem_type])
    return Input(shape=tuple(size or 0 for size in own), dtype=dtype, name=value.name[:200])


def inferred(model: ModelProto, held: Mapping[str, Stored], path: Path) -> dict[str, tuple[int, ...]]:
    """Each value's shape, where all sizes are known. The model is used up. Raises UsageError on contradictions."""
    import onnx

    graph = model.graph
    small = [tensor for tensor in graph.initializer if held[tensor.name].elements <= SMALL and not _elsewhere(tensor)]
    there = {value.name for value in graph.input} | {tensor.name for tensor in small}
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(small)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(one.name, one.dtype, one.shape)
        for one in held.values()
        if one.name not in there
    )
    try:
        known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:  # whatever a graph of anyone's leads the inference to
        reason = (lines_of(error) or ["no reason given"])[0][:200]
        raise damaged(path, f"has shapes that contradict each other: {reason}") from error
    shapes = {name: one.shape for name, one in held.items()}
    for value in (*known.input, *known.value_info, *known.output):
        sizes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(size.HasField("dim_value") for size in sizes):
            shapes[value.name] = tuple(size.dim_value for size in sizes)
    return shapes


def _elsewhere(tensor: object) -> bool:
    from onnx import TensorProto

    return getattr(tensor, "data_location", None) == TensorProto.EXTERNAL
