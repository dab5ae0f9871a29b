"""`analyze data check`: what is found in images, how it is told, and the split that is written."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import run_here
from pictures import folder_of, picture
from PIL import Image, ImageEnhance

import analyzer as an
from analyzer.images.base import DataError
from analyzer.images.check import LeakError, check
from analyzer.images.likeness import alike, correlated, dhash, thumbnail
from analyzer.images.source import open_source
from analyzer.images.split_file import read_split, split_json
from analyzer.images.splits import split
from analyzer.seals import DamagedRowError


def test_every_pair_that_correlates_is_found() -> None:
    """Against numpy's own correlation of all pairs: of smooth, noisy, nearly equal, inverted and flat thumbnails."""
    rng = np.random.default_rng(1)
    smalls = [thumbnail(np.asarray(picture(seed, (32, 32)))) for seed in range(60)]
    for seed in range(0, 60, 2):
        noise = rng.normal(0, rng.uniform(0, 20), (32, 32))
        smalls.append(np.clip(smalls[seed] * rng.uniform(0.4, 1) + noise, 0, 255).astype(np.uint8))
    smalls += [255 - smalls[0], np.zeros((32, 32), np.uint8), np.full((32, 32), 200, np.uint8)]
    smalls += [rng.integers(0, 256, (32, 32), dtype=np.uint8) for _ in range(20)]
    stacked = np.stack(smalls)
    with np.errstate(invalid="ignore", divide="ignore"):
        true = np.corrcoef(stacked.reshape(len(stacked), -1).astype(float))
    for least in (0.9, 0.98, 0.995):
        wanted = {(i, j) for i in range(len(smalls)) for j in range(i + 1, len(smalls)) if true[i, j] >= least}
        found = {(i, j): value for i, j, value in correlated(stacked, least)}
        assert found.keys() == wanted
        assert all(abs(value - true[pair]) < 1e-9 for pair, value in found.items())
    assert wanted


def test_pairs_are_found_across_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    smalls = np.stack([thumbnail(np.asarray(picture(seed % 25, (32, 32)))) for seed in range(50)])
    monkeypatch.setattr("analyzer.images.likeness._TILE", 7)
    assert [pair[:2] for pair in sorted(alike(smalls, [7] * 50))] == [(i, i + 25) for i in range(25)]
    assert list(alike(smalls[:1], [7])) == list(alike(smalls[:0], [])) == []


def test_a_hash_says_where_it_gets_brighter() -> None:
    brighter = np.arange(0, 216, 3, dtype=np.uint8)[None].repeat(64, axis=0)[:, :, None].repeat(3, axis=2)
    assert dhash(brighter) == 2**64 - 1
    assert dhash(brighter[:, ::-1]) == 0
    lower_half = brighter.copy()
    lower_half[:32] = lower_half[:32, ::-1]
    assert (dhash(lower_half) ^ (2**32 - 1)).bit_count() <= 8  # the border's rows are mixed


