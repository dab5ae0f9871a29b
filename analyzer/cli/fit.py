"""`analyze fit`: the largest batch that a memory holds, and what to change to fit more."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import Verb, say
from analyzer.cli.options import (
    Batch,
    Count,
    TargetName,
    family_options,
    family_values,
    format_option,
    model_options,
    training_of,
    training_options,
)
from analyzer.reading.memory_table import training_words
from analyzer.targets.fitting import fitting
from analyzer.targets.resolving import resolve


@click.command("fit", cls=Verb)
@click.argument("target", required=False, type=TargetName())
@click.option("--memory", type=Count(), required=True, metavar="BYTES", help="What there is: 11GiB, 16GB.")
@click.option("--batch", type=Batch(), metavar="N", help="The batch that should train.  [default: 32]")
@training_options
@family_options(many=False)
@model_options
@format_option("table", "json", "md")
def command(
    target: str | None, memory: int, batch: int | None, inputs: tuple[str, ...], kwargs: tuple[str, ...],
    format_: str, **options: Any,
) -> None:  # fmt: skip
    """The largest batch of TARGET that trains and that infers within a memory, and what each change would give.

    Counted are live tensors, exactly. A device has less for them than its label: CUDA's context (some hundred MB),
    kernels' workspaces and what its allocator rounds up come on top; `show --peak` says how much the last is.
    """
    training = training_of(options)
    resolved = resolve(target, family_values(options, many=False), kwargs=kwargs, inputs=inputs)
    wanted = batch or 32
    found = fitting(resolved, memory, wanted, training, say)
    name, ways = found.target, found.ways
    if format_ == "json":
        text.show_json(msgspec.json.encode(found).decode())
        return
    say(f"{name} in {units.mib(memory)}: {training_words(msgspec.to_builtins(training))}; peaks are replayed")
    table = found.table()
    if format_ == "md":
        text.show(text.markdown(table.headings, table.rows))
    else:
        text.show_table(table.headings, table.rows)
    if ways[0].training_batch is None and ways[0].least_bytes is not None:
        say(f"as it is not one image trains: it takes {units.mib(ways[0].least_bytes)}")
