"""The files that hold budgets in CI, as `analyze init --ci` writes them; docs/budgets.md has what the action can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analyzer.distribution import NAME
from analyzer.errors import UsageError
from analyzer.files import write_text

GITHUB = f"""\
# .github/workflows/budget.yml
name: Model budgets
on: [pull_request, merge_group]
permissions:
  contents: read
jobs:
  budget:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          fetch-depth: 0 # the commit where the branch left its base is needed
          persist-credentials: false
      - uses: actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065 # v5.6.0
        with:
          python-version: "3.12"
      - run: python -m pip install --quiet --extra-index-url https://download.pytorch.org/whl/cpu {NAME}
      - run: analyze check --against "origin/$GITHUB_BASE_REF" --budget-from head --output table --output github
"""
GITLAB = f"""\
# .gitlab-ci.yml
model-budgets:
  image: python:3.12-slim
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
  variables:
    GIT_DEPTH: "0" # the commit where the branch left its base is needed
  before_script:
    - apt-get update -qq && apt-get install -qqy --no-install-recommends git
    - python -m pip install --quiet --extra-index-url https://download.pytorch.org/whl/cpu {NAME}
  script:
    - git fetch --quiet origin "$CI_MERGE_REQUEST_TARGET_BRANCH_NAME"
    - >-
      analyze check --against "origin/$CI_MERGE_REQUEST_TARGET_BRANCH_NAME" --output table
      --output gitlab=budget-quality.json --output junit=budget.xml
  artifacts:
    when: always
    reports:
      codequality: budget-quality.json
      junit: budget.xml
"""
PRE_COMMIT = r"""# .pre-commit-config.yaml
repos:
  - repo: local
    hooks:
      - id: analyze-check
        name: model budgets
        entry: analyze check
        language: system
        pass_filenames: false
        files: '\.py$|(^|/)(pyproject|analyzer)\.toml$|(^|/)analyzer\.lock$'
"""


@dataclass(frozen=True)
class CiFile:
    """A CI service's file: where it stands below the repository's top, and its text."""

    path: str
    text: str


CI_FILES = {
    "github": CiFile(".github/workflows/budget.yml", GITHUB),
    "gitlab": CiFile(".gitlab-ci.yml", GITLAB),
    "pre-commit": CiFile(".pre-commit-config.yaml", PRE_COMMIT),
}


def place_for(service: str, folder: Path) -> Path:
    """Where a service's file goes: at the top of the repository around `folder`. Raises UsageError where one is."""
    folder = folder.resolve()
    top = next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)
    path = top / CI_FILES[service].path
    if path.exists() or path.is_symlink():
        fix = f"add to it what `analyze init --ci {service} --dry-run` prints"
        raise UsageError("is there already, and nothing is overwritten", where=str(path), fix=fix)
    return path


def write_ci_file(service: str, path: Path) -> None:
    """Writes a service's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, CI_FILES[service].text)
