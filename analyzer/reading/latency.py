"""Predicted latency: a device's profile, a few coefficients fitted to measured variants, and what it says of any other.

Latency is a roofline whose parts add up: seconds per MAC (some dearer than others), per byte moved or newly made, per
element compared, per operator: see reading/work.py; a device needs some of these, rarely all. With a table of operators
it is the sum of the operators' own times, each from its kind's own coefficients, scaled (convolutions, others), plus
`per_call` for each.
No torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from analyzer.architecture.facts import CONVOLUTIONS
from analyzer.architecture.net import Net
from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.errors import UsageError
from analyzer.measurements import Environment, PredictedLatency
from analyzer.reading.work import operators, work
from analyzer.seals import decoded, sealed, unsealed
from analyzer.structs import Frozen, Seconds, Some, Span

SCHEMA = 1
Floats = npt.NDArray[np.float64]
Each = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""Seconds a unit of work: no device takes one for a MAC, a byte or a call."""
Coefficients = tuple[Each, Each, Each, Each, Each, Each]
"""Seconds per unit of each part of Work."""
Scale = Annotated[float, msgspec.Meta(ge=0, le=1000)]
Correlation = Annotated[float, msgspec.Meta(ge=-1, le=1)]


class Sample(Frozen, frozen=True, kw_only=True):
    """A calibration variant, its measured latency, and the one that the others alone predict (left out)."""

    variant: Variant
    measured_s: Seconds
    left_out_s: Span


class Profile(Frozen, frozen=True, kw_only=True):
    """A device's coefficients, where they hold, and how well they predict variants that were left out.

    `coefficients` are seconds per unit of each part of reading.work.Work; `operators` has them for each kind, where a
    table was measured. Times are of an undisturbed device: each sample's is the least that was seen.
    """

    schema: int = SCHEMA
    environment: Environment
    batch: Some
    dtype: str
    coefficients: Coefficients
    mean_error: Span
    spearman: Correlation
    samples: tuple[Sample, ...]
    time: str
    operators: dict[str, Coefficients] | None = None
    scales: tuple[Scale, Scale] = (1.0, 1.0)
    per_call: Each = 0.0

    def latency_s(self, variant: Variant) -> float:
        """Seconds of a forward at the profile's batch. Raises ArchitectureError where the variant makes no network."""
        return float(self.of_net(trace(variant)))

    def predicted(self, latency_s: float) -> PredictedLatency:
        """A time of this profile's as a record's."""
        return PredictedLatency(
            latency_s=latency_s, batch=self.batch, device_name=self.environment.device_name, dtype=self.dtype,
            mean_error=self.mean_error,
        )  # fmt: skip

    def of_net(self, net: Net) -> Any:
        """Of a trace; in array form one time a variant."""
        if self.operators is None:
            return _dot(self.coefficients, work(net, self.batch))
        return _dot((*self.scales, self.per_call), tabled(net, self.batch, self.operators))


def _dot(coefficients: Sequence[float], parts: Sequence[Any]) -> Any:
    return sum((c * part for c, part in zip(coefficients, parts, strict=True)), start=0.0)


def features(variant: Variant, batch: int) -> list[float]:
    """The work of a forward, as the coefficients' factors."""
    return [float(part) for part in work(trace(variant), batch)]


def tabled(net: Net, batch: int, table: Mapping[str, Sequence[float]]) -> tuple[Any, Any, int]:
    """The operators' own times by a table (kind -> its coefficients): of convolutions, of all others; their number."""
    sums: list[Any] = [0.0, 0.0]
    calls = 0
    for op, each in operators(net, batch):
        side = 0 if op.kind in CONVOLUTIONS else 1
        sums[side] = sums[side] + _dot(table.get(op.kind) or table["elementwise"], each)
        calls += 1
    return sums[0], sums[1], calls


def fit(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> Floats:
    """Non-negative coefficients with the least relative squared error: the best of all subsets of factors.

    That of a factor which is 0 in every row is 0.
    """
    y = np.asarray(seconds, np.float64)
    a = np.asarray(rows, np.float64) / y[:, None]
    scale = np.abs(a).max(axis=0)
    there = np.flatnonzero(scale).tolist()
    best, least = np.zeros(a.shape[1]), np.inf
    for size in range(1, len(there) + 1):
        for chosen in itertools.combinations(there, size):
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

    return float(np.clip(np.corrcoef(ranks(a), ranks(b))[0, 1], -1, 1))  # rounding goes beyond 1


def write_profile(profile: Profile, path: Path) -> None:
    """As JSON."""
    from analyzer.files import write_text

    data = sealed(msgspec.to_builtins(profile))
    write_text(path, msgspec.json.format(msgspec.json.encode(data), indent=1).decode() + "\n")


def read_profile(path: Path, environment: Callable[[str], Environment] | None = None) -> Profile:
    """The profile of a file; with `environment` (device -> this machine's) one that was made elsewhere is refused.

    Raises UsageError that says what doesn't match.
    """
    try:
        profile = msgspec.convert(unsealed(decoded(path.read_bytes()), str(path)), Profile)
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}", where=str(path), fix="run `analyze calibrate`") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"is no profile: {error}", where=str(path), fix="run `analyze calibrate` again") from None
    if profile.schema != SCHEMA:
        raise UsageError(
            f"has schema {profile.schema}, not {SCHEMA}", where=str(path), fix="run `analyze calibrate` again"
        )
    _require_times(profile, str(path))
    if environment is not None:
        require_same(profile, environment(profile.environment.device), str(path))
    return profile


def _require_times(profile: Profile, where: str) -> None:
    """UsageError where a profile has no time for anything, or none for most operators."""
    table = profile.operators
    needed = [profile.coefficients] if table is None else [table.get("elementwise", ()), profile.scales]
    if not all(map(any, needed)):
        raise UsageError("predicts no times", where=where, fix="run `analyze calibrate` again")


def require_same(profile: Profile, here: Environment, where: str) -> None:
    """UsageError that names what differs between where a profile was made and here.

    Threads are the profile's own condition: they need not be this process's.
    """
    for name in ("device_name", "cpu_count", "torch", "cuda", "cudnn"):
        theirs, ours = getattr(profile.environment, name), getattr(here, name)
        if theirs != ours:
            raise UsageError(
                f"was made with {name.replace('_', ' ')} {theirs}, here it is {ours}",
                where=where,
                fix="run `analyze calibrate` here",
            )
