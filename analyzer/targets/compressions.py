"""What a compressed checkpoint says of how it came to be: from which network, by which map, with what result."""

from __future__ import annotations

from typing import Any

import msgspec

from analyzer.architecture.variant import Variant
from analyzer.channel_maps import CompressionMap
from analyzer.structs import Frozen, Whole


class StepDone(Frozen, frozen=True, kw_only=True):
    """One step of a plan: its words, what it did, and what the network is then: figures by name, all epochs that its
    weights were trained (None: not known), the share of test images that it gets right (None: there were none).
    """

    step: str
    did: str
    figures: dict[str, int] = msgspec.field(default_factory=dict)
    epochs: Whole | None = None
    test_accuracy: float | None = None


class CompressionRecord(Frozen, frozen=True, kw_only=True):
    """What was done, from what.

    `source_digest` is over the source's tensors; `before`, `after` and `limits` are figures by name. `epochs` are all
    that its weights were trained, the source's own (`source_epochs`; None: not known) included. `left` says which
    layers could not be pruned, and why. `variant` names the result where it is one of the family.
    `split` is the digest of how the images were divided, `recipe` how steps that train did, where there were some.
    """

    source: str
    source_digest: str
    source_epochs: Whole | None = None
    plan: str
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    steps: tuple[StepDone, ...] = ()
    before: dict[str, int] = msgspec.field(default_factory=dict)
    after: dict[str, int] = msgspec.field(default_factory=dict)
    epochs: Whole | None = None
    seed: int = 0
    left: dict[str, str] = msgspec.field(default_factory=dict)
    variant: str | None = None
    split: str | None = None
    recipe: dict[str, Any] | None = None


class Compression(Frozen, frozen=True, kw_only=True):
    """A compressed network's map, from its parent: a variant's fields; None: the model that the checkpoint names."""

    parent: dict[str, Any] | None = None
    map: CompressionMap
    record: CompressionRecord

    def family(self) -> Variant | None:
        """The parent, where it is a variant."""
        return None if self.parent is None else Variant.restored(self.parent)

    def anew(self) -> Compression:
        """The same network with weights that are drawn anew."""
        return self._trained("its weights are drawn anew, and trained", source_epochs=None)

    def further(self) -> Compression:
        """The same network, trained further: for how long its run knows."""
        return self._trained("trained further")

    def _trained(self, did: str, **more: Any) -> Compression:
        steps = (*self.record.steps, StepDone(step="train", did=did))
        record = msgspec.structs.replace(self.record, steps=steps, epochs=None, **more)
        return msgspec.structs.replace(self, record=record)
