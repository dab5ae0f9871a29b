"""What each ONNX operator does: MACs by a formula, nothing that counts, or something that has no formula.

MACs are the counting core's: of convolutions and matrix products, without bias, norms, activations and pooling.
Shapes and meanings: the operators' schemas in ONNX's own documentation (Operators.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Shape = tuple[int, ...]


class Products(NamedTuple):
    """MACs from the shapes of (left operand, weight or right operand, result); which inputs those two are."""

    macs: Callable[[Shape, Shape, Shape], int]
    data: int
    weight: int


def _convolution(_: Shape, weight: Shape, result: Shape) -> int:
    """Each element of the result is a sum over a window of the group's channels: weight is (out, in / groups, ...)."""
    return math.prod(result) * math.prod(weight[1:])


def _transposed(data: Shape, weight: Shape, _: Shape) -> int:
    """Each element of the input goes into a window of every output channel: weight is (in, out / groups, ...)."""
    return math.prod(data) * math.prod(weight[1:])


def _product(data: Shape, _: Shape, result: Shape) -> int:
    return math.prod(result) * data[-1]


FORMULAS: Mapping[str, Products] = {
    "Conv": Products(_convolution, 0, 1),
    "ConvInteger": Products(_convolution, 0, 1),
    "QLinearConv": Products(_convolution, 0, 3),
    "ConvTranspose": Products(_transposed, 0, 1),
    "MatMul": Products(_product, 0, 1),
    "MatMulInteger": Products(_product, 0, 1),
    "QLinearMatMul": Products(_product, 0, 3),
    "Gemm": Products(_product, 0, 1),
}
"""Operators that multiply and accumulate. Gemm's left operand is given as it is multiplied, turned if it says so."""

BUFFERS: Mapping[str, Sequence[int]] = {
    "BatchNormalization": (3, 4),
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
}
"""Inputs that hold what was observed and not learnt: running statistics, scales and zero points."""
WHOLE_WEIGHTS: Mapping[str, Sequence[int]] = {
    "DequantizeLinear": (0,), "QLinearConv": (3, 8), "QLinearMatMul": (3,), "ConvInteger": (1,), "MatMulInteger": (1,),
}  # fmt: skip
"""Inputs in which whole numbers are weights; anywhere else they are sizes, axes and the like."""
PASSING = ("Identity", "Cast", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "DequantizeLinear",
           "QuantizeLinear")  # fmt: skip
"""Operators whose result is the same numbers as their first input: what they give of a weight is one."""

FREE = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd
    BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Compress Concat ConcatFromSequence
    Constant ConstantOfShape Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Elu
    Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalMaxPool
    Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN
    LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool Max MaxPool MaxUnpool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear
    RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence Round ScatterElements ScatterND Selu
    SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape Shrink Sigmoid Sign Sin
    Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze Sub Sum Swish Tan Tanh
    ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905
)
"""Operators that do nothing that MACs count."""
