"""`analyze data`: the images that networks are trained on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from analyzer.cli import text
from analyzer.cli.base import Section, Verb, is_quiet, say, warn
from analyzer.cli.options import F, format_option
from analyzer.cli.streams import overwrite
from analyzer.errors import UsageError
from analyzer.files import csv_text, require_writable, write_text
from analyzer.images.base import PARTS
from analyzer.images.check import COLUMNS, DataCheck, check
from analyzer.images.examining import Watch
from analyzer.images.source import open_source
from analyzer.images.split_file import split_json
from analyzer.images.splits import FRACTIONS, Split, split

NAME = "split.json"


class Shares(click.ParamType[tuple[float, float, float]]):
    """Shares of train, val and test such as 70/10/20."""

    name = "shares"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float]:
        """Three numbers; whether they can be shares is the division's to say."""
        try:
            train, val, test = (float(share) for share in value.split("/"))
        except ValueError:
            what = f"{value[:40]!r} are no three shares"
            raise UsageError(what, where="--split", fix="such as --split 70/10/20") from None
        return train, val, test


def shares_option(function: F) -> F:
    """`--split`, where data has no parts of its own."""
    return click.option(
        "--split", "fractions", type=Shares(), default="/".join(map(str, FRACTIONS)), show_default=True,
        metavar="A/B/C", help="Shares of train, val and test that are drawn where none are given.",
    )(function)  # fmt: skip


@click.group("data", cls=Section)
def command() -> None:
    """Images to train on."""


@command.command("check", cls=Verb, short_help="What is damaged, odd, there twice, or in two parts at once.")
@click.argument("data")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help=f"Write {NAME} there: which images train, validate and test, by their contents.",
)
@shares_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the drawing.")
@format_option("table", "json", "csv", "md")
def check_(data: str, out: Path | None, fractions: tuple[float, float, float], seed: int, format_: str) -> None:
    """Classes, sizes, damaged and odd images, duplicates, label conflicts and leaks between given parts of DATA.

    DATA is a folder of class folders, or of train, val and test with class folders in each; a CSV (path,label[,split]);
    an npz file in MedMNIST's layout; or package.module:attr or path/file.py:attr of a torch Dataset, whose code runs.
    Duplicates are images of equal bytes; near ones correlate by 0.98 at least (32x32 grey), and their perceptual hashes
    agree. A leak is an error (exit 2); what is damaged or labelled twice is a warning. With --out images that belong
    together stay in one part.
    """
    if out is not None:
        require_writable(out / NAME)
    source = open_source(data)
    checked = check(source, watch=_watch())
    say(f"{checked.images:,} images in {checked.seconds:.1f} s")
    _show(checked, format_)
    _warn(checked)
    checked.require_no_leak()
    if out is not None:
        parts = split(source, fractions=fractions, seed=seed, duplicates=checked.groups, exclude=checked.left_out)
        write_text(out / NAME, split_json(parts, source, checked))
        say(f"{_part_words(parts)}: {out / NAME}")


def _watch() -> Watch:
    """A line on a terminal that says how far the looking is; elsewhere nothing."""
    if is_quiet() or not sys.stderr.isatty():
        return lambda done, total: None
    return lambda done, total: overwrite("" if done == total else f"looking at images: {done:,} of {total:,}")


def _part_words(parts: Split) -> str:
    return ", ".join(f"{part} {len(getattr(parts, part)):,}" for part in PARTS) + f" ({parts.origin})"


def _warn(checked: DataCheck) -> None:
    for count, what in ((len(checked.damaged), "damaged: left out of every part"),
                        (len(checked.conflicts), "pairs of like images with two labels")):  # fmt: skip
        if count:
            warn(f"{count:,} {what}")


def _show(checked: DataCheck, format_: str) -> None:
    if format_ == "json":
        text.show_json(msgspec.json.encode(checked).decode())
    elif format_ == "csv":
        text.show(csv_text(COLUMNS, checked.findings()).rstrip("\n"))
    else:
        for table in checked.tables("--format csv or json has all"):
            if format_ == "md":
                text.show(text.markdown(table.headings, table.rows) + "\n")
            else:
                text.show_table(table.headings, table.rows, left=table.left)
                text.show("")
        for line in checked.words():
            text.show(line)
