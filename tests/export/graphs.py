"""ONNX files made by hand, operator by operator: their figures are arithmetic, and nothing exported them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper


def floats(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def whole(name: str, values: Sequence[int], dtype: Any = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def written(
    path: Path, nodes: Sequence[NodeProto], tensors: Sequence[TensorProto], x: Sequence[int | str],
    y: Sequence[int | str] | None = None, domains: Sequence[str] = (),
) -> Path:  # fmt: skip
    """A graph from `x` to `y`."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None if y is None else list(y))]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, list(tensors))
    opsets = [helper.make_opsetid("", 20), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return path


def small(path: Path) -> Path:
    """conv 3x3 (3 to 8, stride 2), BN, ReLU, conv 1x1 in 2 groups with bias, pool, linear 8 to 5; any batch."""
    nodes = [
        helper.make_node("Conv", ["x", "stem.conv.weight"], ["a"], name="n0", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", *(f"stem.norm.{each}" for each in _NORM)], ["b"], name="n1"),
        helper.make_node("Relu", ["b"], ["c"], name="n2"),
        helper.make_node("Conv", ["c", "mix.weight", "mix.bias"], ["d"], name="n3", group=2),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], name="n4"),
        helper.make_node("Reshape", ["e", "sizes"], ["f"], name="n5"),
        helper.make_node("Gemm", ["f", "head.weight", "head.bias"], ["y"], name="n6", transB=1),
    ]
    tensors = [
        floats("stem.conv.weight", 8, 3, 3, 3), *(floats(f"stem.norm.{each}", 8) for each in _NORM),
        floats("mix.weight", 8, 4, 1, 1), floats("mix.bias", 8), whole("sizes", [-1, 8]),
        floats("head.weight", 5, 8), floats("head.bias", 5),
    ]  # fmt: skip
    return written(path, nodes, tensors, ("batch", 3, 16, 16))


_NORM = ("weight", "bias", "running_mean", "running_var")
