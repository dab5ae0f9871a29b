"""torch's compiler (`torch._dynamo`), which is no part of a count.

It takes as long to import as torch itself, so it is there only where the model or a kernel of torch's asks for it.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer.tracing.replacing import all_put_back

COMPILER = "torch._dynamo"


class Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that torch leaves as it is. Else it wraps it in what imports the compiler, to keep it out."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _Loader(importlib.abc.Loader):
    """Imports the compiler by its own loader, and says when it is done."""

    def __init__(self, own: Any, imported: Callable[[], None]) -> None:
        self.own, self.imported = own, imported

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As its own loader does."""
        module: ModuleType | None = self.own.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Runs the compiler's code, which keeps for ever what it finds in torch then: not ours."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.own
        with all_put_back():
            self.own.exec_module(module)
        self.imported()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the compiler, and nothing else."""

    def __init__(self, imported: Callable[[], None]) -> None:
        self.imported = imported

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Where it is, to be imported by our loader."""
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name == COMPILER else None
        if spec is not None:
            spec.loader = _Loader(spec.loader, self.imported)
        return spec


@contextlib.contextmanager
def kept_out() -> Iterator[None]:
    """Compiles nothing; what is compiled already runs as it is written."""
    with contextlib.ExitStack() as stack:

        def stand_aside() -> None:
            stack.enter_context(torch.compiler.set_stance("force_eager"))

        if COMPILER in sys.modules:
            stand_aside()
        else:
            finder = _Finder(stand_aside)
            sys.meta_path.insert(0, finder)
            stack.callback(sys.meta_path.remove, finder)
        yield
