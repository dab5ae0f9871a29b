"""`analyze init`: models found by reading alone, a configuration and a lock that pass, nothing overwritten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from project import EXAMPLE, Project

from analyzer.budget.discovery import candidates

HOSTILE = "import pathlib\npathlib.Path('owned').touch()\nraise SystemExit(3)\n"


@pytest.fixture
def package(tmp_path: Path) -> Project:
    project = Project(tmp_path / "package", example=False)
    for name in ("cnn.py", "transformer.py"):
        project.write(name, (EXAMPLE / name).read_text())
    return project


def test_a_package_is_configured_and_passes(package: Project) -> None:
    done = package.run("init")
    assert done.returncode == 0, done.stderr
    assert "cnn.py:build" in done.stdout
    package.commit("Budgets")
    code, verdict = package.check("--against", "main")
    assert code == 0
    assert [model["name"] for model in verdict["models"]] == ["cnn", "reader"]
    assert package.run("lock", "--check").returncode == 0


def test_the_snippet_is_a_workflow_whose_check_runs(package: Project) -> None:
    done = package.run("init")
    workflow = yaml.safe_load(done.stdout[done.stdout.index("# .github") :])
    steps = workflow["jobs"]["budget"]["steps"]
    assert workflow["permissions"] == {"contents": "read"}
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
    package.commit("Budgets")
    command = steps[-1]["run"].replace('"origin/$GITHUB_BASE_REF"', "main").split()
    assert package.run(*command[1:]).returncode == 0


def test_nothing_is_overwritten(package: Project) -> None:
    package.write("pyproject.toml", "[project]\nname = 'x'")
    assert package.run("init").returncode == 0
    text = package.read("pyproject.toml")
    assert text.startswith("[project]\nname = 'x'\n")
    assert not (package.folder / "analyzer.toml").exists()
    again = package.run("init")
    assert again.returncode == 2
    assert "nothing is overwritten" in again.stderr
    assert package.read("pyproject.toml") == text
    package.write("pyproject.toml", "")
    assert "analyzer.lock" in package.run("init").stderr


def test_reading_runs_nothing(package: Project) -> None:
    package.write("hostile.py", "from torch import nn\n" + HOSTILE + "class Net(nn.Module): ...\n")
    done = package.run("init", "--no-build")
    assert done.returncode == 0, done.stderr
    assert not (package.folder / "owned").exists()
    assert not (package.folder / "analyzer.lock").exists()
    assert 'target = "hostile.py:Net"' in package.read("analyzer.toml")


def test_a_model_that_can_not_be_used_is_left_out_and_said_so(package: Project) -> None:
    package.write("broken.py", "from torch import nn\nimport absent\nclass Broken(nn.Module): ...\n")
    package.write(
        "sized.py", "from torch import nn\n\ndef sized(width: int) -> nn.Module:\n    return nn.Linear(width, 1)\n"
    )
    done = package.run("init")
    assert done.returncode == 0
    assert "left out broken.py:Broken" in done.stderr
    assert "needs kwargs: width" in done.stderr
    assert "# [models.broken]" in package.read("analyzer.toml")
    assert package.check()[0] == 0


def test_by_importing_what_reading_can_not_see(package: Project) -> None:
    package.write("made.py", "from torch import nn\nglobals()['late'] = nn.Linear(3, 4)\n")
    assert "made.py" not in package.run("init", "--no-build").stdout
    (package.folder / "analyzer.toml").unlink()
    assert "made.py:late" in package.run("init", "--import").stdout


def test_where_there_is_no_model(tmp_path: Path) -> None:
    project = Project(tmp_path / "none", example=False)
    project.write("a.py", "def f(): return 1\n")
    done = project.run("init")
    assert done.returncode == 2
    assert "no class or function" in done.stderr
    assert not (project.folder / "analyzer.toml").exists()


def test_what_reading_finds(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nimport torch.nn as nn\nfrom torch.nn import Module\n"
        "class Block(nn.Module):\n    def __init__(self, w): self.c = nn.Conv2d(w, w, 3)\n"
        "class Net(torch.nn.Module):\n    def __init__(self): self.stem = nn.Conv2d(1, 8, 3); self.b = Block(8)\n"
        "class Text(Module):\n    def __init__(self, n=10): self.e = nn.Embedding(n, 8)\n"
        "class Child(Net): ...\n"
        "def annotated() -> nn.Module: ...\n"
        "def returning(): return Text()\n"
        "def variable():\n    model = Child()\n    return model\n"
        "def other(): return 3\n"
        "def _private(): return Net()\n"
        "class Plain: ...\n"
    )
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "net.py").write_text("from torch import nn\nclass Hidden(nn.Module): ...\n")
    found = {c.target: (c.needs, c.input) for c in candidates(tmp_path)}
    assert found == {
        "net.py:annotated": ((), None),
        "net.py:returning": ((), "1,128:int64"),
        "net.py:variable": ((), None),
    }


@pytest.mark.parametrize("source", ["from .util import W", "from pkg.util import W"])
@pytest.mark.parametrize("top", ["", "src/"])
def test_packages_are_named_so_that_their_imports_work(tmp_path: Path, source: str, top: str) -> None:
    project = Project(tmp_path / "packaged", example=False)
    project.write(f"{top}pkg/__init__.py", "")
    project.write(f"{top}pkg/util.py", "W = 8\n")
    project.write(
        f"{top}pkg/net.py",
        f"from torch import nn\n{source}\n\n"
        "def make(width: int = W):\n    return nn.Sequential(nn.Conv2d(3, width, 3))\n",
    )
    project.write(f"{top}pkg/base.py", "from torch import nn\n\nclass Base(nn.Module): ...\n")
    done = project.run("init")
    assert done.returncode == 0, done.stderr
    text = project.read("analyzer.toml")
    assert 'target = "pkg.net:make"' in text
    assert "has no parameters" in text
    assert project.check()[0] == 0


def test_a_dry_run_prints_what_it_would_write(package: Project) -> None:
    before = sorted(path.name for path in package.folder.iterdir())
    done = package.run("init", "--dry-run", "--ci", "gitlab", "--schema")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in package.folder.iterdir()) == before
    assert "[models.cnn]" in done.stdout
    assert "CI_MERGE_REQUEST_TARGET_BRANCH_NAME" in done.stdout
    assert "would write" in done.stderr


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("github", ".github/workflows/budget.yml"),
        ("gitlab", ".gitlab-ci.yml"),
        ("pre-commit", ".pre-commit-config.yaml"),
    ],
)
def test_the_ci_file_is_written_at_the_repositorys_top_and_nothing_overwritten(
    package: Project, service: str, path: str
) -> None:
    package.write("inner/net.py", "from torch import nn\n\nclass Net(nn.Module): ...\n")
    assert package.run("init", "--no-build", "--ci", service, cwd="inner").returncode == 0
    said = package.read(path)
    assert "analyze check" in said
    assert yaml.safe_load(said)
    again = package.run("init", "--no-build", "--ci", service)
    assert again.returncode == 2
    assert "nothing is overwritten" in again.stderr
    assert not (package.folder / "analyzer.toml").exists()


def test_the_schema_stands_beside_the_configuration_that_names_it(package: Project) -> None:
    assert package.run("init", "--no-build", "--schema").returncode == 0
    first = package.read("analyzer.toml").splitlines()[0]
    assert first == "#:schema ./analyzer.schema.json"
    assert package.read("analyzer.schema.json") == package.run("init", "--print-schema").stdout


def test_no_model_is_left_out_without_a_word(tmp_path: Path) -> None:
    project = Project(tmp_path / "many", example=False)
    init = "    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(2, 2)\n"
    net = "class Net{0}(nn.Module):\n" + init
    project.write("nets.py", "from torch import nn\n\n\n" + "\n\n".join(net.format(i) for i in range(6)))
    project.write("broken.py", "def (:\n")
    done = project.run("init", "--most", "2")
    assert done.returncode == 0
    text = project.read("analyzer.toml")
    assert [line for line in text.splitlines() if line.startswith("[models.") and "budgets" not in line] == [
        "[models.net0]", "[models.net1]",
    ]  # fmt: skip
    for i in range(2, 6):
        assert f"left out nets.py:Net{i}: 2 others were built" in done.stderr
        assert f"# [models.net{i}]" in text
    assert "left out broken.py: can't be read" in done.stderr
    (project.folder / "analyzer.toml").unlink()
    (project.folder / "analyzer.lock").unlink()
    assert "others were built" not in project.run("init").stderr
