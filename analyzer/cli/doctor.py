"""`analyze doctor`: versions, devices, the environment of a measurement here, and what would make it untrustworthy."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

import click
import msgspec

from analyzer.cli import text
from analyzer.cli.base import Verb
from analyzer.cli.options import device_option, format_option
from analyzer.measurements import Environment
from analyzer.measuring.doctor import Doctor, looked
from analyzer.measuring.measure import default_batch
from analyzer.units import format_gib


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
    text.show_table(
        ("what", "found"), [*_environment(found.environment), *_versions(found), *_machine(), *_devices()], left=2
    )
    for device_, who in found.measuring.items():
        text.show_words(f"note: {device_} is measured on by {who}: other measurements wait for it")
    for problem in found.problems:
        text.show_words(f"note: {problem.kind}: {problem.what}; {problem.fix}")
    if not found.problems:
        text.show_words("nothing found that would make figures untrustworthy")


def _environment(place: Environment) -> Iterator[tuple[str, str]]:
    """The record as every figure carries it; what is not known here is a dash."""
    yield (
        "measured on",
        f"{place.device}, batch {default_batch(place.device.split(':')[0])} (--device and --batch change it)",
    )
    for name, value in msgspec.to_builtins(place).items():
        if name in ("device", "dtype", "environment_variables"):
            continue
        yield name.replace("_", " "), "–" if value is None else str(value)
    for name, value in place.environment_variables.items():
        yield name, value


def _versions(found: Doctor) -> Iterator[tuple[str, str]]:
    yield "executable", sys.executable
    yield from found.packages.items()


def _machine() -> Iterator[tuple[str, str]]:
    import psutil

    memory = psutil.virtual_memory()
    yield "system", platform.platform()
    yield "memory", f"{format_gib(memory.total)}, {format_gib(memory.available)} free"


def _devices() -> Iterator[tuple[str, str]]:
    import torch

    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{device.name}, {format_gib(device.total_memory)}"
    if not torch.cuda.is_available():
        yield "cuda devices", "none: measurements run on the CPU"
