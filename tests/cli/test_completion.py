"""A Tab: what stands in tables and files, without torch and without running anybody's code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from analyzer.cli import cli
from analyzer.cli.base import run
code = run(cli)
print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)
"""
OWN = "raise SystemExit('run')\nfrom torch import nn\nclass Net(nn.Module): pass\ndef build(): pass\ndef _no(): pass\n"
CONFIG = "[models.tiny]\ntarget = 'article'\n[models.large]\ntarget = 'densenet121'\n"


def completed(folder: Path, line: str) -> tuple[set[str], set[str]]:
    """The words that bash is offered at the end of a line, and the modules that it took."""
    words = line.split(" ")
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "_ANALYZE_COMPLETE": "bash_complete", "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    found = {each.partition(",")[2] for each in done.stdout.splitlines()}
    return found, set(done.stderr.split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("analyze show densenet1", {"densenet121", "densenet161", "densenet169"}),
        ("analyze show own.py:", {"own.py:Net", "own.py:build"}),
        ("analyze sweep --block residual,ba", {"residual,basic"}),
        ("analyze search --maximize params,conv", {"params,conv_activations"}),
        ("analyze search --objective measured_l", {"measured_latency_s"}),
        ("analyze compare --by mac", {"macs"}),
        ("analyze sweep --device cu", {"cuda", "cuda:0", "cuda:1"}),
        ("analyze check --output js", {"json", "json="}),
        ("analyze check --model ", {"tiny", "large"}),
        ("analyze sweep --measure a", {"all"}),
        ("analyze measure --device mp", {"mps"}),
        ("analyze train --optimizer adamw", {"adamw"}),
        ("analyze report --max-dep", {"--max-depth"}),
    ],
)
def test_a_tab_knows_the_words(tmp_path: Path, line: str, words: set[str]) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "analyzer.toml").write_text(CONFIG)
    found, modules = completed(tmp_path, line)
    assert found == words
    assert not modules & {"torch", "pandas", "plotly", "scipy", "numpy"}
