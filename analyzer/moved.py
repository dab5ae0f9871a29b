"""Import paths of modules that have since been renamed: each still gives the module, and says its new path once."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

ROOMS = {
    "count": ("reading", "tracing"),
    "measure": ("measuring",),
    "report": ("reporting",),
    "search": ("searching",),
    "sweep": ("sweeping", "executors"),
}
"""Rooms that were renamed or parted; their modules kept their names, but for those of MODULES."""
MODULES = {
    "analysis": "targets.analysis",
    "budget.files": "budget.untrusted_files",
    "budget.holding": "budget.model_check",
    "budget.lock": "budget.lock_file",
    "budget.locking": "budget.relock",
    "budget.standing": "budget.baseline_check",
    "comparison": "reading.comparison",
    "count.free": "tracing.free_operators",
    "count.memory": "reading.saved",
    "count.saved": "tracing.saved",
    "family": "reading.family",
    "latency": "reading.latency",
    "layers": "reading.layers",
    "prediction": "reading.prediction",
    "search.kept": "searching.optuna_storage",
    "sweep.executors": "executors.executor",
}
PACKAGE = __package__


class Moved:
    """An importer that stands last and gives a renamed module under its old name: one module, two names."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Of an old name; None where the name is none."""
        package, _, old = name.partition(".")
        new = _new(old) if package == PACKAGE else None
        return ModuleSpec(name, self, origin=f"{PACKAGE}.{new}") if new else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module of the new name, with a DeprecationWarning; Python asks once a process and name."""
        new = str(spec.origin)
        warnings.warn(f"{spec.name} is called {new} now", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run; what Python has written over is given back."""
        module.__spec__ = self._own


def _new(old: str) -> str | None:
    """Where a module is now, below this package."""
    if old in MODULES:
        return MODULES[old]
    room, _, name = old.partition(".")
    places = [f"{place}.{name}" for place in ROOMS.get(room, ()) if name]
    return next((place for place in places if find_spec(f"{PACKAGE}.{place}")), None)


def keep() -> None:
    """Makes the old paths importable.

    The old rooms are there from the start, empty: where Python imports one itself, it writes it over the public
    function of its name.
    """
    for old in ROOMS:
        room = ModuleType(f"{PACKAGE}.{old}", "Where modules were.")
        room.__path__ = []
        sys.modules.setdefault(room.__name__, room)
    sys.meta_path.append(Moved())
