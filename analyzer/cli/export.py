"""`analyze export`: a network as a file that others run, checked against the network."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click
import msgspec

from analyzer.cli import text
from analyzer.cli.base import Verb, say, warn
from analyzer.cli.options import NewFile, TargetName, family_options, family_values, format_option, model_options
from analyzer.exporting.results import PICTURES, Exported
from analyzer.targets.isolation import users_code
from analyzer.targets.resolving import ModuleTarget, resolve


@click.command("export", cls=Verb)
@click.argument("target", required=False, type=TargetName())
@click.option(
    "--out", required=True, type=NewFile(), metavar="FILE", help="FILE.safetensors, FILE.pt2, FILE.py or FILE.onnx."
)
@click.option("--data", metavar="DATA", help="Images to compare on, as `train` takes them.  [default: seeded noise]")
@click.option(
    "--int8",
    is_flag=True,
    help="Also a quantised FILE.int8.onnx (or .int8.pt2, by torchao), judged and timed against FILE.",
)
@click.option(
    "--images", type=click.IntRange(2), default=PICTURES, show_default=True, metavar="N",
    help="Of --int8: half calibrate, half judge.",
)  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Of what is timed."
)  # fmt: skip
@model_options
@family_options(many=False)
@format_option("table", "json", "md")
def command(target: str | None, out: Path, format_: str, **options: Any) -> int:
    """Writes TARGET (a preset, a variant, a checkpoint, a model of your own) as weights, an exported program, a Python
    module with its weights beside it, or ONNX.

    The file is compared with the network at two batches before it takes its place, and its params and MACs are counted
    from the file. A variant without a checkpoint has the weights of seed 0. An .onnx is timed in ONNX Runtime.
    """
    from analyzer.exporting.execution import ExportPlan, execute
    from analyzer.exporting.exportee import exportee_of

    given = {name: options.pop(name) for name in ("kwargs", "inputs")}
    resolved = resolve(target, family_values(options, many=False), **given)
    with users_code(resolved) if isinstance(resolved, ModuleTarget) else contextlib.nullcontext():
        plan = ExportPlan(exportee=exportee_of(resolved), out=out, pictures=options.pop("images"), **options)
        done = execute(plan, say)
    for sentence in done.unequal:
        warn(f"the file's figures are not the network's: {sentence}")
    show_exported(done, format_)
    return 0


def show_exported(done: Exported, format_: str) -> None:
    """What a file holds, how it compares with the network, what int8 gains."""
    if format_ == "json":
        text.show_json(msgspec.json.encode(done).decode())
        return
    table = done.table()
    if format_ == "md":
        text.show(text.markdown(table.headings, table.rows))
    else:
        text.show_table(table.headings, table.rows, left=table.left)
