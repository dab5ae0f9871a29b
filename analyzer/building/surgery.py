"""A compression's map applied to a network: channels cut out of its tensors, layers replaced by several of low rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from analyzer.building.low_rank import factors_of
from analyzer.channel_maps import ChannelMap, CompressionMap, KeptChannels, ModuleCut
from analyzer.errors import UsageError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TensorCut:
    """What is kept of a tensor: indices along its axis of outputs, and along that of inputs (None: all)."""

    axes: tuple[tuple[int, Indices], ...]

    def of(self, tensor: Tensor) -> Tensor:
        """The slice, in memory of its own."""
        for axis, indices in self.axes:
            tensor = tensor.index_select(axis, torch.from_numpy(indices).to(tensor.device))
        return tensor.clone() if not self.axes else tensor

    def without(self, tensor: Tensor) -> Tensor:
        """The tensor with zeros wherever it is not kept."""
        kept = torch.zeros_like(tensor, dtype=torch.bool)
        grids = dict(self.axes)
        places = [grids.get(axis, np.arange(size)) for axis, size in enumerate(tensor.shape)]
        kept[np.ix_(*places)] = True
        return torch.where(kept, tensor, torch.zeros_like(tensor))


def can_be_cut(module: nn.Module) -> bool:
    """Whether channels can be cut out of a module of its kind."""
    if isinstance(module, _ConvTransposeNd):
        return module.groups == 1
    if isinstance(module, nn.PReLU):
        return module.num_parameters > 1
    return isinstance(module, (_ConvNd, nn.Linear, _NormBase))


def width_of(module: nn.Module, side: str) -> int:
    """Channels of a module's `outputs` or `inputs`."""
    if isinstance(module, _ConvNd):
        return module.out_channels if side == "outputs" else module.in_channels
    if isinstance(module, nn.Linear):
        return module.out_features if side == "outputs" else module.in_features
    return module.num_parameters if isinstance(module, nn.PReLU) else int(module.num_features)  # type: ignore[arg-type]


def is_depthwise(module: nn.Module) -> bool:
    """A convolution of one input and one output channel a group: its inputs are its outputs."""
    return isinstance(module, _ConvNd) and 1 < module.groups == module.in_channels == module.out_channels


def tensor_cuts(module: nn.Module, cut: ModuleCut) -> dict[str, TensorCut]:
    """What is kept of each of a module's own tensors."""
    outputs, inputs = (_indices(kept) for kept in (cut.outputs, cut.inputs))
    found = {}
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is None or tensor.ndim == 0:
            continue
        axes = [] if outputs is None else [(1 if _is_transposed(module, name) else 0, outputs)]
        if inputs is not None and tensor.ndim > 1:
            inside = _in_block(module, inputs) if isinstance(module, _ConvNd) else inputs
            axes += [] if inside is None else [(0 if _is_transposed(module, name) else 1, inside)]
        found[name] = TensorCut(tuple(axes))
    return found


def _indices(kept: KeptChannels | None) -> Indices | None:
    return None if kept is None else kept.indices()


def _is_transposed(module: nn.Module, name: str) -> bool:
    return isinstance(module, _ConvTransposeNd) and name == "weight"


def _in_block(conv: _ConvNd, inputs: Indices) -> Indices | None:
    """Which inputs each group keeps, counted within the group; None: its one. Groups keep alike, or the cut is none."""
    if conv.groups == 1:
        return inputs
    block = conv.in_channels // conv.groups
    inside = np.unique(inputs % block)
    blocks = np.unique(inputs // block)
    if len(inside) * len(blocks) != len(inputs):
        raise UsageError("is cut differently in its groups", where=type(conv).__name__, fix="restore the checkpoint")
    return None if block == 1 else inside


def operate(model: nn.Module, done: CompressionMap) -> nn.Module:
    """Applies a map, in order, in place; the model itself. Raises UsageError where it is another network's map."""
    for step in done.steps:
        if isinstance(step, ChannelMap):
            cut_channels(model, step)
            continue
        for path, ranks in step.modules.items():
            module = _found(model, path)
            model.set_submodule(path, factors_of(module, ranks, path))
    return model


def cut_channels(model: nn.Module, cuts: ChannelMap) -> None:
    """Cuts channels out of a model's modules, in place. Raises UsageError where they are not of those widths."""
    for path, cut in cuts.modules.items():
        module = _found(model, path)
        for side in ("outputs", "inputs"):
            kept: KeptChannels | None = getattr(cut, side)
            if kept is None:
                continue
            if not can_be_cut(module) or width_of(module, side) != kept.width or kept.count == 0:
                raise UsageError(
                    f"its map cuts {kept.width} {side} of {path}, which is a {type(module).__name__} of another width",
                    where="map", fix="name the network that the checkpoint was made from",
                )  # fmt: skip
        _cut(module, cut)


def _found(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise UsageError(
            f"its map speaks of {path}, which {type(model).__name__} does not have", where="map",
            fix="name the network that the checkpoint was made from",
        ) from None  # fmt: skip


def _cut(module: Any, cut: ModuleCut) -> None:
    for name, kept in tensor_cuts(module, cut).items():
        tensor = getattr(module, name)
        sliced = kept.of(tensor.detach())
        if isinstance(tensor, nn.Parameter):
            sliced = nn.Parameter(sliced, requires_grad=tensor.requires_grad)
        setattr(module, name, sliced)
    if isinstance(module, _ConvNd) and cut.inputs is not None:
        module.groups = len(np.unique(cut.inputs.indices() // (module.in_channels // module.groups)))
    outputs, inputs = (None if kept is None else kept.count for kept in (cut.outputs, cut.inputs))
    names = ("out_channels", "in_channels") if isinstance(module, _ConvNd) else ("out_features", "in_features")
    if not isinstance(module, (_ConvNd, nn.Linear)):
        names = ("num_parameters" if isinstance(module, nn.PReLU) else "num_features", "")
    for name, width in zip(names, (outputs, inputs), strict=True):
        if width is not None:
            setattr(module, name, width)
