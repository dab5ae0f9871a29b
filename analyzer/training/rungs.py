"""Successive halving on epochs (Jamieson and Talwalkar 2016; eta as Li et al. 2018).

All are trained for an epoch, those that are kept for eta, and so on to the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from analyzer.errors import UsageError
from analyzer.training.run_records import RunOutcome

T = TypeVar("T")


@dataclass(frozen=True)
class HalvingRung:
    """A comparison after `epochs`: the candidates by validation accuracy (a share; None: not trained so far), the best
    first, of which the first `kept` go on.
    """

    epochs: int
    ranked: tuple[tuple[str, float | None], ...]
    kept: int

    @property
    def standing(self) -> list[str]:
        """Those that go on."""
        return [name for name, accuracy in self.ranked[: self.kept] if accuracy is not None]


def rungs_of(epochs: int, eta: int) -> list[int]:
    """The epochs after which candidates are compared, the last included. Raises UsageError where none is left out."""
    if eta < 2:
        raise UsageError(f"{eta} leaves nothing out", where="--eta", fix="use 2 or 3")
    found, reached = [], 1
    while reached < epochs:
        found.append(reached)
        reached *= eta
    return [*found, epochs]


def halve(
    candidates: Mapping[str, T], rungs: Sequence[int], compare: Callable[[Sequence[T], int], HalvingRung | None]
) -> Iterator[HalvingRung]:
    """Each rung as `compare` makes it of those that stand, which trains them first (None: it was told to end)."""
    standing = list(candidates)
    for epochs in rungs:
        rung = compare([candidates[name] for name in standing], epochs) if standing else None
        if rung is None:
            return
        yield rung
        standing = rung.standing


def mean_accuracy(network: str, runs: Sequence[RunOutcome], epochs: int) -> float | None:
    """A network's mean validation accuracy after so many epochs; None where one of its runs has not come so far."""
    own = [run for run in runs if run.config.network == network]
    there = [run.epochs[epochs - 1].val_accuracy for run in own if len(run.epochs) >= epochs]
    known = [accuracy for accuracy in there if accuracy is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(own) else None
