"""`analyze fit`: the largest batch that a memory holds, and what to change to fit more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click
import msgspec

from analyzer import units
from analyzer.architecture.network import preset_name
from analyzer.cli import text
from analyzer.cli.base import Verb, say
from analyzer.cli.memory import training_words
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
from analyzer.errors import UsageError
from analyzer.reading.peak import Training
from analyzer.reading.prediction import Way, largest_batch, ways_to_fit
from analyzer.records import Input
from analyzer.targets.analysis import analyze_target, predict
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, resolve

MOST_OF_A_MODULE = 4096


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
    if memory < units.MIB:
        raise UsageError(f"{memory:,} bytes hold no network", where="--memory", fix=f"name the unit: {memory}GiB")
    training = training_of(options)
    resolved = resolve(target, family_values(options, many=False), kwargs=kwargs, inputs=inputs)
    wanted = batch or 32
    if isinstance(resolved, FamilyTarget):
        name = resolved.label or preset_name(resolved.variant) or resolved.variant.name
        ways = list(ways_to_fit(resolved.variant, memory, wanted, training))
    else:
        name, ways = resolved.name, [_way_of_module(resolved, memory, wanted, training)]
    if format_ == "json":
        text.show_json(
            msgspec.json.encode({"target": name, "memory_bytes": memory, "batch": wanted, "ways": ways}).decode()
        )
        return
    say(f"{name} in {units.mib(memory)}: {training_words(msgspec.to_builtins(training))}; peaks are replayed")
    _print(ways, memory, wanted, format_)
    if ways[0].training_batch is None and ways[0].least_bytes is not None:
        say(f"as it is not one image trains: it takes {units.mib(ways[0].least_bytes)}")


def _way_of_module(model: ModuleTarget, memory: int, batch: int, training: Training) -> Way:
    """By running the model on meta at one batch after another; the first size of each input is its batch."""
    if not model.inputs or not all(i.shape for i in model.inputs):
        raise UsageError(
            "needs inputs whose first size is the batch", where="--input", fix="such as --input 1,3,224,224"
        )
    known: dict[int, tuple[int | None, int]] = {}

    def peaks(n: int) -> tuple[int | None, int]:
        if n not in known:
            say(f"batch {n} on meta")
            inputs = tuple(Input(shape=(n, *i.shape[1:]), dtype=i.dtype, name=i.name) for i in model.inputs)
            target = replace(model, inputs=inputs)
            memory = predict(target, analyze_target(target), training)
            known[n] = memory.peak_training_bytes, memory.peak_inference_bytes
        return known[n]

    def largest(side: int) -> int | None:
        peak_of: Callable[[int], int | None] = lambda n: peaks(n)[side]  # noqa: E731
        return largest_batch(peak_of, memory, MOST_OF_A_MODULE)

    return Way(change="", training_batch=largest(0), inference_batch=largest(1), peak_bytes=peaks(batch)[0])


def _print(ways: Sequence[Way], memory: int, batch: int, format_: str) -> None:
    headings = ("change", "trains", "infers", f"peak at batch {batch}", "fits", "MACs run again")
    rows = [
        (
            way.change or "as it is",
            _batch(way.training_batch),
            _batch(way.inference_batch),
            units.mib(way.peak_bytes),
            "–" if way.peak_bytes is None else "yes" if way.peak_bytes <= memory else "no",
            units.count(way.more_macs) if way.more_macs else "–",
        )
        for way in ways
    ]
    if format_ == "md":
        text.show(text.markdown(headings, rows))
    else:
        text.show_table(headings, rows)


def _batch(largest: int | None) -> str:
    return "no batch" if largest is None else f"batch {largest:,}"
