"""Images in files that a CSV lists, with their labels and perhaps their parts."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from analyzer.errors import did_you_mean
from analyzer.images.base import DataError, part_named, path_words, require_classes
from analyzer.images.folders import FileSource

NEEDED = ("path", "label")


def open_list(file: Path, name: str) -> FileSource:
    """A CSV with a heading: `path` (relative to the file's own folder), `label`, perhaps `split` (train, val, test).

    Raises DataError that names the line.
    """
    where = path_words(file)
    rows = list(_rows(file, where))
    classes = tuple(sorted({label for _, label, _ in rows}))
    index_of = {label: index for index, label in enumerate(classes)}
    labels, given = tuple(index_of[label] for _, label, _ in rows), tuple(part for _, _, part in rows)
    require_classes(where, classes, labels, given)
    return FileSource(
        name=name, classes=classes, labels=labels, given=given, keys=tuple(path_words(path) for path, _, _ in rows),
        paths=tuple(os.path.join(file.parent, path) for path, _, _ in rows),
    )  # fmt: skip


def _rows(file: Path, where: str) -> Iterator[tuple[str, str, str | None]]:
    """Path, label and part of each line."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            reader.fieldnames = [heading.strip().casefold() for heading in reader.fieldnames or ()]
            _require_columns(reader.fieldnames, where)
            for row in reader:
                yield _row(row, file.parent, f"{where}, line {reader.line_num}")
    except UnicodeDecodeError as error:
        raise DataError("is not UTF-8 text", where=where, fix="save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"is no CSV: {error}", where=where, fix="save it as comma-separated text") from error
    except OSError as error:
        what = f"can't be read: {error.strerror or error}"
        raise DataError(what, where=where, fix="see that it is there and may be read") from error


def _require_columns(headings: list[str], where: str) -> None:
    for column in NEEDED:
        if column not in headings:
            near = did_you_mean(column, headings) if headings else "it is empty"
            fix = f"head the first line path,label or path,label,split ({near})"
            raise DataError(f"has no column {column!r}", where=where, fix=fix)


def _row(row: dict[str, str], folder: Path, where: str) -> tuple[str, str, str | None]:
    # None stands for cells that a short line lacks, under the key None for what a long one has too many.
    path, label, split = (row.get(column) for column in (*NEEDED, "split"))
    if row.get(None) or not path or label is None or ("split" in row and split is None):  # type: ignore[call-overload]
        raise DataError("has not one cell a column", where=where, fix="write a path, a label and what else is headed")
    if not label.strip():
        raise DataError("has an empty label", where=where, fix="name the class")
    part = part_named(split.strip()) if split is not None else None
    if split is not None and part is None:
        raise DataError(f"has the split {path_words(split)!r}", where=where, fix="write train, val or test")
    _require_file(os.path.join(folder, path), where)
    return path, path_words(label.strip()), part


def _require_file(path: str, where: str) -> None:
    try:
        regular, why = stat.S_ISREG(os.stat(path).st_mode), "is no file"
    except OSError as error:
        regular, why = False, f"can't be found: {error.strerror or error}"
    except ValueError:
        regular, why = False, "is no path"
    if not regular:
        raise DataError(f"{path_words(path)} {why}", where=where, fix="correct the path; it is relative to the CSV")
