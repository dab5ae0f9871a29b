"""`analyze predict`: what a trained network says of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from analyzer.cli import text
from analyzer.cli.base import Verb, warn
from analyzer.cli.options import device_option, format_option

if TYPE_CHECKING:
    from analyzer.training.predicting import Prediction

SHOWN = 3


@click.command("predict", cls=Verb)
@click.argument("checkpoint")
@click.argument("images", nargs=-1, required=True)
@device_option
@format_option("table", "json", "jsonl", "csv", "md")
def command(checkpoint: str, images: tuple[str, ...], device: str, format_: str) -> int:
    """Classes and probabilities of IMAGES (files, or folders of them) by CHECKPOINT, a file of `analyze train`.

    A checkpoint of a model of your own is named with it, path/file.py:attr@FILE, as its code runs.
    """
    from analyzer.training.predicting import predictions

    rows = list(predictions(checkpoint, images, device))
    for row in rows:
        if row.error is not None:
            warn(f"{row.image}: {row.error}")
    good = [row for row in rows if row.error is None]
    if format_ == "json":
        text.show_json(msgspec.json.encode(rows).decode())
    elif format_ == "jsonl":
        for row in rows:
            text.show_json(msgspec.json.encode(row).decode())
    elif format_ == "csv":
        _csv(good)
    else:
        headings = ("image", "class", "probability", "then")
        lines = [(row.image, *_cells(row)) for row in good]
        text.show(text.markdown(headings, lines)) if format_ == "md" else text.show_table(headings, lines)
    return 0 if good else 3


def _cells(row: Prediction) -> tuple[str, str, str]:
    (first, share), *others = row.probabilities.items()
    then = ", ".join(f"{name} {100 * other:.1f} %" for name, other in others[: SHOWN - 1])
    return first, f"{100 * share:.1f} %", then


def _csv(rows: list[Prediction]) -> None:
    from analyzer.files import csv_text

    classes = sorted(rows[0].probabilities) if rows else []
    lines = [[row.image, row.top, *(row.probabilities[name] for name in classes)] for row in rows]
    text.show(csv_text(["image", "class", *(f"p({name})" for name in classes)], lines).rstrip("\n"))
