"""Any nn.Module -> its parameters and layer tree, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.errors import CountError
from analyzer.records import LayerRow, Record, Remark, Target

if TYPE_CHECKING:
    from torch import nn


def count_parameters(model: nn.Module, *, name: str) -> Record:
    """Params and buffers of a model, per module; a tied parameter counts once, in the module that has it first.

    What depends on an input (MACs, activations, saved bytes, output shapes) is None. Raises CountError where a lazy
    module has not seen an input yet.
    """
    rows = []
    seen: set[int] = set()
    for path, module in model.named_modules():
        own = [p for p in module._parameters.values() if p is not None]
        for parameter in own:
            require_known(parameter, path, module)
        new = {id(p): p.numel() for p in own if id(p) not in seen}
        seen.update(new)
        if path == "" and not own and any(True for _ in module.children()):
            continue
        rows.append(LayerRow(
            path=path, type=type(module).__name__, output=None, params=sum(new.values()), macs=None,
            conv_activations=None, saved_bytes=None,
        ))  # fmt: skip
    parameters, buffers = list(model.parameters()), list(model.buffers())
    return Record(
        target=Target(name=name),
        params=sum(p.numel() for p in parameters),
        trainable_params=sum(p.numel() for p in parameters if p.requires_grad),
        param_bytes=sum(p.numel() * p.element_size() for p in parameters),
        buffer_bytes=sum(b.numel() * b.element_size() for b in buffers),
        layers=tuple(rows),
        remarks=(
            Remark(
                kind="no-input",
                text="MACs, activations and saved bytes need an input: give --input, such as --input 1,3,224,224",
            ),
        ),
    )


def require_known(parameter: object, path: str, module: nn.Module) -> None:
    """CountError where a lazy module's parameter or buffer has no shape yet."""
    from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

    if isinstance(parameter, (UninitializedParameter, UninitializedBuffer)):
        raise CountError(
            f"{type(module).__name__} has not seen an input yet, so its parameters have no shape",
            where=path or "the root",
            fix="run the model once on an example input before it is counted",
        )
