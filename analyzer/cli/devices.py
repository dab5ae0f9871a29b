"""`analyze devices`: the devices that latency can be predicted for, and how sure that is."""

from __future__ import annotations

import click
import msgspec

from analyzer.cli import text
from analyzer.cli.base import Verb, say
from analyzer.cli.options import format_option
from analyzer.reading.devices import devices


@click.command("devices", cls=Verb)
@format_option("table", "json", "md")
def command(format_: str) -> None:
    """Devices with a profile: those that ship, and your own (`analyze calibrate --name`).

    Errors are mean relative ones on families (your own: variants) that were left out of the fit: of ordinary
    convolutional networks, those with depthwise convolutions, those with attention or layer norms. --on NAME predicts
    on one.
    """
    found = devices()
    if format_ == "json":
        text.show_json(msgspec.json.encode(found.facts()).decode())
        return
    table = found.table()
    if format_ == "md":
        text.show(text.markdown(table.headings, table.rows))
        return
    text.show_table(table.headings, table.rows, left=table.left, drop=table.drop)
    for source in found.sources:
        say(source)