def sheet(seed: int) -> Image.Image:
    """Another white sheet under the same lamp: a dark corner, and faint shapes that a seed draws."""
    faint = np.random.default_rng(seed).integers(0, 9, (8, 9), dtype=np.uint8)
    pixels = 225 + np.asarray(Image.fromarray(faint).resize((72, 64), Image.Resampling.NEAREST)).astype(int)
    pixels[:, 56:] -= 180
    return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def test_what_only_correlates_is_not_near(tmp_path: Path) -> None:
    root = folder_of(tmp_path, {"a": 1, "b": 1})
    for seed in range(3):
        sheet(seed).save(root / "a" / f"sheet{seed}.png")
    sheet(0).resize((144, 128)).save(root / "b" / "large0.png")
    smalls = np.stack([thumbnail(np.asarray(sheet(seed))) for seed in range(3)])
    assert len(list(correlated(smalls))) == 3
    assert [pair.images for pair in check(open_source(root)).pairs] == [("a/sheet0.png", "b/large0.png")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, and one image of each thing that can be wrong."""
    root = folder_of(tmp_path / "data", {"a": 12, "b": 12})
    (root / "a" / "again.png").write_bytes((root / "a" / "0.png").read_bytes())
    (root / "b" / "other.png").write_bytes((root / "a" / "1.png").read_bytes())
    picture(2, (96, 80)).save(root / "a" / "large.jpg", quality=60)
    ImageEnhance.Brightness(picture(13)).enhance(0.8).save(root / "a" / "dark.png")
    (root / "b" / "cut.png").write_bytes((root / "b" / "0.png").read_bytes()[:200])
    (root / "b" / "none.jpg").write_bytes(b"")
    (root / "b" / "text.jpg").write_text("no image")
    picture(100).convert("L").save(root / "a" / "grey.png")
    picture(101).convert("CMYK").save(root / "a" / "cmyk.jpg")
    Image.new("RGB", (1, 9), (1, 2, 3)).save(root / "a" / "line.png")
    return root


def test_what_is_wrong_is_found(folder: Path) -> None:
    found = an.check_data(folder)
    assert found.images == 34
    assert {each.name: each.images for each in found.classes} == {"a": 18, "b": 16}
    assert {each.image: each.what.split(":")[0] for each in found.damaged} == {
        "b/cut.png": "can't be decoded", "b/none.jpg": "is empty", "b/text.jpg": "is no image of a known format"
    }  # fmt: skip
    pairs = {pair.images: pair for pair in found.pairs}
    assert {images: pair.kind for images, pair in pairs.items()} == {
        ("a/0.png", "a/again.png"): "duplicate",
        ("a/1.png", "b/other.png"): "conflict",
        ("a/2.png", "a/large.jpg"): "near",
        ("a/dark.png", "b/1.png"): "conflict",
    }
    assert pairs["a/0.png", "a/again.png"].identical
    assert 0.98 <= pairs["a/2.png", "a/large.jpg"].correlation < 1
    assert len(found.conflicts) == 2
    assert found.leaks == ()
    assert {each.kind: each.images for each in found.odd} == {
        "grey": ("a/grey.png",), "cmyk": ("a/cmyk.jpg",), "tiny": ("a/line.png",), "flat": ("a/line.png",)
    }  # fmt: skip
    assert (found.sizes[0].width, found.sizes[0].height, found.sizes[0].images) == (48, 40, 29)
    assert found.least_size == (1, 9)
    assert found.most_size == (96, 80)
    keys = open_source(folder).keys
    assert {tuple(keys[index] for index in group) for group in found.groups} == set(pairs)
    assert {keys[index] for index in found.left_out} == {"b/cut.png", "b/none.jpg", "b/text.jpg"}
    table = found.frame()
    assert len(table) == 4 + 3 + 4
    assert "a/again.png" in found._repr_html_()


def test_many_images_are_looked_at_in_processes_with_the_same_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = check(open_source(folder))
    monkeypatch.setattr("analyzer.images.examining.FEW", 1)
    monkeypatch.setattr("analyzer.images.examining._CHUNK", 5)
    told: list[tuple[int, int]] = []
    several = check(open_source(folder), watch=lambda done, total: told.append((done, total)))
    assert {**several.to_dict(), "seconds": 0} == {**one.to_dict(), "seconds": 0}
    assert told == [(done, 34) for done in (*range(5, 34, 5), 34)]


def test_a_chain_of_duplicates_is_one_group(tmp_path: Path) -> None:
    root = folder_of(tmp_path, {"a": 3, "b": 3})
    for name in ("copy", "copy2"):
        (root / "a" / f"{name}.png").write_bytes((root / "a" / "0.png").read_bytes())
    picture(0).save(root / "b" / "near.jpg", quality=70)
    found = check(open_source(root))
    assert [len(group) for group in found.groups] == [4]
    for seed in range(8):
        parts = split(open_source(root), seed=seed, duplicates=found.groups)
        assert sum(bool(set(part) & set(found.groups[0])) for part in (parts.train, parts.val, parts.test)) == 1


# -- the command -----------------------------------------------------------------------------------------------


def test_the_table_tells_all_of_it(folder: Path) -> None:
    done = run_here("data", "check", str(folder), cwd=folder)
    assert done.returncode == 0
    for said in (
        "a          18", "conflict   a/1.png", "duplicate  a/0.png", "b/none.jpg", "is empty: 0 bytes",
        "sizes: 1x9 to 96x80, most often 48x40 (29)", "cmyk: 1 (converted without its colour profile)",
    ):  # fmt: skip
        assert said in done.stdout, said
    assert "warning: 3 damaged" in done.stderr
    assert "warning: 2 pairs of like images with two labels" in done.stderr
    assert "34 images in" in done.stderr


def test_other_formats(folder: Path) -> None:
    data = json.loads(run_here("data", "check", str(folder), "--format", "json", cwd=folder).stdout)
    assert data["images"] == 34
    assert data["pairs"][0]["kind"] == "conflict"
    rows = list(csv.reader(io.StringIO(run_here("data", "check", str(folder), "--format", "csv", cwd=folder).stdout)))
    assert rows[0] == ["finding", "image", "other", "what"]
    assert len(rows) == 12
    assert "| a | 18 |" in run_here("data", "check", str(folder), "--format", "md", cwd=folder).stdout


def test_split_json_is_written_where_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    before = sorted(folder.rglob("*"))
    assert run_here("data", "check", str(folder), cwd=tmp_path).returncode == 0
    assert sorted(folder.rglob("*")) == before
    done = run_here("data", "check", str(folder), "--out", str(out), "--seed", "3", cwd=tmp_path)
    assert done.returncode == 0
    written = json.loads((out / "split.json").read_text())
    parts = {key: part for key, _, _, part in written["images"]}
    assert list(parts.values()).count(None) == 3
    assert parts["b/none.jpg"] is None
    assert sorted(map(sorted, written["duplicates"])) == sorted(
        [["a/0.png", "a/again.png"], ["a/1.png", "b/other.png"], ["a/2.png", "a/large.jpg"], ["a/dark.png", "b/1.png"]]
    )
    for group in written["duplicates"]:
        assert len({parts[key] for key in group}) == 1
    found = read_split(out / "split.json", open_source(folder))
    assert {open_source(folder).keys[index] for index in found.train} == {k for k, p in parts.items() if p == "train"}
    again = run_here("data", "check", str(folder), "--out", str(out), "--seed", "3", cwd=tmp_path)
    assert again.returncode == 0
    assert json.loads((out / "split.json").read_text()) == written


def leaking(root: Path) -> Path:
    for number, part in enumerate(("train", "val", "test")):
        folder_of(root / part, {"a": 3, "b": 3}, begin=10 * number)
    (root / "test" / "a" / "seen.png").write_bytes((root / "train" / "a" / "1.png").read_bytes())
    picture(13).save(root / "test" / "b" / "seen.jpg", quality=80)
    return root


def test_a_leak_between_given_parts_is_an_error_that_names_the_files(tmp_path: Path) -> None:
    root = leaking(tmp_path / "data")
    done = run_here("data", "check", str(root), "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 2
    for name in ("train/a/1.png", "test/a/seen.png", "val/b/0.png", "test/b/seen.jpg"):
        assert name in done.stdout
        assert name in done.stderr
    assert not (tmp_path / "out" / "split.json").exists()
    found = an.check_data(root)
    assert [pair.parts for pair in found.leaks] == [("train", "test"), ("val", "test")]
    assert [pair.identical for pair in found.leaks] == [True, False]
    with pytest.raises(LeakError, match=r"train/a/1\.png and test/a/seen\.png \(identical; train and test\)"):
        found.require_no_leak()


def test_given_parts_without_leaks_are_written_as_they_are(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "valid", "test")):
        folder_of(tmp_path / "data" / part, {"a": 3, "b": 3}, begin=10 * number)
    done = run_here("data", "check", "data", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0
    written = json.loads((tmp_path / "out" / "split.json").read_text())
    assert written["origin"] == "given"
    assert all({"train": "train", "valid": "val", "test": "test"}[key.split("/")[0]] == part
               for key, _, _, part in written["images"])  # fmt: skip
    assert "train  val  test" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nothing",), "is not there"),
        (("data", "--split", "70/30"), "no three shares"),
        (("data", "--split", "0/1/1", "--out", "o"), "are no shares"),
        (("data", "--seed", "-1"), "--seed"),
        (("data", "--out", "data/a/0.png"), "can't be written"),
    ],
)
def test_wrong_use_is_told(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    folder_of(tmp_path / "data", {"a": 2, "b": 2})
    done = run_here("data", "check", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


# -- split.json ------------------------------------------------------------------------------------------------


def test_a_split_holds_for_the_same_images_under_other_names(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path / "one", {"a": 10, "b": 10}))
    drawn = split(source, seed=5)
    (tmp_path / "split.json").write_text(split_json(drawn, source))
    for name in ("a", "b"):
        (tmp_path / "two" / name).mkdir(parents=True)
        for path in (tmp_path / "one" / name).iterdir():
            (tmp_path / "two" / name / f"x{9 - int(path.stem)}.png").write_bytes(path.read_bytes())
    other = open_source(tmp_path / "two")
    found = read_split(tmp_path / "split.json", other)
    assert found.digest == drawn.digest
    assert found.origin == str(tmp_path / "split.json")
    for part in ("train", "val", "test"):
        contents = [{each.content(index) for index in getattr(parts, part)}
                    for each, parts in ((source, drawn), (other, found))]  # fmt: skip
        assert contents[0] == contents[1]


def test_a_split_of_other_data_says_what_changed(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path / "data", {"a": 5, "b": 5}))
    file = tmp_path / "split.json"
    file.write_text(split_json(split(source), source))
    (tmp_path / "data" / "a" / "0.png").unlink()
    (tmp_path / "data" / "a" / "1.png").rename(tmp_path / "data" / "b" / "moved.png")
    picture(50).save(tmp_path / "data" / "b" / "2.png")
    with pytest.raises(DataError) as error:
        read_split(file, open_source(tmp_path / "data"))
    assert error.value.what == (
        "is of other data: 2 gone (a/0.png, b/2.png), 1 new (b/2.png), 1 labelled otherwise (b/moved.png: b, was a)"
    )
    assert error.value.fix


def test_a_split_file_that_is_damaged_or_none(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path / "data", {"a": 5, "b": 5}))
    file, text = tmp_path / "split.json", split_json(split(source), source)
    file.write_text(text.replace('"train"', '"test"', 1))
    with pytest.raises(DamagedRowError):
        read_split(file, source)
    for wrong in (
        "",
        "{}",
        "[]",
        "\x00",
        text[:100],
        text.replace('"format":1', '"format":9').split(',"checksum')[0] + "}",
    ):
        file.write_text(wrong)
        with pytest.raises(DataError) as error:
            read_split(file, source)
        assert error.value.where == str(file)
    file.unlink()
    with pytest.raises(DataError, match="can't be read"):
        read_split(file, source)


def test_names_of_files_give_no_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    names = ("\x1b[2J.png", "::error::owned.png", "##[error]owned.png", "=cmd().png", "a\n::warning::owned.png")
    root = folder_of(tmp_path / "data", {"::error::class": 1, "b": 1})
    for name in names:
        (root / "b" / name).write_bytes((root / "b" / "0.png").read_bytes())
        (root / "::error::class" / name).write_bytes(b"")
    for format_ in ("table", "json", "csv", "md"):
        done = run_here("data", "check", "data", "--format", format_, "--out", "out", cwd=tmp_path)
        assert done.returncode == 0
        assert "owned" in done.stdout
        assert not re.search(
            r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|^\s*::|##\w*\[|^=", done.stdout + done.stderr, re.MULTILINE
        )
