"""What a command may load: `--help` answers at once because it loads next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "pandas", "plotly", "fvcore", "torchinfo", "matplotlib", "scipy"}


def loaded(tmp_path: Path, *args: str) -> set[str]:
    """Top-level modules in memory after the command."""
    code = (
        "import sys\nfrom analyzer.cli import cli\nfrom analyzer.cli.base import run\n"
        f"code = run(cli, {list(args)!r})\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split())


def test_help_loads_only_click(tmp_path: Path) -> None:
    extra = {name for name in loaded(tmp_path, "--help") if name not in sys.stdlib_module_names and name[0] != "_"}
    assert extra <= {"analyzer", "click", "sitecustomize", "usercustomize", "distutils_hack", "colorama"}


@pytest.mark.parametrize("args", [["show"], ["compare", "article", "resnet50"], ["sweep", "--measure", "none"]])
def test_static_verbs_load_nothing_heavy(tmp_path: Path, args: list[str]) -> None:
    assert not loaded(tmp_path, *args) & (HEAVY - ({"plotly"} if args[0] == "sweep" else set()))


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, analyzer; print(*{n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert not set(done.stdout.split()) & (HEAVY | {"numpy", "click"})


def test_a_check_of_the_family_loads_nothing_heavy(tmp_path: Path) -> None:
    text = "[models.a]\ntarget = 'article'\nbudgets.params = { max-ratio = 21, of = 'densenet121' }\n"
    (tmp_path / "analyzer.toml").write_text(text)
    assert not loaded(tmp_path, "check", "--output", "table", "--output", "md=a.md") & (HEAVY | {"jinja2"})
