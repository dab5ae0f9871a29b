"""Which images train, validate and test: as they are given, or drawn; duplicates stay together, classes in proportion.

Drawing is a function of the seed, the labels and the order of the images alone: PCG64's raw bits order the groups of
each class, and whoever draws the same again, wherever, gets the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from analyzer.errors import UsageError
from analyzer.images.base import PARTS, DamagedImageError, DataError, Source, class_words

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np

Groups = list[list[int]]
FRACTIONS = (70, 10, 20)
"""Shares of train, val and test, where none are asked for."""


@dataclass(frozen=True)
class Split:
    """Indices of the images that train, validate and test, in order.

    `origin` is `given`, `drawn`, `given, val drawn` or the path of a split.json. `digest` is 64 hexadecimal digits over
    the contents, classes and parts of all images: of equal ones, in whatever order and by whatever names, the same.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    origin: str
    digest: str


def split(
    source: Source,
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    folds: int | None = None,
    fold: int = 0,
    duplicates: Sequence[Sequence[int]] = (),
    exclude: Collection[int] = (),
) -> Split:
    """Parts of a source's images: those given; without any, or for val and test where they are missing, drawn.

    `fractions` are the shares of train, val and test. Images of a group of `duplicates` are never parted; `exclude`
    (damaged ones) are in no part. With `folds` the images are dealt to so many, of which number `fold` tests and a
    share of the others validates. Every class trains, and validates and tests where it has enough images. Raises
    UsageError for what can't be drawn.
    """
    _require(fractions, seed, folds, fold)
    kept = sorted(set(range(len(source))).difference(exclude))
    given = {part: [index for index in kept if source.given[index] == part] for part in PARTS}
    missing = [part for part in PARTS if not given[part]]
    if folds is not None:
        if len(missing) < len(PARTS):
            raise UsageError("has a split of its own", where=source.name, fix="leave out the folds")
        return _folded(source, _grouped(kept, duplicates), (folds, fold, seed), fractions)
    if not missing:
        return split_of(source, given, "given")
    drawn = len(missing) == len(PARTS)
    asked = dict(zip(PARTS, fractions, strict=True))
    shares = {part: asked[part] for part in ("train", *missing[drawn:])}
    groups = _grouped(kept if drawn else given["train"], duplicates)
    parts = given | _drawn(source.labels, groups, shares, seed)
    return split_of(source, parts, "drawn" if drawn else f"given, {' and '.join(missing)} drawn")


def split_of(source: Source, parts: Mapping[str, Iterable[int]], origin: str) -> Split:
    """The split of these parts, each in the images' order."""
    train, val, test = (tuple(sorted(parts[part])) for part in PARTS)
    untrained = set(range(len(source.classes))).difference(source.labels[index] for index in train)
    if untrained:
        names = class_words([source.classes[label] for label in sorted(untrained)])
        raise DataError(f"leaves no image of {names} to train on", where=source.name, fix="add images, or take it away")
    part_of = {index: part for part, indices in zip(PARTS, (train, val, test), strict=True) for index in indices}
    rows = sorted(f"{content_of(source, i)} {part} {source.classes[source.labels[i]]}" for i, part in part_of.items())
    return Split(train, val, test, origin, hashlib.sha256("\n".join(rows).encode()).hexdigest())


def content_of(source: Source, index: int) -> str:
    """The image's content; of one that can't be had, a word that no content is."""
    try:
        return source.content(index)
    except DamagedImageError:
        return f"damaged {source.keys[index]}"


def _require(fractions: Sequence[float], seed: int, folds: int | None, fold: int) -> None:
    good = len(fractions) == len(PARTS) and all(0 <= share < float("inf") for share in fractions)
    if not good or fractions[0] <= 0:
        raise UsageError(
            f"{'/'.join(map(str, fractions))} are no shares", where="split", fix="such as 70/10/20 of train, val, test"
        )
    if seed < 0:
        raise UsageError(f"{seed} is no seed", where="seed", fix="give a whole number from 0")
    if folds is not None and (folds < 2 or not 0 <= fold < folds):
        raise UsageError(f"there is no fold {fold} of {folds}", where="folds", fix="such as folds 5 and fold 0 to 4")


# -- groups ----------------------------------------------------------------------------------------------------


