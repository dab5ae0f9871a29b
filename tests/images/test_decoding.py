"""Any image that a camera or a program writes becomes the RGB pixels that one sees; a damaged one says that it is."""

from __future__ import annotations

import io
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import picture
from PIL import Image, ImageOps

from analyzer.images.base import DamagedImageError
from analyzer.images.decoding import decode, from_array
from analyzer.images.pixels import fitted


def written(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def decoded(data: bytes):
    return decode(io.BytesIO(data), "a/b.png")


def test_what_pillow_reads_as_rgb_is_what_comes() -> None:
    for format_ in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM"):
        data = written(picture(0), format_)
        found = decoded(data)
        assert found.pixels.dtype == np.uint8
        assert np.array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
        assert (found.size, found.odd) == ((48, 40), ())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF"])
def test_exif_turns_the_image(orientation: int, format_: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = written(picture(1), format_, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found = decoded(data)
    assert np.array_equal(found.pixels, np.asarray(upright))
    assert found.size == ((48, 40) if orientation <= 4 else (40, 48))
    assert found.odd == (("turned",) if orientation > 1 else ())


def test_cmyk_is_converted() -> None:
    for ink, seen in (((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 255), (0, 0, 0)), ((0, 0, 0, 0), (255, 255, 255))):
        for format_, options in (("TIFF", {}), ("JPEG", {"quality": 100})):
            found = decoded(written(Image.new("CMYK", (16, 16), ink), format_, **options))
            assert np.abs(found.pixels[8, 8].astype(int) - seen).max() <= 2
            assert "cmyk" in found.odd


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    values = np.array([[0, 257, 257 * 100, 65535]], np.uint16).repeat(4, axis=0)
    for format_ in ("PNG", "TIFF"):
        found = decoded(written(Image.fromarray(values), format_))
        assert found.pixels[0, :, 0].tolist() == [0, 1, 100, 255]
        assert {"16-bit", "grey"} <= set(found.odd)
    wide = decoded(b"P5 4 1 65535\n" + values[0].astype(">u2").tobytes())
    assert wide.pixels[0, :, 0].tolist() == [0, 1, 100, 255]


def test_sixteen_bits_of_colour_are_said() -> None:
    rows = b"\0" + struct.pack(">3H", 65535, 257 * 7, 0)
    found = decoded(png(struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0), zlib.compress(rows)))
    assert found.pixels.tolist() == [[[255, 7, 0]]]
    assert "16-bit" in found.odd
    assert "tiny" in found.odd


def test_grey_and_bilevel_have_three_equal_channels() -> None:
    for mode in ("L", "1"):
        data = written(picture(2).convert(mode), "PNG")
        found = decoded(data)
        grey = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
        assert (found.pixels == grey[:, :, None]).all()
        assert found.odd[0] == "grey"


def test_transparency_lies_over_white() -> None:
    half_red = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    found = decoded(written(half_red, "PNG"))
    assert np.abs(found.pixels[0, 0].astype(int) - (255, 127, 127)).max() <= 1
    assert found.odd == ("alpha",)
    clear = decoded(written(Image.new("LA", (4, 4), (10, 0)), "PNG"))
    assert (clear.pixels == 255).all()
    palette = picture(3).quantize(16)
    palette.info["transparency"] = 0
    shown = decoded(written(palette, "PNG", transparency=0))
    where = np.asarray(palette) == 0
    assert where.any()
    assert (shown.pixels[where] == 255).all()
    assert {"palette", "alpha"} <= set(shown.odd)


def test_a_palette_is_looked_up() -> None:
    image = picture(3).quantize(16)
    found = decoded(written(image, "PNG"))
    assert np.array_equal(found.pixels, np.asarray(image.convert("RGB")))
    assert found.odd == ("palette",)


def test_of_an_animation_the_first_picture_is_taken() -> None:
    first, second = picture(4).quantize(8), picture(5).quantize(8)
    found = decoded(written(first, "GIF", save_all=True, append_images=[second]))
    assert np.array_equal(found.pixels, np.asarray(first.convert("RGB")))
    assert "animated" in found.odd


def test_values_of_unknown_range_are_refused() -> None:
    for values in (np.full((4, 4), 0.5, np.float32), np.full((4, 4), 70000, np.int32)):
        with pytest.raises(DamagedImageError, match="32 bits"):
            decoded(written(Image.fromarray(values), "TIFF"))


# -- damage ----------------------------------------------------------------------------------------------------


def png(header: bytes, data: bytes) -> bytes:
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(told)) + kind + told + struct.pack(">I", zlib.crc32(kind + told)) for kind, told in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_no_bytes_and_no_image_are_told_apart() -> None:
    with pytest.raises(DamagedImageError, match="is empty: 0 bytes") as empty:
        decoded(b"")
    assert empty.value.where == "a/b.png"
    with pytest.raises(DamagedImageError, match="no image of a known format"):
        decoded(b"path,label\n")


def test_a_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    for side in (12_000, 30_000, 2**31 - 1):
        bomb = png(struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0), zlib.compress(b"\0" * 1000))
        with pytest.raises(DamagedImageError, match="pixels"):
            decoded(bomb)


