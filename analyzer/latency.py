"""Predicted latency: a device's profile, three coefficients fitted to measured variants, and what it says of any other.

Latency is `s_per_mac * macs + s_per_byte * bytes + s_per_operator * operators` (a roofline whose parts add up); with a
table of operators (`--per-op`), the sum of its operators' measured times and a cost for each. No torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from analyzer.architecture.net import Net
from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.count.work import work
from analyzer.errors import UsageError
from analyzer.records import Environment, Frozen

SCHEMA = 1
Floats = npt.NDArray[np.float64]


class Sample(Frozen, frozen=True, kw_only=True):
    """A calibration variant: its fields, its measured latency, and the one that the others alone predict (left out)."""

    variant: dict[str, Any]
    measured_s: float
    left_out_s: float


class Profile(Frozen, frozen=True, kw_only=True):
    """A device's coefficients, where they hold, and how well they predict variants that were left out."""

    schema: int = SCHEMA
    environment: Environment
    batch: int
    dtype: str
    s_per_mac: float
    s_per_byte: float
    s_per_operator: float
    mean_error: float
    spearman: float
    samples: tuple[Sample, ...]
    time: str
    operators: dict[str, float] | None = None

    def latency_s(self, variant: Variant) -> float:
        """Seconds of a forward at the profile's batch. Raises ArchitectureError where the variant makes no network."""
        return float(self.of_net(trace(variant)))

    def of_net(self, net: Net) -> Any:
        """Of a trace; in array form one time a variant."""
        macs, moved, operators = work(net, self.batch)
        return self.s_per_mac * macs + self.s_per_byte * moved + self.s_per_operator * operators


def features(variant: Variant, batch: int) -> list[float]:
    """The work of a forward, as the coefficients' factors."""
    return [float(part) for part in work(trace(variant), batch)]


def fit(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> Floats:
    """Non-negative coefficients with the least relative squared error: the best of all subsets of factors."""
    y = np.asarray(seconds, np.float64)
    a = np.asarray(rows, np.float64) / y[:, None]
    scale = np.maximum(np.abs(a).max(axis=0), 1e-300)
    best, least = np.zeros(a.shape[1]), np.inf
    for size in range(1, a.shape[1] + 1):
        for chosen in itertools.combinations(range(a.shape[1]), size):
            part, *_ = np.linalg.lstsq(a[:, chosen] / scale[list(chosen)], np.ones(len(y)), rcond=None)
            error = float(((a[:, chosen] / scale[list(chosen)] @ part - 1) ** 2).sum())
            if (part >= 0).all() and error < least:
                least = error
                best = np.zeros(a.shape[1])
                best[list(chosen)] = part / scale[list(chosen)]
    return best


def left_out(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> Floats:
    """Each sample as the others predict it."""
    found = []
    for i in range(len(rows)):
        others = [j for j in range(len(rows)) if j != i]
        coefficients = fit([rows[j] for j in others], [seconds[j] for j in others])
        found.append(float(np.asarray(rows[i]) @ coefficients))
    return np.array(found)


def mean_error(predicted: Floats, measured: Sequence[float]) -> float:
    """Mean of the relative errors."""
    return float(np.abs(predicted / np.asarray(measured) - 1).mean())


def spearman(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> float:
    """Correlation of ranks; ties share their mean rank."""

    def ranks(values: Sequence[float] | Floats) -> Floats:
        data = np.asarray(values, np.float64)
        return np.array([((data < v).sum() + (data <= v).sum() - 1) / 2 for v in data])

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def write_profile(profile: Profile, path: Path) -> None:
    """As JSON."""
    from analyzer.files import write_text

    write_text(path, msgspec.json.format(msgspec.json.encode(profile), indent=1).decode() + "\n")


def read_profile(path: Path, environment: Callable[[str], Environment] | None = None) -> Profile:
    """The profile of a file; with `environment` (device -> this machine's) one that was made elsewhere is refused.

    Raises UsageError that says what doesn't match.
    """
    try:
        profile = msgspec.json.decode(path.read_bytes(), type=Profile)
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}", where=str(path), fix="run `analyze calibrate`") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"is no profile: {error}", where=str(path), fix="run `analyze calibrate` again") from None
    if profile.schema != SCHEMA:
        raise UsageError(
            f"has schema {profile.schema}, not {SCHEMA}", where=str(path), fix="run `analyze calibrate` again"
        )
    if environment is not None:
        require_same(profile, environment(profile.environment.device), str(path))
    return profile


def require_same(profile: Profile, here: Environment, where: str) -> None:
    """UsageError that names what differs between where a profile was made and here."""
    for name in ("device_name", "torch", "cuda", "cudnn", "threads"):
        theirs, ours = getattr(profile.environment, name), getattr(here, name)
        if theirs != ours:
            raise UsageError(
                f"was made with {name.replace('_', ' ')} {theirs}, here it is {ours}",
                where=where,
                fix="run `analyze calibrate` here",
            )
