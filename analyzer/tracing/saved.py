"""What autograd keeps of a forward for its backward pass: each storage once, in the module that keeps it first.

What a custom autograd.Function hangs on its context itself, past save_for_backward, is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from analyzer.tracing.attribution import Modules
from analyzer.tracing.origins import storage_key, stored_parts


class SavedBytes(saved_tensors_hooks):
    """Saved-tensor hooks that add to the rows of the modules that run; `excluded` are parameters and buffers."""

    def __init__(self, modules: Modules, excluded: Iterable[Tensor]) -> None:
        kept: dict[int | None, Any] = {storage_key(tensor): None for tensor in excluded}

        def pack(tensor: Tensor) -> Tensor:
            for part in stored_parts(tensor):
                key = storage_key(part)
                if key not in kept:
                    storage = part.untyped_storage()
                    kept[key] = storage  # kept alive: a storage's key is its address
                    modules.row.saved_bytes += storage.nbytes()
            # An operator's own result, handed back itself, would keep its graph alive for ever; a leaf is no result.
            return tensor if tensor.is_leaf else tensor.detach()

        super().__init__(pack, lambda tensor: tensor)
