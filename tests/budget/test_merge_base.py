"""Baselines in other people's repositories: budgets that begin, a lock that is behind, models that moved."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import Project, finding, kinds

pytestmark = pytest.mark.slow

NET = """
from torch import nn


def build(width={width}):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, 32, 3))
"""
CONFIG = """
[models.net]
target = "net.py:build"
input = [1, 3, 16, 16]
[models.net.budgets]
params = {{ {params} }}
"""


def params(width: int) -> int:
    """3x3 convolutions 3 to width to 32, with biases."""
    return 27 * width + width + 9 * 32 * width + 32


def project_of(tmp_path: Path, budget: str = 'max = "50k", growth = "2%"', *, lock: bool = True) -> Project:
    made = Project(tmp_path / "made", example=False)
    made.write("net.py", NET.format(width=16))
    if lock:
        made.write("analyzer.toml", CONFIG.format(params=budget))
        assert made.run("lock").returncode == 0
    made.commit("The net")
    made.branch("change")
    return made


# -- the first pull request ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more", [(), ("--rebuild",), ("--budget-from", "base"), ("--rebuild", "--budget-from", "base")]
)
def test_the_pull_request_that_adds_budgets_passes(tmp_path: Path, more: tuple[str, ...]) -> None:
    made = project_of(tmp_path, lock=False)
    made.write("analyzer.toml", CONFIG.format(params='growth = "2%"'))
    assert made.run("lock").returncode == 0
    made.commit("Budgets")
    code, verdict = made.check("--against", "main", *more)
    assert (code, kinds(verdict)) == (0, ["no-baseline"])
    said = finding(verdict, "no-baseline", level="note")
    assert "budgets begin here" in said["what"]


def test_the_pull_request_that_adds_budgets_is_held_to_what_it_says(tmp_path: Path) -> None:
    made = project_of(tmp_path, lock=False)
    made.write("analyzer.toml", CONFIG.format(params='max = "5k", growth = "2%"'))
    made.commit("Budgets")
    code, verdict = made.check("--against", "main")
    assert (code, kinds(verdict, "error")) == (1, ["excess"])
    made.write("analyzer.toml", CONFIG.format(params='max-ratio = 0.0001, of = "densenet121"'))
    assert made.check("--against", "main")[0] == 1


def test_a_configuration_that_moved_does_not_begin_anew(tmp_path: Path) -> None:
    made = Project(tmp_path / "made", example=False)
    made.write("old/net.py", NET.format(width=16))
    made.write("old/analyzer.toml", CONFIG.format(params='growth = "2%"'))
    assert made.run("lock", cwd="old").returncode == 0
    made.commit("The net")
    made.branch("move")
    (made.folder / "old").rename(made.folder / "new")
    assert made.check("--against", "main", cwd="new")[0] == 0
    made.write("new/net.py", NET.format(width=20))
    code, verdict = made.check("--against", "main", cwd="new")
    assert code == 1
    assert finding(verdict, "growth")["base"] == params(16)


# -- a lock that is behind -------------------------------------------------------------------------------------


def behind(tmp_path: Path) -> Project:
    """main became wider, and nobody locked it."""
    made = project_of(tmp_path)
    made.git("checkout", "--quiet", "main")
    made.write("net.py", NET.format(width=24))
    made.commit("Wider, lock forgotten")
    made.git("branch", "--quiet", "--force", "change", "main")
    made.git("checkout", "--quiet", "change")
    return made


@pytest.mark.parametrize("more", [(), ("--rebuild",)])
def test_nobody_pays_for_growth_that_mains_lock_has_not_seen(tmp_path: Path, more: tuple[str, ...]) -> None:
    made = behind(tmp_path)
    made.write("NOTES.md", "words")
    made.commit("Words alone")
    code, verdict = made.check("--against", "main", *more)
    assert (code, kinds(verdict)) == (0, ["lock-behind"])
    told = finding(verdict, "lock-behind", level="warning", model="net")
    assert "main's lock is behind its code" in told["what"]
    assert f"{params(16):,} locked, {params(24):,} counted" in told["what"]
    assert told["fix"].startswith("git switch main && analyze lock && git commit ")
    assert "counted in a worktree" in verdict["baseline"]
    made.write("net.py", NET.format(width=32))
    code, verdict = made.check("--against", "main", *more)
    assert code == 1
    grown = finding(verdict, "growth", level="error")
    assert (grown["base"], grown["value"]) == (params(24), params(32))


def test_no_rebuild_holds_growth_against_the_lock_and_runs_nothing_of_main(tmp_path: Path) -> None:
    made = behind(tmp_path)
    made.commit("Nothing")
    code, verdict = made.check("--against", "main", "--no-rebuild")
    assert (code, kinds(verdict, "error"), kinds(verdict, "warning")) == (1, ["growth"], [])
    assert "worktree" not in verdict["baseline"]


def test_where_mains_code_can_not_be_counted_its_lock_holds(tmp_path: Path) -> None:
    made = project_of(tmp_path)
    made.git("checkout", "--quiet", "main")
    made.write("net.py", "import absent\n" + NET.format(width=16))
    made.commit("Broken")
    made.git("checkout", "--quiet", "-B", "change")
    made.write("net.py", NET.format(width=24))
    code, verdict = made.check("--against", "main")
    assert (code, kinds(verdict, "error")) == (1, ["growth"])
    assert "absent" in finding(verdict, "lock-behind", level="note")["what"]
    code, verdict = made.check("--against", "main", "--rebuild")
    assert code == 4
    assert not [f for f in verdict["findings"] if "--rebuild" in f["fix"]], "a fix that leads in a circle"


# -- moves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--against", "main"), ("--against", "main", "--rebuild")])
@pytest.mark.parametrize(("old", "new"), [("net.py:build", "lib/nets.py:make"), ("net:build", "lib.nets:make")])
def test_a_model_that_moved_keeps_its_baseline(tmp_path: Path, more: tuple[str, ...], old: str, new: str) -> None:
    made = Project(tmp_path / "made", example=False)
    made.write("net.py", NET.format(width=16))
    config = CONFIG.format(params='growth = "2%"')
    made.write("analyzer.toml", config.replace("net.py:build", old))
    assert made.run("lock").returncode == 0
    made.commit("The net")
    made.branch("move")
    (made.folder / "lib").mkdir()
    made.git("mv", "net.py", "lib/nets.py")
    made.edit("lib/nets.py", "def build", "def make")
    made.write("analyzer.toml", config.replace("net.py:build", new))
    made.commit("Moved")
    code, verdict = made.check(*more)
    assert (code, kinds(verdict)) == (0, ["moved"])
    assert f"from {old} to {new}" in finding(verdict, "moved")["what"]
    made.write("lib/nets.py", NET.format(width=20).replace("def build", "def make"))
    code, verdict = made.check(*more)
    assert code == 1
    assert finding(verdict, "growth")["base"] == params(16)


def test_a_target_that_is_still_there_is_another_thing(tmp_path: Path) -> None:
    made = project_of(tmp_path)
    made.write("lib/nets.py", NET.format(width=16))
    made.edit("analyzer.toml", "net.py:build", "lib/nets.py:build")
    code, verdict = made.check("--against", "main")
    assert (code, kinds(verdict, "error")) == (4, ["stale"])


@pytest.mark.parametrize(
    ("now", "was"),
    [("input = [1, 3, 16, 16]\nkwargs = { width = 8 }", params(8)), ("input = [1, 3, 20, 20]", params(16))],
)
def test_changed_terms_are_rebased_on_the_old_code(tmp_path: Path, now: str, was: int) -> None:
    made = project_of(tmp_path)
    made.edit("analyzer.toml", "input = [1, 3, 16, 16]", now)
    code, verdict = made.check("--against", "main")
    assert code == 4
    assert "--rebuild" in finding(verdict, "stale")["fix"]
    code, verdict = made.check("--against", "main", "--rebuild")
    assert (code, kinds(verdict, "error")) == (0, [])
    made.edit("net.py", "width, 3), nn.ReLU(), nn.Conv2d(width,", "2 * width, 3), nn.ReLU(), nn.Conv2d(2 * width,")
    code, verdict = made.check("--against", "main", "--rebuild")
    assert code == 1
    assert finding(verdict, "growth")["base"] == was


RENAMED = """
from torch import nn


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(12, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)

    def forward(self, x):
        return x + self.b(self.a(x).relu())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3)
        self.{name} = Body()

    def forward(self, x):
        return self.{name}(self.stem(x))
"""


@pytest.mark.parametrize(("group", "now"), [("body.**", "trunk.**"), ("body", "trunk"), ("body.a", "trunk.a")])
def test_a_group_of_a_renamed_container_is_told_its_new_name(tmp_path: Path, group: str, now: str) -> None:
    made = Project(tmp_path / "made", example=False)
    made.write("net.py", RENAMED.format(name="body"))
    table = CONFIG.format(params='growth = "2%"').replace(":build", ":Net")
    made.write("analyzer.toml", f'{table}[models.net.groups."{group}"]\nparams = {{ growth = "2%" }}\n')
    assert made.run("lock").returncode == 0
    made.write("net.py", RENAMED.format(name="trunk"))
    code, verdict = made.check()
    assert code == 2
    told = finding(verdict, "unmatched")
    assert "body was renamed to trunk" in told["what"]
    assert told["fix"] == f"change the group to `{now}`"
    made.edit("analyzer.toml", f'"{group}"', f'"{now}"')
    assert made.check()[0] == 0
