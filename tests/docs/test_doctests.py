"""What the docstrings of the public verbs show is so, in a folder that has what they name."""

from __future__ import annotations

import doctest
import inspect
import subprocess
from pathlib import Path

import numpy as np
import pytest

import analyzer as an

VERBS = [name for name in an.__all__ if inspect.isfunction(getattr(an, name))]
NET = """from torch import nn


def build():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(7200, 10))
"""
BUDGETS = """[models.net]
target = "net.py:build"
input = [1, 3, 32, 32]
[models.net.budgets]
params = { max = "100k" }
"""
TAKE_LONG = {"advise", "calibrate", "measure"}
"""Verbs that take a device for a while: shown, not run."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and a repository with a model under a budget, locked."""
    found = tmp_path_factory.mktemp("shown")
    draw = np.random.default_rng(0)
    sizes = {"train": 16, "val": 4, "test": 4}
    arrays = {f"{part}_images": draw.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for part, n in sizes.items()}
    arrays |= {f"{part}_labels": np.arange(n).reshape(-1, 1) % 2 for part, n in sizes.items()}
    np.savez(found / "pictures.npz", **arrays)
    (found / "net.py").write_text(NET)
    (found / "analyzer.toml").write_text(BUDGETS)
    an.lock(found)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "The net"]):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(command, cwd=found, check=True, capture_output=True)
    return found


@pytest.mark.parametrize("name", VERBS)
def test_what_a_verb_s_docstring_shows_is_so(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    verb = getattr(an, name)
    (shown,) = doctest.DocTestFinder(recurse=False).find(verb, name, globs={"an": an})
    assert any("an." in example.source for example in shown.examples)
    assert any(example.options.get(doctest.SKIP) for example in shown.examples) == (name in TAKE_LONG)
    assert doctest.DocTestRunner().run(shown).failed == 0
