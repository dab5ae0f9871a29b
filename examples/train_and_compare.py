"""Does half the growth cost accuracy? Two networks on a folder of images, in pairs of runs: three minutes of a core.

python examples/train_and_compare.py [FOLDER OF CLASS FOLDERS] [OUT]; the same command goes on where it was ended.
"""

import sys
from pathlib import Path

import analyzer as an

data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data/trashnet"
out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("runs")

wide = an.Variant(block="dense", block_config=(2, 2), growth=16, compression=0.5, init=16, stem="small")
narrow = an.Variant(block="dense", block_config=(2, 2), growth=8, compression=0.5, init=16, stem="small")
for name, variant in (("wide", wide), ("narrow", narrow)):
    print(f"{name}: {an.analyze(variant).params:,} params at {variant.classes} classes")

# What counts is declared before the first step: test accuracy after the last epoch, 3 points of it would matter.
runs = an.train([wide, narrow], data, out=out, image=32, seeds=(0, 1, 2), epochs=2, lr=3e-3, threads=1,
                outcome={"margin": 0.03})  # fmt: skip
last = runs.frame().groupby("run").last()
print(last[["train_accuracy", "test_accuracy", "generalisation_gap"]].to_string())

compared = runs.compare()  # in pairs: the same seed, the same images, an interval over both
for judged in compared.judged:
    print(f"{judged.about}, wide - narrow: {judged.verdict}")
print(f"the page: {runs.report(out / 'report.html')}")
