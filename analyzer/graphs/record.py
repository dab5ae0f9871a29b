"""An ONNX file -> its record: params, bytes, MACs, activations and depth, by the counting core's own definitions.

- Params are the elements of what was learnt: the floating-point tensors that the graph holds (of one dimension or
  more), and whole numbers where a quantised operator takes them for weights; each once, however often it is read.
- Buffers are what was observed: a BatchNormalization's running mean and variance, scales and zero points. A count of
  batches is not exported, so an exported network has 8 bytes a BN less than the network itself.
- Whole numbers elsewhere (sizes, axes) and the constants of the code are neither.
- MACs follow from the inferred shapes; an operator without a formula, or whose shapes can't be inferred, is named.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.graphs.formulas import BUFFERS, FORMULAS, FREE, PASSING, WHOLE_WEIGHTS
from analyzer.graphs.onnx_file import Stored, damaged, graphs_of, nodes_below, read_model, stored
from analyzer.graphs.shapes import inferred, inputs_of
from analyzer.records import Input, LayerRow, Record, Remark, Target, Uncounted

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

HERE = ("", "ai.onnx")
"""The domain of ONNX's own operators."""


@dataclass
class _Row:
    """A layer as it is added up; `type` and `output` are those of its first operator."""

    type: str
    output: tuple[int, ...] | None
    params: int = 0
    macs: int = 0
    conv_activations: int = 0


@dataclass
class _Sums:
    """What the operators come to, in order. `roots` says of which tensor a value is the same numbers, `depths` how many
    layers lead to it; `free` are the learnt tensors that no operator has had yet.
    """

    shapes: dict[str, tuple[int, ...]]
    learnt: dict[str, Stored]
    free: dict[str, Stored]
    roots: dict[str, str]
    rows: dict[str, _Row] = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=dict)
    uncounted: Counter[tuple[str, str]] = field(default_factory=Counter)
    unshaped: int = 0


def count_file(path: Path, *, name: str, given: Sequence[Input] = ()) -> Record:
    """The record of an ONNX file; `given` are the sizes of its inputs that it leaves open.

    Raises UsageError where it is damaged, none, or its inputs are others.
    """
    model = read_model(path)
    held = _held(model, path)
    roles = _roles(model.graph, held)
    remarks = _remarks(model, held, path, opened=not given)
    inputs = inputs_of(model, held, given, path)
    learnt = {name: one for name, one in held.items() if name in roles.learnt}
    sums = _Sums(inferred(model, held, path), learnt, dict(learnt), {name: name for name in learnt})
    for number, node in enumerate(model.graph.node):
        _add(sums, node, number)
    for one in sums.free.values():
        sums.rows.setdefault(_module_of(one.name) or one.name, _Row("Initializer", None)).params += one.elements
    return _record(sums, roles, inputs, remarks, name=name, path=path)


def _record(
    sums: _Sums, roles: _Roles, inputs: tuple[Input, ...], remarks: list[Remark], *, name: str, path: Path
) -> Record:
    macs, activations = (sum(getattr(row, each) for row in sums.rows.values()) for each in ("macs", "conv_activations"))
    params = sum(one.elements for one in sums.learnt.values())
    if max(macs * 2, activations, params) >= 2**63:
        raise damaged(path, "has figures beyond what torch itself can count")
    if sums.unshaped:
        text = f"the shapes of {sums.unshaped:,} operators can't be inferred: give --input with the sizes left open"
        remarks.append(Remark(kind="unseen", text=text, figure="macs"))
    shape = inputs[0].shape if inputs else ()
    return Record(
        target=Target(name=name), input=shape or None, inputs=inputs, batch=max(shape[0] if shape else 1, 1),
        params=params, param_bytes=sum(one.bytes for one in sums.learnt.values()),
        buffer_bytes=sum(one.bytes for one in roles.buffers), macs=macs, flops=2 * macs, conv_activations=activations,
        depth=max(sums.depths.values(), default=0),
        layers=tuple(
            LayerRow(path=at, type=row.type, output=row.output, params=row.params, macs=row.macs,
                     conv_activations=row.conv_activations, saved_bytes=None)
            for at, row in sums.rows.items()
        ),
        uncounted=tuple(Uncounted(operator=op, module=at, calls=n) for (at, op), n in sorted(sums.uncounted.items())),
        remarks=tuple(remarks),
    )  # fmt: skip


# -- what the graph holds --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Roles:
    """Which of the held tensors were learnt, and which observed."""

    learnt: set[str]
    buffers: tuple[Stored, ...]


