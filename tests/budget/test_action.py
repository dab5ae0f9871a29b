"""Where people work: the actions' shell steps under bash, the hooks under pre-commit, the snippets by their schemas.

A stand-in for `analyze check` writes a known verdict through the real outputs, so that these tests are about the
integrations; the action's install step and the comment's HTTP requests are the real ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import venv
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
import yaml
from ci import ROOT, Runner, load
from verdicts import FAILED

from analyzer.budget.outputs import render
from analyzer.distribution import VERSION

STAND_IN = f"""#!{sys.executable}
import json, os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "budget")!r}]
from verdicts import FAILED, PASSED
from analyzer.budget.outputs import parse_output, write
open("arguments.json", "w").write(json.dumps(sys.argv[1:]))
print("::error::printed by the model", flush=True)
if os.path.exists("crash"):
    sys.exit("error: net.py has no build")
verdict = FAILED if os.path.exists("grown") else PASSED
arguments = sys.argv[2:]
outputs = [a.split("=", 1)[1] for a in arguments if a.startswith("--output=")]
outputs += [b for a, b in zip(arguments, arguments[1:]) if a == "--output"]
for output in outputs or ["table"]:
    write(verdict, *parse_output(output))
sys.exit(verdict.exit_code)
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def git(repository: Path, *args: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.test", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *args], cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one model."""
    folder = tmp_path / "models"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "net.py").write_text("def build(): ...\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "A model")
    return folder


@pytest.fixture
def path_with_analyze(tmp_path: Path) -> str:
    executable(tmp_path / "bin" / "analyze", STAND_IN)
    # `python` of the runner: this one, under that name.
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    return f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def runner(tmp_path: Path, repository: Path, path_with_analyze: str) -> Runner:
    return Runner("action.yml", tmp_path / "job", repository, PATH=path_with_analyze)


# -- the check -------------------------------------------------------------------------------------------------


def test_the_check_fails_with_annotations_and_a_summary(runner: Runner, repository: Path) -> None:
    (repository / "grown").touch()
    done = runner.step("Check")
    assert done.returncode == 1, done.stderr
    assert "::error file=net.py,line=12,title=tiny%3A params excess::" in done.stdout
    assert runner.summary.read_text() == render(FAILED, "md")
    assert runner.outputs()["exit-code"] == "1"
    assert Path(runner.outputs()["report"]).read_text() == render(FAILED, "md")


def test_the_check_passes_without_errors(runner: Runner) -> None:
    done = runner.step("Check")
    assert done.returncode == 0, done.stderr
    assert "::error file" not in done.stdout
    assert runner.outputs()["exit-code"] == "0"


def test_what_a_model_prints_is_no_workflow_command(runner: Runner, repository: Path) -> None:
    (repository / "grown").touch()
    lines = runner.step("Check").stdout.splitlines()
    fence = lines[0].removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", fence)
    within = lines[1 : lines.index(f"::{fence}::")]
    assert "::error::printed by the model" in within
    assert not any(line.startswith("::error file") for line in within)


def test_a_check_that_breaks_still_ends_with_its_code(runner: Runner, repository: Path) -> None:
    (repository / "crash").touch()
    done = runner.step("Check")
    assert done.returncode == 1
    assert "net.py has no build" in done.stderr
    assert runner.outputs()["exit-code"] == "1"


def test_inputs_are_arguments_and_never_shell(runner: Runner, repository: Path) -> None:
    attack = "$(touch owned); `touch owned` \"; touch owned; '"
    inputs = {"against": attack, "budget-from": "base", "config": attack, "outputs": f"csv=a.csv\n\njson={attack}\n"}
    runner.step("Check", inputs)
    arguments = json.loads((repository / "arguments.json").read_text())
    assert arguments[0] == "check"
    assert arguments[-5:] == [
        f"--against={attack}",
        "--budget-from=base",
        f"--config={attack}",
        "--output=csv=a.csv",
        f"--output=json={attack}",
    ]
    assert not (repository / "owned").exists()


@pytest.mark.slow
def test_the_install_step_installs_this_checkout(tmp_path: Path, repository: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    (site,) = home.glob("lib/python*/site-packages")
    # Dependencies are already here, so that the step itself can run without a network.
    (site / "here.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")) + "\n")
    (repository / "pip.py").write_text("raise SystemExit('the repository ran in place of pip')\n")
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    # pip takes "no isolation" to be set by a value that means false.
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PYTHONPATH": ""}
    done = Runner("action.yml", tmp_path / "job", repository, PATH=path, **offline).step("Install")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = subprocess.run([home / "bin" / "analyze", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: analyze" in shown.stdout


# -- the comment -----------------------------------------------------------------------------------------------


class Comments(BaseHTTPRequestHandler):
    """The part of GitHub's API that comments need, on this machine."""

    stored: list[dict[str, Any]]

    def do_GET(self) -> None:
        assert self.path.startswith("/repos/owner/models/issues/7/comments?per_page=100&page=")
        page = int(self.path.rpartition("=")[2])
        self._answer(self.stored[100 * (page - 1) : 100 * page])

    def do_POST(self) -> None:
        assert self.path == "/repos/owner/models/issues/7/comments"
        self.stored.append({"id": len(self.stored), "user": {"login": "github-actions[bot]"}, **self._body()})
        self._answer({})

    def do_PATCH(self) -> None:
        self.stored[int(self.path.removeprefix("/repos/owner/models/issues/comments/"))].update(self._body())
        self._answer({})

    def _body(self) -> dict[str, Any]:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, data: Any) -> None:
        allowed = self.headers["Authorization"] == "Bearer secret"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(json.dumps(data if allowed else {}).encode())

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    Comments.stored = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Comments)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def commenter(tmp_path: Path, repository: Path, api: str) -> Runner:
    return Runner("comment/action.yml", tmp_path / "job", repository, GITHUB_API_URL=api)


