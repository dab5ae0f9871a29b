"""Where the article's parameters sit and what moves them, from Python."""

import analyzer as an
from analyzer.limits import Limit
from analyzer.searching.explain import cheapest, elasticities, shares

article = an.Variant()
total = an.analyze(article).params

print("by role:")
for share in shares(article)[1]:
    print(f"  {share.name:24}{100 * share.figures['params'] / total:5.1f} % of the parameters")

print("1 % more of an axis:")
for found in elasticities(article):
    print(f"  {found.axis:24}{found.elasticities['params']:+5.2f} % params {found.elasticities['macs']:+5.2f} % MACs")

print("the mildest single changes to 7 M parameters:")
for change in cheapest(article, [Limit(figure="params", bound=7_000_000)]):
    print(f"  {change.said:24}{change.record.params:>12,} params {change.record.macs:>14,} MACs")
