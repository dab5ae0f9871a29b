"""Images in an npz file as MedMNIST lays it out: `train_images`, `train_labels`, and the same of val and test.

An array is mapped into memory, never loaded whole; one that is compressed is unpacked to a temporary file first, when
its first image is asked for. Nothing pickled is read.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import zipfile
import zlib
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from analyzer.errors import words_of
from analyzer.files import temporary_folder
from analyzer.images.base import PARTS, DataError, Picture, Source, path_words, require_classes
from analyzer.images.decoding import from_array

if TYPE_CHECKING:
    import numpy as np
else:
    from analyzer.later import np

MOST_CLASSES = 100_000
DAMAGE = (OSError, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
          lzma.LZMAError)  # fmt: skip
"""What reading a damaged zip file raises."""
_PIECE = 2**24
_LOCAL_HEADER = 30


@dataclass(frozen=True)
class _Member:
    """An array in the file: where its bytes begin in the (unpacked) member, and what they are."""

    name: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def mapped(self, path: str, begin: int) -> Any:
        """The array of a file in which the member begins there."""
        return np.memmap(path, self.dtype, "r", begin + self.offset, self.shape)


@dataclass(frozen=True, kw_only=True)
class ArraySource(Source):
    """Images in the arrays of an npz file; `places` says in which and at which index."""

    path: str
    members: dict[str, _Member]
    places: tuple[tuple[str, int], ...]
    mapped: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        return open_arrays, (Path(self.path), self.name)

    def picture(self, index: int, *, least: int | None = None) -> Picture:
        """As Source says."""
        return from_array(self._array(index), self.keys[index])

    def _content(self, index: int) -> str:
        array = np.ascontiguousarray(self._array(index))
        return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()

    def _array(self, index: int) -> Any:
        name, place = self.places[index]
        if name not in self.mapped:
            self.mapped[name] = self._map(self.members[name])
        return self.mapped[name][place]

    def _map(self, member: _Member) -> Any:
        try:
            with zipfile.ZipFile(self.path) as archive:
                info = archive.getinfo(member.name)
                if info.compress_type == zipfile.ZIP_STORED:
                    return member.mapped(self.path, _begin(self.path, info))
                with temporary_folder("images") as folder:  # which may go once the file is mapped
                    return member.mapped(_unpacked(archive, info, folder), 0)
        except DAMAGE as error:
            fix = "see that it is whole, and that there is room for temporary files"
            raise DataError(f"can't be read: {error}", where=path_words(self.path), fix=fix) from error


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: str) -> str:
    free = shutil.disk_usage(folder).free
    if free < info.file_size:
        raise OSError(f"unpacked it takes {info.file_size:,} bytes, and {folder} has {free:,}")
    path = str(Path(folder, "array.npy"))
    with archive.open(info) as packed, open(path, "wb") as file:
        shutil.copyfileobj(packed, file, _PIECE)
    return path


def _begin(path: str, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: behind its local header, whose last two numbers are lengths."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
    return info.header_offset + _LOCAL_HEADER + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))


def open_arrays(file: Path, name: str) -> ArraySource:
    """Reads shapes and labels. Raises DataError that names the array."""
    where = path_words(file)
    try:
        with zipfile.ZipFile(file) as archive:
            parts = [part for part in PARTS if f"{part}_images.npy" in archive.namelist()]
            if "train" not in parts:
                raise DataError(
                    "has no train_images", where=where,
                    fix="name its arrays as MedMNIST does: train_images, train_labels, val_images, ...",
                )  # fmt: skip
            members = {part: _images(archive, f"{part}_images", where) for part in parts}
            labels = {part: _labels(archive, f"{part}_labels", members[part].shape[0], where) for part in parts}
    except DAMAGE as error:
        raise DataError(f"is no npz file that can be read: {error}", where=where, fix="make it with numpy.savez") \
            from error  # fmt: skip
    everything = [label for part in parts for label in labels[part]]
    classes = tuple(str(label) for label in range(max(everything) + 1))
    given = tuple(part for part in parts for _ in labels[part])
    require_classes(where, classes, everything, given)
    places = tuple((part, place) for part in parts for place in range(len(labels[part])))
    return ArraySource(
        name=name, classes=classes, labels=tuple(everything), given=given, places=places, members=members,
        keys=tuple(f"{part}[{place}]" for part, place in places), path=str(file),
    )  # fmt: skip


def _images(archive: zipfile.ZipFile, name: str, where: str) -> _Member:
    with archive.open(f"{name}.npy") as file:
        member = _header(file, archive.getinfo(f"{name}.npy"), where)
    shape = member.shape
    grey_or_colour = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    if member.dtype != np.uint8 or not grey_or_colour or 0 in shape:
        said = f"{'x'.join(map(str, shape))} of {member.dtype}"
        fix = "give images as uint8, (N, H, W) or (N, H, W, 3)"
        raise DataError(f"is {said or 'a scalar'}", where=f"{where}, {name}", fix=fix)
    return member


def _labels(archive: zipfile.ZipFile, name: str, images: int, where: str) -> list[int]:
    at, fix = f"{where}, {name}", f"give one whole number an image, from 0: ({images},) or ({images}, 1)"
    if f"{name}.npy" not in archive.namelist():
        raise DataError("is not there", where=at, fix=fix)
    with archive.open(f"{name}.npy") as file:
        member = _header(file, archive.getinfo(f"{name}.npy"), where)
        if not np.issubdtype(member.dtype, np.integer) or member.shape not in ((images,), (images, 1)):
            raise DataError(f"is {'x'.join(map(str, member.shape))} of {member.dtype}", where=at, fix=fix)
        labels = np.frombuffer(file.read(), member.dtype)
    wrong = next((int(label) for label in labels if not 0 <= label < MOST_CLASSES), None)
    if wrong is not None:
        raise DataError(f"has the label {wrong}", where=at, fix=fix)
    return [int(label) for label in labels]


def _header(file: IO[bytes], info: zipfile.ZipInfo, where: str) -> _Member:
    """What an array's own header says, the file being left behind it. Raises DataError for what is pickled or cut."""
    at = f"{where}, {info.filename.removesuffix('.npy')}"
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, by_columns, dtype = read(file)
    except Exception as error:  # numpy's reader raises whatever a damaged header leads it to
        raise DataError(f"is no array: {words_of(error)}", where=at, fix="make it with numpy.savez") from error
    if dtype.hasobject:
        raise DataError("holds pickled objects, which are not read", where=at, fix="save plain numbers")
    if by_columns and len(shape) > 1:
        raise DataError("is in Fortran's order", where=at, fix="save numpy.ascontiguousarray of it")
    offset = file.tell()
    if offset + prod(shape) * dtype.itemsize != info.file_size:
        raise DataError("is cut: its size is not what its header says", where=at, fix="make it again")
    return _Member(info.filename, offset, shape, dtype)
