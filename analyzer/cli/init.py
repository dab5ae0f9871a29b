"""`analyze init`: budgets for the models of a package, in a minute."""

from __future__ import annotations

from pathlib import Path

import click

from analyzer.budget.initial import Initial, init
from analyzer.cli import text
from analyzer.cli.base import Verb, say
from analyzer.distribution import NAME
from analyzer.figures import HEADLINE
from analyzer.shown import plain

SHOWN = tuple(figure for figure in HEADLINE if not figure.batched)
"""What a proposal is shown to cost."""
SNIPPET = f"""\
# .github/workflows/budget.yml
name: Model budgets
on: pull_request
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
"""The least that holds budgets in CI; README.md says how the action, a comment and GitLab do it."""


@click.command("init", cls=Verb)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option(
    "--import", "by_import", is_flag=True, help="Find the models by importing the package, not by reading it."
)
@click.option("--no-build", is_flag=True, help="Build nothing: no lock file, and inputs as the source suggests them.")
@click.option("--print-schema", is_flag=True, help="Print the configuration's JSON Schema, for editors, and end.")
def command(folder: Path, by_import: bool, no_build: bool, print_schema: bool) -> None:
    """Find the models in FOLDER, propose budgets for them, write the configuration and the first lock file.

    Models are found by reading the source. Each is then built and counted once, which runs its code with your rights
    (--no-build doesn't). Nothing that is there is overwritten: the tables go to the end of pyproject.toml, or to a new
    analyzer.toml.
    """
    if print_schema:
        from analyzer.budget.schema import schema_text

        text.show(schema_text().rstrip("\n"))
        return
    _tell(init(folder, build=not no_build, by_import=by_import, say=lambda told: say(plain(told))))


def _tell(made: Initial) -> None:
    used = [proposal for proposal in made.proposals if not proposal.problem]
    rows = [
        [plain(p.name), plain(p.model.target or ''), plain(str(p.model.input or "none found")),
         *(figure.text(figure.of(p.record)) for figure in SHOWN)]
        for p in used
    ]  # fmt: skip
    text.show_table(["model", "target", "input", *(figure.label for figure in SHOWN)], rows, left=3)
    for proposal in made.proposals:
        if proposal.problem:
            say(plain(f"left out {proposal.candidate.target}: {proposal.problem}"))
    say(f"wrote {made.file}" + (f" and {made.lock.name}: commit both" if made.lock else "; next: analyze lock"))
    say("look at each input and budget, then hold them in CI:\n")
    text.show(SNIPPET.rstrip("\n"))
