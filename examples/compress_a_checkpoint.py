"""A trained network to half its parameters by three ways, each beside the same network trained anew: two minutes.

python examples/compress_a_checkpoint.py [FOLDER OF CLASS FOLDERS] [OUT]
"""

import sys
from pathlib import Path

import analyzer as an

data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data/trashnet"
out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("runs")

large = an.Variant(block="dense", block_config=(2, 2), growth=16, compression=0.5, init=16, stem="small")
runs = an.train(large, data, out=out, image=32, epochs=2, lr=3e-3, threads=1)
trained = runs.checkpoint(runs.runs[0].config.run)
half = an.Budget(max_params=an.analyze(str(trained)).params // 2)

PLANS = {
    "pruned": "prune l2 global, finetune 1",
    "low rank": "svd, finetune 1",
    "anew": "prune l2 global, scratch 3",  # the control: as many epochs in all, and nothing of the weights
}
for name, plan in PLANS.items():
    small = an.compress(str(trained), half, plan, data=data, lr=3e-3, quiet=True)
    file = small.save(out / f"{name.replace(' ', '-')}.safetensors")
    accuracy = small.record.steps[-1].test_accuracy
    print(f"{name:9}{small.record.after['params']:>9,} params, test accuracy {100 * accuracy:.1f} %: {file}")
