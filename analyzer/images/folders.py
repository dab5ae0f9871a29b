"""Images in files: a folder a class, perhaps in a folder a part. Listed by their names, without opening any."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.images.base import (
    PARTS,
    DamagedImageError,
    DataError,
    Picture,
    Source,
    part_named,
    path_words,
    require_classes,
)
from analyzer.images.decoding import SUFFIXES, decode


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """Images that are files each; `paths` says where they are."""

    paths: tuple[str, ...]

    def picture(self, index: int, *, least: int | None = None) -> Picture:
        """As Source says."""
        where = path_words(self.paths[index])
        try:
            with open(self.paths[index], "rb") as file:
                return decode(file, where, least)
        except OSError as error:
            raise _unreadable(error, where) from error

    def _content(self, index: int) -> str:
        try:
            with open(self.paths[index], "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(error, path_words(self.paths[index])) from error


def _unreadable(error: OSError, where: str) -> DamagedImageError:
    what = f"can't be read: {error.strerror or error}"
    return DamagedImageError(what, where=where, fix="see that it is there and may be read")


HIDDEN = ("hidden file or folder", "hidden files or folders")
BESIDE = ("file beside the class folders", "files beside the class folders")
BESIDE_PARTS = ("folder beside train, val and test", "folders beside train, val and test")
NO_FILE = ("link that leads nowhere, device or pipe", "links that lead nowhere, devices or pipes")
MOST_LEVELS = 50


@dataclass
class _Found:
    """Files of the classes, and what was left out (one of it, many of it), as a walk finds them."""

    rows: list[tuple[str | None, str, str]] = field(default_factory=list)
    """Part, class, path."""
    empty: list[tuple[str | None, str]] = field(default_factory=list)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)


def open_folder(root: Path, name: str) -> FileSource:
    """`root/class/*` or `root/train|val|test/class/*`, at any depth below a class. Raises DataError."""
    found, where = _Found(), path_words(root)
    folders = _folders(root, found)
    parts = _parts(folders, found, where)
    for part, at in parts.items() if parts else [(None, root)]:
        inner = _folders(at, found) if part else folders
        if not inner:
            raise DataError(
                "has no class folder", where=path_words(at),
                fix="put the images of each class into a folder of its name",
            )  # fmt: skip
        for folder in inner:
            _add_class(root, folder, part, found)
    classes = sorted({label for _, label, _ in found.rows} | {label for _, label in found.empty})
    index_of = {label: index for index, label in enumerate(classes)}
    rows = sorted(found.rows, key=lambda row: (PARTS.index(row[0] or PARTS[0]), row[1], row[2]))
    labels, given = tuple(index_of[label] for _, label, _ in rows), tuple(part for part, _, _ in rows)
    shown = tuple(map(path_words, classes))
    require_classes(where, shown, labels, given)
    begin = len(os.path.join(root, ""))
    return FileSource(
        name=name, classes=shown, labels=labels, given=given, remarks=tuple(_remarks(found.left_out)),
        paths=tuple(path for _, _, path in rows), keys=tuple(path_words(path[begin:]) for _, _, path in rows),
    )  # fmt: skip


def _parts(folders: Sequence[Path], found: _Found, where: str) -> dict[str, Path]:
    """The folders of train, val and test, if that is the layout; a class may be called so too, and has no folders."""
    parts: dict[str, Path] = {}
    for folder in folders:
        part = part_named(folder.name)
        if part is None or not _folders(folder, _Found()):
            continue
        if part in parts:
            names = f"{parts[part].name!r} and {folder.name!r}"
            raise DataError(f"has two folders for {part}: {names}", where=where, fix="keep one")
        parts[part] = folder
    if parts:
        found.left_out[BESIDE_PARTS] += len(folders) - len(parts)
    return {part: parts[part] for part in PARTS if part in parts}


def _folders(root: Path, found: _Found) -> list[Path]:
    """The folders directly in a folder, in order; files beside them and hidden ones are counted."""
    folders = []
    for entry in _entries(root):
        if entry.name.startswith("."):
            found.left_out[HIDDEN] += 1
        elif _is(entry, "is_dir"):
            folders.append(Path(entry.path))
        else:
            found.left_out[BESIDE] += 1
    return sorted(folders)


def _add_class(root: Path, folder: Path, part: str | None, found: _Found) -> None:
    before = len(found.rows)
    for path in _files(folder, found, (root,)):
        found.rows.append((part, folder.name, path))
    if len(found.rows) == before:
        found.empty.append((part, folder.name))


def _files(folder: Path, found: _Found, above: tuple[Path, ...]) -> Iterator[str]:
    """The image files in a folder and below it. Raises DataError for a link that leads back."""
    if any(os.path.samefile(folder, each) for each in above):
        raise DataError("leads back to a folder that it is in", where=path_words(folder), fix="remove the link")
    if len(above) > MOST_LEVELS:
        raise DataError(f"is more than {MOST_LEVELS} folders deep", where=path_words(folder), fix="flatten it")
    for entry in _entries(folder):
        ending = os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            found.left_out[HIDDEN] += 1
        elif _is(entry, "is_dir"):
            yield from _files(Path(entry.path), found, (*above, folder))
        elif not _is(entry, "is_file"):
            found.left_out[NO_FILE] += 1
        elif ending and ending not in SUFFIXES:
            shown = path_words(ending)
            found.left_out[f"file named *{shown}, no image", f"files named *{shown}, no images"] += 1
        else:
            yield entry.path


def _is(entry: os.DirEntry[str], kind: str) -> bool:
    """What an entry is; a link that leads to itself is nothing."""
    try:
        return bool(getattr(entry, kind)())
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        what = f"can't be read: {error.strerror or error}"
        raise DataError(what, where=path_words(folder), fix="see that it is there and may be read") from error


def _remarks(left_out: Counter[tuple[str, str]]) -> Iterator[str]:
    for (one, many), count in sorted(left_out.items()):
        if count:
            yield f"left out: {count:,} {one if count == 1 else many}"
