"""Arguments that are objects: a configuration names what makes them, and what is set on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import Project, finding

CONFIG = """
from dataclasses import dataclass


@dataclass
class GPTConfig:
    width: int = 6
    depth: int = 2


class Plain:
    width = 5
    depth = 1


def small(depth=1):
    made = Plain()
    made.depth = depth
    return made


BASE = GPTConfig(width=3)
"""
MODEL = """
from torch import nn
from pkg.config import GPTConfig


class GPT(nn.Module):
    def __init__(self, config, **more):
        super().__init__()
        if not more.get("any"):
            assert hasattr(config, "width")
        self.strict = isinstance(config, GPTConfig)
        self.layers = nn.Sequential(*[nn.Linear(config.width, config.width) for _ in range(config.depth)])

    def forward(self, x):
        return self.layers(x)
"""
TABLE = '[models.gpt]\ntarget = "pkg.model:GPT"\nkwargs = {kwargs}\nbudgets.params = {{ max = "1M" }}\n'


def params(width: int, depth: int) -> int:
    return depth * (width * width + width)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "made", example=False)
    made.write("pkg/__init__.py", "")
    made.write("pkg/config.py", CONFIG)
    made.write("pkg/model.py", MODEL)
    return made


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ('{ config = "pkg.config:GPTConfig" }', params(6, 2)),
        ('{ config = "pkg/config.py:GPTConfig" }', params(6, 2)),
        ('{ config = { from = "pkg.config:GPTConfig", depth = 4 } }', params(6, 4)),
        ('{ config = { from = "pkg/config.py:GPTConfig", depth = 4 } }', params(6, 4)),
        ('{ config = "pkg.config:BASE" }', params(3, 2)),
        ('{ config = { from = "pkg.config:BASE", depth = 3 } }', params(3, 3)),
        ('{ config = { from = "pkg.config:Plain", width = 7 } }', params(7, 1)),
        ('{ config = { from = "pkg.config:small", depth = 2, width = 4 } }', params(4, 2)),
        ('{ config = { from = "argparse:Namespace", depth = 2, width = 4 } }', params(4, 2)),
        ('{ config = { from = "types:SimpleNamespace", depth = 1, width = 2 }, other = "cuda:0" }', params(2, 1)),
    ],
)
def test_a_table_with_from_is_the_object_that_it_makes(project: Project, kwargs: str, expected: int) -> None:
    project.write("analyzer.toml", TABLE.format(kwargs=kwargs))
    code, verdict = project.check()
    assert code == 0, verdict["findings"]
    assert verdict["models"][0]["figures"][0]["value"] == expected
    assert project.run("lock").returncode == 0
    project.edit("analyzer.toml", "max = ", 'growth = "0%", max = ')
    assert project.check()[0] == 0


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ('{ config = { from = "pkg.config:Absent" } }', "has no attribute 'Absent'"),
        ('{ config = { from = "pkg.absent:Thing" } }', "there is no module 'pkg.absent'"),
        ('{ config = { from = "pkg.config:small", depth = "x" } }', "can't be constructed"),
    ],
)
def test_what_can_not_be_made_is_a_broken_model(project: Project, kwargs: str, said: str) -> None:
    project.write("analyzer.toml", TABLE.format(kwargs=kwargs))
    code, verdict = project.check()
    assert code == 3
    assert said in finding(verdict, "broken")["what"]