def _held(model: ModelProto, path: Path) -> dict[str, Stored]:
    """The tensors of the graph and of those within it, by name. Raises UsageError."""
    found: dict[str, Stored] = {}
    for graph in (model.graph, *(inner for node in nodes_below(model.graph, path) for inner in graphs_of(node))):
        for tensor in graph.initializer:
            if tensor.name in found:
                raise damaged(path, f"is damaged: it holds two tensors called {tensor.name[:80]!r}")
            found[tensor.name] = stored(tensor, path)
    return found


def _roles(graph: GraphProto, held: dict[str, Stored]) -> _Roles:
    """By who reads them: what an operator takes as statistics alone is a buffer."""
    observed, read, weights = set[str](), set[str](), set[str]()
    for node in graph.node:
        for place, name in enumerate(node.input):
            (observed if place in BUFFERS.get(node.op_type, ()) else read).add(name)
            if place in WHOLE_WEIGHTS.get(node.op_type, ()):
                weights.add(name)
    buffers = tuple(one for name, one in held.items() if name in observed - read)
    learnt = {
        name for name, one in held.items()
        if (one.floats and one.shape and name not in observed - read) or (not one.floats and name in weights)
    }  # fmt: skip
    return _Roles(learnt, buffers)


def _remarks(model: ModelProto, held: dict[str, Stored], path: Path, *, opened: bool) -> list[Remark]:
    texts: list[tuple[str, str]] = []
    first = next((value for value in model.graph.input if value.name not in held), None)
    sizes = first.type.tensor_type.shape.dim if first is not None else ()
    if opened and sizes and sizes[0].dim_param:
        texts.append(("note", f"any batch: its {sizes[0].dim_param[:40]!r} is counted as 1"))
    if any(one.elsewhere for one in held.values()):
        texts.append(("note", "weights lie in other files, which are not opened: their shapes are as the graph says"))
    if model.graph.sparse_initializer:
        texts.append(("unseen", f"{len(model.graph.sparse_initializer):,} sparse tensors are left out of params"))
    written = sum(stored(tensor, path).elements for tensor in _constants(model.graph))
    if written:
        texts.append(("unseen", f"constants in the graph's code, left out of params: {written:,} numbers"))
    texts.append(("note", "a file of a network that was exported: what trains and what autograd keeps is not in it"))
    return [Remark(kind="unseen" if kind == "unseen" else "note", text=text) for kind, text in texts]


def _constants(graph: GraphProto) -> Iterator[TensorProto]:
    """Floating-point tensors of more than one number that Constant operators hold, as some exporters write weights."""
    from onnx import TensorProto

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.HasField("t") and attribute.t.data_type in floats and len(attribute.t.dims):
                yield attribute.t


# -- operators -------------------------------------------------------------------------------------------------


def _add(sums: _Sums, node: NodeProto, number: int) -> None:
    """One operator's params, MACs and place."""
    before = max((sums.depths.get(name, 0) for name in node.input), default=0)
    weights = list(dict.fromkeys(sums.roots[name] for name in node.input if name in sums.roots))
    if node.op_type in PASSING and node.domain in HERE and node.input and node.input[0] in sums.roots:
        sums.roots[node.output[0]] = sums.roots[node.input[0]]
        return
    path = next((at for at in map(_module_of, weights) if at), node.name[:200] or f"{node.op_type}_{number}")
    own = sum(one.elements for name in weights if (one := sums.free.pop(name, None)) is not None)
    macs, layer = _work(sums, node, path)
    sums.depths.update((name, before + layer) for name in node.output if before + layer)
    if own or macs or layer:
        output = sums.shapes.get(node.output[0])
        row = sums.rows.setdefault(path, _Row(node.op_type[:80], output))
        row.params += own
        row.macs += macs
        row.conv_activations += math.prod(output) if layer and output is not None else 0


def _work(sums: _Sums, node: NodeProto, path: str) -> tuple[int, bool]:
    """MACs, and whether it is a layer: a convolution, or a product with a weight. What has no formula is noted."""
    formula = FORMULAS.get(node.op_type) if node.domain in HERE else None
    if formula is None:
        if node.domain not in HERE or node.op_type not in FREE:
            name = node.op_type if node.domain in HERE else f"{node.domain}::{node.op_type}"
            sums.uncounted[path, name[:120]] += 1
        return 0, False
    places = (formula.data, formula.weight)
    names = [node.input[place] if place < len(node.input) else "" for place in places]
    layer = "Conv" in node.op_type or any(name in sums.roots for name in names)
    data, weight, result = (sums.shapes.get(name) for name in (*names, node.output[0]))
    if data is None or weight is None or result is None or not data:
        sums.unshaped += 1
        sums.uncounted[path, node.op_type] += 1
        return 0, layer
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return formula.macs(data[::-1] if turned else data, weight, result), layer


def _module_of(name: str) -> str:
    """The module that a tensor's name says it is of: `features.conv0` of `features.conv0.weight`."""
    return name.rpartition(".")[0][:200]
