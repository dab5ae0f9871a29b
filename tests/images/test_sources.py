"""What a user names is listed without decoding it; what can't be used says what, where and how to mend it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import folder_of, picture
from PIL import Image

from analyzer.errors import AnalyzerError, TargetError
from analyzer.images.base import DamagedImageError, DataError
from analyzer.images.source import Source, open_source


def refused(data: object) -> DataError:
    """The error of opening, all three parts of which are said, in text that gives no orders."""
    with pytest.raises(DataError) as caught:
        open_source(data)
    error = caught.value
    assert error.what
    assert error.where
    assert error.fix
    assert str(error).isprintable()
    assert error.exit_code == 2
    return error


def test_a_folder_of_classes(tmp_path: Path) -> None:
    folder_of(tmp_path, {"b": 2, "a": 3})
    (tmp_path / "a" / "deep").mkdir()
    picture(9).save(tmp_path / "a" / "deep" / "x.JPG", "JPEG")
    for name in ("README.md", ".DS_Store", "a/.hidden.png", "a/Thumbs.db"):
        (tmp_path / name).write_text("no image")
    (tmp_path / ".git").mkdir()
    source = open_source(tmp_path)
    assert source.name == str(tmp_path)
    assert source.classes == ("a", "b")
    assert source.keys == ("a/0.png", "a/1.png", "a/2.png", "a/deep/x.JPG", "b/0.png", "b/1.png")
    assert source.labels == (0, 0, 0, 0, 1, 1)
    assert source.given == (None,) * 6
    assert source.remarks == (
        "left out: 1 file beside the class folders",
        "left out: 1 file named *.db, no image",
        "left out: 3 hidden files or folders",
    )
    assert np.array_equal(source.image(1), np.asarray(Image.open(tmp_path / "a" / "1.png")))
    assert source.content(1) == hashlib.sha256((tmp_path / "a" / "1.png").read_bytes()).hexdigest()


def test_folders_of_parts_are_given_parts(tmp_path: Path) -> None:
    for number, part in enumerate(("Train", "VALIDATION", "test")):
        folder_of(tmp_path / part, {"a": 1, "b": 1}, begin=10 * number)
    (tmp_path / "notes").mkdir()
    source = open_source(str(tmp_path))
    assert source.keys == ("Train/a/0.png", "Train/b/0.png", "VALIDATION/a/0.png", "VALIDATION/b/0.png",
                           "test/a/0.png", "test/b/0.png")  # fmt: skip
    assert source.given == ("train", "train", "val", "val", "test", "test")
    assert source.classes == ("a", "b")
    assert source.remarks == ("left out: 1 folder beside train, val and test",)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path, {"train": 1, "plane": 1}))
    assert source.classes == ("plane", "train")
    assert source.given == (None, None)


def test_a_csv_of_paths_and_labels(tmp_path: Path) -> None:
    folder_of(tmp_path / "images", {"x": 3})
    (tmp_path / "list.csv").write_text(
        '\ufeffLabel,Path,author,split\r\n"glass, green",images/x/1.png,Ada,train\r\nmetal,images/x/0.png,,train\r\n'
        '"glass, green",images/x/2.png,,Test\r\nmetal,images/x/0.png,,test\r\n', encoding="utf-8",
    )  # fmt: skip
    source = open_source(tmp_path / "list.csv")
    assert source.classes == ("glass, green", "metal")
    assert source.labels == (0, 1, 0, 1)
    assert source.given == ("train", "train", "test", "test")
    assert source.keys[0] == "images/x/1.png"
    assert np.array_equal(source.image(0), np.asarray(Image.open(tmp_path / "images" / "x" / "1.png")))


def medmnist(path: Path, save: Callable[..., None] = np.savez_compressed, **arrays: object) -> Path:
    rng = np.random.default_rng(0)
    usual: dict[str, object] = {}
    for part, count in (("train", 6), ("val", 3), ("test", 3)):
        usual[f"{part}_images"] = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        usual[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 3
    save(path, **{name: values for name, values in {**usual, **arrays}.items() if values is not None})
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_in_medmnists_layout(tmp_path: Path, save: Callable[..., None]) -> None:
    path = medmnist(tmp_path / "a.npz", save, val_labels=np.array([2, 1, 0]))
    source = open_source(path)
    arrays = np.load(path)
    assert source.classes == ("0", "1", "2")
    assert source.labels == (0, 1, 2, 0, 1, 2, 2, 1, 0, 0, 1, 2)
    assert source.keys[5:8] == ("train[5]", "val[0]", "val[1]")
    assert source.given.count("val") == 3
    assert np.array_equal(source.image(7), arrays["val_images"][1])
    assert np.array_equal(source.image(0), arrays["train_images"][0])
    assert len({source.content(index) for index in range(12)}) == 12


def test_grey_arrays_are_grey_images(tmp_path: Path) -> None:
    values = np.arange(6 * 64, dtype=np.uint64).astype(np.uint8).reshape(6, 8, 8)
    source = open_source(medmnist(tmp_path / "a.npz", train_images=values))
    assert (source.image(2) == values[2][:, :, None]).all()
    assert source.picture(2).odd == ("grey",)


def test_arrays_are_mapped_and_leave_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    for save in (np.savez, np.savez_compressed):
        source = open_source(medmnist(tmp_path / "a.npz", save))
        assert source.mapped == {}
        assert np.array_equal(source.image(5), np.load(tmp_path / "a.npz")["train_images"][5])
        assert list((tmp_path / "temporary").iterdir()) == []
        assert {name: type(array) for name, array in source.mapped.items()} == {"train": np.memmap}


class Items:
    """A Dataset of so many items of two classes, each made by a function of its index."""

    def __init__(self, make: Callable[[int], object] = picture, count: int = 4) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> object:
        return self.make(index), index % 2


def test_a_dataset_gives_pil_images_arrays_or_tensors() -> None:
    import torch

    pixels = np.asarray(picture(0))
    for make in (
        picture,
        lambda index: np.asarray(picture(index)),
        lambda index: torch.tensor(np.asarray(picture(index))).permute(2, 0, 1),
        lambda index: torch.tensor(np.asarray(picture(index))).permute(2, 0, 1) / 255,
    ):
        source = open_source(Items(make))
        assert np.array_equal(source.image(0), pixels)
        assert source.labels == (0, 1, 0, 1)
        assert source.classes == ("0", "1")
        assert source.keys[3] == "item[3]"


def test_a_mapping_of_datasets_has_given_parts_and_classes_of_their_own() -> None:
    train, test = Items(), Items(lambda index: picture(index + 20))
    train.classes = test.classes = ["no", "yes"]
    source = open_source({"train": train, "test": test})
    assert source.classes == ("no", "yes")
    assert source.given == ("train",) * 4 + ("test",) * 4
    assert source.keys[-1] == "test[3]"
    assert np.array_equal(source.image(5), np.asarray(picture(21)))


def test_targets_save_reading_every_item_and_are_held_to() -> None:
    looked: list[int] = []

    def make(index: int) -> Image.Image:
        looked.append(index)
        return picture(index)

    data = Items(make, 100)
    data.targets = np.arange(100) % 2
    assert open_source(data).labels == (0, 1) * 50
    assert set(looked) == {0}
    data.targets = [0, 0, *data.targets[2:]]
    source = open_source(data)
    with pytest.raises(DataError, match="has the label 1, but its dataset's targets say 0"):
        source.image(1)


OWN = """
import numpy as np
from torch.utils.data import Dataset


