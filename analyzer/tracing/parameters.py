"""Any nn.Module -> its parameters and layer tree, without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.errors import CountError
from analyzer.records import LayerRow, Record, Remark, Target

if TYPE_CHECKING:
    from torch import Tensor, nn


def count_parameters(model: nn.Module, *, name: str) -> Record:
    """Params and buffers of a model, per module; a tied parameter counts once, in the module that has it first.

    What depends on an input (MACs, activations, saved bytes, output shapes) is None. Raises CountError where a lazy
    module has not seen an input yet.
    """
    rows, parameters, buffers = _held_by(model)
    tensors = {**parameters, **buffers}
    sizes = {key: held_bytes(tensor) for key, tensor in tensors.items()}
    unknown = sorted({type(tensor).__name__ for key, tensor in tensors.items() if sizes[key] is None})
    texts = [f"param_bytes and buffer_bytes can't be said: {name} doesn't tell what it holds" for name in unknown]
    remarks = [Remark(kind="unseen", text=text, figure="param_bytes") for text in texts]
    return Record(
        target=Target(name=name),
        params=sum(p.numel() for p in parameters.values()),
        trainable_params=sum(p.numel() for p in parameters.values() if p.requires_grad),
        param_bytes=None if unknown else sum(sizes[key] or 0 for key in parameters),
        buffer_bytes=None if unknown else sum(sizes[key] or 0 for key in buffers),
        layers=tuple(rows),
        remarks=(
            Remark(
                kind="no-input",
                text="MACs, activations and saved bytes need an input: give --input, such as --input 1,3,224,224",
            ),
            *remarks,
        ),
    )


def _held_by(model: nn.Module) -> tuple[list[LayerRow], dict[int, Tensor], dict[int, Tensor]]:
    """A row of each module, and the parameters and buffers, each once."""
    from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

    rows: list[LayerRow] = []
    parameters: dict[int, Tensor] = {}
    buffers: dict[int, Tensor] = {}
    for path, module in model.named_modules():
        own = [p for p in module._parameters.values() if p is not None]
        held = [b for b in module._buffers.values() if b is not None]
        if any(isinstance(tensor, (UninitializedParameter, UninitializedBuffer)) for tensor in (*own, *held)):
            raise _not_seen(module, path)
        new = {id(p): p for p in own if id(p) not in parameters}
        parameters.update(new)
        buffers.update({id(b): b for b in held})
        if path == "" and not own and any(True for _ in module.children()):
            continue
        rows.append(LayerRow(
            path=path, type=type(module).__name__, output=None, params=sum(p.numel() for p in new.values()),
            macs=None, conv_activations=None, saved_bytes=None,
        ))  # fmt: skip
    return rows, parameters, buffers


def _not_seen(module: nn.Module, path: str) -> CountError:
    what = f"{type(module).__name__} has not seen an input yet, so its parameters have no shape"
    fix = "run the model once on an example input before it is counted"
    return CountError(what, where=path or "the root", fix=fix)


def held_bytes(tensor: Tensor) -> int | None:
    """Bytes of what a tensor holds: a sparse one's values and indices, a wrapper's own tensors.

    None for a wrapper that doesn't say.
    """
    from torch import Tensor

    from analyzer.tracing.origins import stored_parts, wrapped_parts

    parts = wrapped_parts(tensor)
    if parts is None:
        return sum(part.numel() * part.element_size() for part in stored_parts(tensor))
    sizes = [held_bytes(part) for part in parts if isinstance(part, Tensor)]
    return None if not sizes or None in sizes else sum(size or 0 for size in sizes)
