"""`analyze check`: every configured model held to its budgets and compared with its baseline."""

from __future__ import annotations

import contextlib
import getpass
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from analyzer.budget.check import BUDGETS_FROM, check
from analyzer.budget.ci_refs import base_of
from analyzer.budget.outputs import FORMATS, parse_output, write_each
from analyzer.budget.outputs.facts import headline, title
from analyzer.budget.several import check_each, configurations
from analyzer.budget.verdict import Verdict
from analyzer.cli.base import Verb, say
from analyzer.cli.completion import models as models_here
from analyzer.cli.completion import outputs as outputs_known
from analyzer.cli.completion import words
from analyzer.cli.options import timeout_option
from analyzer.cli.streams import standing
from analyzer.errors import UsageError, did_you_mean
from analyzer.shown import plain


def _key(context: click.Context, option: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,60}", value):
        raise click.BadParameter("is letters, digits, dots and dashes", context, option)
    return value


@click.command("check", cls=Verb)
@click.option("--config", "configs", multiple=True, metavar="FILE",
              help="A configuration, or a quoted glob of some; repeatable.  [default: the nearest]")  # fmt: skip
@click.option("--against", metavar="REF", help="Compare with the lock at the merge base of HEAD and REF (origin/main).")
@click.option("--rebuild/--no-rebuild", default=None,
              help="Count the merge base's models anew, in a git worktree.  [default: what grew too much]")  # fmt: skip
@click.option("--budget-from", type=click.Choice(BUDGETS_FROM), default="head", show_default=True,
              help="`base`: the merge base's budgets hold, so that a branch can't raise its own.")  # fmt: skip
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    shell_complete=words(models_here),
    help="Check this model alone; repeatable.",
)
@timeout_option
@click.option("--output", "outputs", multiple=True, metavar="FORMAT[=PATH]", shell_complete=words(outputs_known),
              help=f"Write the verdict as {', '.join(FORMATS)}; repeatable.  [default: table]")  # fmt: skip
@click.option("--comment-key", default="", metavar="NAME", callback=_key,
              help="Tells the comments of several jobs on one pull request apart.")  # fmt: skip
@click.option(
    "--update-budget",
    metavar="NAME",
    shell_complete=words(models_here),
    help="Ask whether to accept what this model is over, and write it.",
)
@click.option("--exit-zero", is_flag=True, help="End with 0 whatever was found.")
def command(
    configs: tuple[str, ...], against: str | None, rebuild: bool | None, budget_from: str, models: tuple[str, ...],
    timeout: float | None, outputs: tuple[str, ...], comment_key: str, update_budget: str | None, exit_zero: bool,
) -> int:  # fmt: skip
    """Hold every configured model to its budgets: what grew, by how much, where, who pays, and how to mend it.

    Compares with analyzer.lock, or with --against REF at the commit where this branch left REF. It writes nothing but
    the outputs. Counting runs the models' own code with your rights, and where one grew too much that of the merge base
    too, for its lock may be behind.

    Ends with 0 within budget, 1 over it, 2 a wrong configuration or a budget that matches nothing, 3 a model that can't
    be loaded or fully counted, 4 no or a stale baseline; whatever happens to stdout, which alone is 74 when full.
    """
    wanted = [parse_output(text) for text in outputs] or [("table", "-")]
    if against:
        against, told = base_of(against)
        budget_from = budget_from if against else "head"
        if told:
            say(plain(told))

    def one(config: Path | None, names: Sequence[str]) -> Verdict:
        return check(
            Path.cwd(), config=config, against=against, rebuild=rebuild, budget_from=budget_from, models=names,
            timeout=timeout, command=("analyze", *sys.argv[1:]), progress=_progress,
        )  # fmt: skip

    files = configurations(configs)
    verdict = msgspec.structs.replace(check_each(files, models, one), key=comment_key)
    code = 0 if exit_zero else verdict.exit_code
    _write(verdict, wanted, code)
    if update_budget is not None:
        _update(files, verdict, update_budget)
    return code


def _write(verdict: Verdict, wanted: Sequence[tuple[str, str]], code: int) -> None:
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


def _update(files: Sequence[Path], verdict: Verdict, name: str) -> None:
    """Writes what accepts a model's growth, once whoever sits there says yes."""
    if len(files) > 1:
        raise UsageError("edits one configuration", where="--update-budget", fix="name it alone: --config FILE")
    from datetime import UTC, datetime

    from analyzer.budget.accepting import acceptance
    from analyzer.budget.configuration import find
    from analyzer.budget.git import Repository

    project = find(Path.cwd(), files[0] if files else None)
    if name not in {model.name for model in verdict.models if model.figures}:
        fix = did_you_mean(name, project.configuration.models)
        raise UsageError(f"there is no model {name[:80]!r} that was counted", where="--update-budget", fix=fix)
    by = ""
    with contextlib.suppress(UsageError):
        by = Repository(project.root).user()
    made = acceptance(project, verdict, name, by or getpass.getuser(), datetime.now(UTC).date())
    if not made.edits:
        say(f"{plain(name)} is within its budget: there is nothing to accept")
        return
    for edit in made.edits:
        say(plain(edit))
    if click.confirm(f"write this to {project.path}", err=True):
        made.write()
        say("written; next: analyze lock, and commit both")


def _progress(name: str) -> None:
    if sys.stderr.isatty():
        say(f"counting {plain(name)}")
