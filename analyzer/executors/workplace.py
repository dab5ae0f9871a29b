"""Where a run works, as a user says it: on this machine or a Ray cluster, on which device."""

from __future__ import annotations

import os
from dataclasses import dataclass

from analyzer.errors import UsageError, did_you_mean
from analyzer.executors.executor import Executor, Processes, places_of


def executor_of(
    kind: str = "processes", *, jobs: int | None = None, device: str | None = None, address: str | None = None,
    long: bool = False,
) -> Executor:  # fmt: skip
    """The executor that a user names: `processes` of this machine (`jobs` of None: a core each), or `ray`.

    `device` of None: nothing is to be measured. `long` tasks are worth a process each. Raises UsageError where the
    device or the cluster isn't there.
    """
    if kind == "ray":
        from analyzer.executors.cluster import Cluster

        return Cluster(address, device or "cpu")
    if kind != "processes":
        raise UsageError(f"unknown executor {kind!r}", where="executor", fix=did_you_mean(kind, ["processes", "ray"]))
    if address is not None:
        raise UsageError("is a Ray cluster's", where="--address", fix="give --executor ray with it")
    return Processes(jobs or os.cpu_count() or 1, () if device is None else places_of(device), long=long)


@dataclass(frozen=True)
class Workplace:
    """Where a run works: `executor`, `jobs`, `device` and `address` as `executor_of` takes them."""

    executor: str = "processes"
    jobs: int | None = None
    device: str | None = None
    address: str | None = None

    def open(self, *, long: bool = False) -> Executor:
        """Its executor, to be closed. Raises UsageError where the device or the cluster isn't there."""
        return executor_of(self.executor, jobs=self.jobs, device=self.device, address=self.address, long=long)
