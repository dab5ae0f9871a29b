"""What the article's network costs beside DenseNet121, and where."""

from dataclasses import replace

import analyzer as an

article = an.Variant()  # the defaults are the article's
densenet121 = replace(an.PRESETS["densenet121"], classes=article.classes)

comparison = an.compare(densenet121, article, batch=32)
ours, theirs = comparison.records[1], comparison.records[0]
print(f"params       {ours.params:>16,} against {theirs.params:>14,}: {ours.params / theirs.params:.1f} times")
print(f"MACs         {ours.macs:>16,} against {theirs.macs:>14,}: {ours.macs / theirs.macs:.1f} times")
print(f"saved bytes  {ours.saved_bytes:>16,} against {theirs.saved_bytes:>14,}: fewer, at batch 32")

print("\nThe layers that carry the difference in params:")
for change in comparison.layers[0][:3]:
    print(f"  {change.path:40} {change.difference:>+14,}")

# The model itself, built from the same definition, with the article's module names and initialisation.
model = an.build(an.Variant(block_config=(2, 2), growth=16), seed=0)
print(f"\na small relative, built: {sum(p.numel() for p in model.parameters()):,} parameters")
