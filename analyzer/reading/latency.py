"""Predicted latency: a device's profile, seconds per unit of work of each kind, and what it says of any model.

Latency is a roofline whose parts add up: seconds per MAC, per element moved, newly made or compared, of each kind of
operator, and per operator (reading/work.py). A device needs some of these, rarely all. A profile that ships with the
package and one of one's own (`analyze calibrate`) are of this one kind. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from analyzer.architecture.net import Net
from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.measurements import Environment, PredictedLatency
from analyzer.reading.work import DEPTHWISE, seconds, seconds_of, work
from analyzer.structs import Frozen, Positive, Seconds, Some, Span, Whole

SCHEMA = 2
SHARE = 0.9
"""How much of what was left out of a fit lies in a band."""
Each = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""Seconds a unit of work: no device takes one for a MAC, an element or a call."""
Coefficients = dict[str, Each]
"""`concat moved` -> seconds a unit, as in reading.work.Work."""
Correlation = Annotated[float, msgspec.Meta(ge=-1, le=1)]

NetworkKind = Literal["plain", "depthwise", "attention"]
"""Networks whose errors are alike: of ordinary convolutions; with depthwise ones; with attention or layer norms."""
MOVES_DEPTHWISE, MOVES_ATTENTION = 0.05, 0.01
"""From which part of all elements moved on a network is of that kind."""
MOSTLY = 0.6
"""A fit says little of more work where the starts of kernels were a larger part of the times that it was made from."""
MUCH = 0.02
"""Work of a kind that a profile has not seen is said where it moves so much of all elements, or multiplies so much."""


class Settings(Frozen, frozen=True, kw_only=True):
    """How the models ran that a profile was fitted to. `mode` is `inference`, or `training` (a whole step)."""

    mode: Literal["inference", "training"] = "inference"
    precision: str = "float32"
    channels_last: bool = False
    compiled: bool = False
    torch: str = ""
    cuda: str | None = None

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "channels first"
        how = "compiled" if self.compiled else "eager"
        return f"{self.precision}, {layout}, {how}, torch {self.torch}"


class Band(Frozen, frozen=True, kw_only=True):
    """The errors of one kind of network when its family was left out: the time lies between `low` and `high` times the
    predicted one in SHARE of `rows`.
    """

    low: Positive
    high: Positive
    mean_error: Span
    rows: Whole


class Sample(Frozen, frozen=True, kw_only=True):
    """A calibration variant, its measured latency, and the one that the others alone predict (left out)."""

    variant: Variant
    measured_s: Seconds
    left_out_s: Span


