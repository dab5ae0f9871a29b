"""The largest networks of the article's blocks that cost no more than DenseNet121: all variants of a space, exactly."""

from dataclasses import replace

import analyzer as an

space = an.Space(
    block=["residual", "dense"],
    blocks=[(2, 4, 3, 2)],
    growth=["double", *range(8, 129, 4)],
    compression=[i / 20 for i in range(2, 21)],
    init=range(16, 97, 8),
)
densenet121 = replace(an.PRESETS["densenet121"], classes=2)
found = an.search(space, maximize=["params", "conv_activations"], under=densenet121, jobs=1)

seen = "all" if found.facts["share"] == 1 else f"{100 * found.facts['share']:.3g} % of the"
front = found.frame()
print(f"{seen} {len(space):,} variants seen, {found.facts['fitting']:,} within DenseNet121, {len(front)} on the front:")
print(front[["params", "macs", "saved_bytes", "conv_activations"]].tail(5).to_string())
