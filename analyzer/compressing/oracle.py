"""What a cut must be, whatever made it: slices of the original, and the original with what is gone at zero."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analyzer.building.surgery import tensor_cuts
from analyzer.channel_maps import ChannelMap, ModuleCut
from analyzer.errors import words_of

TOLERANCE = {torch.float64: 1e-10}
"""The largest relative difference of outputs; in float32 and less 1e-5."""


@dataclass(frozen=True)
class Verified:
    """How a cut compares with the original: tensors that are no slice of it, and the largest difference of the outputs
    over the largest output (None: they could not be compared, `why`).
    """

    unlike: tuple[str, ...]
    difference: float | None
    tolerance: float
    why: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is a cut of the original."""
        return not self.unlike and self.difference is not None and self.difference <= self.tolerance


def verified(original: nn.Module, cut: nn.Module, cuts: ChannelMap, args: Sequence[Any]) -> Verified:
    """Holds a cut against the original, both in evaluation mode, on inputs; once more in float64 where it is not plain
    in the network's own type.
    """
    unlike = tuple(_unlike(original, cut, cuts))
    tolerance = TOLERANCE.get(next(original.parameters()).dtype, 1e-5)
    if unlike:
        return Verified(unlike, None, tolerance, f"{unlike[0]} is no slice of the original's")
    full, small = masked(original, cuts), cut.eval()
    try:
        seen = _compared(full, small, args, tolerance)
        if not seen.holds and seen.difference is not None and tolerance > TOLERANCE[torch.float64]:
            wide = [value.double() if value.is_floating_point() else value for value in args]
            seen = _compared(full.double(), copy.deepcopy(small).double(), wide, TOLERANCE[torch.float64])
    except Exception as error:  # a size that the forward has fixed
        return Verified(unlike, None, tolerance, f"the cut network does not run: {words_of(error)[:160]}")
    return seen


def _compared(full: nn.Module, small: nn.Module, args: Sequence[Any], tolerance: float) -> Verified:
    with torch.inference_mode():
        wanted, made = _tensors(full(*args)), _tensors(small(*args))
    if [tensor.shape for tensor in wanted] != [tensor.shape for tensor in made]:
        return Verified((), None, tolerance, "the outputs have other shapes")
    difference = max((_relative(a, b) for a, b in zip(wanted, made, strict=True)), default=0.0)
    return Verified((), difference, tolerance, "" if difference <= tolerance else "the outputs differ")


def _unlike(original: nn.Module, cut: nn.Module, cuts: ChannelMap) -> list[str]:
    there = dict(cut.state_dict(keep_vars=True))
    found = []
    for path, module in original.named_modules():
        kept = tensor_cuts(module, cuts.modules.get(path, ModuleCut()))
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            full = f"{path}.{name}" if path else name
            if tensor is None or full not in there:
                continue
            wanted = kept[name].of(tensor) if name in kept else tensor
            if not torch.equal(wanted.detach(), there[full].detach()):
                found.append(full)
    return found


def masked(original: nn.Module, cuts: ChannelMap) -> nn.Module:
    """A copy of the original in evaluation mode, zeros in every weight that a cut takes away."""
    model = copy.deepcopy(original).eval()
    for path, cut in cuts.modules.items():
        module = model.get_submodule(path)
        for name, kept in tensor_cuts(module, cut).items():
            if isinstance(parameter := getattr(module, name), nn.Parameter):
                parameter.data = kept.without(parameter.detach())
    return model


def _tensors(answer: Any) -> list[Tensor]:
    if isinstance(answer, Tensor):
        return [answer.double()]
    values = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, (list, tuple)) else ()
    return [tensor for value in values for tensor in _tensors(value)]


def _relative(wanted: Tensor, made: Tensor) -> float:
    """Not a number counts as infinitely far."""
    scale = float(wanted.abs().max()) if wanted.numel() else 0.0
    far = float((wanted - made).abs().max()) if wanted.numel() else 0.0
    if far != far or scale != scale:
        return float("inf")
    return far / scale if scale > 0 else far
