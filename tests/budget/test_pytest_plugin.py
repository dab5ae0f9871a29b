"""Budgets in a test suite: the assertion here, the marker in a real pytest run that finds the plugin by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from analyzer.errors import CountError, UsageError
from analyzer.pytest_plugin import assert_budget

ROOT = Path(__file__).parents[2]


class Tiny(nn.Module):
    """584 + 2,320 + 90 params; at 8x8 pixels 221,184 MACs and more."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, 8, 3)
        self.body = nn.Conv2d(8, 32, 3)

    def forward(self, x):
        return self.body(self.stem(x))


STEM, BODY = 8 * 8 * 9 + 8, 8 * 32 * 9 + 32
MACS = 8 * 8 * 9 * 36 + 8 * 32 * 9 * 16


def test_a_model_within_its_limits_passes() -> None:
    assert_budget(Tiny(), max_params=STEM + BODY)
    assert_budget(Tiny(), inputs=(1, 8, 8, 8), max_params="3k", max_macs=MACS)
    assert_budget("densenet121", max_params="8M", max_macs="3G")


def test_a_model_over_its_limits_fails_and_names_the_largest_layers() -> None:
    with pytest.raises(AssertionError) as failed:
        assert_budget(Tiny(), inputs=(1, 8, 8, 8), max_params=2000, max_macs=MACS - 1, max_saved_bytes="1Gi")
    lines = str(failed.value).splitlines()
    total = STEM + BODY
    assert lines[0] == "Tiny is over its budget"
    assert lines[1] == f"params: {total:,} (exact), {total - 2000:,} above the limit 2,000"
    assert lines[3] == f"  body (Conv2d): {BODY:,}, {100 * BODY / total:.1f} %"
    assert lines[4].startswith("  stem (Conv2d): 584")
    assert lines[6].startswith(f"MACs: {MACS:,} (exact), 1 above the limit")
    assert not any("saved" in line for line in lines)


def test_limits_that_mean_nothing_are_errors() -> None:
    for wrong, said in (
        ({}, "without a limit"),
        ({"max_prams": 1}, "did you mean 'max_params'"),
        ({"max_macs": 1}, "macs need inputs"),
        ({"max_params": "many"}, "is not a number"),
        ({"max_params": -1}, "is not a number"),
        ({"max_params": True}, "is not a number"),
    ):
        with pytest.raises(UsageError, match=said):
            assert_budget(Tiny(), **wrong)


def test_a_model_that_can_not_be_counted_is_no_pass() -> None:
    with pytest.raises(CountError):
        assert_budget(nn.LazyLinear(3), max_params="1G")


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs pytest on a test file, with the project's own entry points installed beside it."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    info = tmp_path / "site" / "plugged-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pytest11]\n" + "\n".join(f"{k} = {v}" for k, v in points.items()))

    def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_models.py").write_text(code)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", *args],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'site'}", "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


MARKED = """
import unittest
import pytest
from torch import nn

@pytest.fixture
def model():
    return nn.Linear(10, 10)

@pytest.fixture
def wide():
    return nn.Linear(100, 100)

def make():
    return nn.Linear(10, 20)

@pytest.mark.budget(max_params=110)
def test_fits(): pass

@pytest.mark.budget(model="wide", max_params=110)
def test_too_wide(): raise RuntimeError("the body does not run")

@pytest.mark.budget(model=make, inputs=(1, 10), max_macs=200)
def test_made(): pass

@pytest.mark.budget(model=make, inputs=(1, 10), max_macs=199)
@pytest.mark.budget(max_params="1k")
def test_two(model): pass

@pytest.mark.xfail(raises=AssertionError, strict=True)
@pytest.mark.budget(model=nn.Linear(9, 9), max_params=1)
def test_known(): pass

@pytest.mark.budget(max_prams=1)
def test_mistyped(): pass

@pytest.mark.budget(110)
def test_nameless(): pass

def test_unmarked(): pass

class TestOld(unittest.TestCase):
    @pytest.mark.budget(model=make, max_params=1)
    def test_method(self): pass
"""


@pytest.mark.slow
def test_the_marker_holds_fixtures_modules_and_factories(
    suite: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = suite(MARKED, "-rA")
    outcomes = {
        line.split(" ")[1].rpartition("::")[2]: line.split(" ")[0]
        for line in done.stdout.splitlines()
        if " test_models.py::" in line
    }
    assert outcomes == {
        "test_fits": "PASSED",
        "test_too_wide": "FAILED",
        "test_made": "PASSED",
        "test_two": "FAILED",
        "test_known": "XFAIL",
        "test_mistyped": "FAILED",
        "test_nameless": "ERROR",
        "test_unmarked": "PASSED",
        "test_method": "FAILED",
    }, done.stdout
    assert "params: 10,100 (exact), 9,990 above the limit 110" in done.stdout
    assert "(root) (Linear): 10,100, 100.0 %" in done.stdout
    assert "did you mean 'max_params'?" in done.stdout


def test_a_suite_that_marks_nothing_imports_no_torch(suite: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = suite(
        "import sys\ndef test_light():\n"
        "    assert 'analyzer.pytest_plugin' in sys.modules\n    assert 'torch' not in sys.modules\n"
    )
    assert done.returncode == 0, done.stdout


def test_the_marker_is_listed(suite: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert "@pytest.mark.budget(model='model'" in suite("", "--markers").stdout
