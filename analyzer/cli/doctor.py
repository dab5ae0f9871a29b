"""`analyze doctor`: versions, devices, the environment of a measurement here, and what would make it untrustworthy."""

from __future__ import annotations

import click
import msgspec

from analyzer.cli import text
from analyzer.cli.base import Verb
from analyzer.cli.options import device_option, format_option
from analyzer.measuring.doctor import looked


@click.command("doctor", cls=Verb)
@device_option
@format_option("table", "json")
def command(device: str, format_: str) -> None:
    """Versions, devices, what would be measured where, and what would make figures untrustworthy here.

    The environment is that which every measured figure carries.
    """
    found = looked(device)
    if format_ == "json":
        text.show_json(msgspec.json.encode(found).decode())
        return
    table = found.table()
    text.show_table(table.headings, table.rows, left=table.left)
    for note in found.notes:
        text.show_words(f"note: {note}")
    if not found.problems:
        text.show_words("nothing found that would make figures untrustworthy")