def test_no_format_that_starts_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: pytest.fail("started"))
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(DamagedImageError, match="no image of a known format"):
        decoded(postscript)


FILES = {name: written(picture(6, (64, 64)), name) for name in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")}


@pytest.mark.parametrize("format_", FILES)
def test_a_file_cut_in_half_is_damaged(format_: str) -> None:
    data = FILES[format_]
    for share in (0.3, 0.5, 0.7):
        with pytest.raises(DamagedImageError):
            decoded(data[: int(len(data) * share)])


@given(st.sampled_from(sorted(FILES)), st.integers(0, 2**20), st.integers(0, 255), st.integers(1, 40))
def test_whatever_is_written_over_a_file_it_decodes_or_is_damaged(name: str, at: int, byte: int, length: int) -> None:
    data = bytearray(FILES[name])
    at %= len(data)
    data[at : at + length] = bytes([byte]) * length
    try:
        found = decoded(bytes(data))
    except DamagedImageError as error:
        assert error.where == "a/b.png"
    else:
        assert found.pixels.ndim == 3


# -- arrays ----------------------------------------------------------------------------------------------------


def test_arrays_are_read_in_every_usual_layout() -> None:
    rgb = np.asarray(picture(7))
    grey = rgb[:, :, 0]
    for given_, wanted in (
        (rgb, rgb), (np.moveaxis(rgb, 2, 0), rgb), (rgb.astype(np.float32) / 255, rgb), (rgb / 255, rgb),
        (grey, grey[:, :, None].repeat(3, 2)), (grey[None], grey[:, :, None].repeat(3, 2)),
        (grey[:, :, None], grey[:, :, None].repeat(3, 2)),
    ):  # fmt: skip
        assert np.array_equal(from_array(given_, "x").pixels, wanted)
    cube = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert np.array_equal(from_array(cube, "x").pixels, cube)
    assert np.array_equal(from_array(cube, "x", channels_first=True).pixels, cube.transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((4, 4, 3)) - 0.1, r"values from -0.1 to -0.1"),
        (np.full((4, 4, 3), 200.0), "values from 200 to 200"),
        (np.full((4, 4), np.nan), "values from nan"),
        (np.zeros((4, 4, 3), np.int64), "is of int64"),
        (np.zeros((5, 4, 7), np.uint8), "an array of 5x4x7"),
        (np.zeros(4, np.uint8), "an array of 4"),
        (np.zeros((0, 4), np.uint8), "an array of 0x4"),
    ],
)
def test_what_is_no_image_says_what_it_is(values: np.ndarray, says: str) -> None:
    with pytest.raises(DamagedImageError, match=says):
        from_array(values, "train[3]")


# -- fitted ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(400, 200), (200, 400)])
def test_fitted_is_the_shorter_side_resized_and_the_centre_cut(size: tuple[int, int]) -> None:
    image = picture(8, size)
    whole = image.resize((size[0] // 2, size[1] // 2), Image.Resampling.BILINEAR)
    left, top = (whole.width - 100) // 2, (whole.height - 100) // 2
    cut = np.asarray(whole.crop((left, top, left + 100, top + 100)))
    found = fitted(np.asarray(image), 100)
    assert found.shape == (100, 100, 3)
    assert np.abs(found.astype(int) - cut).max() <= 1


def test_fitted_to_its_own_size_is_itself_and_one_channel_is_luminance() -> None:
    pixels = np.asarray(picture(9, (32, 32)))
    assert np.array_equal(fitted(pixels, 32), pixels)
    red, green, blue = np.moveaxis(pixels.astype(float), 2, 0)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    grey = fitted(pixels, 32, channels=1)
    assert grey.shape == (32, 32, 1)
    assert np.abs(grey[:, :, 0] - luminance).max() <= 1


def test_fitted_takes_any_shape() -> None:
    for shape in ((1, 1, 3), (1, 50, 3), (50, 1, 3), (7, 5, 3)):
        assert fitted(np.full(shape, 9, np.uint8), 16).tolist() == np.full((16, 16, 3), 9).tolist()


def test_an_open_file_is_not_read_further_than_needed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(FILES["JPEG"] + b"rest" * 1000)
    with open(tmp_path / "a.jpg", "rb") as file:
        assert decode(file, "a.jpg").pixels.shape == (64, 64, 3)


def test_sizes_out_of_the_usual_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoded(written(picture(10, (1, 30)), "PNG")).odd == ("tiny",)
    monkeypatch.setattr("analyzer.images.decoding.HUGE_PIXELS", 48 * 40)
    assert decoded(written(picture(10, (48, 40)), "PNG")).odd == ()
    assert decoded(written(picture(10, (48, 41)), "PNG")).odd == ("huge",)


def test_a_photo_may_be_decoded_smaller_for_a_look_and_keeps_its_size() -> None:
    data = written(picture(11, (640, 480)), "JPEG")
    look = decode(io.BytesIO(data), "a.jpg", least=100)
    assert look.pixels.shape[:2] == (120, 160)
    assert look.size == (640, 480)
    with pytest.raises(DamagedImageError):
        decode(io.BytesIO(data[: len(data) // 2]), "a.jpg", least=100)
