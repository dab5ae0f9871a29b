"""Net -> params, MACs, conv activations: where each of these figures is defined.

MACs are multiply-accumulates of convolutions and linear layers of one sample, without bias, BN, activations and
pooling (the convention of the ResNet and DenseNet papers and of torchvision). FLOPs are twice the MACs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from analyzer.architecture.net import INT64_MAX, Conv, Dim, Linear, Net, Norm, Op
from analyzer.errors import ArchitectureError


class Cost(NamedTuple):
    """What one op or a whole network costs: ints, or int64 arrays with one entry a variant."""

    params: Dim
    macs: Dim
    conv_activations: Dim


FREE = Cost(0, 0, 0)


def cost(op: Op) -> Cost:
    """The definition of the three figures, op by op."""
    if isinstance(op, Conv):
        inputs = op.x.channels if isinstance(op.groups, int) and op.groups == 1 else op.x.channels // op.groups
        kernel_area = op.kernel * op.kernel
        weight = inputs * op.output.channels if isinstance(kernel_area, int) and kernel_area == 1 else (
            inputs * op.output.channels * kernel_area
        )
        params = weight + op.output.channels if op.bias else weight
        return Cost(params, weight * op.output.area, op.output.elements)
    if isinstance(op, Linear):
        weight = op.x.channels * op.output.channels
        return Cost(weight + op.output.channels, weight, op.output.channels)
    if isinstance(op, Norm):
        return Cost(2 * op.x.channels, 0, 0)
    return FREE


def total(net: Net) -> Cost:
    """The network's own figures. In scalar form a total beyond int64 raises ArchitectureError."""
    params: Any = 0
    macs: Any = 0
    activations: Any = 0
    for _, op in net.ops():
        each = cost(op)
        if each is not FREE:
            params = params + each.params
        if isinstance(op, (Conv, Linear)):
            macs = macs + each.macs
            activations = activations + each.conv_activations
    result = Cost(params, macs, activations)
    for name, value in result._asdict().items():
        if isinstance(value, int) and value > INT64_MAX:
            raise ArchitectureError(
                f"{name} is {value:.3g}, beyond 2^63-1", where="network", fix="use fewer layers or an integer growth"
            )
    return result


def buffer_bytes(net: Net) -> int:
    """Bytes of BN's running mean and variance (fp32) and its step counter (int64)."""
    return sum(8 * op.x.channels + 8 for _, op in net.ops() if isinstance(op, Norm))
