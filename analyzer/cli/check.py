"""`analyze check`: every configured model held to its budgets and compared with its baseline."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from analyzer.budget.check import BUDGETS_FROM, check
from analyzer.budget.outputs import FORMATS, parse_output, write_each
from analyzer.budget.outputs.facts import headline, title
from analyzer.cli.base import Verb, say
from analyzer.cli.options import config_option, timeout_option
from analyzer.cli.streams import standing
from analyzer.shown import plain


@click.command("check", cls=Verb)
@config_option
@click.option("--against", metavar="REF", help="Compare with the lock at the merge base of HEAD and REF (origin/main).")
@click.option("--rebuild/--no-rebuild", default=None,
              help="Count the merge base's models anew, in a git worktree.  [default: what grew too much]")  # fmt: skip
@click.option("--budget-from", type=click.Choice(BUDGETS_FROM), default="head", show_default=True,
              help="`base`: the merge base's budgets hold, so that a branch can't raise its own.")  # fmt: skip
@click.option("--model", "models", multiple=True, metavar="NAME", help="Check this model alone; repeatable.")
@timeout_option
@click.option("--output", "outputs", multiple=True, metavar="FORMAT[=PATH]",
              help=f"Write the verdict as {', '.join(FORMATS)}; repeatable.  [default: table]")  # fmt: skip
@click.option("--exit-zero", is_flag=True, help="End with 0 whatever was found.")
def command(
    config: Path | None, against: str | None, rebuild: bool | None, budget_from: str, models: tuple[str, ...],
    timeout: float | None, outputs: tuple[str, ...], exit_zero: bool,
) -> int:  # fmt: skip
    """Hold every configured model to its budgets: what grew, by how much, where, who pays, and how to mend it.

    Compares with analyzer.lock, or with --against REF at the commit where this branch left REF. It writes nothing but
    the outputs. Counting runs the models' own code with your rights, and where one grew too much that of the merge base
    too, for its lock may be behind.

    Ends with 0 within budget, 1 over it, 2 a wrong configuration or a budget that matches nothing, 3 a model that can't
    be loaded or fully counted, 4 no or a stale baseline; whatever happens to stdout, which alone is 74 when full.
    """
    wanted = [parse_output(text) for text in outputs] or [("table", "-")]
    verdict = check(
        Path.cwd(), config=config, against=against, rebuild=rebuild, budget_from=budget_from, models=models,
        timeout=timeout, command=("analyze", *sys.argv[1:]), progress=_progress,
    )  # fmt: skip
    code = 0 if exit_zero else verdict.exit_code
    # Files first, so that a reader of stdout that goes away takes none with it.
    failed = write_each(verdict, [(format_, path) for format_, path in wanted if path != "-"])
    with standing(failed.exit_code if failed else code):
        failed = write_each(verdict, [(format_, path) for format_, path in wanted if path == "-"]) or failed
    if failed:
        raise failed
    if all(path != "-" for _, path in wanted):
        for finding in verdict.errors:
            say(f"error {title(finding)}: {plain(finding.what)}")
        say(f"{headline(verdict)}. {', '.join(path for _, path in wanted)}")
    return code


def _progress(name: str) -> None:
    if sys.stderr.isatty():
        say(f"counting {plain(name)}")
