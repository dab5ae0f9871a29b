"""A split as a file, `split.json`: each image by its content, so that it holds for the same images anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from analyzer import seals
from analyzer.images.base import PARTS, DataError, Source, path_words
from analyzer.images.check import DataCheck
from analyzer.images.splits import Split, content_of, split_of
from analyzer.structs import Frozen

FORMAT = 1


class _Entry(Frozen, frozen=True, array_like=True):
    key: str
    content: str
    label: str
    part: str | None


class _SplitFile(Frozen, frozen=True, kw_only=True):
    format: int
    data: str
    origin: str
    digest: str
    classes: tuple[str, ...]
    images: tuple[_Entry, ...]
    duplicates: tuple[tuple[str, ...], ...] = ()
    damaged: tuple[str, ...] = ()


def split_json(split: Split, source: Source, check: DataCheck | None = None) -> str:
    """The text of a split.json, with a checksum: every image as [key, content, class, part], a part of null for one
    that is left out; with a check the groups of duplicates and the damaged images.
    """
    part_of = {index: part for part in PARTS for index in getattr(split, part)}
    images = tuple(
        _Entry(key, content_of(source, index), source.classes[label], part_of.get(index))
        for index, (key, label) in enumerate(zip(source.keys, source.labels, strict=True))
    )
    file = _SplitFile(
        format=FORMAT, data=source.name, origin=split.origin, digest=split.digest, classes=source.classes,
        images=images,
        duplicates=tuple(tuple(source.keys[index] for index in group) for group in check.groups) if check else (),
        damaged=tuple(each.image for each in check.damaged) if check else (),
    )  # fmt: skip
    return seals.line(msgspec.to_builtins(file))


def read_split(path: str | Path, source: Source) -> Split:
    """The split that a file says, for the same images under whatever names. Raises DataError that names what changed,
    DamagedRowError where the file itself did.
    """
    where = path_words(path)
    try:
        data = seals.unsealed(seals.decoded(Path(path).read_bytes()), where)
        file = msgspec.convert(data, _SplitFile)
    except OSError as error:
        what = f"can't be read: {error.strerror or error}"
        raise DataError(what, where=where, fix="see that it is there and may be read") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DataError(f"is no split.json: {error}", where=where, fix="make it with `analyze data check --out`") \
            from error  # fmt: skip
    known = [*PARTS, None]
    if file.format != FORMAT or any(entry.part not in known for entry in file.images):
        raise DataError("is of another version", where=where, fix="make it with `analyze data check --out`")
    parts: dict[str | None, list[int]] = {part: [] for part in known}
    for index, entry in enumerate(_matched(file.images, source, where)):
        parts[entry.part].append(index)
    return split_of(source, {part: parts[part] for part in PARTS}, str(path))


def _matched(entries: Iterable[_Entry], source: Source, where: str) -> list[_Entry]:
    """For each image of the source its entry: of those with its content the one with its name, else its class."""
    left: dict[str, list[_Entry]] = {}
    for entry in entries:
        left.setdefault(entry.content, []).append(entry)
    found, new, relabelled = [], [], []
    for index, key in enumerate(source.keys):
        label, same = source.classes[source.labels[index]], left.get(content_of(source, index), [])
        if not same:
            new.append(key)
            continue
        best = max(same, key=lambda entry: (entry.label == label, entry.key == key))
        same.remove(best)
        found.append(best)
        if best.label != label:
            relabelled.append(f"{key}: {label}, was {best.label}")
    gone = [entry.key for same in left.values() for entry in same]
    changes = [("gone", gone), ("new", new), ("labelled otherwise", relabelled)]
    said = [f"{len(names):,} {what} ({_some(names)})" for what, names in changes if names]
    if said:
        raise DataError(
            f"is of other data: {', '.join(said)}", where=where, fix="restore the images, or make the split again"
        )
    return found


def _some(names: Sequence[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")
