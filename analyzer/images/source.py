"""What a user names -> images with labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analyzer.images.arrays import open_arrays
from analyzer.images.base import DamagedImageError as DamagedImageError
from analyzer.images.base import DataError as DataError
from analyzer.images.base import Source as Source
from analyzer.images.base import path_words
from analyzer.images.folders import open_folder
from analyzer.images.lists import open_list

FIX = "name a folder of class folders, a CSV of paths and labels, an npz file, or a Dataset as module:attr"


def open_source(data: Any) -> Source:
    """Images with labels, listed without decoding any.

    `data` is a folder (`DIR/class/*`, or `DIR/train|val|test/class/*`), a CSV (`path,label` or `path,label,split`), an
    npz file in MedMNIST's layout, `package.module:attr` or `path.py:attr` of a Dataset, a Dataset itself, or a mapping
    of train, val and test to one each. Naming a Dataset runs its code. Raises DataError, and TargetError for code that
    can't be loaded.
    """
    if isinstance(data, Source):
        return data
    if not isinstance(data, (str, os.PathLike)):
        from analyzer.images.datasets import open_datasets

        name = "/".join(map(str, data)) if isinstance(data, Mapping) else type(data).__name__
        return open_datasets(data, name)
    text = os.fspath(data)
    if not text:
        raise DataError("names nothing", where="data", fix=FIX)
    path = Path(text)
    try:
        if path.is_dir():
            return open_folder(path, path_words(text))
        there = path.exists()
    except (OSError, ValueError) as error:
        raise DataError(f"can't be read: {error}", where=path_words(text), fix=FIX) from error
    if not there and ":" in text and (os.sep not in text or ".py:" in text):
        from analyzer.images.datasets import open_named  # what loads code, only where some is named

        return open_named(text)
    if not there:
        raise DataError("is not there", where=path_words(text), fix=FIX)
    openers = {".csv": open_list, ".npz": open_arrays}
    opener = openers.get(path.suffix.lower())
    if opener is None or not path.is_file():
        raise DataError("is neither a folder nor a CSV or npz file", where=path_words(text), fix=FIX)
    return opener(path, path_words(text))
