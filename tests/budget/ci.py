"""Composite actions as a runner runs them: each step's own shell text under bash, inputs as environment variables."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_INPUT = re.compile(r"\$\{\{ inputs\.([a-z-]+) \}\}")


def load(path: str) -> dict[str, Any]:
    """A YAML file of the project."""
    data: dict[str, Any] = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    return data


class Runner:
    """A job's folders and files; runs the steps of an action."""

    def __init__(self, action: str, folder: Path, repository: Path, **environment: str) -> None:
        self.action, self.repository = load(action), repository
        self.output, self.summary = folder / "output.txt", folder / "summary.md"
        (folder / "temp").mkdir(parents=True)
        self.environment = {
            **os.environ,
            "RUNNER_TEMP": str(folder / "temp"),
            "GITHUB_ACTION_PATH": str((ROOT / action).parent),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_REPOSITORY": "owner/models",
            **environment,
        }

    def step(self, name: str, inputs: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs one step as GitHub does: `bash --noprofile --norc -eo pipefail`."""
        (step,) = [step for step in self.action["runs"]["steps"] if step["name"] == name]
        assert step["shell"] == "bash"
        values = {key: about.get("default", "") for key, about in self.action["inputs"].items()} | dict(inputs or {})
        said = {key: _INPUT.sub(lambda match: values[match[1]], text) for key, text in step["env"].items()}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.repository,
            env={**self.environment, **said},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def outputs(self) -> dict[str, str]:
        """What the steps wrote to GITHUB_OUTPUT."""
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())
