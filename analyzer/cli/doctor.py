"""`analyze doctor`: versions, devices, and what would be measured where."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator

import click

from analyzer.cli import text
from analyzer.cli.base import Verb
from analyzer.measure.environment import cpu_name, package_version, pick_device
from analyzer.measure.measure import default_batch
from analyzer.units import GIB, format_gib

PACKAGES = (
    "torch",
    "numpy",
    "click",
    "rich",
    "msgspec",
    "jinja2",
    "pandas",
    "plotly",
    "torchinfo",
    "fvcore",
    "nvidia-ml-py",
)


@click.command("doctor", cls=Verb)
def command() -> None:
    """Versions, devices, what would be measured where, and what would make figures untrustworthy here."""
    text.show_table(("what", "found"), [*_versions(), *_machine(), *_devices()], left=2)
    problems = list(_problems())
    for problem in problems:
        text.show(f"note: {problem}")
    if not problems:
        text.show("nothing found that would make figures untrustworthy")


def _versions() -> Iterator[tuple[str, str]]:
    yield "analyzer", package_version()
    yield "python", f"{platform.python_version()} ({sys.executable})"
    for name in PACKAGES:
        yield name, package_version(name)


def _machine() -> Iterator[tuple[str, str]]:
    import psutil

    memory = psutil.virtual_memory()
    yield "system", platform.platform()
    yield "cpu", f"{cpu_name()}, {os.cpu_count()} cores"
    yield "memory", f"{format_gib(memory.total)}, {format_gib(memory.available)} free"


def _devices() -> Iterator[tuple[str, str]]:
    import torch

    yield "torch threads", str(torch.get_num_threads())
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{found.name}, {format_gib(found.total_memory)}"
    if not torch.cuda.is_available():
        yield "cuda", "none: measurements run on the CPU"
    device = pick_device()
    yield "measured on", f"{device}, batch {default_batch(device.type)} (--device and --batch change it)"


def _problems() -> Iterator[str]:
    import psutil

    load = psutil.cpu_percent(interval=0.5)
    if load > 30:
        yield f"other processes use {load:.0f} % of the CPU: times will be too long; measure on an idle machine"
    if psutil.virtual_memory().available < 4 * GIB:
        yield "under 4 GiB of memory are free: batches may have to shrink"
    if "OMP_NUM_THREADS" in os.environ:
        yield f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} sets the threads of every measurement"
