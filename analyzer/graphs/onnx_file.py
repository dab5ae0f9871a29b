"""An ONNX file as its graph, its size and types checked: it may come from anyone.

Weights that the graph keeps in other files ("external data") are never opened: their shapes stand in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from analyzer.distribution import installing
from analyzer.errors import UsageError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

SUFFIX = ".onnx"
MOST_BYTES = 2**31 - 1
"""What protobuf itself reads."""
MOST_NODES, MOST_DEEP = 200_000, 20
FIX = "restore it, or export it anew"

_FLOATS = {"FLOAT": 32, "FLOAT16": 16, "DOUBLE": 64, "BFLOAT16": 16, "FLOAT8E4M3FN": 8, "FLOAT8E4M3FNUZ": 8,
           "FLOAT8E5M2": 8, "FLOAT8E5M2FNUZ": 8, "FLOAT8E8M0": 8, "FLOAT4E2M1": 4, "COMPLEX64": 64,
           "COMPLEX128": 128}  # fmt: skip
_WHOLE = {"UINT8": 8, "INT8": 8, "UINT16": 16, "INT16": 16, "INT32": 32, "UINT32": 32, "INT64": 64, "UINT64": 64,
          "BOOL": 8, "UINT4": 4, "INT4": 4, "UINT2": 2, "INT2": 2, "STRING": 8}  # fmt: skip


class Stored(NamedTuple):
    """A tensor that a graph holds: whether of floating-point numbers (`floats`), and whether in another file."""

    name: str
    shape: tuple[int, ...]
    dtype: int
    bits: int
    floats: bool
    elsewhere: bool

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Of its numbers, packed where several share one."""
        return (self.elements * self.bits + 7) // 8


def require_onnx(where: str) -> None:
    """Imports onnx. Raises UsageError where it is not installed."""
    try:
        import onnx.shape_inference
    except ImportError:
        raise UsageError("needs onnx, which is not installed", where=where, fix=installing("onnx")) from None
    del onnx


def read_model(path: Path) -> ModelProto:
    """The model of an ONNX file. Raises UsageError where it is none, damaged, too large, or onnx is not installed."""
    require_onnx(str(path))
    import onnx
    from google.protobuf.message import DecodeError

    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UsageError("is no file", where=str(path), fix="name an .onnx file")
        if size > MOST_BYTES:
            raise UsageError(f"has {size:,} bytes, an ONNX file at most {MOST_BYTES:,}", where=str(path), fix=FIX)
        model: ModelProto = onnx.ModelProto.FromString(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"can't be read: {reason}", where=str(path), fix="name an .onnx file") from error
    except DecodeError as error:
        raise damaged(path, "is damaged, or no ONNX file") from error
    if not model.graph.node or not model.graph.output:
        raise damaged(path, "is damaged, or no ONNX file: it has no graph")
    for count, _ in enumerate(nodes_below(model.graph, path)):
        if count >= MOST_NODES:
            raise damaged(path, f"has more than {MOST_NODES:,} operators")
    return model


def damaged(path: Path, what: str) -> UsageError:
    """The error for a file that can't be used as it is."""
    return UsageError(what, where=str(path), fix=FIX)


def graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs that an operator holds: the branches of an If, the body of a Loop."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def nodes_below(graph: GraphProto, path: Path, depth: int = 0) -> Iterator[NodeProto]:
    """Every operator of a graph and of those within it. Raises UsageError where they are nested too deep."""
    if depth > MOST_DEEP:
        raise damaged(path, f"nests graphs over {MOST_DEEP} deep")
    for node in graph.node:
        yield node
        for inner in graphs_of(node):
            yield from nodes_below(inner, path, depth + 1)


def stored(tensor: TensorProto, path: Path) -> Stored:
    """A tensor's facts, from its header. Raises UsageError where they contradict what is there."""
    from onnx import TensorProto

    try:
        kind = TensorProto.DataType.Name(tensor.data_type)
    except ValueError:
        kind = ""
    bits = _FLOATS.get(kind) or _WHOLE.get(kind)
    shape, elsewhere = tuple(tensor.dims), tensor.data_location == TensorProto.EXTERNAL
    name = tensor.name[:200]
    if bits is None or any(size < 0 for size in shape) or math.prod(shape) > 2**60:
        raise damaged(path, f"is damaged: {name!r} is of no type and size that can be")
    found = Stored(name, shape, tensor.data_type, bits, kind in _FLOATS, elsewhere)
    if not elsewhere and kind != "STRING" and not _is_whole(tensor, found):
        raise damaged(path, f"is damaged: {name!r} has not the {found.bytes:,} bytes that its shape says")
    return found


def _is_whole(tensor: TensorProto, said: Stored) -> bool:
    """Whether a tensor holds as much as it says, raw or number by number."""
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data) == said.bytes
    lists = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    held = sum(map(len, lists))
    packed, complex_ = said.bits < 8, said.bits >= 64 and said.floats and not tensor.double_data
    return held == said.elements or (packed and held > 0) or (complex_ and held == 2 * said.elements)
