"""Images of a user's own `torch.utils.data.Dataset`, or a mapping of train, val and test to one each.

Naming one as `package.module:attr` or `path.py:attr` runs that code with the rights of whoever calls this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analyzer.errors import words_of
from analyzer.images.base import DamagedImageError, DataError, Picture, Source, part_named, require_classes
from analyzer.images.decoding import from_array, rgb_picture
from analyzer.shown import plain
from analyzer.targets.loading import load_object
from analyzer.targets.resolving import ModuleTarget, resolve

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np

FIX = "an item is (image, label): a PIL image, or an array or tensor of uint8 or of [0, 1], and a whole number"
MOST_CLASSES = 100_000


@dataclass(frozen=True, kw_only=True)
class DatasetSource(Source):
    """Images that a Dataset gives, item by item; `places` says which of `datasets` has each and at which index.

    `target` is the name it was loaded by, if it was: a process that is given this source loads it anew.
    """

    datasets: dict[str | None, Any]
    places: tuple[tuple[str | None, int], ...]
    target: str | None = None
    last: dict[int, Picture] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        if self.target is not None:
            return open_named, (self.target,)
        datasets = self.datasets.get(None, self.datasets)
        return open_datasets, (datasets, self.name)

    def picture(self, index: int, *, least: int | None = None) -> Picture:
        """As Source says; the last one is kept."""
        if index not in self.last:
            part, place = self.places[index]
            image, label = _item(self.datasets[part], place, self.keys[index])
            if label != self.labels[index]:
                raise DataError(
                    f"has the label {label}, but its dataset's targets say {self.labels[index]}",
                    where=self.keys[index], fix="correct its targets, or leave them out",
                )  # fmt: skip
            picture = _picture(image, self.keys[index])
            self.last.clear()
            self.last[index] = picture
        return self.last[index]

    def _content(self, index: int) -> str:
        pixels = self.picture(index).pixels
        return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def open_named(text: str) -> DatasetSource:
    """Loads `package.module:attr` or `path.py:attr`: a Dataset, a factory of one, or a mapping. Raises TargetError,
    DataError.
    """
    target = resolve(text)
    assert isinstance(target, ModuleTarget)
    return open_datasets(load_object(target), text, target=text)


def open_datasets(data: Any, name: str, *, target: str | None = None) -> DatasetSource:
    """A Dataset, or a mapping of train, val and test to one each. Raises DataError."""
    where = plain(name)
    datasets = _by_part(data, where)
    labels: list[int] = []
    places: list[tuple[str | None, int]] = []
    for part, dataset in datasets.items():
        found = list(_labels(dataset, f"{where}, {part}" if part else where))
        labels += found
        places += [(part, index) for index in range(len(found))]
    classes = _classes(list(datasets.values()), labels, where)
    given = tuple(part for part, _ in places)
    require_classes(where, classes, labels, given)
    source = DatasetSource(
        name=name, classes=classes, labels=tuple(labels), given=given, datasets=datasets, places=tuple(places),
        keys=tuple(f"{part or 'item'}[{index}]" for part, index in places), target=target,
    )  # fmt: skip
    _require_the_same_again(source, where)
    return source


def _by_part(data: Any, where: str) -> dict[str | None, Any]:
    datasets: dict[str | None, Any] = {None: data}
    if isinstance(data, Mapping):
        parts = {part_named(str(word)): dataset for word, dataset in data.items()}
        if not parts or None in parts or len(parts) < len(data):
            names = ", ".join(plain(word) for word in data)
            raise DataError(f"maps {names or 'nothing'}", where=where, fix="map train, val and test to a Dataset each")
        datasets = {part: parts[part] for part in ("train", "val", "test") if part in parts}
    for dataset in datasets.values():
        if isinstance(dataset, (str, bytes)) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise DataError(
                f"is a {type(dataset).__name__}, no Dataset with a length and items", where=where,
                fix="give a torch.utils.data.Dataset, a function that makes one, or a mapping of train, val and test",
            )  # fmt: skip
    return datasets


def _classes(datasets: Sequence[Any], labels: Sequence[int], where: str) -> tuple[str, ...]:
    """What the dataset calls its classes, else their numbers."""
    said = [getattr(each, "classes", None) for each in datasets]
    named = [tuple(map(plain, each)) for each in said if isinstance(each, Sequence) and not isinstance(each, str)]
    if len(set(named)) > 1:
        raise DataError("its parts name different classes", where=where, fix="give each part the same `classes`")
    greatest = max(labels, default=-1)
    if named and greatest >= len(named[0]):
        raise DataError(
            f"has the label {greatest} and {len(named[0])} classes", where=where, fix="number classes from 0"
        )
    return named[0] if named else tuple(str(label) for label in range(greatest + 1))


def _labels(dataset: Any, where: str) -> Iterator[int]:
    """The label of each item: from `targets` where the dataset has them, else item by item."""
    try:
        count = len(dataset)
        targets: Any = getattr(dataset, "targets", None)
        targets = targets.tolist() if hasattr(targets, "tolist") else targets
        known = targets is not None and len(targets) == count
    except Exception as error:
        raise DataError(f"has no length: {words_of(error)}", where=where, fix="define __len__") from error
    for index in range(count):
        at = f"{where}, item {index}"
        try:
            yield _label(targets[index], at) if known else _item(dataset, index, at)[1]
        except DamagedImageError as error:
            raise DataError(error.what, where=error.where, fix=error.fix) from error


def _item(dataset: Any, index: int, where: str) -> tuple[Any, int]:
    """An item's image and label. Raises DamagedImageError where the dataset raises, DataError where it is no such."""
    try:
        item = dataset[index]
    except Exception as error:
        what = f"its Dataset raises {words_of(error)}"
        raise DamagedImageError(what, where=where, fix="correct the Dataset") from error
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise DataError(f"is a {type(item).__name__}, no (image, label)", where=where, fix=FIX)
    return item[0], _label(item[1], where)


def _label(value: Any, where: str) -> int:
    """A whole number, also as an array or tensor of one."""
    try:
        array = np.asarray(value)
        number = int(array.item())
        whole = array.size == 1 and number == array.item() and not isinstance(value, (str, bytes))
    except Exception:
        number, whole = -1, False
    if not whole or not 0 <= number < MOST_CLASSES:
        raise DataError(f"has the label {plain(repr(value))[:60]}", where=where, fix=FIX)
    return number


def _picture(image: Any, where: str) -> Picture:
    if hasattr(image, "getexif") and hasattr(image, "convert"):
        return rgb_picture(image, where)
    tensor = hasattr(image, "detach") and hasattr(image, "numpy")
    if not tensor and not isinstance(image, np.ndarray):
        raise DamagedImageError(f"its image is a {type(image).__name__}", where=where, fix=FIX)
    return from_array(image.detach().cpu().numpy() if tensor else image, where, channels_first=tensor)


def _require_the_same_again(source: DatasetSource, where: str) -> None:
    """DataError where an image differs each time it is asked for: nothing that is said of it would hold."""
    try:
        first = source.picture(0).pixels
        source.last.clear()
        again = source.picture(0).pixels
    except DamagedImageError:
        return
    if first.shape != again.shape or (first != again).any():
        raise DataError(
            "gives another image each time it is asked", where=f"{where}, item 0",
            fix="leave random transforms out: training augments by itself",
        )  # fmt: skip
