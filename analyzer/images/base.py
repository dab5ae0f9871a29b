"""What a source of labelled images is, whatever it was opened from."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from analyzer.errors import UsageError
from analyzer.shown import plain

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    from analyzer.later import np

Pixels: TypeAlias = "npt.NDArray[np.uint8]"
"""(height, width, 3) RGB, or another number of channels where that is said."""
PARTS = ("train", "val", "test")
_PART_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class DataError(UsageError):
    """Data that can't be used as it is: not there, not laid out as any layout that is known (exit 2)."""


class DamagedImageError(DataError):
    """One image that can't be had: its file is truncated, empty or none, or a user's Dataset fails on it (exit 2)."""


@dataclass(frozen=True)
class Picture:
    """A decoded image: upright RGB pixels, its size (width, height), and what is odd about it."""

    pixels: Pixels
    size: tuple[int, int]
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Images with labels: listed, not yet decoded. Can be pickled, and used after a fork.

    `name` is as the user named it. `classes` are sorted; `labels` has an index into them for each image, `keys` which
    image it is, for people (`glass/glass1.jpg`, `train[12]`), `given` the part it was given in (`train`, `val`, `test`)
    or None. `remarks` say in words what was left out.
    """

    name: str
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    keys: tuple[str, ...]
    given: tuple[str | None, ...]
    remarks: tuple[str, ...] = ()
    contents: dict[int, str] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Pixels:
        """uint8 (height, width, 3) RGB, turned as EXIF says. Raises DamagedImageError."""
        return self.picture(index).pixels

    def content(self, index: int) -> str:
        """SHA-256 of the file's bytes, or of shape and pixels where there is no file. Raises DamagedImageError."""
        if index not in self.contents:
            self.contents[index] = self._content(index)
        return self.contents[index]

    @abstractmethod
    def picture(self, index: int, *, least: int | None = None) -> Picture:
        """The image with what is odd about it; with `least`, perhaps smaller, no side below that many pixels."""

    @abstractmethod
    def _content(self, index: int) -> str: ...


def part_named(word: str) -> str | None:
    """`train`, `val` or `test` for the words that mean them (`Validation`); None for all others."""
    return _PART_WORDS.get(word.casefold())


def path_words(path: str | os.PathLike[str]) -> str:
    """A path as it may be shown."""
    text = os.fspath(path)
    return text if text.isprintable() and text == text.strip() else plain(text)


def require_classes(where: str, classes: Sequence[str], labels: Sequence[int], given: Sequence[str | None]) -> None:
    """DataError for what nothing can be learnt from: one class, an empty one, parts whose classes differ."""
    if not labels:
        raise DataError("has no image", where=where, fix="see that it is the right place")
    if len(set(classes)) < len(classes):
        raise DataError("has two classes whose names look alike", where=where, fix="rename one")
    if len(classes) < 2:
        only = f"one class only: {classes[0]!r}" if classes else "no class"
        raise DataError(f"has {only}", where=where, fix="give images of two classes or more")
    there: dict[str | None, set[int]] = {}
    for label, part in zip(labels, given, strict=True):
        there.setdefault(part, set()).add(label)
    if None not in there and "train" not in there:
        raise DataError("has no images to train on", where=where, fix="add a part `train`")
    missing = {part: [name for i, name in enumerate(classes) if i not in has] for part, has in there.items()}
    _require_none_missing(where, missing)


def _require_none_missing(where: str, missing: Mapping[str | None, list[str]]) -> None:
    lacking = {part: names for part, names in missing.items() if names}
    if not lacking:
        return
    if len(missing) == 1:
        ((part, names),) = lacking.items()
        of = f" in {part}" if part else ""
        what = f"has no image of {class_words(names)}{of}"
        raise DataError(what, where=where, fix="add images, or take the class away")
    said = "; ".join(f"{part} has none of {class_words(names)}" for part, names in lacking.items())
    what = f"its parts have different classes: {said}"
    raise DataError(what, where=where, fix="give each part images of every class")


def class_words(names: Sequence[str], shown: int = 8) -> str:
    """`classes 'glass', 'metal'`; of many the first."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ("class " if len(names) == 1 else "classes ") + ", ".join(map(repr, names[:shown])) + more
