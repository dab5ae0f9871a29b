"""What is wrong with images before a network is trained on them: damaged, odd, the same twice, in two parts at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from analyzer.answers import Answering, AnswerParts, AnswerTable
from analyzer.images.base import PARTS, DataError, Source
from analyzer.images.decoding import ODD
from analyzer.images.examining import Seen, Watch, examine
from analyzer.images.likeness import alike
from analyzer.images.splits import joined
from analyzer.structs import Frozen, Span, Whole

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
else:
    from analyzer.later import np

MOST_PAIRS = 200_000
"""Of images so alike that there are more pairs, the rest is not searched."""
SIZES_SHOWN = 20
ROWS_SHOWN = 20
"""Findings of a kind in a table; frames and files have all."""
COLUMNS = ("finding", "image", "other", "what")


class LeakError(DataError):
    """Images that both train and validate or test: a score on them says nothing (exit 2)."""


class ClassCount(Frozen, frozen=True, kw_only=True):
    """A class and its images, by the parts they were given in where they were."""

    name: str
    images: Whole
    parts: dict[str, Whole]


class SizeCount(Frozen, frozen=True, kw_only=True):
    """A size in pixels, and how many images have it."""

    width: Whole
    height: Whole
    images: Whole


class Damaged(Frozen, frozen=True, kw_only=True):
    """An image that can't be had: which, its index, why."""

    image: str
    index: Whole
    what: str


class Odd(Frozen, frozen=True, kw_only=True):
    """Images that are not plain 8-bit RGB of a usual size: of which kind, what that means, which."""

    kind: str
    means: str
    images: tuple[str, ...]


class Pair(Frozen, frozen=True, kw_only=True):
    """Two images that are the same (`identical` bytes), or nearly (hashes agree, and 32x32 grey correlates by 0.98).

    `kind` is the worst that it is: a `leak` between given parts, a `conflict` of labels, a `duplicate`, or `near`.
    """

    kind: Literal["leak", "conflict", "duplicate", "near"]
    images: tuple[str, str]
    indices: tuple[Whole, Whole]
    classes: tuple[str, str]
    parts: tuple[str | None, str | None]
    identical: bool
    correlation: float

    @property
    def words(self) -> str:
        """`correlation 0.9912; train and test; glass and metal`."""
        said = ["identical" if self.identical else f"correlation {self.correlation:.4f}"]
        said += [f"{first} and {second}" for first, second in (self.parts, self.classes) if first != second]
        return "; ".join(said)


class DataCheck(Frozen, Answering, frozen=True, kw_only=True):
    """What was found in images. `pairs` are the worst first; `groups` joins them: indices of images that belong
    together. `sizes` are the most frequent. `seconds` is how long it took.
    """

    name: str
    images: Whole
    classes: tuple[ClassCount, ...]
    sizes: tuple[SizeCount, ...]
    least_size: tuple[Whole, Whole] | None
    most_size: tuple[Whole, Whole] | None
    damaged: tuple[Damaged, ...]
    odd: tuple[Odd, ...]
    pairs: tuple[Pair, ...]
    groups: tuple[tuple[Whole, ...], ...]
    remarks: tuple[str, ...]
    seconds: Span

    @property
    def leaks(self) -> tuple[Pair, ...]:
        """Pairs across given parts."""
        return tuple(pair for pair in self.pairs if pair.kind == "leak")

    @property
    def conflicts(self) -> tuple[Pair, ...]:
        """Pairs with two labels, those across parts included."""
        return tuple(pair for pair in self.pairs if pair.classes[0] != pair.classes[1])

    @property
    def left_out(self) -> frozenset[int]:
        """Indices of the damaged images, which nothing can be trained on."""
        return frozenset(each.index for each in self.damaged)

    def require_no_leak(self) -> None:
        """Raises LeakError that names images which are in two given parts."""
        leaks = self.leaks
        if leaks:
            named = "; ".join(f"{pair.images[0]} and {pair.images[1]} ({pair.words})" for pair in leaks[:3])
            more = f"; and {len(leaks) - 3:,} more pairs" if len(leaks) > 3 else ""
            what = f"parts share images: {named}{more}"
            raise LeakError(
                what, where=self.name, fix="keep each in one part (`analyze data check` lists all), or --allow-leaks"
            )

    def findings(self) -> Iterator[tuple[str, str, str, str]]:
        """Rows under COLUMNS, the worst first: leaks, conflicts, damaged images, duplicates, near ones, odd ones."""
        rows = [(pair.kind, *pair.images, pair.words) for pair in self.pairs]
        yield from (row for row in rows if row[0] in ("leak", "conflict"))
        yield from (("damaged", each.image, "", each.what) for each in self.damaged)
        yield from (row for row in rows if row[0] in ("duplicate", "near"))
        yield from (("odd", image, "", f"{each.kind}: {each.means}") for each in self.odd for image in each.images)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

    def frame(self) -> pd.DataFrame:
        """One row a finding."""
        import pandas as pd

        return pd.DataFrame(list(self.findings()), columns=list(COLUMNS))

    def answer(self) -> AnswerParts:
        """The tables, and the rest in words."""
        return AnswerParts(
            title=f"The images of {self.name}", tables=tuple(self.tables("frame() has all")), words=tuple(self.words())
        )

    def tables(self, more: str) -> Iterator[AnswerTable]:
        """The classes, then what was found: of each kind so many rows; `more` says where the rest is."""
        parts = [part for part in PARTS if any(part in each.parts for each in self.classes)]
        rows = [
            [each.name, f"{each.images:,}", *(f"{each.parts.get(part, 0):,}" for part in parts)]
            for each in self.classes
        ]
        yield AnswerTable("Classes", ("class", "images", *parts), rows)
        found: list[Sequence[str]] = []
        for kind, several in groupby(self.findings(), key=lambda row: row[0]):
            every = list(several)
            found += every[:ROWS_SHOWN]
            if len(every) > ROWS_SHOWN:
                found.append((kind, f"and {len(every) - ROWS_SHOWN:,} more", "", more))
        if found:
            yield AnswerTable("What was found", COLUMNS, found, left=len(COLUMNS))

    def words(self) -> Iterator[str]:
        """Sizes, kinds of odd images, remarks."""
        if self.sizes and self.least_size and self.most_size:
            common = self.sizes[0]
            most = f"{common.width}x{common.height} ({common.images:,})"
            least, largest = (f"{width}x{height}" for width, height in (self.least_size, self.most_size))
            yield f"sizes: {most}" if least == largest else f"sizes: {least} to {largest}, most often {most}"
        for each in self.odd:
            yield f"{each.kind}: {len(each.images):,} ({each.means})"
        yield from self.remarks

    def __repr__(self) -> str:
        counted = Counter(row[0] for row in self.findings())
        found = ", ".join(f"{count:,} {kind}" for kind, count in counted.items()) or "nothing found"
        return f"DataCheck({self.name}: {self.images:,} images of {len(self.classes):,} classes, {found})"


