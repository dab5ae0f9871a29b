"""What this machine is, and what would make a figure that is measured here untrustworthy."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from analyzer.answers import Answering, AnswerParts, AnswerTable
from analyzer.measurements import Caveat, Environment
from analyzer.measuring.environment import environment, package_version, pick_device
from analyzer.measuring.exclusive import holders
from analyzer.measuring.measure import default_batch
from analyzer.measuring.trust import problems
from analyzer.structs import Frozen
from analyzer.units import format_gib

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = (
    "numpy",
    "click",
    "rich",
    "msgspec",
    "jinja2",
    "pandas",
    "torchinfo",
    "fvcore",
    "nvidia-ml-py",
)


class Doctor(Frozen, Answering, frozen=True, kw_only=True):
    """The environment as every measured figure carries it, what to mind, versions, who measures on which device."""

    environment: Environment
    problems: tuple[Caveat, ...]
    packages: dict[str, str]
    measuring: dict[str, str]

    def frame(self) -> pd.DataFrame:
        """One row a fact."""
        import pandas as pd

        facts = {**msgspec.to_builtins(self.environment), **self.packages}
        facts |= {f"problem: {one.kind}": f"{one.what}; {one.fix}" for one in self.problems}
        return pd.DataFrame({"what": list(facts), "found": list(map(str, facts.values()))}).set_index("what")

    def answer(self) -> AnswerParts:
        """The table of facts, and what to mind."""
        return AnswerParts(
            title=f"This machine: {self.environment.device_name}", tables=(self.table(),), words=self.notes
        )

    def table(self) -> AnswerTable:
        """The environment as every measured figure carries it, versions, the machine's memory, its devices."""
        versions = [("executable", sys.executable), *self.packages.items()]
        rows = [*_environment(self.environment), *versions, *_machine(), *_devices()]
        return AnswerTable("What is found here", ("what", "found"), rows, left=2)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to mind before measuring here, a sentence each."""
        waiting = [
            f"{name} is measured on by {who}: other measurements wait for it" for name, who in self.measuring.items()
        ]
        minded = [f"{one.kind}: {one.what}; {one.fix}" for one in self.problems]
        return (*waiting, *minded)

    def __repr__(self) -> str:
        kinds = ", ".join(one.kind for one in self.problems) or "nothing to mind"
        return f"Doctor({self.environment.device_name}: {kinds})"


def looked(device: str = "auto") -> Doctor:
    """What is found now. Raises UsageError on a device that is not there."""
    where = pick_device(device)
    return Doctor(
        environment=environment(where),
        problems=tuple(problems(where)),
        packages={name: package_version(name) for name in PACKAGES},
        measuring=dict(holders()),
    )


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
