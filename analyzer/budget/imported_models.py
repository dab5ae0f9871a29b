"""Models of a package, found by importing every file of it: what reading can't see. This runs its code."""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from analyzer.budget.discovery import Candidate, found
from analyzer.budget.source import place_of
from analyzer.budget.source_index import files
from analyzer.errors import AnalyzerError
from analyzer.targets.isolation import users_code
from analyzer.targets.loading import import_module
from analyzer.targets.resolving import ModuleTarget


def imported(root: Path, say: Callable[[str], None]) -> list[Candidate]:
    """Module classes, instances and annotated factories that every file defines once it is imported: runs its code."""
    read = {candidate.target: candidate for candidate in found(root)}
    makers = []
    for path in files(root):
        location = path.relative_to(root).as_posix()
        target = ModuleTarget(name=location, location=location, attribute="")
        try:
            with contextlib.chdir(root), users_code(target):
                module = import_module(target)
        except AnalyzerError as error:
            say(f"left out {location}: {error.what}")
            continue
        for name, value in vars(module).items():
            if not name.startswith("_") and _makes_a_module(value, module):
                line = (place_of(value, root) or (location, 1))[1]
                said = f"{location}:{name}"
                makers.append(read.get(said) or Candidate(said, name, line, _needed(value), None))
    return makers


def _makes_a_module(value: Any, module: ModuleType) -> bool:
    from torch import nn

    if isinstance(value, nn.Module):
        return True
    if getattr(value, "__module__", None) != module.__name__:
        return False
    if isinstance(value, type):
        return issubclass(value, nn.Module)
    if not inspect.isfunction(value):
        return False
    try:
        returned = typing.get_type_hints(value).get("return")
    except Exception:  # an annotation may be any expression of the user's
        return False
    return isinstance(returned, type) and issubclass(returned, nn.Module)


def _needed(value: Any) -> tuple[str, ...]:
    if not isinstance(value, type) and not inspect.isfunction(value):
        return ()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(value).parameters.values()
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind not in kinds)