def _unwatched(done: int, total: int) -> None:
    pass


def check(source: Source, *, watch: Watch = _unwatched) -> DataCheck:
    """Looks at every image once, on all cores, and compares all with all. `watch` is told how far it is.

    What is found is no error, a leak neither: see `DataCheck.require_no_leak`.
    """
    begun = time.perf_counter()
    seen = examine(source, watch)
    identical, near = _identical(seen), list(islice(_near(seen), MOST_PAIRS + 1))
    found = [*((*pair, 1.0) for pair in identical), *near[:MOST_PAIRS]]
    remarks = list(source.remarks)
    if len(near) > MOST_PAIRS:
        remarks.append(f"more than {MOST_PAIRS:,} pairs are nearly the same: the others were not searched")
    pairs = [_pair(source, pair, exact=place < len(identical)) for place, pair in enumerate(found)]
    order = ("leak", "conflict", "duplicate", "near")
    sizes = Counter(each.size for each in seen if not each.damage)
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return DataCheck(
        name=source.name, images=len(source), classes=tuple(_counts(source)),
        sizes=tuple(SizeCount(width=w, height=h, images=n) for (w, h), n in sizes.most_common(SIZES_SHOWN)),
        least_size=ordered[0] if ordered else None, most_size=ordered[-1] if ordered else None,
        damaged=tuple(Damaged(image=key, index=index, what=each.damage)
                      for index, (key, each) in enumerate(zip(source.keys, seen, strict=True)) if each.damage),
        odd=tuple(_odd(source, seen)), remarks=tuple(remarks), groups=_groups(found),
        pairs=tuple(sorted(pairs, key=lambda pair: (order.index(pair.kind), -pair.correlation, pair.indices))),
        seconds=time.perf_counter() - begun,
    )  # fmt: skip


def _counts(source: Source) -> Iterator[ClassCount]:
    by_part: dict[str, Counter[int]] = {part: Counter() for part in PARTS if part in source.given}
    of_all = Counter(source.labels)
    for label, part in zip(source.labels, source.given, strict=True):
        if part is not None:
            by_part[part][label] += 1
    for label, name in enumerate(source.classes):
        yield ClassCount(name=name, images=of_all[label], parts={part: by_part[part][label] for part in by_part})


def _odd(source: Source, seen: Sequence[Seen]) -> Iterator[Odd]:
    for kind, means in ODD.items():
        images = tuple(key for key, each in zip(source.keys, seen, strict=True) if kind in each.odd)
        if images:
            yield Odd(kind=kind, means=means, images=images)


def _identical(seen: Sequence[Seen]) -> list[tuple[int, int]]:
    """Whole images with equal contents, each with the first of them."""
    first: dict[str, int] = {}
    at = ((index, first.setdefault(each.content, index)) for index, each in enumerate(seen) if not each.damage)
    return [(before, index) for index, before in at if before != index]


def _near(seen: Sequence[Seen]) -> Iterator[tuple[int, int, float]]:
    """Pairs that are nearly the same, of identical images the first alone."""
    first: dict[str, int] = {}
    for index, each in enumerate(seen):
        if each.small is not None:
            first.setdefault(each.content, index)
    chosen = list(first.values())
    if chosen:
        smalls = np.stack([small for index in chosen if (small := seen[index].small) is not None])
        pairs = alike(smalls, [seen[index].hash for index in chosen])
        yield from ((chosen[one], chosen[other], value) for one, other, value in pairs)


def _pair(source: Source, found: tuple[int, int, float], *, exact: bool) -> Pair:
    first, second, correlation = found
    classes = (source.classes[source.labels[first]], source.classes[source.labels[second]])
    parts = (source.given[first], source.given[second])
    same: Literal["duplicate", "near"] = "duplicate" if exact else "near"
    return Pair(
        kind="leak" if parts[0] != parts[1] else "conflict" if classes[0] != classes[1] else same,
        images=(source.keys[first], source.keys[second]), indices=(first, second), classes=classes, parts=parts,
        identical=exact, correlation=round(correlation, 6),
    )  # fmt: skip


def _groups(found: Sequence[tuple[int, int, float]]) -> tuple[tuple[int, ...], ...]:
    groups: dict[int, list[int]] = {}
    for index, least in sorted(joined((first, second) for first, second, _ in found).items()):
        groups.setdefault(least, []).append(index)
    return tuple(map(tuple, groups.values()))
