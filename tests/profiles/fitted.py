"""The tables joined with the models' work, and the fit of each device and setting: by family, never by row."""

from __future__ import annotations

import csv
import functools
import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import published
from published import Timed

from analyzer.measuring.fitting import (
    GROUPS,
    Floats,
    band,
    by_family,
    fit_robust,
    mean_error,
    median_error,
    spearman,
)
from analyzer.reading.latency import Band, Profile, Settings, kind_of, kinds_that_matter
from analyzer.reading.work import CONVOLUTIONS, KINDS, OF_A_BATCH

ROUNDED = 0.00501
"""Millions of parameters by which a table's figure, in two decimals, may differ from the exact one."""
MULTIPLYING = (*CONVOLUTIONS, "product", "data product", "attention")
FACTORS = (
    *(f"{kind} macs" for kind in MULTIPLYING),
    *(f"{kind} idle" for kind in ("1x1 convolution", "larger convolution")),
    *(f"{kind} moved" for kind in KINDS),
    *OF_A_BATCH,
)
"""What a time is a sum of; weights and calls are those of all kinds. Uneven widths tell a little more (0.1 to 0.3 % of
error), and would make a search three times slower: they must be asked layer by layer."""
ALIKE = (("norm", "activation"), ("activation", "concat"), ("activation", "elementwise"))
"""Kinds that read and write every element once, one kernel each; compiled, they are no kernels of their own."""
MULTIPLY_ALIKE = ("1x1 convolution macs", "larger convolution macs")
"""Both are products on the same units. A table of a thousand models tells that by itself, one of a hundred doesn't."""
OTHERS = 0.1
"""What a network of the other sort weighs in a fit: enough to tell what its own sort can't."""
DEVICES = {
    "rtx3090": "NVIDIA GeForce RTX 3090", "rtx4090": "NVIDIA GeForce RTX 4090", "4090": "NVIDIA GeForce RTX 4090",
    "5090": "NVIDIA GeForce RTX 5090", "pro6000maxq": "NVIDIA RTX PRO 6000 Blackwell Max-Q",
    "h100": "NVIDIA H100 80GB HBM3",
}  # fmt: skip
SHORT = {"4090": "rtx4090", "5090": "rtx5090", "pro6000maxq": "rtxpro6000"}


@dataclass(frozen=True)
class Model:
    """A row of a table with its work of one image."""

    timed: Timed
    work: dict[str, int]

    @functools.cached_property
    def kind(self) -> str:
        """Which kind of network it is."""
        return kind_of(self.work)

    @property
    def factors(self) -> list[float]:
        """What its time an image is a sum of."""
        together = dict.fromkeys(OF_A_BATCH, 0.0)
        for name, value in self.work.items():
            part = name.rpartition(" ")[2]
            if part in together:
                together[part] += value / self.timed.batch
        return [together[name] if name in together else float(self.work.get(name, 0)) for name in FACTORS]


