"""Who pays, as a reviewer reads it: repeated layers as one, growth everywhere as such, and what accepts it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from project import Project, finding

STACK = """
import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({{"up": nn.Linear(width, hidden), "down": nn.Linear(hidden, width)}})

    def forward(self, x):
        return x + self.mlp["down"](torch.relu(self.mlp["up"](self.norm(x))))


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Layer(48, {hidden}) for _ in range(12)])
        self.out = nn.Linear(48, 10)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.out(x)
"""
CONFIG = """
[models.stack]
target = "stack.py:Stack"
input = [1, 20, 48]
[models.stack.budgets]
params = { max = "200k", growth = "2%" }  # the phone's
macs = { max = "9M" }
"""


@pytest.fixture
def grown(tmp_path: Path) -> Project:
    made = Project(tmp_path / "made", example=False)
    made.write("stack.py", STACK.format(hidden=96))
    made.write("analyzer.toml", CONFIG)
    assert made.run("lock").returncode == 0
    made.commit("The stack")
    made.branch("change")
    made.write("stack.py", STACK.format(hidden=192))
    return made


@pytest.mark.slow
def test_repeated_layers_are_one_and_the_fix_names_them_and_the_argument(grown: Project) -> None:
    code, verdict = grown.check("--against", "main")
    assert code == 1
    fix = finding(verdict, "excess", figure="params")["fix"]
    assert "make layers.*.mlp.up smaller (hidden 96 to 192)" in fix
    table = grown.run("check", "--against", "main").stdout
    # 12 layers of 48 x 96 more weights and 96 more biases; 96 x 48 more weights.
    assert "layers.*.mlp.up (Linear), 12 layers: +56,448" in table
    assert "layers.*.mlp.down (Linear), 12 layers: +55,296" in table
    assert "more" not in table


def test_the_comment_is_short_and_has_its_table_first(grown: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"GITHUB_SERVER_URL": "https://github.test", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7"}
    for name, value in run.items():
        monkeypatch.setenv(name, value)
    lines = grown.run("check", "--against", "main", "--output", "md", "--comment-key", "gpu-2").stdout.splitlines()
    assert len(lines) <= 30
    assert lines[0] == "<!-- analyzer-budget gpu-2 -->"
    assert [line for line in lines if line.startswith("#")] == ["## ❌ Over budget: 1 error in 1 model"]
    assert lines[3].startswith("| model |")
    fold = lines.index("<details><summary>Who pays and 2 notes</summary>")
    assert 'analyzer.toml: params max "226k"' in "\n".join(lines[:fold]).replace("\\", "")
    assert "[The whole report](https://github.test/o/r/actions/runs/7)" in lines[-1]
    assert grown.run("check", "--comment-key", "a b").returncode == 2


def test_growth_everywhere_is_said_as_such(tmp_path: Path) -> None:
    made = Project(tmp_path / "made", example=False)
    source = """
import torch
from torch import nn


class Dense(nn.Module):
    def __init__(self, growth_rate=12, layers=10):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3 + i * growth_rate, growth_rate, 3, padding=1) for i in range(layers))

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x
"""
    made.write("net.py", source)
    made.write("analyzer.toml", CONFIG.replace("stack.py:Stack", "net.py:Dense").replace("20, 48", "3, 8, 8"))
    assert made.run("lock").returncode == 0
    made.commit("Dense")
    made.write("net.py", source.replace("growth_rate=12", "growth_rate=14"))
    found = finding(made.check("--against", "main")[1], "growth", figure="params")
    assert "every width grew, in 10 of 10 layers" in found["what"]
    assert "growth_rate 12 to 14" in found["fix"]


def test_over_budget_without_a_baseline_is_both(grown: Project) -> None:
    (grown.folder / "analyzer.lock").unlink()
    done = grown.run("check")
    assert done.returncode == 4
    assert "Over budget (and no baseline)" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("against", [(), ("--against", "main")])
def test_what_the_fix_says_can_be_written_and_passes(
    grown: Project, against: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = grown.read("analyzer.toml")
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert grown.run("check", *against, "--update-budget", "stack").returncode == 1
    assert grown.read("analyzer.toml") == before
    monkeypatch.setattr("click.confirm", lambda *_, **__: True)
    done = grown.run("check", *against, "--update-budget", "stack")
    assert "written" in done.stderr, done.stderr
    after = grown.read("analyzer.toml")
    assert 'params = { max = "226k", growth = "2%" }  # the phone\'s' in after
    assert ("waivers" in after) == bool(against)
    assert grown.run("lock").returncode == 0
    assert grown.check(*against)[0] == 0
    assert "nothing to accept" in grown.run("check", "--update-budget", "stack").stderr or against
    assert grown.run("check", "--update-budget", "stick").returncode == 2


def test_locking_shows_what_changed(grown: Project) -> None:
    said = grown.run("lock").stdout
    assert re.search(r"stack\s+params\s+113,962\s+225,706\s+\+98.1 %", said), said
