"""How `--help` reads: examples to copy, options in groups, blocks with what they do."""

from __future__ import annotations

from collections.abc import Iterable

import click

from analyzer.cli.examples import EXAMPLES, FIRST, Example

GROUPS: dict[str, tuple[str, ...]] = {
    "The network": ("axis_", "space_file"),
    "A model of your own": ("inputs", "kwargs", "timeout", "strict", "backward", "cpu_memory"),
    "Limits": ("max_", "min_", "under"),
    "A training step": (
        "dtype", "autocast", "batch_norm", "optimizer", "form", "weight_decay", "zero_grad", "accumulate", "checkpoint",
    ),
    "Where and how long": (
        "device", "wait", "executor", "address", "jobs", "max_memory", "seconds", "on", "threads", "workers",
    ),
    "Output": ("format_", "out", "report", "exported", "export", "exact", "outputs", "html", "dry_run"),
    "Always": ("quiet", "debug", "help", "version"),
}  # fmt: skip
"""Headings, each with the names of options (those that end in `_`: how they begin); all others stand first."""
SEVERAL = (
    "Each takes several values: a list (16,32), of numbers a range with both ends in it (8:64:8), or the option "
    "repeated; --blocks only that, as its commas separate stages."
)


def group_of(option: str) -> str:
    """The heading under which an option of that name stands."""
    exact = {name: title for title, names in GROUPS.items() for name in names}
    if option in exact:
        return exact[option]
    return next(
        (title for start, title in exact.items() if start.endswith("_") and option.startswith(start)), "Options"
    )


def write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Every option under its heading, and what the blocks do where there is a `--block`."""
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Options", *GROUPS)}
    options = [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
    for option in options:
        record = option.get_help_record(ctx)
        if record is not None:
            groups["Always" if "--help" in option.opts else group_of(option.name or "")].append(record)
    axes = [option for option in options if group_of(option.name or "") == "The network"]
    for title, records in groups.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
                if title == "The network" and axes[0].multiple:
                    formatter.write_paragraph()
                    formatter.write_text(SEVERAL)
        if title == "The network" and axes:
            _write_blocks(formatter)


def _write_blocks(formatter: click.HelpFormatter) -> None:
    from analyzer.architecture.blocks import BLOCKS

    with formatter.section("Blocks (--block)"):
        formatter.write_dl([(name, block.says) for name, block in BLOCKS.items()])


def write_examples(examples: Iterable[Example], formatter: click.HelpFormatter, title: str = "Examples") -> None:
    """Each command on a line of its own, never wrapped, under what it answers."""
    with formatter.section(title):
        for words, line in examples:
            formatter.write(
                f"{'':{formatter.current_indent}}# {words}\n{'':{formatter.current_indent}}analyze {line}\n"
            )


def examples_of(ctx: click.Context) -> tuple[Example, ...]:
    """Those of a verb."""
    return EXAMPLES.get(ctx.command_path.partition(" ")[2], ())


def first_commands(ctx: click.Context) -> str:
    """What to try first, as a section of help."""
    formatter = ctx.make_formatter()
    write_examples(FIRST, formatter, "To begin with")
    return formatter.getvalue().rstrip("\n")
