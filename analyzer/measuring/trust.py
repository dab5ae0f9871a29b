"""What would make a measured figure untrustworthy on this machine, before anything is measured."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.measurements import Caveat
from analyzer.measuring.environment import governor, pick_device
from analyzer.measuring.gpu import Readings, handle
from analyzer.units import GIB, format_gib

if TYPE_CHECKING:
    import torch

BUSY_PERCENT, LOOK_S = 30, 0.3
QUOTA = Path("/sys/fs/cgroup/cpu.max")
HOT_CELSIUS = 80


def problems(device: torch.device, *, quota: Path = QUOTA) -> Iterator[Caveat]:
    """Of the CPU, which runs every measurement, then of the GPU where that is the device."""
    yield from _busy()
    yield from _slowed(quota)
    if device.type == "cuda":
        yield from _gpu(device)


def problems_at(place: str) -> list[Caveat]:
    """Those of a device by its name (`auto`, `cuda:1`). Raises UsageError where it isn't there."""
    return list(problems(pick_device(place)))


def _busy() -> Iterator[Caveat]:
    import psutil

    load = psutil.cpu_percent(interval=0.5)
    if load > BUSY_PERCENT:
        who = "; ".join(f"{user} {share:.0f} % ({name}, pid {pid})" for user, share, name, pid in _users()[:3])
        yield Caveat(
            kind="load",
            what=f"other processes use {load:.0f} % of the CPU: times will be too long" + (f"; {who}" if who else ""),
            fix="measure on an idle machine",
        )
    free = psutil.virtual_memory().available
    if free < 4 * GIB:
        yield Caveat(kind="memory", what=f"{format_gib(free)} of memory are free", fix="expect batches to be halved")
    if psutil.swap_memory().percent > 50:
        yield Caveat(kind="swap", what="much of the swap is in use", fix="free memory before you measure")


def _users() -> list[tuple[str, float, str, int]]:
    """Users by their share of the CPU, the largest first, each with the name and pid of their busiest process."""
    import psutil

    seen = list(psutil.process_iter())
    for process in seen:
        with contextlib.suppress(psutil.Error):
            process.cpu_percent()
    time.sleep(LOOK_S)
    shares: dict[str, list[tuple[float, str, int]]] = defaultdict(list)
    for process in seen:
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid():
                share = process.cpu_percent() / (os.cpu_count() or 1)
                shares[process.username()].append((share, process.name(), process.pid))
    users = [(user, sum(share for share, *_ in each), *max(each)[1:]) for user, each in shares.items()]
    return sorted((user for user in users if user[1] >= 1), key=lambda user: -user[1])


def _slowed(quota: Path) -> Iterator[Caveat]:
    if (setting := governor()) not in (None, "performance"):
        yield Caveat(
            kind="governor",
            what=f"the CPU's governor is {setting}: its clock follows the load",
            fix="set it to performance (cpupower frequency-set -g performance)",
        )
    if "OMP_NUM_THREADS" in os.environ:
        yield Caveat(
            kind="threads",
            what=f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} sets the threads of every measurement",
            fix="unset it, or say --threads",
        )
    cores = allowed_cores(quota)
    if cores is not None and cores < (os.cpu_count() or 1):
        yield Caveat(
            kind="quota",
            what=f"this container may use {cores:g} of {os.cpu_count()} cores: more threads than that are throttled",
            fix=f"say --threads {max(int(cores), 1)}",
        )


def allowed_cores(quota: Path = QUOTA) -> float | None:
    """The cores that the control group's quota is worth; None where there is no quota."""
    try:
        limit, period = quota.read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def _gpu(device: torch.device) -> Iterator[Caveat]:
    if handle(device) is None:
        yield Caveat(
            kind="no-nvml",
            what="clocks, heat and other processes of the GPU can't be read",
            fix="pip install nvidia-ml-py",
        )
        return
    readings = Readings(device)
    if readings.processes:
        yield Caveat(
            kind="shared-gpu",
            what=f"{readings.processes} processes are on {device} (this one may be among them)",
            fix="measure on a GPU of your own",
        )
    if readings.throttled:
        yield Caveat(kind="throttling", what="the GPU slows itself down", fix="let it cool, or lock its clocks lower")
    if any(degrees >= HOT_CELSIUS for degrees in readings.celsius):
        yield Caveat(kind="hot", what=f"the GPU has {max(readings.celsius)} °C", fix="let it cool")
