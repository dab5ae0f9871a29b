"""What a network on its way is made from: a variant or one's own model, and what was done to that."""

from __future__ import annotations

import copy

from torch import nn

from analyzer.building.modules import build
from analyzer.building.surgery import operate
from analyzer.channel_maps import WHOLE
from analyzer.compressing.naming import shapes_of
from analyzer.compressing.planning import State
from analyzer.errors import UsageError


def remade(state: State) -> nn.Module:
    """A network of the state's form, with weights that mean nothing."""
    if state.variant is not None:
        return build(state.variant).eval()
    if state.parent is not None:
        return operate(build(state.parent), state.done).eval()
    original = state.plan.original
    return operate(copy.deepcopy(original.model), state.done.since(original.done)).eval()


def rebase(state: State) -> None:
    """Has surgery go on from the variant that a network is, where what was done is not all that makes it of its parent:
    it has fewer layers, or layers of other names.
    """
    if state.variant is None or state.parent is None:
        return
    try:
        made = operate(build(state.parent, device="meta"), state.done)
    except UsageError:
        alike = False
    else:
        alike = shapes_of(made) == shapes_of(state.model)
    if not alike:
        state.parent, state.done = state.variant, WHOLE
