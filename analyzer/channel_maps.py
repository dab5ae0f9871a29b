"""What compression did to a network's modules, as it is kept: channels cut, layers made pairs of low rank.

A map is applied to the network that it was made from, and gives the compressed one; its weights come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from analyzer.errors import UsageError
from analyzer.structs import Frozen, Some

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    from analyzer.later import np

MAX_WIDTH = 2**24
"""Channels of one layer that a map may speak of: a damaged file asks for no more memory than that."""


class KeptChannels(Frozen, frozen=True, kw_only=True):
    """Which of `width` channels are kept: bit i of the hexadecimal `mask`, from its left, is channel i."""

    width: Some
    mask: str

    @classmethod
    def of(cls, kept: NDArray[np.bool_]) -> KeptChannels:
        """From one truth value a channel."""
        return cls(width=len(kept), mask=np.packbits(kept).tobytes().hex())

    def flags(self) -> NDArray[np.bool_]:
        """One truth value a channel. Raises UsageError where the mask is not as long as the width says."""
        try:
            bits = np.frombuffer(bytes.fromhex(self.mask), np.uint8)
        except ValueError:
            bits = np.zeros(0, np.uint8)
        if self.width > MAX_WIDTH or len(bits) != -(-self.width // 8):
            raise UsageError("is no map of channels", where="map", fix="restore the checkpoint")
        return np.unpackbits(bits)[: self.width].astype(bool)

    def indices(self) -> NDArray[np.int64]:
        """The channels that are kept, in order."""
        return np.flatnonzero(self.flags())

    @property
    def count(self) -> int:
        """How many are kept."""
        return int(self.flags().sum())

    def within(self, earlier: KeptChannels) -> KeptChannels:
        """These channels of those that an earlier cut kept, as channels of what that cut began with."""
        flags = np.zeros(earlier.width, bool)
        flags[earlier.indices()[self.flags()]] = True
        return self.of(flags)

    def since(self, earlier: KeptChannels) -> KeptChannels:
        """These channels as channels of what an earlier cut kept: `cut.within(earlier).since(earlier)` is the cut."""
        return self.of(self.flags()[earlier.indices()])


class ModuleCut(Frozen, frozen=True, kw_only=True):
    """The channels that a module keeps of its outputs and of its inputs; None: all."""

    outputs: KeptChannels | None = None
    inputs: KeptChannels | None = None

    def within(self, earlier: ModuleCut) -> ModuleCut:
        """This cut of what an earlier one left, as one cut."""
        return ModuleCut(outputs=_within(self.outputs, earlier.outputs), inputs=_within(self.inputs, earlier.inputs))

    def since(self, earlier: ModuleCut) -> ModuleCut:
        """What this cut took of what an earlier one, which is a part of it, had left."""
        return ModuleCut(outputs=_since(self.outputs, earlier.outputs), inputs=_since(self.inputs, earlier.inputs))


def _since(later: KeptChannels | None, earlier: KeptChannels | None) -> KeptChannels | None:
    return later if later is None or earlier is None else later.since(earlier)


def _within(later: KeptChannels | None, earlier: KeptChannels | None) -> KeptChannels | None:
    return earlier if later is None else later if earlier is None else later.within(earlier)


class ChannelMap(Frozen, frozen=True, kw_only=True, tag="channels"):
    """Cuts by module path; a module that is not there is whole."""

    modules: dict[str, ModuleCut]

    def within(self, earlier: ChannelMap) -> ChannelMap:
        """This map of what an earlier one left, as one map."""
        nothing = ModuleCut()
        paths = dict.fromkeys([*earlier.modules, *self.modules])
        return ChannelMap(
            modules={path: self.modules.get(path, nothing).within(earlier.modules.get(path, nothing)) for path in paths}
        )

    def since(self, earlier: ChannelMap) -> ChannelMap:
        """This map, of which an earlier one is a part, as a map of what that one left."""
        nothing = ModuleCut()
        return ChannelMap(
            modules={path: cut.since(earlier.modules.get(path, nothing)) for path, cut in self.modules.items()}
        )


class RankMap(Frozen, frozen=True, kw_only=True, tag="ranks"):
    """Layers that are several of low rank, by path: one rank (1x1 and linear: a pair), or those of a 3x3's inputs and
    outputs (Tucker-2: three layers).
    """

    modules: dict[str, tuple[Some, ...]]


class CompressionMap(Frozen, frozen=True, kw_only=True):
    """What was done to a network, in order; nothing: it is as it was."""

    steps: tuple[ChannelMap | RankMap, ...] = ()

    def then(self, step: ChannelMap | RankMap) -> CompressionMap:
        """With one more step; a cut after a cut is one."""
        if isinstance(step, ChannelMap) and self.steps and isinstance(last := self.steps[-1], ChannelMap):
            return CompressionMap(steps=(*self.steps[:-1], step.within(last)))
        return CompressionMap(steps=(*self.steps, step))

    def since(self, earlier: CompressionMap) -> CompressionMap:
        """What was done after an earlier map, with which this one begins."""
        if not earlier.steps:
            return self
        *_, last = earlier.steps
        first, *rest = self.steps[len(earlier.steps) - 1 :]
        if first == last:
            return CompressionMap(steps=tuple(rest))
        assert isinstance(first, ChannelMap)
        assert isinstance(last, ChannelMap)
        return CompressionMap(steps=(first.since(last), *rest))

    def __bool__(self) -> bool:
        return bool(self.steps)


WHOLE = CompressionMap()
"""Nothing done."""


def channel_map(kept: Mapping[tuple[str, str], NDArray[np.bool_]]) -> ChannelMap:
    """From truth values by module path and side (`outputs` or `inputs`); what is whole is left out."""
    modules: dict[str, dict[str, KeptChannels]] = {}
    for (path, side), flags in kept.items():
        if not flags.all():
            modules.setdefault(path, {})[side] = KeptChannels.of(flags)
    return ChannelMap(modules={path: ModuleCut(**sides) for path, sides in modules.items()})
