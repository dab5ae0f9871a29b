"""Know what a convolutional network costs before you train it, and hold it to a budget.

>>> import analyzer as an
>>> an.analyze("article").params
149871874
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyzer.analysis import analyze as analyze
    from analyzer.api.measuring import Measured as Measured
    from analyzer.api.measuring import calibrate as calibrate
    from analyzer.api.measuring import measure as measure
    from analyzer.api.measuring import predict_memory as predict_memory
    from analyzer.api.searching import search as search
    from analyzer.api.sweeping import Sweep as Sweep
    from analyzer.api.sweeping import sweep as sweep
    from analyzer.api.tables import Comparison as Comparison
    from analyzer.api.tables import build as build
    from analyzer.api.tables import compare as compare
    from analyzer.api.tables import frame as frame
    from analyzer.architecture.network import PRESETS as PRESETS
    from analyzer.architecture.variant import Variant as Variant
    from analyzer.budget.check import check as check
    from analyzer.budget.history import history as history
    from analyzer.budget.locking import lock as lock
    from analyzer.budget.verdict import Verdict as Verdict
    from analyzer.errors import AnalyzerError as AnalyzerError
    from analyzer.records import Record as Record
    from analyzer.space.grid import Grid as Grid
    from analyzer.space.space import Space as Space

_HOMES = {
    "analyze": "analyzer.analysis",
    "compare": "analyzer.api.tables",
    "frame": "analyzer.api.tables",
    "predict_memory": "analyzer.api.measuring",
    "measure": "analyzer.api.measuring",
    "calibrate": "analyzer.api.measuring",
    "search": "analyzer.api.searching",
    "sweep": "analyzer.api.sweeping",
    "Comparison": "analyzer.api.tables",
    "Measured": "analyzer.api.measuring",
    "Sweep": "analyzer.api.sweeping",
    "PRESETS": "analyzer.architecture.network",
    "Variant": "analyzer.architecture.variant",
    "build": "analyzer.api.tables",
    "check": "analyzer.budget.check",
    "history": "analyzer.budget.history",
    "lock": "analyzer.budget.locking",
    "Verdict": "analyzer.budget.verdict",
    "AnalyzerError": "analyzer.errors",
    "Record": "analyzer.records",
    "Grid": "analyzer.space.grid",
    "Space": "analyzer.space.space",
}
"""Where each public name lives: imported on first use, so that `import analyzer` is instant and loads no torch."""

__all__ = sorted(_HOMES)


class _Package(types.ModuleType):
    """Keeps `analyzer.build` and `analyzer.sweep` the functions, also once submodules of these names are loaded."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'analyzer' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