def test_the_comment_is_posted_once_and_then_updated(commenter: Runner, repository: Path) -> None:
    report = repository / "budget.md"
    report.write_text(render(FAILED, "md"))
    told = {"token": "secret", "report": "budget.md", "number": "7"}
    others = [{"id": i, "user": {"login": "someone"}, "body": render(FAILED, "md")} for i in range(130)]
    Comments.stored.extend(others)
    for text in (render(FAILED, "md"), "<!-- analyzer-budget -->\nnow “fine” \\ $(x)\n"):
        report.write_text(text)
        done = commenter.step("Comment", told)
        assert done.returncode == 0, done.stderr
        assert "secret" not in done.stdout + done.stderr
        assert [comment["body"] for comment in Comments.stored[130:]] == [text]
    assert Comments.stored[:130] == others


def test_two_jobs_keep_two_comments(commenter: Runner, repository: Path) -> None:
    told = {"token": "secret", "report": "budget.md", "number": "7"}
    keyed = [msgspec.structs.replace(FAILED, key=key) for key in ("", "gpu", "gpu.2", "gpu")]
    for checked in keyed:
        (repository / "budget.md").write_text(render(checked, "md"))
        assert commenter.step("Comment", told).returncode == 0
    assert [comment["body"].splitlines()[0] for comment in Comments.stored] == [
        "<!-- analyzer-budget -->", "<!-- analyzer-budget gpu -->", "<!-- analyzer-budget gpu.2 -->",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [{"report": "none.md"}, {"report": "net.py"}, {"number": ""}, {"number": "7/../8"}, {"token": "other"}],
    ids=lambda wrong: " ".join(map("=".join, wrong.items())),
)
def test_a_comment_that_can_not_be_posted_fails(commenter: Runner, repository: Path, wrong: dict[str, str]) -> None:
    (repository / "budget.md").write_text(render(FAILED, "md"))
    done = commenter.step("Comment", {"token": "secret", "report": "budget.md", "number": "7", **wrong})
    assert done.returncode != 0
    assert Comments.stored == []


# -- what the files promise ------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["action.yml", "comment/action.yml"])
def test_the_actions_use_no_other_and_put_no_input_into_shell_text(action: str) -> None:
    steps = load(action)["runs"]["steps"]
    assert not any("uses" in step for step in steps)
    assert not any("${{" in step["run"] for step in steps)
    assert "token" not in load("action.yml")["inputs"]


