"""`analyze lock`: write what the models cost now, as the baseline that growth is held against."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from analyzer.budget.configuration import find
from analyzer.budget.lock_file import to_text
from analyzer.budget.relock import counted, lock
from analyzer.cli import text
from analyzer.cli.base import Verb, say
from analyzer.cli.options import config_option, timeout_option
from analyzer.shown import plain


@click.command("lock", cls=Verb)
@config_option
@timeout_option
@click.option("--check", is_flag=True, help="Write nothing; end with 4 where the lock is not what would be written.")
@click.option("--output", type=click.Choice(["-"]), help="`-`: write to stdout, and leave the file as it is.")
def command(config: Path | None, timeout: float | None, check: bool, output: str | None) -> None:
    """Count every configured model and write analyzer.lock beside the configuration; commit it.

    `analyze check` holds growth against it. Counting runs the models' own code with your rights.
    """

    def progress(name: str) -> None:
        if sys.stderr.isatty():
            say(f"counting {plain(name)}")

    if output == "-":
        text.show(to_text(counted(find(Path.cwd(), config), timeout, progress)).rstrip("\n"))
        return
    done = lock(Path.cwd(), config=config, check=check, timeout=timeout, progress=progress)
    table = done.table()
    text.show_table(table.headings, table.rows, left=table.left)
    for difference in done.differences:
        say(plain(difference))
    if not done.before.has_digests and not check:
        say(f"upgraded {done.path.name} to the form of this version")
    say(f"{done.path.name} is up to date" if check or not done.differences else f"wrote {done.path}")
