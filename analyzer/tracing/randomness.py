"""The random generators that a forward may draw from: seeded before a pass, and asked after it whether they moved."""

from __future__ import annotations

import contextlib
import pickle
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from analyzer.records import Remark

PASSES = 8
"""How many passes are made of a forward whose control flow is random, each under a seed of its own."""


def global_generators() -> list[Any]:
    """Python's, numpy's and torch's: a pass seeds them, whatever draws from them."""
    numpy = sys.modules.get("numpy")
    return [random.random.__self__, torch.default_generator, *([] if numpy is None else [numpy.random.rand.__self__])]  # type: ignore[attr-defined]


def generator_kinds() -> set[type]:
    """Types of what draws random numbers from a state of its own. What asks the system (SystemRandom) has none."""
    numpy = sys.modules.get("numpy")
    return {random.Random, torch.Generator} | (
        set() if numpy is None else {numpy.random.Generator, numpy.random.RandomState}
    )


class Generators:
    """Python's, numpy's and torch's generator, and those of a model's own code."""

    def __init__(self, own: Iterable[Any]) -> None:
        known = {id(value) for value in global_generators()}
        self._own = [value for value in own if id(value) not in known]
        self._before: list[Any] = []
        self._after: list[Any] = []

    def begin(self, seed: int) -> None:
        """Seeds torch's, Python's and numpy's; the model's own stay as they are under seed 0, as given."""
        seed_all(seed)
        if seed:
            for own in self._own:
                _seed(own, seed)
        self._before = self._states()

    def end(self) -> None:
        """The forward is over; its backward pass chooses nothing."""
        self._after = self._states()

    def _states(self) -> list[Any]:
        numpy = sys.modules.get("numpy")
        globals_ = [random.getstate(), None if numpy is None else numpy.random.get_state(), torch.get_rng_state()]
        return globals_ + [state_of(own) for own in self._own]

    def chose(self, *, read_values: bool) -> bool:
        """Whether random numbers may have chosen the path; to be asked where no mode watches.

        What Python and numpy draw is for the control flow; what torch draws only where values are read.
        """
        for before, after in zip(self._before, self._after, strict=True):
            of_torch = isinstance(before, torch.Tensor)
            if (read_values or not of_torch) and not (
                torch.equal(before, after) if of_torch else pickle.dumps(before) == pickle.dumps(after)
            ):
                return True
        return False


def seed_all(seed: int) -> None:
    """Seeds Python's, numpy's and torch's generator."""
    random.seed(seed)
    torch.default_generator.manual_seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)


def _seed(generator: Any, seed: int) -> None:
    if isinstance(generator, random.Random):
        generator.seed(seed)
    elif isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif hasattr(generator, "bit_generator"):
        import numpy

        generator.bit_generator.state = type(generator.bit_generator)(numpy.random.SeedSequence(seed)).state
    else:
        generator.seed(seed)


def state_of(generator: Any) -> Any:
    """The state of a generator, for `set_state`."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    return generator.bit_generator.state if hasattr(generator, "bit_generator") else generator.get_state()


def set_state(generator: Any, state: Any) -> None:
    """Puts a generator into a state that it had."""
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


@contextlib.contextmanager
def unseeded_numpy(seed: int) -> Iterator[list[bool]]:
    """numpy's `default_rng()` without a seed has this one; the list says whether any was made."""
    made: list[bool] = []
    numpy = sys.modules.get("numpy")
    if numpy is None:
        yield made
        return
    original = numpy.random.default_rng

    def seeded(given: Any = None) -> Any:
        if given is None:
            made.append(True)
        return original(seed if given is None else given)

    numpy.random.default_rng = seeded
    try:
        yield made
    finally:
        numpy.random.default_rng = original


def varies(name: str, values: list[int]) -> list[Remark]:
    """What is to be said of a figure that passes under other seeds differ in; nothing where they agree."""
    low, high = min(values), max(values)
    text = f"{name} varies, from {low:,} to {high:,} ({len(values)} passes)"
    return [Remark(kind="varies", text=text, figure=name if name.isidentifier() else None)] if low < high else []
