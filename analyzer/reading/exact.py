"""Net -> params, MACs, conv activations, depth, buffers: where each of these figures is defined.

Each is a sum of what the ops state of themselves (architecture/ops.py). Params are the elements of all parameters.
Conv activations are the elements of all convolutions' and linear layers' results, and those layers make the depth.

MACs are multiply-accumulates of convolutions and linear layers of one sample, without bias, BN, activations and
pooling (the convention of the ResNet and DenseNet papers and of torchvision). FLOPs are twice the MACs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.architecture.dims import INT64_MAX, is_array
from analyzer.architecture.facts import FLOAT, INDEX
from analyzer.errors import ArchitectureError

if TYPE_CHECKING:
    from analyzer.architecture.dims import Dim
    from analyzer.architecture.facts import Op
    from analyzer.architecture.net import Net


class Cost(NamedTuple):
    """What one op or a whole network costs: ints, or int64 arrays with one entry a variant."""

    params: Dim
    macs: Dim
    conv_activations: Dim


FREE = Cost(0, 0, 0)


def cost(op: Op) -> Cost:
    """What one op adds to the three figures: all of its parameters, its MACs, a layer's results."""
    if op.weightless:
        return FREE
    parameters = op.parameters
    params = sum(parameters[1:], start=parameters[0]) if parameters else 0
    return Cost(params, op.macs(parameters), op.output.elements if op.is_layer else 0)


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
    """Ops that cost something, with how often one of the very same dimensions occurs: each is costed once."""
    seen: dict[tuple[object, ...], tuple[Op, int]] = {}
    for _, op in net.ops():
        if not op.weightless:
            key = op.signature
            seen[key] = (seen[key][0], seen[key][1] + 1) if key in seen else (op, 1)
    return list(seen.values())


def depth(net: Net) -> int:
    """Convolutions and linear layers on the longest path from input to output: ResNet-50 has 50 (He et al. 2016)."""
    longest: dict[int, int] = {}
    for _, op in net.ops():
        before = max((longest.get(x.id, 0) for x in op.inputs), default=0)
        longest[op.output.id] = before + op.is_layer
    return longest[net.output_tensor.id]


def norm_channels(net: Net) -> tuple[Dim, int]:
    """Channels of all batch normalisations together, and how many there are."""
    channels = [normalised for _, op in net.ops() if (normalised := op.normalised) is not None]
    return sum(channels), len(channels)


def buffer_bytes(channels: Dim, norms: int) -> Dim:
    """Bytes of BN's running mean and variance (fp32, two a channel) and its step counter (int64, one a norm)."""
    return 2 * FLOAT * channels + INDEX * norms