class Noise(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8), index % 2


data = Noise()


def parts():
    return {"train": Noise(), "test": Noise()}


def failing():
    raise ValueError("no disk")


def asking(root):
    return Noise()
"""


def test_a_dataset_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    for name in ("own.py:Noise", "own.py:data", "own:Noise"):
        assert open_source(name).labels == (0, 1, 0, 1)
        assert open_source(name).name == name
    assert set(open_source("own.py:parts").given) == {"train", "test"}
    for name, says in (
        ("Nothing", "no attribute"),
        ("failing", "ValueError: no disk at .*own.py:"),
        ("asking", "asking"),
    ):
        with pytest.raises(TargetError, match=says) as error:
            open_source(f"own.py:{name}")
        assert "--kwarg" not in error.value.fix
    assert "is not there" in refused("folder/x:y").what


def test_a_source_can_be_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "folder", {"a": 1, "b": 1})
    for data in ("folder", medmnist(tmp_path / "a.npz"), "own.py:data", Items()):
        source = open_source(data)
        source.image(0)
        again: Source = pickle.loads(pickle.dumps(source))
        assert np.array_equal(again.image(1), source.image(1))
        assert (again.keys, again.labels, again.name) == (source.keys, source.labels, source.name)


def test_a_damaged_image_names_its_file_and_the_reason(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path, {"a": 1, "b": 1}))
    (tmp_path / "a" / "0.png").write_bytes(b"")
    (tmp_path / "b" / "0.png").unlink()
    for index, says in ((0, "is empty"), (1, "can't be read: No such file")):
        with pytest.raises(DamagedImageError, match=says) as error:
            source.image(index)
        assert error.value.where.endswith(f"{'ab'[index]}/0.png")


# -- what can't be used ----------------------------------------------------------------------------------------


def test_not_there_or_no_data(tmp_path: Path) -> None:
    assert "is not there" in refused(tmp_path / "nothing").what
    (tmp_path / "a.txt").write_text("x")
    assert "neither a folder nor" in refused(tmp_path / "a.txt").what
    assert "names nothing" in refused("").what
    assert "no Dataset" in refused(5).what
    assert refused("a\0b").fix


def test_a_folder_without_classes(tmp_path: Path) -> None:
    assert "has no class folder" in refused(tmp_path).what
    picture(0).save(tmp_path / "0.png")
    assert "has no class folder" in refused(tmp_path).what
    folder_of(tmp_path, {"glass": 2})
    assert "one class only: 'glass'" in refused(tmp_path).what


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path, {"glass": 2, "metal": 0, "trash": 1, "\x1b[31mred": 0})
    assert refused(tmp_path).what == "has no image of classes '\\\\u001b[31mred', 'metal'"


def test_classes_that_differ_between_parts_are_named(tmp_path: Path) -> None:
    folder_of(tmp_path / "train", {"a": 1, "b": 1, "c": 1})
    folder_of(tmp_path / "test", {"a": 1, "b": 1, "d": 1}, begin=9)
    what = refused(tmp_path).what
    assert "train has none of class 'd'" in what
    assert "test has none of class 'c'" in what


def test_parts_without_train_or_twice(tmp_path: Path) -> None:
    folder_of(tmp_path / "one" / "test", {"a": 1, "b": 1})
    assert "no images to train on" in refused(tmp_path / "one").what
    for number, name in enumerate(("train", "val", "valid")):
        folder_of(tmp_path / "two" / name, {"a": 1, "b": 1}, begin=5 * number)
    assert "two folders for val: 'val' and 'valid'" in refused(tmp_path / "two").what


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, {"a": 1, "b": 1})
    scan = os.scandir

    def forbidden(path: os.PathLike[str]) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    error = refused(tmp_path)
    assert "Permission denied" in error.what
    assert error.where.endswith("/b")


@pytest.mark.parametrize("to", [".", "..", "../a", "../../.."])
def test_a_link_that_leads_back(tmp_path: Path, to: str) -> None:
    root = folder_of(tmp_path / "x" / "root", {"a": 1, "b": 1})
    (root / "a" / "link").symlink_to(root / "a" / to if to != "../../.." else tmp_path, target_is_directory=True)
    assert "leads back" in refused(root).what


def test_a_link_to_itself_or_nowhere_is_left_out(tmp_path: Path) -> None:
    root = folder_of(tmp_path, {"a": 1, "b": 1})
    (root / "a" / "self.png").symlink_to(root / "a" / "self.png")
    (root / "a" / "gone.png").symlink_to(root / "nothing.png")
    os.mkfifo(root / "b" / "pipe.png")
    source = open_source(root)
    assert len(source) == 2
    assert source.remarks == ("left out: 3 links that lead nowhere, devices or pipes",)


def test_too_deep_a_tree(tmp_path: Path) -> None:
    root = folder_of(tmp_path, {"a": 1, "b": 1})
    (root / "a" / "/".join("d" * 60)).mkdir(parents=True)
    assert "folders deep" in refused(root).what


def test_odd_names_are_shown_escaped(tmp_path: Path) -> None:
    root = folder_of(tmp_path, {"a": 1, "\x1b[2Jb": 1})
    os.rename(root / "a" / "0.png", os.fsencode(root / "a") + b"/\xff\n\x07.png")
    source = open_source(root)
    assert source.classes == ("\\u001b[2Jb", "a")
    assert all(key.isprintable() for key in source.keys)
    assert source.image(1).shape == source.image(0).shape == (40, 48, 3)
    "".join(source.keys).encode()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "has no column 'path'"),
        ("file,label\na,b\n", "has no column 'path'"),
        ("path,class\na,b\n", "has no column 'label'"),
        ("path,label\n", "has no image"),
        ("path,label\nx/0.png,a\ngone.png,b\n", "gone.png can't be found"),
        ("path,label\nx/0.png,a\nx,b\n", "x is no file"),
        ("path,label\nx/0.png,a\nx/1.png,\n", "has an empty label"),
        ("path,label\nx/0.png,a\nx/1.png\n", "has not one cell a column"),
        ("path,label\nx/0.png,a\nx/1.png,b,c\n", "has not one cell a column"),
        ("path,label\nx/0.png,a\nx/1.png,a\n", "one class only: 'a'"),
        ("path,label,split\nx/0.png,a,train\nx/1.png,b,\n", "has the split ''"),
        ("path,label,split\nx/0.png,a,train\nx/1.png,b,dev\n", "has the split 'dev'"),
        ("path,label,split\nx/0.png,a,train\nx/1.png,b,test\n", "its parts have different classes"),
        ("path,label\nx/0.png,a\nx/1\0.png,b\n", "1"),
        ('path,label\nx/0.png,a\n"x/1.png,b\n', "no CSV"),
        (b"path,label\nx/0.png,\xff\n", "is not UTF-8"),
    ],
)
def test_a_csv_that_can_not_be_used(tmp_path: Path, text: str | bytes, what: str) -> None:
    folder_of(tmp_path, {"x": 2})
    (tmp_path / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    error = refused(tmp_path / "list.csv")
    assert what in error.what
    if "gone" in what or "empty label" in what or "split ''" in what:
        assert error.where.endswith("list.csv, line 3")


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"train_images": None}, "has no train_images"),
        ({"train_labels": None}, "is not there"),
        ({"train_images": np.zeros((6, 8, 8, 3))}, "6x8x8x3 of float64"),
        ({"train_images": np.zeros((6, 3, 8, 8), np.uint8)}, "6x3x8x8 of uint8"),
        ({"train_images": np.zeros((0, 8, 8), np.uint8), "train_labels": np.zeros(0, np.uint8)}, "0x8x8 of uint8"),
        ({"train_images": np.uint8(1)}, "of uint8"),
        ({"train_images": np.asfortranarray(np.ones((6, 8, 8), np.uint8))}, "Fortran"),
        ({"train_labels": np.zeros((6, 14), np.uint8)}, "6x14 of uint8"),
        ({"train_labels": np.zeros(5, np.uint8)}, "5 of uint8"),
        ({"train_labels": np.zeros(6)}, "6 of float64"),
        ({"train_labels": np.array([0, 1, 2, 0, 1, -1])}, "the label -1"),
        ({"train_labels": np.array([0, 1, 2, 0, 1, 10**9])}, "the label 1000000000"),
        ({"train_labels": np.array([0, 1, 3, 0, 1, 3])}, "train has none of class '2'"),
        ({"train_labels": np.array([Evil()] * 6, dtype=object)}, "pickled objects"),
        ({"train_images": np.array([Evil()] * 6, dtype=object)}, "pickled objects"),
    ],
)
def test_an_npz_that_can_not_be_used(
    tmp_path: Path, arrays: dict[str, object], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert what in refused(medmnist(tmp_path / "a.npz", **arrays)).what
    assert not (tmp_path / "executed").exists()


def test_a_file_that_is_no_npz_or_cut(tmp_path: Path) -> None:
    whole = medmnist(tmp_path / "a.npz").read_bytes()
    for cut in (b"", b"nothing", whole[: len(whole) // 2]):
        (tmp_path / "b.npz").write_bytes(cut)
        assert "no npz file" in refused(tmp_path / "b.npz").what


def test_an_array_that_is_damaged_within(tmp_path: Path) -> None:
    path = medmnist(tmp_path / "a.npz")
    data = bytearray(path.read_bytes())
    source = open_source(path)
    data[200:900] = bytes(700)
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="can't be read"):
        source.image(0)


@pytest.fixture(scope="module")
def npz_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bool, bytes]]:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    saves = {False: np.savez, True: np.savez_compressed}
    return path, {packed: medmnist(path, save).read_bytes() for packed, save in saves.items()}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(packed=st.booleans(), at=st.integers(0, 2**20), written=st.binary(min_size=1, max_size=8))
def test_whatever_is_written_over_an_npz_it_opens_or_says_why(
    npz_files: tuple[Path, dict[bool, bytes]], packed: bool, at: int, written: bytes
) -> None:
    path, whole = npz_files
    data = bytearray(whole[packed])
    begin = at % len(data)
    data[begin : begin + len(written)] = written
    path.write_bytes(bytes(data))
    with warnings.catch_warnings(), contextlib.suppress(DataError):
        warnings.simplefilter("ignore")
        source = open_source(path)
        assert source.image(len(source) - 1).shape[2] == 3


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (Items(lambda index: "text"), "its image is a str"),
        ({"train": Items(), "holdout": Items()}, "maps train, holdout"),
        ({}, "maps nothing"),
        (object(), "no Dataset"),
        ([(picture(0), 0), (picture(1), "one")], "has the label"),
        ([(picture(0), 0), (picture(1), 0.5)], "has the label 0.5"),
        ([(picture(0), 0), (picture(1), -1)], "has the label -1"),
        ([picture(0), picture(1)], "no (image, label)"),
        ([(picture(0), 0, 1), (picture(1), 1, 1)], "is a tuple, no (image, label)"),
    ],
)
def test_a_dataset_that_can_not_be_used(data: object, what: str) -> None:
    with pytest.raises(AnalyzerError) as caught:
        open_source(data).image(0)
    assert what in caught.value.what
    assert caught.value.fix


def test_a_dataset_that_raises_names_the_item_and_what_it_raised() -> None:
    class Raising(Items):
        def __getitem__(self, index: int) -> object:
            if index == 2:
                raise ValueError("no such scan")
            return super().__getitem__(index)

    error = refused(Raising())
    assert "ValueError: no such scan" in error.what
    assert "item 2" in error.where
    known = Raising()
    known.targets = [0, 1, 0, 1]
    with pytest.raises(DamagedImageError, match="no such scan"):
        open_source(known).image(2)


def test_a_dataset_whose_images_change_is_refused() -> None:
    rng = np.random.default_rng(0)
    error = refused(Items(lambda index: rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)))
    assert "another image each time" in error.what


def test_listing_opens_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_text("no image")
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    assert len(open_source(tmp_path)) == 2
