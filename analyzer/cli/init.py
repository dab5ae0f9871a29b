"""`analyze init`: budgets for the models of a package, in a minute."""

from __future__ import annotations

from pathlib import Path

import click

from analyzer.budget.ci_files import CI_FILES, place_for, write_ci_file
from analyzer.budget.initial import MOST_BUILT, Initial, init
from analyzer.cli import text
from analyzer.cli.base import Verb, say
from analyzer.figures import HEADLINE
from analyzer.shown import plain

SHOWN = tuple(figure for figure in HEADLINE if not figure.batched)
"""What a proposal is shown to cost."""


@click.command("init", cls=Verb)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option(
    "--import", "by_import", is_flag=True, help="Find the models by importing the package, not by reading it."
)
@click.option("--no-build", is_flag=True, help="Build nothing: no lock file, and inputs as the source suggests them.")
@click.option("--most", type=click.IntRange(1, 10_000), default=MOST_BUILT, show_default=True, metavar="N",
              help="Build and configure so many models; the others are listed.")  # fmt: skip
@click.option("--ci", type=click.Choice(tuple(CI_FILES)), help="Write the file that checks the budgets there, too.")
@click.option("--schema", is_flag=True, help="Write the configuration's JSON Schema beside it, for editors, too.")
@click.option("--dry-run", is_flag=True, help="Write nothing: print what would be written.")
@click.option("--print-schema", is_flag=True, help="Print the configuration's JSON Schema, for editors, and end.")
def command(
    folder: Path, by_import: bool, no_build: bool, most: int, ci: str | None, schema: bool, dry_run: bool,
    print_schema: bool,
) -> None:  # fmt: skip
    """Find the models in FOLDER, propose budgets for them, write the configuration and the first lock file.

    Models, their arguments and inputs are found by reading the source. Each is then built and counted once, in a
    process of its own, which runs its code with your rights (--no-build doesn't). What can't be completed is written as
    a comment with ??? for the missing word. Nothing that is there is overwritten: the tables go to the end of
    pyproject.toml, or to a new analyzer.toml.
    """
    if print_schema:
        from analyzer.budget.schema import schema_text

        text.show(schema_text().rstrip("\n"))
        return
    ci_path = place_for(ci, folder) if ci and not dry_run else None
    made = init(
        folder, build=not no_build, by_import=by_import, most=most, dry_run=dry_run, schema=schema,
        say=lambda told: say(plain(told)),
    )  # fmt: skip
    _tell(made)
    if dry_run:
        say(f"would write {made.file}" + (f" and {made.lock.name}" if made.lock else "") + ":\n")
        text.show(made.text.rstrip("\n"))
    else:
        say(f"wrote {made.file}" + (f" and {made.lock.name}: commit both" if made.lock else "; next: analyze lock"))
    if ci and ci_path:
        write_ci_file(ci, ci_path)
        say(f"wrote {ci_path}")
        return
    say("look at each input and budget, then hold them in CI" + ("" if ci else " (`--ci` writes the file)") + ":\n")
    text.show(CI_FILES[ci or "github"].text.rstrip("\n"))


def _tell(made: Initial) -> None:
    used = [proposal for proposal in made.proposals if not proposal.problem]
    rows = [
        [plain(p.name), plain(p.model.target or ''), plain(str(p.model.input or "none found")),
         *(figure.text(figure.of(p.record)) for figure in SHOWN)]
        for p in used
    ]  # fmt: skip
    if used:
        text.show_table(["model", "target", "input", *(figure.label for figure in SHOWN)], rows, left=3)
    for proposal in made.proposals:
        if proposal.problem:
            say(plain(f"left out {proposal.candidate.target}: {proposal.problem}"))
    if not used:
        say(f"none can be used as it is: fill in what is marked ??? in {made.file.name}")
