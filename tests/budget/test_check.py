"""The gate in real repositories: the example's small CNN and transformer, grown, shrunk, renamed, waived, broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from project import ROOT, Project, finding, kinds

from analyzer.budget.outputs import FORMATS

WIDER = ("self.stage3 = Stage(2 * width, 4 * width)", "self.stage3 = Stage(2 * width, 5 * width)")
WIDER_HEAD = ("self.classifier = nn.Linear(4 * width", "self.classifier = nn.Linear(5 * width")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "models")


def grow(project: Project) -> None:
    project.edit("cnn.py", *WIDER)
    project.edit("cnn.py", *WIDER_HEAD)


# -- what passes and what fails --------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_example_is_within_its_budget_and_its_lock_is_current(project: Project) -> None:
    code, verdict = project.check()
    assert (code, kinds(verdict, "error"), kinds(verdict, "warning")) == (0, [], [])
    assert [model["name"] for model in verdict["models"]] == ["cnn", "reader", "compressed"]
    assert project.run("lock", "--check").returncode == 0
    assert project.check("--against", "main")[0] == 0


@pytest.mark.parametrize("more", [(), ("--against", "main"), ("--against", "main", "--rebuild")])
def test_a_grown_layer_fails_and_is_named(project: Project, more: tuple[str, ...]) -> None:
    project.branch("grow")
    grow(project)
    project.commit("Wider")
    code, verdict = project.check(*more)
    assert code == 1
    found = finding(verdict, "excess", figure="params", group=None)
    # 3x3 convolutions 64 -> 128 -> 128 become 64 -> 160 -> 160: 9 x (160 x 160 - 128 x 128) = 82,944 more in conv2.
    paid = found["changes"][0]
    assert (paid["path"], paid["before"], paid["after"]) == ("stage3.conv2", 9 * 128 * 128, 9 * 160 * 160)
    assert sum((c["after"] or 0) - (c["before"] or 0) for c in found["changes"]) == found["value"] - found["base"]
    assert (found["file"], found["line"]) == ("cnn.py", 6)
    assert finding(verdict, "growth", figure="macs")["changes"][0]["path"] == "stage3.conv2"
    assert "stage3.conv2" in finding(verdict, "excess", group="stage3.**")["fix"]


@pytest.mark.slow
def test_the_grown_layer_is_named_in_every_format(project: Project) -> None:
    grow(project)
    outputs = [f"--output={format}=out.{format}" for format in FORMATS]
    assert project.run_process("check", *outputs).returncode == 1
    for format in FORMATS:
        assert "stage3.conv2" in project.read(f"out.{format}"), format


def test_the_transformer_grows_in_the_right_layer(project: Project) -> None:
    project.edit("transformer.py", "dim_feedforward=4 * width", "dim_feedforward=5 * width")
    code, verdict = project.check("--against", "main")
    assert code == 1
    found = finding(verdict, "growth", model="reader", figure="params")
    # Each layer's two feed-forward products grow from 128 x 512 to 128 x 640, the first with its bias.
    grown = {change["path"]: change["after"] - change["before"] for change in found["changes"]}
    assert grown == {
        f"encoder.{layer}.{name}": 128 * 128 + (128 if name == "linear1" else 0)
        for layer in (0, 1)
        for name in ("linear1", "linear2")
    }
    assert found["file"] == "transformer.py"


def test_a_shrunk_branch_passes_and_is_told_to_tighten(project: Project) -> None:
    project.edit("cnn.py", "Stage(2 * width, 4 * width)", "Stage(2 * width, 3 * width)")
    project.edit("cnn.py", "nn.Linear(4 * width", "nn.Linear(3 * width")
    code, verdict = project.check("--against", "main")
    assert code == 0
    found = finding(verdict, "improved", figure="params", group=None)
    assert found["changes"][0]["path"] == "stage3.conv2"
    assert "tighten max" in found["fix"]


def test_renamed_modules_pass_as_moved(project: Project) -> None:
    project.branch("rename")
    for file, old, new in [("cnn.py", "stage3", "last"), ("transformer.py", "encoder", "layers_")]:
        project.edit(file, f"self.{old}", f"self.{new}")
    project.edit("pyproject.toml", 'groups."stage3.**"', 'groups."last.**"')
    project.commit("Other names")
    code, verdict = project.check("--against", "main")
    assert code == 0
    assert "stage3 → last" in finding(verdict, "moved", model="cnn")["what"]
    assert "encoder → layers_" in finding(verdict, "moved", model="reader")["what"]
    assert "growth" not in kinds(verdict)


def test_a_renamed_module_that_also_grew_is_named_with_what_it_was(project: Project) -> None:
    grow(project)
    project.edit("cnn.py", "self.stage3", "self.last")
    project.edit("pyproject.toml", 'groups."stage3.**"', 'groups."last.**"')
    found = finding(project.check()[1], "excess", figure="params", group=None)
    assert (found["changes"][0]["path"], found["changes"][0]["before"]) == ("last.conv2", 9 * 128 * 128)


def test_a_layer_put_in_front_does_not_make_the_others_new(project: Project) -> None:
    project.write("seq.py", "from torch import nn\n\ndef build():\n    return nn.Sequential(LAYERS)\n".replace(
        "LAYERS", "nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)"))  # fmt: skip
    project.write("analyzer.toml", '[models.seq]\ntarget = "seq.py:build"\ninput = [1, 3, 16, 16]\n'
                  'budgets.params = { growth = "0%" }\n')  # fmt: skip
    project.write("pyproject.toml", "")
    assert project.run("lock").returncode == 0
    project.edit("seq.py", "nn.Conv2d(3, 8, 3),", "nn.Conv2d(3, 3, 1), nn.Conv2d(3, 8, 3),")
    code, verdict = project.check()
    assert code == 1
    found = finding(verdict, "growth")
    assert [(c["path"], c["before"], c["after"]) for c in found["changes"]] == [("0", None, 12)]


# -- baselines -------------------------------------------------------------------------------------------------


def test_without_a_lock_growth_can_not_be_held_and_limits_can(project: Project) -> None:
    (project.folder / "analyzer.lock").unlink()
    code, verdict = project.check()
    assert code == 4
    assert set(kinds(verdict, "error")) == {"no-baseline"}
    assert project.check("--model", "compressed")[0] == 0  # a ratio alone needs none


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kwargs = { width = 32 }", "kwargs = { width = 31 }"),
        ("input = [1, 3, 32, 32]", "input = [1, 3, 24, 24]"),
        ('target = "cnn.py:build"', 'target = "cnn.py:SmallNet"'),
    ],
)
def test_another_target_kwargs_or_input_is_stale(project: Project, old: str, new: str) -> None:
    project.edit("pyproject.toml", old, new)
    code, verdict = project.check("--model", "cnn")
    assert code == 4
    assert "was" in finding(verdict, "stale")["what"]
    done = project.run("lock", "--check")
    assert done.returncode == 4
    assert "target, kwargs or input changed" in done.stderr
    assert project.run("lock").returncode == 0
    assert project.check("--model", "cnn")[0] == 0


@pytest.mark.slow
def test_another_schema_an_edited_line_and_a_merge_mark_are_no_baseline(project: Project) -> None:
    text = project.read("analyzer.lock")
    for wrong in (
        text.replace('{"schema":2', '{"schema":3', 1),
        text.replace('"params":147456', '"params":999999', 1),
        text.replace("\n", "\n<<<<<<< ours\n", 1),
        text + text.splitlines()[-1] + "\n",
        "not a lock\n",
    ):
        assert wrong != text
        project.write("analyzer.lock", wrong)
        code, verdict = project.check()
        assert code == 4, verdict["findings"]
        assert "analyze lock" in finding(verdict, "stale")["fix"]


def test_windows_line_ends_are_the_same_lock(project: Project) -> None:
    project.write("analyzer.lock", project.read("analyzer.lock").replace("\n", "\r\n"))
    for file in ("cnn.py", "pyproject.toml"):
        project.write(file, project.read(file).replace("\n", "\r\n"))
    project.commit("From Windows")
    assert project.check("--against", "main")[0] == 0
    assert project.run("lock", "--check").returncode == 0


@pytest.mark.slow
def test_relocking_hides_nothing_from_the_merge_base(project: Project) -> None:
    project.branch("sneaky")
    grow(project)
    project.edit("pyproject.toml", 'max = "300k"', 'max = "1M"')
    project.edit("pyproject.toml", 'max = "250k"', 'max = "1M"')
    assert project.run("lock").returncode == 0
    project.commit("Nothing to see")
    assert project.check()[0] == 0
    code, verdict = project.check("--against", "main")
    assert code == 1
    assert finding(verdict, "growth", figure="params")
    assert "params from 288,746 to 390,570" in finding(verdict, "relocked")["what"]
    changed = finding(verdict, "budget-changed", figure="params", group=None)
    assert "max from 300k to 1M" in changed["what"]
    assert changed["level"] == "warning"
    code, verdict = project.check("--against", "main", "--budget-from", "base")
    assert code == 1
    assert finding(verdict, "excess", figure="params", group=None)["limit"] < 300_000


@pytest.mark.slow
def test_a_removed_model_or_budget_is_shown_and_base_still_holds_it(project: Project) -> None:
    project.branch("fewer")
    grow(project)
    text = project.read("pyproject.toml")
    start, end = text.index("[tool.analyzer.models.cnn]"), text.index("[tool.analyzer.models.reader]")
    project.write("pyproject.toml", text[:start] + text[end:])
    project.commit("No cnn")
    code, verdict = project.check("--against", "main")
    assert code == 0
    assert "no longer checked" in finding(verdict, "budget-changed")["what"]
    code, verdict = project.check("--against", "main", "--budget-from", "base")
    assert code == 1
    assert finding(verdict, "excess", model="cnn", group=None)
    (project.folder / "cnn.py").unlink()  # the model itself is gone: there is nothing left to hold
    assert project.check("--against", "main", "--budget-from", "base")[0] == 0


@pytest.mark.slow
def test_a_new_model_needs_a_bound_that_is_not_growth(project: Project) -> None:
    project.branch("new")
    table = '\n[tool.analyzer.models.tiny]\ntarget = "cnn.py:build"\nkwargs = { width = 4 }\ninput = [1, 3, 32, 32]\n'
    project.write("pyproject.toml", project.read("pyproject.toml") + table + 'budgets.params = { growth = "5%" }\n')
    assert project.run("lock").returncode == 0
    assert project.check()[0] == 0
    code, verdict = project.check("--against", "main")
    assert code == 4
    assert "is new since main" in finding(verdict, "no-baseline")["what"]
    project.edit("pyproject.toml", 'params = { growth = "5%" }\n', 'params = { max = "1M", growth = "5%" }\n')
    assert project.check("--against", "main")[0] == 0


def test_a_model_under_another_name_keeps_its_baseline(project: Project) -> None:
    project.branch("named")
    grow(project)
    project.edit("pyproject.toml", "tool.analyzer.models.cnn", "tool.analyzer.models.other")
    code, verdict = project.check("--against", "main")
    assert code == 1
    assert finding(verdict, "excess", model="other", group=None)["base"] == 288_746


# -- waivers ---------------------------------------------------------------------------------------------------


def waiver(project: Project, expires: str, figure: str = "params", more: str = "") -> None:
    project.write(
        "pyproject.toml",
        project.read("pyproject.toml")
        + f'\n[[tool.analyzer.models.cnn.waivers]]\nfigure = "{figure}"\nreason = "a trial"\nby = "Ada"\n'
        + f"expires = {expires}\n{more}",
    )


def test_a_waiver_lets_a_figure_pass_until_its_date(project: Project) -> None:
    grow(project)
    for figure, more in [("params", ""), ("macs", ""), ("params", 'group = "stage3.**"\n')]:
        waiver(project, "2999-12-31", figure, more)
    code, verdict = project.check()
    assert code == 0
    assert kinds(verdict).count("waived") == 3
    assert "by Ada: a trial" in finding(verdict, "waived", figure="macs")["what"]


def test_an_expired_waiver_fails_even_where_it_is_not_needed(project: Project) -> None:
    waiver(project, "2020-01-01")
    code, verdict = project.check()
    assert code == 1
    assert "expired on 2020-01-01" in finding(verdict, "waiver-expired")["what"]
    grow(project)
    assert {"excess", "waiver-expired"} <= set(kinds(project.check()[1], "error"))


def test_an_unused_waiver_is_a_warning_and_one_too_small_does_not_help(project: Project) -> None:
    waiver(project, "2999-12-31")
    code, verdict = project.check()
    assert code == 0
    assert kinds(verdict, "warning") == ["waiver-unused"]
    grow(project)
    project.edit("pyproject.toml", "expires = 2999-12-31", 'expires = 2999-12-31\nmax = "380k"')
    code, verdict = project.check()
    assert code == 1
    assert "waived" not in kinds(verdict)


# -- what can't be judged fails --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "code", "kind", "said"),
    [
        (("pyproject.toml", '"stage3.**"', '"stage9.**"'), 2, "unmatched", "matches no layer"),
        (("pyproject.toml", "growth-min", "growth-mim"), 2, "configuration", "unknown key 'growth-mim'"),
        (("pyproject.toml", 'growth = "2%", growth-min = "1k"', "growth = 5"), 2, "configuration", "no growth"),
        (("pyproject.toml", '"50 MMACs"', '"50 MFLOPs"'), 2, "configuration", "MFLOPs"),
        (("pyproject.toml", "input = [1, 3, 32, 32]\n", ""), 2, "configuration", "gives no input"),
        (("pyproject.toml", 'of = "densenet121"', 'of = "densenet12"'), 2, "configuration", "'densenet12' is no model"),
        (("pyproject.toml", "cnn.py:build", "../cnn.py:build"), 2, "configuration", "leaves the project"),
        (("pyproject.toml", "cnn.py:build", "cnn.py:biuld"), 3, "broken", "has no attribute"),
        (("cnn.py", "from torch import Tensor, nn", "import absent"), 3, "broken", "No module named 'absent'"),
        (("cnn.py", "return SmallNet(width)", "return SmallNet(width).cuda()"), 3, "broken", "CUDA"),
        (("cnn.py", "nn.Linear(4 * width, classes)", "nn.LazyLinear(classes)"), 3, "broken", "has not seen an input"),
        (("cnn.py", "return SmallNet(width)", "raise SystemExit(0)"), 3, "broken", "SystemExit"),
        (("cnn.py", "x.mean((2, 3))", "nn.functional.linear(x, x[0, 0])"), 3, "broken", "same reduction dim"),
        (
            ("cnn.py", "classifier(x.mean((2, 3)))", "classifier(__import__('torch').linalg.svd(x)[0].mean((2, 3)))"),
            3, "uncounted", "svd",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_judged_fails(
    project: Project, edit: tuple[str, str, str], code: int, kind: str, said: str
) -> None:
    project.edit(*edit)
    found_code, verdict = project.check()
    found = next(f for f in verdict["findings"] if f["kind"] == kind)
    assert said in f"{found['where']} {found['what']}"
    assert found_code == code
    assert found["level"] == "error"
    if found["model"]:
        assert found["fix"]


def test_several_failures_end_with_the_first_of_2_3_4_1(project: Project) -> None:
    grow(project)
    project.edit("transformer.py", "import Tensor", "import Nothing")
    assert project.check()[0] == 3
    project.edit("pyproject.toml", '"stage3.**"', '"stage9.**"')
    assert project.check()[0] == 2
    assert project.run("check", "--exit-zero").returncode == 0


def test_the_other_models_are_still_checked_beside_a_broken_one(project: Project) -> None:
    project.edit("transformer.py", "import Tensor", "import Nothing")
    verdict = project.check()[1]
    assert {m["name"]: bool(m["figures"]) for m in verdict["models"]} == {
        "cnn": True,
        "reader": False,
        "compressed": True,
    }


def test_a_ratio_to_a_broken_model_fails_and_the_others_are_checked(project: Project) -> None:
    project.edit("pyproject.toml", 'of = "densenet121"', 'of = "reader"')
    code, verdict = project.check()
    assert code == 1
    assert finding(verdict, "ratio")["limit"] == 524_544
    project.edit("transformer.py", "import Tensor", "import Nothing")
    code, verdict = project.check()
    assert code == 3
    assert finding(verdict, "broken", model="compressed")
    assert len(verdict["models"]) == 3


def test_no_configuration_and_none_in_it(tmp_path: Path) -> None:
    project = Project(tmp_path / "empty", example=False)
    code, verdict = project.check()
    assert code == 2
    assert "analyze init" in finding(verdict, "configuration")["fix"]
    project.write("analyzer.toml", "[models]\n")
    code, verdict = project.check()
    assert (code, "configures no model" in finding(verdict, "configuration")["what"]) == (2, True)
    project.write("pyproject.toml", "[tool.analyzer.models.a]\ntarget = 'article'\n")
    assert "both configure" in finding(project.check()[1], "configuration")["what"]


# -- git -------------------------------------------------------------------------------------------------------


def test_a_shallow_clone_says_what_to_fetch(project: Project, tmp_path: Path) -> None:
    project.branch("work")
    for i in range(3):
        project.commit(f"More {i}")
    project.git("checkout", "--quiet", "main")
    project.commit("Elsewhere")
    clone = Project(tmp_path / "clone", example=False)
    url = (project.folder).as_uri()
    clone.git("fetch", "--quiet", "--depth=1", url, "work:work", "main:base")
    clone.git("checkout", "--quiet", "work")
    code, verdict = clone.check("--against", "base")
    assert code == 4
    assert "fetch-depth: 0" in finding(verdict, "no-baseline")["fix"]


def test_a_detached_head_works(project: Project) -> None:
    project.git("checkout", "--quiet", "--detach")
    grow(project)
    project.commit("Detached")
    assert project.check("--against", "main")[0] == 1


@pytest.mark.parametrize("ref", ["nowhere", "-x", "--upload-pack=touch owned", "main --output=x", "", "main\nmain"])
def test_a_ref_that_is_none_is_refused(project: Project, ref: str) -> None:
    code, verdict = project.check(f"--against={ref}")
    assert code == 2
    assert finding(verdict, "configuration")["where"] == "--against"
    assert not (project.folder / "owned").exists()


def test_outside_of_git_only_the_lock_can_be_compared_with(project: Project, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in ("cnn.py", "transformer.py", "pyproject.toml", "analyzer.lock"):
        (alone / file).write_bytes((project.folder / file).read_bytes())
    outside = Project.__new__(Project)
    outside.folder = alone
    assert outside.check()[0] == 0
    code, verdict = outside.check("--against", "main")
    assert code == 2
    assert "no git repository" in finding(verdict, "configuration")["what"]
    done = outside.run_process("check", "--against", "main", PATH="/nowhere")
    assert done.returncode == 2
    assert "git is not installed" in done.stdout


def test_links_are_refused(project: Project, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("[models.a]\ntarget = 'article'\n")
    (project.folder / "linked.toml").symlink_to(secret)
    code, verdict = project.check("--config", "linked.toml")
    assert (code, "no plain file" in finding(verdict, "configuration")["what"]) == (2, True)
    lock = project.folder / "analyzer.lock"
    (project.folder / "real.lock").write_bytes(lock.read_bytes())
    lock.unlink()
    lock.symlink_to("real.lock")
    assert "no plain file" in finding(project.check()[1], "configuration")["what"]
    project.commit("A link")
    project.branch("next")
    assert "no plain file" in finding(project.check("--against", "main")[1], "configuration")["what"]
    (project.folder / "linked.py").symlink_to(project.folder / "cnn.py")
    project.edit("pyproject.toml", "cnn.py:build", "linked.py:build")
    assert any("is a link" in f["what"] for f in project.check()[1]["findings"])


@pytest.mark.slow
def test_a_folder_below_the_repository_and_names_beyond_ascii(tmp_path: Path) -> None:
    outer = Project(tmp_path / "outer", example=False)
    inner = Project(tmp_path / "outer" / "größe modell")
    (inner.folder / ".git").rename(tmp_path / "unused")
    inner.edit("pyproject.toml", "tool.analyzer.models.cnn", 'tool.analyzer.models."größe ★"')
    assert inner.run("lock").returncode == 0
    outer.commit("Everything")
    outer.branch("grow")
    grow(inner)
    code, verdict = outer.check("--against", "main", cwd="größe modell")
    assert code == 1
    assert finding(verdict, "excess", group=None)["model"] == "größe ★"
    (inner.folder / "deeper").mkdir()
    assert outer.check("--against", "main", cwd="größe modell/deeper")[0] == 1


@pytest.mark.slow
def test_rebuild_leaves_no_worktree_and_needs_no_lock(project: Project) -> None:
    project.git("rm", "--quiet", "--cached", "analyzer.lock")
    (project.folder / "analyzer.lock").unlink()
    project.commit("No lock")
    project.branch("grow")
    grow(project)
    assert project.check("--against", "main")[0] == 4
    code, verdict = project.check("--against", "main", "--rebuild")
    assert code == 1
    assert finding(verdict, "excess", figure="params", group=None)["base"] == 288_746
    assert project.git("worktree", "list").count("\n") == 0


@pytest.mark.slow
def test_the_check_writes_nothing(project: Project) -> None:
    grow(project)
    (project.folder / "analyzer.lock").unlink()
    before = {p.name: p.read_bytes() for p in project.folder.iterdir() if p.is_file()}
    project.run("check")
    project.run("check", "--against", "main", "--rebuild")
    assert {p.name: p.read_bytes() for p in project.folder.iterdir() if p.is_file()} == before


def test_two_models_may_each_have_a_module_of_one_name(tmp_path: Path) -> None:
    project = Project(tmp_path / "two", example=False)
    for folder, width in (("a", 4), ("b", 7)):
        project.write(f"{folder}/layers.py", f"WIDTH = {width}\n")
        project.write(f"{folder}/net.py", "from layers import WIDTH\nfrom torch import nn\n\ndef build():\n"
                      "    return nn.Linear(WIDTH, 1, bias=False)\n")  # fmt: skip
    tables = [f'[models.{f}]\ntarget = "{f}/net.py:build"\nbudgets.params = {{ max = {w}, min = {w} }}\n'
              for f, w in (("a", 4), ("b", 7))]  # fmt: skip
    project.write("analyzer.toml", "\n".join(tables))
    assert project.check()[0] == 0


def test_a_tied_weight_counts_once_and_untying_it_is_growth_where_it_happens(project: Project) -> None:
    project.edit("transformer.py", "        self.head.weight = self.embedding.weight\n", "")
    found = finding(project.check()[1], "excess", model="reader", figure="params")
    assert [(c["path"], c["before"], c["after"]) for c in found["changes"]] == [("head", 0, 128 * 1000)]


@pytest.mark.slow
def test_peaks_and_bytes_of_a_model_of_ones_own(project: Project) -> None:
    lines = 'params = { max = "600k", growth = "2%" }\n'
    more = 'peak_training_bytes = { max = "1 GiB", growth = "0%" }\nparam_bytes = { growth = "0%" }\n'
    project.edit("pyproject.toml", lines, lines + more)
    code, verdict = project.check("--model", "reader")
    assert code == 4  # the lock has no peak yet
    assert finding(verdict, "no-baseline", figure="peak_training_bytes")
    assert project.run("lock").returncode == 0
    assert project.check("--model", "reader")[0] == 0
    project.edit("transformer.py", "layers: int = 2", "layers: int = 3")
    failed = {f["figure"] for f in project.check("--model", "reader")[1]["findings"] if f["level"] == "error"}
    assert {"peak_training_bytes", "param_bytes", "params", "depth"} == failed


def test_a_cast_model_has_half_the_bytes(project: Project) -> None:
    project.edit("pyproject.toml", "input = [1, 3, 32, 32]\n", 'input = [1, 3, 32, 32]\ndtype = "bfloat16"\n')
    project.edit(
        "pyproject.toml", 'growth = "2%", growth-min = "1k" }\n', "min = 1 }\nparam_bytes = { max = 577492 }\n"
    )
    project.edit("pyproject.toml", 'max = "50 MMACs", growth = "5%"', 'max = "50 MMACs"')
    assert project.check("--model", "cnn")[0] == 0  # 2 x 288,746


def test_a_package_below_src_is_found(tmp_path: Path) -> None:
    project = Project(tmp_path / "src-layout", example=False)
    project.write("src/pkg/__init__.py", "")
    project.write("src/pkg/parts.py", "from torch import nn\nWidth = 3\n")
    project.write(
        "src/pkg/net.py",
        "from torch import nn\nfrom .parts import Width\n\ndef build():\n    return nn.Linear(Width, 2)\n",
    )
    project.write("analyzer.toml", '[models.a]\ntarget = "pkg.net:build"\nbudgets.params = { max = 8, min = 8 }\n')
    assert project.check()[0] == 0
    project.commit("A package")
    project.branch("grow")
    project.edit("src/pkg/parts.py", "3", "4")
    project.edit("analyzer.toml", "max = 8, min = 8", 'growth = "0%"')
    code, verdict = project.check("--against", "main", "--rebuild")
    assert (code, finding(verdict, "growth")["base"]) == (1, 8)


def test_outputs_to_files_alone_still_say_what_failed(project: Project) -> None:
    grow(project)
    done = project.run("check", "--output", "json=a.json")
    assert done.stdout == ""
    assert "error cnn: params excess" in done.stderr
    assert project.run("check", "--output", "jsn").returncode == 2
    assert "did you mean 'json'" in project.run("check", "--output", "jsn").stderr


@pytest.mark.slow
def test_checks_at_once_agree(project: Project) -> None:
    grow(project)
    commands = [("check",), ("check", "--against", "main", "--rebuild"), ("check", "--against", "main", "--rebuild")]
    with ThreadPoolExecutor(3) as pool:
        codes = [done.returncode for done in pool.map(lambda command: project.run_process(*command), commands)]
    assert codes == [1, 1, 1]
    assert project.git("worktree", "list").count("\n") == 0


# -- what a model's code does to its process -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import os; os._exit(0)", "ended the process (exit code 0)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_a_model_that_ends_its_process_fails_the_check(project: Project, line: str, said: str) -> None:
    project.edit("cnn.py", "def build", f"{line}\n\ndef build")
    code, verdict = project.check()
    assert code == 3
    assert said in finding(verdict, "broken", model="cnn")["what"]
    assert project.run("lock").returncode == 3


@pytest.mark.slow
def test_what_a_model_prints_sets_and_starts_stays_with_it(project: Project) -> None:
    project.write(
        "transformer.py",
        "import os, threading, time, torch\nos.write(1, b'raw\\n')\nos.system('echo sub')\nprint('said')\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "torch.set_default_dtype(torch.float64)\nos.chdir('/')\n" + project.read("transformer.py"),
    )
    text = project.read("pyproject.toml").replace("models.reader", "models.areader")
    start, end = text.index("[tool.analyzer.models.areader]"), text.index("# A variant")
    project.write("pyproject.toml", text[start:end] + text[:start] + text[end:])  # the odd one first
    done = project.run_process("check", "--output", "json")
    verdict = json.loads(done.stdout)
    assert "sub" in done.stderr
    figures = {m["name"]: m["record"]["param_bytes"] for m in verdict["models"]}
    assert figures == {"areader": 8 * 524_544, "cnn": 4 * 288_746, "compressed": 4 * 4_611_522}
    project.commit("Odd")
    assert project.check("--against", "HEAD", "--rebuild", "--model", "cnn")[0] == 0


def test_nesting_beyond_python_is_a_broken_model(project: Project) -> None:
    project.edit(
        "cnn.py",
        "return SmallNet(width)",
        "m = SmallNet(width)\n    for _ in range(1500):\n        m = nn.Sequential(m)\n    return m",
    )
    code, verdict = project.check()
    assert code == 3
    assert finding(verdict, "broken", model="cnn")


def test_outputs_never_replace_what_the_check_reads(project: Project) -> None:
    before = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    for path in ("pyproject.toml", "analyzer.lock", "cnn.py", ".git/config", "./sub/../cnn.py", "."):
        assert project.run("check", "--output", f"json={path}").returncode == 2, path
    assert {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("files", [0, 3000], ids=["while it counts", "while its files are written"])
def test_a_terminated_rebuild_leaves_no_worktree(project: Project, tmp_path: Path, files: int) -> None:
    project.edit("cnn.py", "def build", "import time\n\ntime.sleep(60)\n\ndef build")
    for number in range(files):
        (project.folder / f"data_{number}").write_text("x" * 2000)
    project.commit("Slow")
    command = [sys.executable, "-P", "-m", "analyzer", "check", "--against", "main", "--rebuild"]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, cwd=project.folder, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not list(temporary.glob("analyzer-tree-*/tree/*")) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.terminate()
    _, told = process.communicate(timeout=300)
    assert process.returncode == 130, told
    assert project.git("worktree", "list").count("\n") == 0
    assert not list(temporary.glob("analyzer-tree-*"))


@pytest.mark.slow
def test_a_model_counted_as_a_reference_first_still_has_its_peaks(project: Project) -> None:
    project.edit("pyproject.toml", "depth = { max = 10 }", 'peak_inference_bytes = { max = "1 GiB" }')
    project.edit("pyproject.toml", 'max = "50 MMACs", growth = "5%"', 'max-ratio = 9, of = "reader"')
    code, verdict = project.check()
    assert (code, kinds(verdict, "error")) == (0, [])


TRUNK = """
from torch import nn


