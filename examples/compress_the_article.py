"""Which compressions of the article's network cost no more than DenseNet121? Counts only, in a second."""

import analyzer as an

# Every variant of the article's blocks: layer widths, growth, and how much a transition keeps.
grid = an.Grid(
    blocks=[(2, 4, 3, 2)],
    growth=["double", *range(16, 129, 16)],
    ratio=[1 / 4, 1 / 8, 1 / 16],
    compression=[0.25, 0.5, 1.0],
)
result = an.sweep(grid)  # counts only; measure="front" would time the front too

baseline, *variants = result.records
figures = ("params", "macs", "saved_bytes")
under = [v for v in variants if all(getattr(v, f) <= getattr(baseline, f) for f in figures)]

print(f"{len(under)} of {len(variants)} variants are within {baseline.target.shown} in params, MACs and saved bytes.")
print("The largest of them, by parameters:")
for record in sorted(under, key=lambda r: -r.params)[:5]:
    print(
        f"  {record.target.name:48} {record.params:>10,} params  {record.macs:>14,} MACs  "
        f"{record.saved_bytes / 2**20:7.1f} MiB saved"
    )
