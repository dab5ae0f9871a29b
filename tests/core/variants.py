"""Random variants, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.variant import Variant

BUILT_IN = sorted(BLOCKS)


@st.composite
def variants(draw: Any, *, buildable: bool = False) -> Variant:
    """Any variant; `buildable` ones are small and make a network at 64 px or more."""
    block = draw(st.sampled_from(BUILT_IN))
    depth = st.integers(1, 3 if buildable else 12)
    config = tuple(draw(st.lists(depth, min_size=1, max_size=3 if buildable else 8)))
    whole = st.integers(1, 24 if buildable else 100_000)
    growth = st.one_of(st.just("double"), whole, st.tuples(*[whole] * len(config)))
    fields: dict[str, Any] = {
        "block": block,
        "block_config": config,
        "growth": draw(growth),
        "init": draw(st.integers(4, 24) if buildable else st.integers(1, 1_000_000)),
        "stem": draw(st.sampled_from(["imagenet", "deep", "small", "strided"])),
        "kernel": draw(st.sampled_from([1, 3, 5, 7])),
        "groups": 1 if buildable else draw(st.integers(1, 64)),
        "classes": draw(st.integers(1, 2000)),
        "image": draw(st.integers(64, 100) if buildable else st.integers(1, 65_536)),
    }
    if BLOCKS[block].has_hidden:
        ratio = (st.floats(0.3, 2.0) if buildable else st.floats(0.0001, 100)).map(lambda r: max(round(r, 3), 0.001))
        fields |= draw(
            st.one_of(
                st.just({}),
                st.fixed_dictionaries({"ratio": st.one_of(ratio, st.tuples(*[ratio] * len(config)))}),
                st.fixed_dictionaries({"bn_size": st.integers(1, 5) if buildable else st.integers(1, 10_000)}),
            )
        )
    if BLOCKS[block].family.has_transitions:
        kept = st.floats(0.3 if buildable else 0.0001, 1).map(lambda c: max(round(c, 3), 0.001))
        each = st.tuples(*[kept] * (len(config) - 1))
        fields |= {
            "compression": draw(st.one_of(kept, each) if len(config) > 1 else kept),
            "drop": draw(st.sampled_from([0.0, 0.0, 0.25])),
        }
    return Variant(**fields)
