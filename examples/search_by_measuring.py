"""The fastest networks for what they compute: Optuna proposes, this machine measures; half a minute."""

import analyzer as an

# Small images, so that a forward is short; a batch of one would be the latency of a single image.
space = an.Space(block="dense", blocks=[(1, 1)], growth=range(4, 33, 4), compression=[0.25, 0.5, 1.0], image=32)

# Constraints prune before anything is built; the study begins with the exact static front, and `out="reports/study"`
# would keep it to go on from.
found = an.search(
    space, maximize="conv_activations", limits={"params": "60k"}, objective="measured_latency_s", trials=2, seconds=30
)

print(f"{found.facts['fitting']} of {len(space)} variants are within 60,000 params; {found.facts['ended']}:")
print(found.frame()[["params", "conv_activations", "measured_latency_s", "measured_ratio", "front"]].to_string())