@functools.cache
def works() -> dict[tuple[str, int], list[tuple[int, dict[str, int]]]]:
    """Of each model and size: parameters and work, of each form."""
    found: dict[tuple[str, int], list[tuple[int, dict[str, int]]]] = {}
    with gzip.open(published.FOLDER / "work.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            model, size, _, params = (row.pop(name) for name in ("model", "size", "form", "params"))
            work = {name: int(value) for name, value in row.items() if value != "0"}
            found.setdefault((model, int(size)), []).append((int(params), work))
    return found


def joined(table: str) -> list[Model]:
    """The rows of a table whose model was traced in the form that the table's parameters say was timed."""
    models = []
    for timed in published.table(table):
        for params, work in works().get((timed.model, timed.size), []):
            if abs(params / 1e6 - timed.params) < ROUNDED:
                models.append(Model(timed, work))
                break
    return models


@dataclass
class Fitted:
    """One table: its models, what each is predicted without its family, the fit to all."""

    table: str
    models: list[Model]
    seed: int = 0
    predicted: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.rows = np.array([model.factors for model in self.models])
        self.measured = np.array([model.timed.image_s for model in self.models])
        self.kinds = np.array([model.kind for model in self.models])
        self.families = [model.timed.family for model in self.models]
        self.predicted = by_family(self.families, self._predict, self.seed)

    @property
    def settings(self) -> Settings:
        """How the table's models ran, by its name."""
        mode, precision, layout, torch, cuda, _, *compiled = self.table.split("-")
        return Settings(
            mode="training" if mode == "train" else "inference", precision=precision, channels_last=layout == "nhwc",
            compiled=bool(compiled), torch=_version(torch[2:]), cuda=f"{cuda[2:4]}.{cuda[4:]}",
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The profile's."""
        device = self.table.split("-")[5]
        settings = self.settings
        words = [SHORT.get(device, device), "nhwc" if settings.channels_last else ""]
        words += [settings.precision.replace("_", "") if settings.precision != "amp" else ""]
        return ":".join(filter(None, [*words, "compiled" if settings.compiled else ""]))

    def coefficients(self, attention: bool, chosen: np.ndarray | slice = slice(None)) -> Floats:
        """The fit to the chosen models, for networks with attention or without."""
        pairs = [] if self.settings.compiled else [(f"{one} moved", f"{other} moved") for one, other in ALIKE]
        alike = [(FACTORS.index(one), FACTORS.index(other)) for one, other in (*pairs, MULTIPLY_ALIKE)]
        weights = np.where((self.kinds[chosen] == "attention") == attention, 1.0, OTHERS)
        return fit_robust(self.rows[chosen], self.measured[chosen], weights, alike)

    def _predict(self, chosen: np.ndarray) -> Floats:
        plain, attention = (self.rows @ self.coefficients(of, chosen) for of in (False, True))
        return np.where(self.kinds == "attention", attention, plain)

    @property
    def errors(self) -> Floats:
        """Relative, of what each is predicted without its family."""
        return self.predicted / self.measured - 1

    def bands(self, chosen: np.ndarray | None = None) -> dict[str, Band]:
        """The band of each kind of network, by the chosen models' errors."""
        found = {}
        for kind in ("plain", "depthwise", "attention"):
            of = (self.kinds == kind) & (True if chosen is None else chosen)
            if of.sum() >= 10:
                found[kind] = band(self.predicted[of], self.measured[of])
        return found

    def coverage(self) -> dict[str, float]:
        """How often the time lies in the band, of each kind and of all: bands made without the families they meet."""
        groups = {name: i % GROUPS for i, name in enumerate(sorted(set(self.families)))}
        of = np.array([groups[family] for family in self.families])
        inside = np.zeros(len(of), bool)
        for group in range(GROUPS):
            for kind, found in self.bands(of != group).items():
                meets = (of == group) & (self.kinds == kind)
                ratio = self.measured / np.maximum(self.predicted, 1e-12)
                inside |= meets & (ratio >= found.low) & (ratio <= found.high)
        shares = {kind: float(inside[self.kinds == kind].mean()) for kind in self.bands()}
        return {**shares, "all": float(inside.mean())}

    def profile(self) -> Profile:
        """The profile that ships."""
        batches = sorted(model.timed.batch for model in self.models)
        device = self.table.split("-")[5]
        return Profile(
            name=self.name, device_name=DEVICES[device], settings=self.settings,
            batch=Counter(batches).most_common(1)[0][0], batches=(batches[len(batches) // 20], batches[-1]),
            coefficients=_by_name(self.coefficients(attention=False)),
            attention=_by_name(self.coefficients(attention=True)), bands=self.bands(),
            mean_error=mean_error(self.predicted, self.measured),
            median_error=median_error(self.predicted, self.measured),
            spearman=spearman(self.predicted, self.measured), rows=len(self.models), families=len(set(self.families)),
            image_s=(float(self.measured.min()), float(self.measured.max())), kinds=tuple(_seen(self.models)),
            time=published.date(self.table), source=published.source(self.table),
        )  # fmt: skip


def _by_name(coefficients: Floats) -> dict[str, float]:
    """Coefficients by the names of work, to four digits; those of all kinds for each."""
    found = {}
    for name, value in zip(FACTORS, coefficients.tolist(), strict=True):
        for each in [f"{kind} {name}" for kind in KINDS] if name in OF_A_BATCH else [name]:
            if value:
                found[each] = float(f"{value:.4g}")
    return found


def _seen(models: Sequence[Model], most: int = 5, families: int = 2) -> list[str]:
    """The kinds of operator that matter in so many models of so many families at least."""
    matter = [(kind, model.timed.family) for model in models for kind in kinds_that_matter(model.work)]
    counted = Counter(kind for kind, _ in matter)
    of = Counter(kind for kind, _ in set(matter))
    return [kind for kind in KINDS if counted[kind] >= most and of[kind] >= families]


@functools.cache
def fitted(table: str) -> Fitted:
    """A table, fitted."""
    return Fitted(table, joined(table))


def _version(digits: str) -> str:
    """`113` is 1.13, `240` 2.4.0, `2110` 2.11.0."""
    return f"1.{digits[1:]}" if digits[0] == "1" else f"{digits[0]}.{digits[1:-1]}.{digits[-1]}"
