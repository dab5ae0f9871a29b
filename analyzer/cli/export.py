"""`analyze export`: a network as a file that others run, checked against the network."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click
import msgspec

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import Verb, say, warn
from analyzer.cli.options import NewFile, TargetName, family_options, family_values, format_option, model_options
from analyzer.exporting.results import PICTURES, Exported, Int8Result
from analyzer.targets.isolation import users_code
from analyzer.targets.resolving import ModuleTarget, resolve


@click.command("export", cls=Verb)
@click.argument("target", required=False, type=TargetName())
@click.option(
    "--out", required=True, type=NewFile(), metavar="FILE", help="FILE.safetensors, FILE.pt2, FILE.py or FILE.onnx."
)
@click.option("--data", metavar="DATA", help="Images to compare on, as `train` takes them.  [default: seeded noise]")
@click.option("--int8", is_flag=True, help="Also a quantised FILE.int8.onnx, judged and timed against FILE.onnx.")
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
    rows, headings = list(_rows(done)), ("what", done.network)
    text.show(text.markdown(headings, rows)) if format_ == "md" else text.show_table(headings, rows, left=2)


def _rows(done: Exported) -> list[tuple[str, str]]:
    rows = [
        ("file", f"{' and '.join(filter(None, (done.file, done.beside)))}: {units.mib(done.bytes)}"),
        ("params, of the file", units.count(done.params)),
        ("MACs, of the file", units.count(done.macs)),
        ("compared on", done.images),
        *(
            (f"largest difference at batch {one.batch}", f"{one.difference:.2g} (at most {done.tolerance:g})")
            for one in done.agreements
        ),
    ]
    if done.times is not None:
        rows.append(("measured", done.times.told()))
    return rows + (_int8_rows(done.int8) if done.int8 else [])


def _int8_rows(made: Int8Result) -> list[tuple[str, str]]:
    range_ = "7-bit weights" if made.reduce_range else "8-bit weights"
    return [
        ("int8 file", f"{made.file}: {units.mib(made.bytes)}, {made.bytes / made.from_bytes:.2f}x"),
        ("int8 params", f"{units.count(made.params)} in {units.mib(made.param_bytes)}, batch norms folded"),
        (
            "int8 top-1 agreement",
            f"{100 * made.agreement:.1f} % of {made.judged} images, {made.calibrated} calibrated",
        ),
        ("int8 on this CPU", f"{made.processor}, {range_}; {made.kernels} int8 operators run: {made.gain}"),
        ("int8 measured", made.times.told()),
    ]