class Profile(Frozen, frozen=True, kw_only=True):
    """A device's coefficients, where they hold, and how well they predict what was left out of the fit.

    `coefficients` are those of convolutional networks; `attention`, where there are enough of them, those of networks
    with attention or layer norms. `batch` is the usual one, `batches` the least and the most,
    but for a few of the largest models; `image_s` the least and
    the most seconds an image, `kinds` the kinds of operator that the fit has seen. Errors are relative. `source` says
    whose times they are, where they are not this package's own. `starts` is which part of the timed models' time the
    starts of their kernels were, where that is known (the median). `training` is that of a step of training.
    """

    schema: int = SCHEMA
    name: str
    device_name: str
    settings: Settings
    batch: Some
    batches: tuple[Some, Some]
    coefficients: Coefficients
    attention: Coefficients | None = None
    bands: dict[str, Band]
    mean_error: Span
    median_error: Span
    spearman: Correlation
    rows: Whole
    families: Whole
    image_s: tuple[Seconds, Seconds]
    kinds: tuple[str, ...]
    time: str
    source: str = ""
    starts: Span | None = None
    environment: Environment | None = None
    training: Profile | None = None
    samples: tuple[Sample, ...] = ()

    def __repr__(self) -> str:
        return f"Profile({self.name}: {self.device_name}, {self.settings}, ±{100 * self.mean_error:.1f} %)"

    @property
    def says_little(self) -> bool:
        """Whether what was timed was so little work that hardly anything but the starts of kernels was timed."""
        return (self.starts or 0) > MOSTLY

    def at(self, batch: int | None) -> Profile:
        """The same profile, which predicts at another batch (None: its own)."""
        if batch is None:
            return self
        training = None if self.training is None else self.training.at(batch)
        return msgspec.structs.replace(self, batch=batch, training=training)

    def latency_s(self, variant: Variant) -> float:
        """Seconds of a forward at the profile's batch. Raises ArchitectureError where the variant makes no network."""
        return float(self.of_net(trace(variant)))

    def of_net(self, net: Net) -> Any:
        """Of a trace of the family; in array form one time a variant."""
        return seconds(net, self.batch, self.coefficients)

    def clock(self, net: Net) -> Any:
        """Nanoseconds an image of a trace of the family; in array form each variant's."""
        return self.of_net(net) * (1e9 / self.batch)

    def predict(self, done: Mapping[str, float]) -> PredictedLatency:
        """The prediction for a network by its work of one sample (and of a batch, for what is done once a batch)."""
        kind = kind_of(done)
        coefficients = self.attention if kind == "attention" and self.attention else self.coefficients
        found = self.predicted(seconds_of(done, self.batch, coefficients), kind, self.outside(done))
        training = None if self.training is None else self.training.predict(done)
        return msgspec.structs.replace(found, training=training)

    def predict_variant(self, variant: Variant) -> PredictedLatency:
        """The prediction for a variant. Raises ArchitectureError where it makes no network."""
        return self.predict(work(trace(variant)))

    def predicted(self, latency_s: float, kind: str, outside: tuple[str, ...] = ()) -> PredictedLatency:
        """A time of this profile's as a record's, with the band of its kind of network."""
        band = self.bands.get(kind) or max(self.bands.values(), key=lambda band: band.high / band.low)
        return PredictedLatency(
            latency_s=latency_s, low_s=latency_s * band.low, high_s=latency_s * band.high, batch=self.batch,
            on=self.name, device_name=self.device_name, dtype=self.settings.precision, settings=str(self.settings),
            mean_error=band.mean_error, outside=(*outside, *self._beyond(latency_s / self.batch)),
        )  # fmt: skip

    def outside(self, done: Mapping[str, float]) -> tuple[str, ...]:
        """The kinds of operator that matter to a network and that the fit has not seen, in words."""
        unseen = [kind for kind in kinds_that_matter(done) if kind not in self.kinds]
        return (f"no model of the fit has so much of: {', '.join(unseen)}",) if unseen else ()

    def _beyond(self, image_s: float) -> tuple[str, ...]:
        said = []
        least, most = self.image_s
        if not 0.8 * least <= image_s <= 1.25 * most:
            said.append(f"the fit's models take {least * 1e3:.3g} to {most * 1e3:.3g} ms an image")
        fewest, largest = self.batches
        if not fewest <= self.batch <= largest:
            batches = str(fewest) if fewest == largest else f"{fewest:,} to {largest:,}"
            said.append(f"the fit's batches are of {batches} images; a small batch is bound by its kernels' starts")
        if self.says_little:
            said.append(f"starts of kernels are {100 * (self.starts or 0):.0f} % of the times that were fitted")
        return tuple(said)


def share(done: Mapping[str, Any], *kinds: str, part: str = "moved") -> Any:
    """Which part of all elements moved (or of another part of work) is those kinds'; in array form one a variant."""
    whole = sum(value for name, value in done.items() if name.endswith(f" {part}"))
    return sum(done.get(f"{kind} {part}", 0) for kind in kinds) / (whole + 1e-9)


def kind_of(done: Mapping[str, float]) -> NetworkKind:
    """Which kind a network is, by its work."""
    if share(done, "row norm", "attention", "data product") > MOVES_ATTENTION:
        return "attention"
    return family_kind(share(done, *DEPTHWISE))


def family_kind(depthwise: float) -> NetworkKind:
    """Which kind a network without attention is, by its depthwise convolutions' part of all elements moved."""
    return "depthwise" if depthwise > MOVES_DEPTHWISE else "plain"


def kinds_that_matter(done: Mapping[str, float]) -> list[str]:
    """The kinds of operator that do a notable part of a network's work."""
    kinds = dict.fromkeys(name.rpartition(" ")[0] for name in done)
    return [kind for kind in kinds if share(done, kind) > MUCH or share(done, kind, part="macs") > MUCH]