def joined(pairs: Iterable[Sequence[int]]) -> dict[int, int]:
    """For each index that stands in a pair (or longer group) the least index that it is joined with, over any chain."""
    root: dict[int, int] = {}

    def find(index: int) -> int:
        while root.setdefault(index, index) != index:
            root[index] = index = root[root[index]]
        return index

    for first, *others in pairs:
        for other in others:
            low, high = sorted((find(first), find(other)))
            root[high] = low
    return {index: find(index) for index in list(root)}


def _grouped(kept: Iterable[int], duplicates: Iterable[Sequence[int]]) -> Groups:
    """The kept images, those that duplicates join together, in the order of each group's first."""
    least = joined(group for group in duplicates if group)
    groups: dict[int, list[int]] = {}
    for index in kept:
        groups.setdefault(least.get(index, index), []).append(index)
    return list(groups.values())


def _by_class(labels: Sequence[int], groups: Groups, seed: int) -> dict[int, Groups]:
    """The groups of each class in drawn order; one of several labels counts as the one that the fewest groups have."""
    bits = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(groups)).tolist()
    within = [{labels[index] for index in group} for group in groups]
    having = Counter(label for each in within for label in each)
    found: dict[int, Groups] = {}
    for _, group, each in sorted(zip(bits, groups, within, strict=True), key=itemgetter(0)):
        found.setdefault(min(each, key=lambda label: (having[label], label)), []).append(group)
    return dict(sorted(found.items()))


# -- drawing ---------------------------------------------------------------------------------------------------


def _drawn(labels: Sequence[int], groups: Groups, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {part: [] for part in shares}
    wanted = {part: share for part, share in shares.items() if share > 0}
    for own in _by_class(labels, groups, seed).values():
        for part, dealt in _least_one(_dealt(own, wanted), wanted).items():
            parts[part] += [index for group in dealt for index in group]
    return parts


def _dealt(groups: Groups, shares: Mapping[str, float]) -> dict[str, Groups]:
    """Groups laid end to end over intervals as long as the shares: each goes to where its middle lies.

    So each part is within one group of its share.
    """
    total, size = sum(shares.values()), sum(map(len, groups))
    ends = np.cumsum([share / total * size for share in shares.values()])
    dealt: dict[str, Groups] = {part: [] for part in shares}
    names, begin = list(shares), 0
    for group in groups:
        place = int(np.searchsorted(ends, begin + len(group) / 2, side="right"))
        dealt[names[min(place, len(names) - 1)]].append(group)
        begin += len(group)
    return dealt


def _least_one(dealt: dict[str, Groups], shares: Mapping[str, float]) -> dict[str, Groups]:
    """Each part has a group, as far as there are enough: train first, then test, then val."""
    ranks = [part for part in ("train", "test", "val") if part in dealt]
    total, size = sum(shares.values()), sum(len(group) for groups in dealt.values() for group in groups)

    def surplus(part: str) -> float:
        return sum(map(len, dealt[part])) - shares[part] / total * size

    for rank, part in enumerate(ranks):
        rich = [other for other in ranks if len(dealt[other]) > (ranks.index(other) < rank)]
        if not dealt[part] and rich:
            donor = max(rich, key=surplus)
            smallest = min(dealt[donor], key=len)
            dealt[donor].remove(smallest)
            dealt[part].append(smallest)
    return dealt


def _folded(
    source: Source, groups: Groups, which: tuple[int, int, int], fractions: tuple[float, float, float]
) -> Split:
    folds, fold, seed = which
    if len(groups) < folds:
        raise UsageError(f"has {len(groups)} images that can be parted, fewer than {folds} folds", where=source.name,
                         fix="ask for fewer folds")  # fmt: skip
    parts: dict[str, list[int]] = {"test": []}
    rest: Groups = []
    for label, own in _by_class(source.labels, groups, seed).items():
        # Classes begin at different folds, so that small ones don't all fall into the same.
        names = [str((number + label) % folds) for number in range(folds)]
        for name, dealt in _dealt(own, dict.fromkeys(names, 1.0)).items():
            if name == str(fold):
                parts["test"] += [index for group in dealt for index in group]
            else:
                rest += dealt
    shares = {"train": fractions[0], "val": fractions[1]}
    return split_of(source, parts | _drawn(source.labels, sorted(rest), shares, seed), "drawn")
