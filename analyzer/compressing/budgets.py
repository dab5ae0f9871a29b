"""What a compressed network may cost, as a user says it: the budget, and the limits that it comes to."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from analyzer.architecture.axes import AXES
from analyzer.architecture.variant import Variant
from analyzer.errors import ArchitectureError, UsageError
from analyzer.figures import FIGURES
from analyzer.limits import Limit, own_limits
from analyzer.reading import family
from analyzer.reading.profiles import profile_at
from analyzer.targets.resolving import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.reading.latency import Profile

LIMITABLE = {
    "max_params": "params", "max_macs": "macs", "max_bytes": "param_bytes", "max_saved": "saved_bytes",
    "max_latency": "predicted_image_ns",
}  # fmt: skip
"""What may be limited, and by which figure it is held."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that a compressed network may have, each inclusive: a number, or a text such as `6.95M`.

    `max_bytes` are those of its parameters, `max_saved` what a step of training saves at the input's batch,
    `max_latency` (`2ms`) is predicted for an image on the device of a profile, `on`. `under` names a network: no more
    than its params, MACs and saved bytes, at the same classes and image.
    """

    max_params: int | str | None = None
    max_macs: int | str | None = None
    max_bytes: int | str | None = None
    max_saved: int | str | None = None
    max_latency: int | str | None = None
    under: str | None = None
    on: str | None = None

    def __post_init__(self) -> None:
        if (self.max_latency is None) != (self.on is None):
            fix = "--max-latency 2ms --on rtx4090"
            raise UsageError("a latency is of a device, and a device for a latency", where="budget", fix=fix)

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) is not None for each in fields(self))

    def profile(self) -> Profile | None:
        """The profile of the device. Raises UsageError where there is none."""
        return profile_at(self.on)

    def limits(self, parent: Variant | None) -> tuple[Limit, ...]:
        """The limits that it comes to, for a network of this variant or (None) of one's own. Raises UsageError."""
        found = []
        for word, figure in LIMITABLE.items():
            said = getattr(self, word)
            if said is not None:
                option = f"--{word.replace('_', '-')}"
                bound = FIGURES[figure].parse(said, where=option) if isinstance(said, str) else int(said)
                found.append(Limit(figure=figure, bound=bound, source=option))
        return tuple(found) + (() if self.under is None else _under(self.under, parent))


def _under(name: str, parent: Variant | None) -> tuple[Limit, ...]:
    variant = named(name)
    if parent is not None:
        variant = replace(variant, **{axis.field: getattr(parent, axis.field) for axis in AXES if axis.task})
    try:
        return own_limits(family.record(variant), f"under {name}")
    except ArchitectureError as error:
        at = f"{name} makes no network at {variant.image} px"
        raise UsageError(at, where="--under", fix="say the limits: --max-params and its like") from error


def towards(limits: Sequence[Limit], values: Sequence[int], share: Fraction) -> tuple[Limit, ...]:
    """Limits at a share of the way from what a network has to what it may have."""
    return tuple(
        msgspec.structs.replace(limit, bound=max(limit.bound, value - int(share * (value - limit.bound))))
        for limit, value in zip(limits, values, strict=True)
    )
