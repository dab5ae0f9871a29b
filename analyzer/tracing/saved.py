"""What autograd keeps of a forward for its backward pass: each storage once, in the module that keeps it first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import saved_tensors_hooks

from analyzer.tracing.attribution import Modules, tensors_in
from analyzer.tracing.origins import storage_key, stored_parts


class SavedBytes(saved_tensors_hooks):
    """Saved-tensor hooks that add to the rows of the modules that run; `excluded` are parameters and buffers.

    What a custom autograd.Function hangs on its context itself, past save_for_backward, is found by `look`. Where no
    backward pass follows (not `goes_back`), a result is kept as its storage, for whoever asks.
    """

    def __init__(self, modules: Modules, excluded: Iterable[Tensor], *, goes_back: bool) -> None:
        self.modules = modules
        self._kept: dict[int | None, Any] = {storage_key(tensor): None for tensor in excluded}
        self._nodes: dict[int, Any] = {}

        def pack(tensor: Tensor) -> Tensor | _Stored:
            self._keep(tensor)
            # An operator's own result, handed back itself, would keep its graph alive for ever; a leaf is no result.
            if tensor.is_leaf:
                return tensor
            if goes_back or type(tensor) is not Tensor or not tensor.is_meta or tensor.layout is not torch.strided:
                return tensor.detach()
            return tensor.untyped_storage(), int(tensor.storage_offset()), tensor.size(), tensor.stride(), tensor.dtype

        super().__init__(pack, _unpacked)

    def __exit__(self, *failed: object) -> None:
        super().__exit__(*failed)
        if failed[0] is not None:
            self.forget()

    def _keep(self, tensor: Tensor) -> None:
        for part in stored_parts(tensor):
            key = storage_key(part)
            if key not in self._kept:
                storage = part.untyped_storage()
                self._kept[key] = storage  # kept alive: a storage's key is its address
                self.modules.row.saved_bytes += storage.nbytes()

    def look(self, result: Any) -> None:
        """Adds what contexts in the graph of a module's result hold, of nodes that were not seen before."""
        results = (result,) if isinstance(result, Tensor) else tensors_in(result)
        ahead = [tensor.grad_fn for tensor in results if tensor.grad_fn is not None]
        while ahead:
            node = ahead.pop()
            if id(node) in self._nodes:
                continue
            self._nodes[id(node)] = node
            if isinstance(node, BackwardCFunction):
                for tensor in tensors_in(list(vars(node).values())):
                    self._keep(tensor)
            ahead += [before for before, _ in node.next_functions if before is not None]

    def forget(self) -> None:
        """Lets the graph go, and modules, with the error that ended them: what its hooks hold is never collected."""
        self._nodes.clear()
        self._kept.clear()
        vars(self).pop("modules", None)


_Stored = tuple[torch.UntypedStorage, int, torch.Size, tuple[int, ...], torch.dtype]


def _unpacked(kept: Tensor | _Stored) -> Tensor:
    if isinstance(kept, Tensor):
        return kept
    storage, offset, size, stride, dtype = kept
    return torch.empty(0, dtype=dtype, device="meta").set_(storage, offset, size, stride)
