"""A source's images divided to train, validate and test, once for all runs of a folder: kept there, found again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import UsageError
from analyzer.files import write_text
from analyzer.images.base import DataError, Source
from analyzer.images.check import DataCheck, check
from analyzer.images.split_file import read_split, split_json
from analyzer.images.splits import FRACTIONS, Split, content_of, split


@dataclass(frozen=True)
class Division:
    """How images are divided where the data does not say: shares of train, val and test, drawn by a seed; or `folds`,
    each of which tests once. `file` is a split.json that says it all. With
    `allow_leaks` parts as they are given may share images.
    """

    fractions: tuple[float, float, float] = FRACTIONS
    seed: int = 0
    folds: int | None = None
    file: Path | None = None
    allow_leaks: bool = False

    def __post_init__(self) -> None:
        if self.folds is not None and self.file is not None:
            raise UsageError("says how images are divided", where="--split-file", fix="leave out --folds")


@dataclass(frozen=True)
class Parts:
    """One division; `fold` is which (None: the only one)."""

    split: Split
    fold: int | None = None


def divided(
    source: Source, folder: Path, how: Division, *, accept: bool, say: Callable[[str], None],
    warn: Callable[[str], None],
) -> list[Parts]:  # fmt: skip
    """The divisions of a folder's runs: as it has them, else drawn now, duplicates kept together, and kept there.

    Drawing looks at every image. Raises UsageError where images of given parts are each other's duplicates, or the
    folder's division is of other images (with `accept` they are divided anew).
    """
    if how.file is not None:
        return [Parts(read_split(how.file, source))]
    folds: Sequence[int | None] = [None] if how.folds is None else range(how.folds)
    paths = {fold: folder / _name(how, fold) for fold in folds}
    if all(path.exists() for path in paths.values()):
        try:
            return [Parts(read_split(path, source), fold) for fold, path in paths.items()]
        except DataError:
            if not accept:
                raise
    say(f"looking at {len(source):,} images")
    looked = _examined(source, how, warn)
    made = []
    for fold, path in paths.items():
        parts = split(
            source, fractions=how.fractions, seed=how.seed, folds=how.folds, fold=fold or 0,
            duplicates=looked.groups, exclude=looked.left_out,
        )  # fmt: skip
        write_text(path, split_json(parts, source, looked))
        made.append(Parts(parts, fold))
    return made


def _examined(source: Source, how: Division, warn: Callable[[str], None]) -> DataCheck:
    """What a look at every image finds, conflicts and damage told. Raises LeakError where given parts share images."""
    looked = check(source)
    if how.allow_leaks and looked.leaks:
        first, *_ = looked.leaks
        warn(
            f"parts share images: {len(looked.leaks):,} pairs, such as {' and '.join(first.images)} ({first.words}): "
            "what is measured on them says little"
        )
    else:
        looked.require_no_leak()
    for kind, image, other, what in looked.findings():
        if kind in ("conflict", "damaged"):
            warn(f"{image}{' and ' * bool(other)}{other}: {what}{' (left out)' * (kind == 'damaged')}")
    return looked


def _name(how: Division, fold: int | None) -> str:
    """The file that a division is kept in: one for each way that it can be drawn."""
    drawn = "-".join(f"{share:g}" for share in how.fractions)
    word = "" if (how.fractions, how.seed) == (Division().fractions, Division().seed) else f"-{drawn}-seed{how.seed}"
    return f"split{word}.json" if fold is None else f"split{word}-fold{fold}of{how.folds}.json"


def data_digest(source: Source, parts: Sequence[Parts]) -> str:
    """Over the contents and classes of all images that are in any part, in whatever order: 64 digits."""
    used = {index for each in parts for index in each.split.train + each.split.val + each.split.test}
    rows = sorted(f"{content_of(source, index)} {source.classes[source.labels[index]]}" for index in used)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