class Trunk(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up = nn.Conv2d(4, width, 1, bias=False)
        self.act = nn.ReLU()
        self.down = nn.Conv2d(width, 4, 1, bias=False)

    def forward(self, x):
        return x + self.down(self.act(self.up(x)))


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.trunk = Trunk(width)
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.head(self.trunk(x).mean((2, 3)))
"""


@pytest.mark.parametrize("group", ["trunk", "trunk.**", "tr*", "**.trunk"])
def test_a_group_that_names_a_container_means_all_below_it(tmp_path: Path, group: str) -> None:
    project = Project(tmp_path / "trunk", example=False)
    project.write("net.py", TRUNK)
    budgets = (
        '[models.net]\ntarget = "net.py:Net"\ninput = [1, 4, 2, 2]\n[models.net.groups."{}"]\n'
        "params = {{ max = {} }}\nmacs = {{ max = {} }}\n"
    )
    project.write("analyzer.toml", budgets.format(group, 64, 256))  # 4 x 8 + 8 x 4 weights, at 2 x 2 places
    assert project.check()[0] == 0
    project.write("analyzer.toml", budgets.format(group, 63, 255))
    code, verdict = project.check()
    assert (code, [f["value"] for f in verdict["findings"]]) == (1, [64, 256])


def test_a_group_without_a_share_of_its_figure_is_unmatched_and_says_which_is_meant(tmp_path: Path) -> None:
    project = Project(tmp_path / "trunk", example=False)
    project.write("net.py", TRUNK)
    table = '[models.net]\ntarget = "net.py:Net"\ninput = [1, 4, 2, 2]\n[models.net.groups."{}"]\nparams = {{ {} }}\n'
    for group, meant in [("trunk.act", "trunk.**"), ("trunks", "trunk.**"), ("hed.**", "head.**")]:
        project.write("analyzer.toml", table.format(group, "max = 1000"))
        code, verdict = project.check()
        assert code == 2
        assert f"did you mean `{meant}`?" in finding(verdict, "unmatched", group=group)["fix"]
    project.write("analyzer.toml", table.format("trunk.act", "max = 0"))
    assert project.check()[0] == 0
