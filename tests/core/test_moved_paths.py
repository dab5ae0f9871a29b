"""Renamed modules are found under their old paths, and say so once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOVED = {
    "analyzer.analysis": "analyzer.targets.analysis",
    "analyzer.budget.lock": "analyzer.budget.lock_file",
    "analyzer.count.formulas": "analyzer.tracing.formulas",
    "analyzer.count.memory": "analyzer.reading.saved",
    "analyzer.count.peak": "analyzer.reading.peak",
    "analyzer.count.saved": "analyzer.tracing.saved",
    "analyzer.family": "analyzer.reading.family",
    "analyzer.measure.protocol": "analyzer.measuring.protocol",
    "analyzer.report.page": "analyzer.reporting.page",
    "analyzer.search.explain": "analyzer.searching.explain",
    "analyzer.search.kept": "analyzer.searching.optuna_storage",
    "analyzer.sweep.cluster": "analyzer.executors.cluster",
    "analyzer.sweep.database": "analyzer.sweeping.database",
    "analyzer.sweep.executors": "analyzer.executors.executor",
}
TRIED = """
import importlib, sys, warnings
import analyzer as an
warnings.simplefilter("always")
for old, new in {moved!r}.items():
    with warnings.catch_warnings(record=True) as told:
        for _ in range(2):
            module = importlib.import_module(old)
    assert [str(warning.message) for warning in told] == [f"{{old}} is called {{new}} now"], (old, told)
    assert told[0].category is DeprecationWarning
    assert module is importlib.import_module(new)
    assert module.__spec__.name == module.__name__ == new
with warnings.catch_warnings(record=True) as told:
    exec("from analyzer.measure import statistics", {{}}, found := {{}})
assert found["statistics"].__name__ == "analyzer.measuring.statistics"
assert told[0].filename == "<string>", told[0].filename
for name in ("measure", "report", "search", "sweep"):
    assert not isinstance(getattr(an, name, len), type(sys)), name
"""


@pytest.mark.slow
def test_an_old_path_gives_the_module_and_its_new_path_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRIED.format(moved=MOVED)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["analyzer.count.none", "analyzer.none", "analyzer.search.none"])
def test_a_path_that_never_was_is_no_module(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"ModuleNotFoundError: No module named '{name}'" in done.stderr
