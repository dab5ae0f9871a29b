"""Files and arrays -> RGB pixels: every kind of image is converted rightly, and what is odd about it is said.

Only formats that Pillow decodes by itself are read: none starts another program.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from analyzer.errors import words_of
from analyzer.images.base import DamagedImageError, Picture, Pixels

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
else:
    from analyzer.later import np

_ENDINGS = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff", "ppm", "pgm", "pbm", "pnm")
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS)
"""How the names of image files end; a name without an ending may be one too."""
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM")
MOST_PIXELS = 89_478_485
"""What a file may have by its header, a quarter of a GB as RGB: Pillow's own bound for what may be a bomb."""
HUGE_PIXELS = 2**25
ODD = {
    "grey": "one channel",
    "16-bit": "16 bits a channel, scaled to 8",
    "cmyk": "converted without its colour profile",
    "palette": "colours by a palette",
    "alpha": "transparency, laid over white",
    "turned": "turned as EXIF says",
    "animated": "several pictures, the first taken",
    "tiny": "a side of 1 px",
    "huge": f"more than {HUGE_PIXELS:,} pixels",
    "flat": "one colour",
    "rare mode": "converted from an unusual colour space",
}
"""What an image can be besides 8-bit RGB of a usual size, and what that means."""
_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""EXIF orientation -> the number of Pillow's Image.Transpose that makes it upright."""
_ON_ITS_SIDE = (5, 6, 7, 8)


def decode(file: BinaryIO, where: str, least: int | None = None) -> Picture:
    """The image of an open file. With `least` a JPEG may be decoded to less than its size, no side below `least`.

    Raises DamagedImageError where it can't be had whole.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of big images, which are refused here, and of metadata
            with Image.open(file, formats=_formats()) as image:
                return _decoded(image, where, least)
    except DamagedImageError:
        raise
    except UnidentifiedImageError as error:
        empty = file.seekable() and file.seek(0, 2) == 0
        what = "is empty: 0 bytes" if empty else "is no image of a known format"
        raise DamagedImageError(what, where=where, fix="replace it, or take it away") from error
    except Image.DecompressionBombError as error:
        raise _too_big(where) from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise DamagedImageError(
            f"can't be decoded: {words_of(error)}", where=where, fix="replace it, or take it away"
        ) from error


def _formats() -> tuple[str, ...]:
    from PIL import Image

    if "WEBP" not in Image.OPEN:
        Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _too_big(where: str) -> DamagedImageError:
    return DamagedImageError(
        f"has more than {MOST_PIXELS:,} pixels by its header and is not decoded", where=where, fix="make it smaller"
    )


def _decoded(image: Image.Image, where: str, least: int | None) -> Picture:
    if image.size[0] * image.size[1] > MOST_PIXELS:
        raise _too_big(where)
    odd = list(_odd_by_header(image))
    if image.format == "TIFF" and _orientation(image) in _TURNS:  # which Pillow turns as it loads
        odd.append("turned")
    size = image.size
    if least is not None:
        image.draft(None, (least, least))
    image.load()
    return rgb_picture(image, where, size, odd)


def rgb_picture(
    image: Image.Image, where: str, size: tuple[int, int] | None = None, odd: Iterable[str] | None = None
) -> Picture:
    """The picture of a loaded Pillow image, turned upright; `size` is its whole one where it was decoded to less.

    Raises DamagedImageError.
    """
    from PIL import Image as Images

    said = tuple(_odd_by_header(image) if odd is None else odd)
    pixels, (width, height) = rgb_of(image, where), size or image.size
    orientation = _orientation(image)
    if orientation not in _TURNS:
        return Picture(pixels, (width, height), said)
    upright = np.asarray(Images.fromarray(pixels).transpose(Images.Transpose(_TURNS[orientation])))
    return Picture(upright, (height, width) if orientation in _ON_ITS_SIDE else (width, height), (*said, "turned"))


def _odd_by_header(image: Image.Image) -> Iterator[str]:
    if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16"):
        yield "grey"
    tiles = getattr(image, "tile", ()) if image.format == "PNG" else ()
    if image.mode.startswith("I") or any("16" in str(tile[3]) for tile in tiles):
        yield "16-bit"
    if image.mode == "CMYK":
        yield "cmyk"
    if image.mode in ("P", "PA"):
        yield "palette"
    if image.has_transparency_data:
        yield "alpha"
    if image.mode in ("YCbCr", "LAB", "HSV") and image.format != "JPEG":
        yield "rare mode"
    if getattr(image, "is_animated", False):
        yield "animated"
    yield from _odd_by_size(*image.size)


def _odd_by_size(width: int, height: int) -> Iterator[str]:
    if min(width, height) == 1:
        yield "tiny"
    if width * height > HUGE_PIXELS:
        yield "huge"


def _orientation(image: Image.Image) -> int:
    """1 where none is said, or what is said can't be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1


def rgb_of(image: Image.Image, where: str) -> Pixels:
    """uint8 (height, width, 3) of any Pillow image: transparency over white, 16 bits scaled. Raises
    DamagedImageError.
    """
    from PIL import Image as Images

    if image.mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _grey((np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535)
    if image.mode in ("I", "F"):
        raise DamagedImageError(
            "has pixels of 32 bits, whose range is not known", where=where, fix="save it with 8 or 16 bits"
        )
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Images.new("RGBA", image.size, (255, 255, 255, 255))
        return np.asarray(Images.alpha_composite(white, clear).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _grey(values: Any) -> Pixels:
    return np.repeat(np.asarray(values, np.uint8)[:, :, None], 3, axis=2)


def from_array(values: Any, where: str, *, channels_first: bool = False) -> Picture:
    """The image that an array holds: uint8, or floating-point in [0, 1]; (H, W), (H, W, C) or (C, H, W), C of 1, 3
    or 4. Where both readings are possible, `channels_first` says which. Raises DamagedImageError.
    """
    array = np.asarray(values)
    if array.dtype != np.uint8:
        array = _scaled(array, where)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and (channels_first or array.shape[2] not in (1, 3, 4)):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        shape = "x".join(map(str, array.shape))
        raise DamagedImageError(
            f"is no image: an array of {shape}", where=where, fix="give (H, W), (H, W, 3) or (3, H, W)"
        )
    odd = ["grey"] if array.ndim == 2 else ["alpha"] if array.shape[2] == 4 else []
    pixels = _grey(array) if array.ndim == 2 else _over_white(array) if array.shape[2] == 4 else array
    size = (pixels.shape[1], pixels.shape[0])
    return Picture(np.ascontiguousarray(pixels), size, (*odd, *_odd_by_size(*size)))


def _scaled(array: Any, where: str) -> Pixels:
    """Floating-point in [0, 1] as uint8."""
    if not np.issubdtype(array.dtype, np.floating):
        raise DamagedImageError(
            f"is of {array.dtype}", where=where, fix="give uint8 in 0..255, or floating-point in [0, 1]"
        )
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise DamagedImageError(
            f"has values from {array.min():.3g} to {array.max():.3g}, not within [0, 1]", where=where,
            fix="give images as they are before they are normalised",
        )  # fmt: skip
    scaled: Pixels = np.rint(array * 255).astype(np.uint8)
    return scaled


def _over_white(array: Pixels) -> Pixels:
    from PIL import Image

    return rgb_of(Image.fromarray(np.ascontiguousarray(array)), "")