def test_the_snippet_for_github_pins_what_it_uses_and_may_only_read_where_it_runs_code() -> None:
    workflow = load("examples/ci/github.yml")
    assert workflow[True] == ["pull_request", "merge_group"]  # YAML 1.1 reads the key `on` so
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["check"]
    comment = workflow["jobs"]["comment"]
    assert comment["permissions"] == {"pull-requests": "write"}
    assert not any("run" in step or "checkout" in step["uses"] for step in comment["steps"])
    for step in (step for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step):
        assert re.fullmatch(r"(actions/[a-z-]+@[0-9a-f]{40}|OWNER/modelbudget(/comment)?@COMMIT)", step["uses"])
    used = {"action.yml": workflow["jobs"]["check"]["steps"][3], "comment/action.yml": comment["steps"][1]}
    for action, step in used.items():
        assert set(step["with"]) <= set(load(action)["inputs"])


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-actions", "action.yml"),
        ("github-actions", "comment/action.yml"),
        ("github-workflows", "examples/ci/github.yml"),
        ("github-workflows", ".github/workflows/ci.yml"),
        ("gitlab-ci", "examples/ci/gitlab.yml"),
    ],
)
def test_the_files_are_valid_by_their_schemas(schema: str, file: str) -> None:
    more = ["--data-transform", "gitlab-ci"] if schema == "gitlab-ci" else []
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        f"vendor.{schema}",
        *more,
        str(ROOT / file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_snippet_for_gitlab_runs(repository: Path, path_with_analyze: str) -> None:
    (script,) = [line for line in load("examples/ci/gitlab.yml")["model-budgets"]["script"] if "analyze" in line]
    (repository / "grown").touch()
    environment = {**os.environ, "PATH": path_with_analyze, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main; touch owned"}
    done = subprocess.run(["bash", "-c", script], cwd=repository, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    job = load("examples/ci/gitlab.yml")["model-budgets"]["artifacts"]
    for file in (*job["paths"], *job["reports"].values()):
        assert (repository / file).stat().st_size > 0
    assert "--against" in json.loads((repository / "arguments.json").read_text())
    assert not (repository / "owned").exists()


# -- pre-commit ------------------------------------------------------------------------------------------------


def hooked(repository: Path, hooks: Path, first: dict[str, Any]) -> None:
    """The snippet in a repository, its hooks from another one; the first alone, with some keys."""
    git(hooks, "init", "--quiet")
    git(hooks, "add", ".")
    git(hooks, "commit", "--quiet", "-m", "Hooks")
    config = load("examples/ci/pre-commit.yaml")
    (entry,) = config["repos"]
    assert [hook["id"] for hook in entry["hooks"]] == [hook["id"] for hook in load(".pre-commit-hooks.yaml")]
    entry.update(repo=str(hooks), rev=git(hooks, "rev-parse", "HEAD"), hooks=[{**entry["hooks"][0], **first}])
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))


def test_the_hook_stops_a_commit(tmp_path: Path, repository: Path, path_with_analyze: str) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    hooked(repository, hooks, {"language": "system"})
    (repository / ".git" / "info" / "exclude").write_text("grown\narguments.json\n")
    environment = {**os.environ, "PATH": path_with_analyze, "PRE_COMMIT_HOME": str(tmp_path / "cache")}

    def commit(text: str, file: str = "net.py") -> subprocess.CompletedProcess[str]:
        (repository / file).write_text(text)
        git(repository, "add", ".")
        command = [sys.executable, "-m", "pre_commit", "run", "--verbose"]
        return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)

    assert commit("def build(): pass\n").returncode == 0
    (repository / "grown").touch()
    stopped = commit("def build(): return 1\n")
    assert stopped.returncode == 1, stopped.stdout
    assert "paid by: features.conv2 (Conv2d): +600" in stopped.stdout
    assert json.loads((repository / "arguments.json").read_text()) == ["check"]
    git(repository, "commit", "--quiet", "--no-verify", "-m", "Anyway")
    assert "no files to check" in commit("words\n", "README.md").stdout


@pytest.mark.slow
def test_the_hook_installs_its_own_checkout(tmp_path: Path, repository: Path) -> None:
    hooks = tmp_path / "hooks"
    shutil.copytree(ROOT / "analyzer", hooks / "analyzer", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".pre-commit-hooks.yaml", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, hooks)
    source = hooks / "analyzer" / "distribution.py"
    source.write_text(source.read_text().replace(f'VERSION = "{VERSION}"', 'VERSION = "99.1"'))
    hooked(repository, hooks, {"args": ["--output", "sarif"]})
    budget = "[models.m]\ntarget = 'article'\nbudgets.params = { max = 1 }\n"
    (repository / "analyzer.toml").write_text(budget)
    git(repository, "add", ".")
    # As in the action's test: what it needs is already here, so that pip needs no network.
    here = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PYTHONPATH": here}
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "run", "--verbose"],
        cwd=repository,
        env={**os.environ, **offline, "PRE_COMMIT_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert '"version": "99.1"' in done.stdout
    assert "149,871,873 above the limit 1" in done.stdout
