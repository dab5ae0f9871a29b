"""`analyze train` and `predict` as users call them: what they print, what they refuse, what their files are."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run_here
from PIL import Image
from safetensors.torch import load_file, save_file
from trainings import CLASSES, TINY, picture

import analyzer as an
from analyzer.errors import TargetError, UsageError
from analyzer.targets.checkpoints import read_header
from analyzer.targets.resolving import FamilyTarget, ModuleTarget, resolve
from analyzer.training.predicting import loaded, predictions

OPTIONS = ("--epochs", "2", "--batch", "8", "--threads", "1", "--image", "16", "--lr", "0.01")
RUN = "residual_b1-1_g4_r0.5_c0.5_i4_stemsmall_d0.2_n3_s16_seed0"
OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=3, wide=4):
        super().__init__()
        self.body = nn.Conv2d(3, wide, 3)
        self.norm = nn.BatchNorm2d(wide)
        self.head = nn.Linear(wide, num_classes)
        self.tied = self.head

    def forward(self, x):
        return self.tied(torch.relu(self.norm(self.body(x))).mean((2, 3)))

class Pictures(torch.utils.data.Dataset):
    classes = ["dark", "light"]

    def __len__(self):
        return 30

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i)
        image = torch.randint(0, 100, (3, 16, 16), generator=generator, dtype=torch.uint8)
        return image + 150 * (i % 2), i % 2
"""


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the smallest network was trained by the command."""
    folder = tmp_path_factory.mktemp("out")
    done = run_here("train", TINY.name, "--data", str(data), "--out", str(folder), *OPTIONS, "--best", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def again(data: Path, out: Path, format_: str) -> str:
    said = ("--data", str(data), "--out", str(out), *OPTIONS, "--best", "--format", format_)
    done = run_here("train", TINY.name, *said, cwd=out)
    assert done.returncode == 0, done.stderr
    assert "trained" in done.stderr
    return done.stdout


def test_every_format_says_the_same(data: Path, out: Path) -> None:
    (run,) = json.loads(again(data, out, "json"))
    assert run["run"] == RUN
    assert run["classes"] == list(CLASSES)
    assert run["recipe"]["lr"] == 0.01
    lines = [json.loads(line) for line in again(data, out, "jsonl").splitlines()]
    rows = list(csv.DictReader(io.StringIO(again(data, out, "csv"))))
    assert [line["test_accuracy"] for line in lines] == [epoch["test_accuracy"] for epoch in run["epochs"]]
    assert [float(row["test_accuracy"]) for row in rows] == [epoch["test_accuracy"] for epoch in run["epochs"]]
    gap = 100 * (run["epochs"][1]["train_accuracy"] - run["epochs"][1]["test_accuracy"])
    assert lines[1]["generalisation_gap"] == pytest.approx(gap)
    assert f"{gap:+.1f}" in again(data, out, "table")
    assert again(data, out, "md").startswith("| run")


def test_a_report_on_what_was_trained_is_written(data: Path, out: Path) -> None:
    said = ("--data", str(data), "--out", str(out), *OPTIONS, "--best", "--report", "runs.html")
    done = run_here("train", TINY.name, *said, cwd=out)
    assert done.returncode == 0, done.stderr
    page = (out / "runs.html").read_text()
    assert "runs.html" in done.stderr
    assert 'id="networks-table"' in page
    assert "Over the epochs" in page


def test_a_dry_run_says_what_it_takes_and_trains_nothing(data: Path, tmp_path: Path) -> None:
    done = run_here("train", TINY.name, "--data", str(data), "--out", "out", *OPTIONS, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    variant = an.Variant(**{**TINY.to_dict(), "block_config": (1, 1), "classes": 3})
    peak = an.predict_memory(variant, 8, optimizer="adam", form="single").peak_training_bytes
    assert f"predicted peak {peak / 2**20:.3f} MiB at 8 images" in done.stdout
    assert "3 classes" in done.stdout
    assert not (tmp_path / "out" / "runs").exists()


def test_several_networks_seeds_and_folds_are_runs_of_their_own(data: Path, tmp_path: Path) -> None:
    runs = an.train(
        [TINY, an.Variant(**{**TINY.to_dict(), "block_config": (1, 1), "growth": 8})], data, out=tmp_path, seeds=(0, 1),
        folds=2, epochs=1, batch=8, threads=1, quiet=True,
    )  # fmt: skip
    assert len(runs.runs) == 8
    assert len({outcome.config.run for outcome in runs.runs}) == 8
    tested = [outcome.config.images[2] for outcome in runs.runs if outcome.config.seed == 0]
    assert sum(tested) == 2 * 36  # each image tests once a network
    table = runs.frame()
    assert len(table) == 8
    assert set(table["fold"]) == {0, 1}


# -- an own model, an own Dataset ------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def test_an_own_model_on_an_own_dataset(own: Path) -> None:
    command = ["train", "own.py:Net", "--kwarg", "num_classes=2", "--data", "own.py:Pictures", "--out", "out", *OPTIONS]
    done = run_here(*command, "--epochs", "8", cwd=own)
    assert done.returncode == 0, done.stderr
    (run,) = (own / "out" / "runs").iterdir()
    header = read_header(run / "last.safetensors")
    assert header.checkpoint.own.name == "own.py:Net"
    assert header.checkpoint.classes == ("dark", "light")
    assert header.checkpoint.tied == {"tied.bias": "head.bias", "tied.weight": "head.weight"}
    (outcome,) = json.loads(run_here(*command, "--epochs", "8", "--format", "json", cwd=own).stdout)
    assert outcome["epochs"][-1]["test_accuracy"] == 1.0  # light from dark
    file = str((run / "last.safetensors").relative_to(own))
    shown = run_here("show", f"own.py:Net@{file}", "--format", "json", cwd=own)
    assert json.loads(shown.stdout)["params"] == 3 * 4 * 9 + 4 + 8 + 4 * 2 + 2
    refused = run_here("show", file, cwd=own)
    assert refused.returncode == 2
    assert f"name it, too: own.py:Net@{file}" in refused.stderr
    Image.new("RGB", (16, 16), (230, 230, 230)).save(own / "white.png")
    said = run_here("predict", f"own.py:Net@{file}", "white.png", "--format", "json", cwd=own)
    assert json.loads(said.stdout)[0]["probabilities"]["light"] > 0.5
    other = run_here("show", f"own.py:Net@{file}", "--kwarg", "num_classes=2", "--kwarg", "wide=5", cwd=own)
    assert other.returncode == 2
    assert "body.bias is (4,) there and (5,) here" in other.stderr


def test_no_code_that_a_checkpoint_names_is_run(own: Path, out: Path) -> None:
    path = out / "runs" / RUN / "last.safetensors"
    tensors = load_file(path)
    import msgspec

    from analyzer.seals import sealed
    from analyzer.targets.checkpoints import KEY

    data = msgspec.to_builtins(read_header(path).checkpoint)
    data |= {"variant": None, "own": {"name": "os:abort", "kwargs": {}, "inputs": []}}
    save_file(tensors, own / "evil.safetensors", metadata={KEY: msgspec.json.encode(sealed(data)).decode()})
    for verb in (["show"], ["predict", "--"], ["measure"], ["compare", "article"]):
        done = run_here(*verb, "evil.safetensors", *(["own.py"] if verb[0] == "predict" else []), cwd=own)
        assert done.returncode == 2
        assert "whose code runs" in done.stderr


# -- checkpoints as targets ------------------------------------------------------------------------------------


def test_show_compare_and_check_take_a_checkpoint(out: Path, tmp_path: Path) -> None:
    path = out / "runs" / RUN / "last.safetensors"
    variant = an.Variant.parse(RUN.removesuffix("_seed0"))
    exact = an.analyze(variant)
    shown = json.loads(run_here("show", str(path), "--format", "json", cwd=tmp_path).stdout)
    assert (shown["params"], shown["macs"]) == (exact.params, exact.macs)
    assert shown["target"]["name"] == variant.name
    stored = sum(t.numel() for name, t in load_file(path).items() if "running" not in name and "num_b" not in name)
    assert stored == exact.params
    compared = json.loads(run_here("compare", str(path), variant.name, "--format", "json", cwd=tmp_path).stdout)
    assert [record["params"] for record in compared["records"]] == [exact.params] * 2
    shutil.copy(path, tmp_path / "net.safetensors")
    (tmp_path / "analyzer.toml").write_text(
        f"[models.net]\ntarget = 'net.safetensors'\nbudgets.params = {{ max = {exact.params - 1} }}\n"
    )
    checked = run_here("check", cwd=tmp_path)
    assert checked.returncode == 1
    (tmp_path / "analyzer.toml").write_text(
        f"[models.net]\ntarget = 'net.safetensors'\nbudgets.params = {{ max = {exact.params} }}\n"
    )
    assert run_here("check", cwd=tmp_path).returncode == 0
    (tmp_path / "analyzer.toml").write_text(
        "[models.net]\ntarget = '../net.safetensors'\nbudgets.params = { max = 1 }\n"
    )
    assert "leaves the project" in run_here("check", cwd=tmp_path).stdout


def test_a_checkpoint_of_another_variant_names_both(out: Path) -> None:
    path = out / "runs" / RUN / "last.safetensors"
    with pytest.raises(UsageError, match=r"is a checkpoint of residual_b1-1.*, not of dense_b6-12-24-16"):
        resolve(f"densenet121@{path}")
    assert resolve(str(path)) == FamilyTarget(an.Variant.parse(RUN.removesuffix("_seed0")), str(path), path)
    assert isinstance(resolve(str(path)).weights, Path)
    assert not isinstance(resolve(str(path)), ModuleTarget)
    with pytest.raises(UsageError, match="leave out the options"):
        resolve(str(path), {"classes": 5})


def test_a_header_that_lies_is_found_out(out: Path, tmp_path: Path) -> None:
    import msgspec

    from analyzer.seals import sealed
    from analyzer.targets.checkpoints import KEY

    path = out / "runs" / RUN / "last.safetensors"
    data = msgspec.to_builtins(read_header(path).checkpoint)
    data["variant"]["growth"] = 8
    liar = tmp_path / "liar.safetensors"
    save_file(load_file(path), liar, metadata={KEY: msgspec.json.encode(sealed(data)).decode()})
    with pytest.raises(UsageError, match=r"says residual_b1-1_g8.*, which has \d+ parameters, and has \d+"):
        resolve(str(liar))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 8, b"\xff" * 30, b"\x10\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]"],
)
def test_a_file_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"no safetensors file|says not which network"):
        resolve(str(path))
    with pytest.raises(UsageError, match="can't be read"):
        resolve(str(tmp_path / "gone.safetensors"))


# -- predict ---------------------------------------------------------------------------------------------------


def test_probabilities_are_the_softmax_of_what_training_stored(data: Path, out: Path) -> None:
    from contextlib import closing

    from analyzer.images.source import open_source
    from analyzer.images.split_file import read_split
    from analyzer.training.runs_file import RunsFile

    path = out / "runs" / RUN / "last.safetensors"
    source = open_source(data)
    split = read_split(out / "split.json", source)
    files = [str(data / source.keys[index]) for index in split.test]
    with closing(RunsFile(out / "results.db")) as runs:
        logits = torch.from_numpy(runs.logits(RUN, 2, "test", 3).copy()).double()
    said = list(predictions(str(path), files, "cpu"))
    for row, wanted in zip(said, torch.softmax(logits, 1).tolist(), strict=True):
        assert [row.probabilities[name] for name in CLASSES] == pytest.approx(wanted, rel=1e-4)
        assert row.top == CLASSES[int(np.argmax(wanted))]


def test_what_can_not_be_read_is_a_row_with_the_reason(data: Path, out: Path, tmp_path: Path) -> None:
    path = str(out / "runs" / RUN / "best.safetensors")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "torn.png").write_bytes((data / "disc" / "00.png").read_bytes()[:200])
    shutil.copy(data / "disc" / "00.png", tmp_path / "pictures" / "good.png")
    done = run_here("predict", path, "pictures", "--format", "jsonl", cwd=tmp_path)
    assert done.returncode == 0
    good, torn = map(json.loads, done.stdout.splitlines())
    assert sum(good["probabilities"].values()) == pytest.approx(1)
    assert torn["error"]
    assert "torn.png" in done.stderr
    assert run_here("predict", path, "pictures/torn.png", cwd=tmp_path).returncode == 3
    assert "is not there" in run_here("predict", path, "nowhere.png", cwd=tmp_path).stderr
    assert "is no checkpoint" in run_here("predict", "article", "pictures", cwd=tmp_path).stderr


def test_a_loaded_network_is_the_trained_one(out: Path) -> None:
    path = out / "runs" / RUN / "last.safetensors"
    _, model = loaded(str(path))
    assert not model.training
    for name, tensor in load_file(path).items():
        assert torch.equal(model.state_dict()[name], tensor)


# -- bad input -------------------------------------------------------------------------------------------------


def mended(data: Path, to: Path, change: str) -> Path:
    """A copy of the data with one thing wrong."""
    shutil.copytree(data, to)
    if change == "one class":
        for name in CLASSES[1:]:
            shutil.rmtree(to / name)
    elif change == "empty class":
        shutil.rmtree(to / "disc")
        (to / "disc").mkdir()
    elif change == "parts":
        for part, names in {"train": CLASSES, "test": CLASSES[:2]}.items():
            for name in names:
                (to / part / name).mkdir(parents=True)
                number = 100 if part == "train" else 200
                Image.fromarray(picture(0, number + len(name))).save(to / part / name / "a.png")
        for name in CLASSES:
            shutil.rmtree(to / name)
    elif change == "few":
        for path in sorted(to.rglob("*.png"))[::3] + sorted(to.rglob("*.png"))[1::3]:
            path.unlink()
    return to


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("one class", "one class only: 'cross'"),
        ("empty class", "has no image of class 'disc'"),
        ("parts", "its parts have different classes: test has none of class 'stripes'"),
        ("few", "images to train on are fewer than a batch of 8"),
    ],
)
def test_data_that_can_not_be_trained_on(change: str, words: str, data: Path, tmp_path: Path) -> None:
    bad = mended(data, tmp_path / "bad", change)
    done = run_here("train", TINY.name, "--data", str(bad), "--out", "out", *OPTIONS, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([TINY.name, "--epochs", "0"], 2, "epochs"),
        ([TINY.name, "--lr", "-1"], 2, "lr"),
        ([TINY.name, "--seeds", "a"], 2, "--seeds 0,1,2"),
        ([TINY.name, "--seeds", "1,1"], 2, "each once"),
        ([TINY.name, "--split", "70/10"], 2, "such as --split 70/10/20"),
        ([TINY.name, "--split", "0/50/50"], 2, "no shares"),
        ([TINY.name, "--folds", "1"], 2, "folds"),
        ([TINY.name, "--augment", "flop"], 2, "flip, crop"),
        ([TINY.name, "--classes", "7"], 2, "come from the data"),
        ([TINY.name, TINY.name], 2, "named twice"),
        (["densenet121", "--image", "8"], 3, "image"),
        (["article", "--device", "cuda:9"], 2, "is not there"),
        (["nothing"], 2, "unknown target"),
        (["own.py:Net"], 3, "there is no file"),
    ],
)
def test_options_that_can_not_be(args: list[str], code: int, words: str, data: Path, tmp_path: Path) -> None:
    options = ["--batch", "8", *([] if "--image" in args else ["--image", "16"])]
    done = run_here("train", *args, "--data", str(data), "--out", "out", *options, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_out_that_can_not_be_written_is_told_first(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_here("train", TINY.name, "--data", str(data), "--out", "file/out", *OPTIONS, cwd=tmp_path)
    assert done.returncode == 2
    assert "file" in done.stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "results.db").write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    done = run_here("train", TINY.name, "--data", str(data), "--out", "other", *OPTIONS, cwd=tmp_path)
    assert done.returncode == 2
    assert "results.db" in done.stderr


def test_damaged_images_are_left_out_and_named(data: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(data, tmp_path / "data"))
    (mine / "disc" / "05.png").write_bytes(b"no picture")
    done = run_here("train", TINY.name, "--data", str(mine), "--out", "out", *OPTIONS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "disc/05.png" in done.stderr
    assert "left out" in done.stderr


def test_leaks_between_given_parts_stop_it(data: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        shutil.copytree(data, tmp_path / "data" / part)
    done = run_here("train", TINY.name, "--data", "data", "--out", "out", *OPTIONS, cwd=tmp_path)
    assert done.returncode == 2
    assert "parts share images" in done.stderr
    assert "cross/00.png" in done.stderr


def test_kornia_is_asked_for_by_name(data: Path, tmp_path: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("kornia"):
        pytest.skip("kornia is installed")
    with pytest.raises(UsageError, match=r"need kornia.*\[augment\]"):
        an.train(TINY, data, out=tmp_path, epochs=1, batch=8, augment=("flip", "rotate"), quiet=True)


def test_a_model_that_can_not_be_loaded_is_the_users(own: Path) -> None:
    (own / "bad.py").write_text("raise RuntimeError('mine')")
    with pytest.raises(TargetError, match="mine"):
        an.train(f"{own}/bad.py:Net", f"{own}/own.py:Pictures", out=own / "out", image=16, batch=8, quiet=True)
