"""Net -> params, MACs, conv activations, depth, buffers: where each of these figures is defined.

Each is a sum of what the ops state of themselves (architecture/ops.py). Params are the elements of all parameters.
Conv activations are the elements of all convolutions' and linear layers' results, and those layers make the depth.

MACs are multiply-accumulates of convolutions and linear layers of one sample, without bias, BN, activations and
pooling (the convention of the ResNet and DenseNet papers and of torchvision). FLOPs are twice the MACs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.architecture.dims import INT64_MAX, Series, larger
from analyzer.architecture.facts import FLOAT, INDEX
from analyzer.errors import ArchitectureError
from analyzer.reading.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.architecture.dims import Dim, Run
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
    params, macs, activations = Tally(), Tally(), Tally()
    for run, places in _alike(net):
        parameters = net.parameters_of(places[0][0])
        for elements in parameters:
            params.add(elements, sum(times for _, times in places), run)
        for op, times in places:
            each = op.macs_each(parameters)
            if each is None:
                macs.add(op.macs(parameters), times, run)
            else:
                macs.add(each, times, run, op.output.area)
            if op.is_layer:
                activations.add(op.output.channels, times, run, op.output.area)
    result = Cost(params.total, macs.total, activations.total)
    for name, value in result._asdict().items():
        if isinstance(value, int) and value > INT64_MAX:
            raise ArchitectureError(
                f"{name} is {value:.3g}, beyond 2^63-1", where="network", fix="use fewer layers or an integer growth"
            )
    return result


def _alike(net: Net) -> Iterator[tuple[Run | None, list[tuple[Op, Dim]]]]:
    """Ops that cost something and have the same parameters: one for each image that they meet, and how many do.

    Ops of a series come with its run: they are so many in each of its layers.
    """
    seen: dict[tuple[object, ...], tuple[Run | None, dict[tuple[object, ...], tuple[Op, Dim]]]] = {}
    for _, op in net.ops():
        if not op.weightless:
            run, times = _layers(net.run_of(op), op)
            _, places = seen.setdefault(op.widths, (run, {}))
            key = op.areas
            places[key] = (op, places[key][1] + times) if key in places else (op, times)
    for run, places in seen.values():
        yield run, list(places.values())


def _layers(run: Run | None, op: Op) -> tuple[Run | None, Dim]:
    """The run of an op that is another one in each layer, and 1; or else None, and how many of it there are."""
    if run is None or any(isinstance(x.channels, Series) for x in (*op.inputs, op.output)):
        return run, 1
    return None, run.count


def depth(net: Net) -> Dim:
    """Convolutions and linear layers on the longest path from input to output: ResNet-50 has 50 (He et al. 2016)."""
    longest: dict[int, Any] = {}
    for _, op in net.ops():
        repetition = net.repetition_of(op)
        if repetition is not None and repetition.x.id not in longest:
            longest[repetition.x.id] = 0
        before: Any = 0
        for x in op.inputs:
            before = larger(before, longest.get(x.id, 0))
        longest[op.output.id] = before + op.is_layer
        if repetition is not None and op.output is repetition.gives:
            all_layers = longest[op.output.id] * repetition.run.count
            longest[repetition.leaves.id] = longest.get(repetition.enters.id, 0) + all_layers
    through: Dim = longest[net.output_tensor.id]
    return through


def norm_channels(net: Net) -> tuple[Dim, Dim]:
    """Channels of all batch normalisations together, and how many there are."""
    channels, norms = Tally(), Tally()
    for _, op in net.ops():
        if (normalised := op.normalised) is not None:
            channels.add(normalised, run=net.run_of(op))
            norms.add(1, run=net.run_of(op))
    return channels.total, norms.total


def buffer_bytes(channels: Dim, norms: Dim) -> Dim:
    """Bytes of BN's running mean and variance (fp32, two a channel) and its step counter (int64, one a norm)."""
    return 2 * FLOAT * channels + INDEX * norms
