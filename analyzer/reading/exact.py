"""Net -> params, MACs, conv activations: where each of these figures is defined.

MACs are multiply-accumulates of convolutions and linear layers of one sample, without bias, BN, activations and
pooling (the convention of the ResNet and DenseNet papers and of torchvision). FLOPs are twice the MACs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from analyzer.architecture.net import INT64_MAX, Net, is_array
from analyzer.architecture.ops import Conv, Dim, Linear, Norm, Op
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
        weight = (
            inputs * op.output.channels
            if isinstance(kernel_area, int) and kernel_area == 1
            else (inputs * op.output.channels * kernel_area)
        )
        params = weight + op.output.channels if op.bias else weight
        return Cost(params, weight * op.output.area, op.output.elements)
    if isinstance(op, Linear):
        weight = op.x.channels * op.output.channels
        return Cost(weight + op.output.channels, weight, op.output.channels)
    if isinstance(op, Norm):
        return Cost(2 * op.x.channels, 0, 0)
    return FREE


def parameters(op: Op) -> tuple[Dim, ...]:
    """Elements of each of an op's parameters, in the order of its module's: weight, then bias."""
    params = cost(op).params
    if isinstance(op, Norm):
        return op.x.channels, op.x.channels
    if isinstance(op, Linear) or (isinstance(op, Conv) and op.bias):
        return params - op.output.channels, op.output.channels
    return (params,) if isinstance(op, Conv) else ()


def total(net: Net) -> Cost:
    """The network's own figures. In scalar form a total beyond int64 raises ArchitectureError."""
    sums: list[Any] = [0, 0, 0]
    for op, times in _distinct(net):
        for i, part in enumerate(cost(op)):
            if is_array(part) or part:
                sums[i] = sums[i] + (part * times if times > 1 else part)
    result = Cost(*sums)
    for name, value in result._asdict().items():
        if isinstance(value, int) and value > INT64_MAX:
            raise ArchitectureError(
                f"{name} is {value:.3g}, beyond 2^63-1", where="network", fix="use fewer layers or an integer growth"
            )
    return result


def _distinct(net: Net) -> list[tuple[Op, int]]:
    """Ops that cost something, with how often an op of the very same dimensions occurs: each is costed once."""
    seen: dict[tuple[object, ...], tuple[Op, int]] = {}
    for _, op in net.ops():
        if isinstance(op, (Conv, Norm, Linear)):
            dims = (op.x.channels, op.output.channels, op.output.area)
            more = (op.kernel, op.groups, op.bias) if isinstance(op, Conv) else ()
            key = (type(op), *(id(dim) if is_array(dim) else dim for dim in dims + more))
            seen[key] = (seen[key][0], seen[key][1] + 1) if key in seen else (op, 1)
    return list(seen.values())


def depth(net: Net) -> int:
    """Convolutions and linear layers on the longest path from input to output: ResNet-50 has 50 (He et al. 2016)."""
    longest: dict[int, int] = {}
    for _, op in net.ops():
        before = max((longest.get(x.id, 0) for x in op.inputs), default=0)
        longest[op.output.id] = before + isinstance(op, (Conv, Linear))
    return longest[net.output_tensor.id]


def norm_channels(net: Net) -> tuple[Dim, int]:
    """Channels of all batch normalisations together, and how many there are."""
    norms = [op.x.channels for _, op in net.ops() if isinstance(op, Norm)]
    return sum(norms), len(norms)


def buffer_bytes(channels: Dim, norms: int) -> Dim:
    """Bytes of BN's running mean and variance (fp32, two a channel) and its step counter (int64, one a norm)."""
    return 8 * channels + 8 * norms
