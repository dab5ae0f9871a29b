"""What this machine is, and what would make a figure that is measured here untrustworthy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analyzer.measurements import Caveat, Environment
from analyzer.measuring.environment import environment, package_version, pick_device
from analyzer.measuring.exclusive import holders
from analyzer.measuring.trust import problems
from analyzer.structs import Frozen

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


class Doctor(Frozen, frozen=True, kw_only=True):
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
