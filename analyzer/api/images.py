"""Images that networks are trained on: check_data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analyzer.images.check import check
from analyzer.images.source import open_source

if TYPE_CHECKING:
    from analyzer.images.check import DataCheck


def check_data(data: Any) -> DataCheck:
    """What is wrong with images before a network is trained on them: damaged and odd ones, duplicates, leaks.

    `data` is a folder of class folders (or of train, val and test with such), a CSV of paths and labels, an npz file in
    MedMNIST's layout, a `torch.utils.data.Dataset`, `module:attr` of one (whose code runs), or a mapping of train, val
    and test to Datasets. Raises an AnalyzerError where it is no such; what is found in images is in the result.

    >>> import analyzer as an
    >>> an.check_data("pictures.npz")
    DataCheck(pictures.npz: 24 images of 2 classes, nothing found)
    """
    return check(open_source(data))
