"""What must hold for a change to land is listed once, whoever asks: a developer, a hook, CI's workflow."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
(CHECK,) = re.findall(r"^check: (.*?)(?:\s+##.*)?$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_make_check_is_all_that_ci_does() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    steps = re.findall(r"^step .*;\s+make (?:--\S+ )*([a-z][a-z -]*)$", text, re.MULTILINE)
    assert " ".join(steps).split() == CHECK.split()


def test_the_workflow_runs_ci_in_debian_with_the_oldest_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert job["container"]["image"] == f"python:{oldest}-bookworm"
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert workflow["permissions"] == {"contents": "read"}
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]) for step in job["steps"] if "uses" in step)


def test_the_developers_hooks_are_steps_of_make_check() -> None:
    file = ROOT / ".pre-commit-config.yaml"
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    (local,) = yaml.safe_load(file.read_text())["repos"]
    assert {hook["entry"] for hook in local["hooks"]} <= {f"make {step}" for step in CHECK.split()}
