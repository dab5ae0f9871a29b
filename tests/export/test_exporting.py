"""A network as a file: what others run equals the network, and the file's own figures are the network's."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from commands import run_here
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import analyzer as an
from analyzer.architecture.network import PRESETS
from analyzer.building.modules import build
from analyzer.errors import TargetError, UsageError
from analyzer.exporting.int8 import quantize
from analyzer.exporting.results import Int8Result, PairedTimes
from analyzer.targets.checkpoints import Checkpoint
from analyzer.training.checkpoints import save_weights

ROOT = Path(an.__file__).parents[1]
VARIANT = an.Variant(block_config=(2,), growth=8, init=8, image=32, classes=4)
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, noise=False):
        super().__init__()
        self.up, self.mix = nn.ConvTranspose2d(3, 8, 2, stride=2), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        nn.init.zeros_(self.mix.bias)  # a param, too
        self.norm, self.head, self.noise = nn.BatchNorm2d(8), nn.Linear(8, 5), noise
        print("made")

    def forward(self, x):
        y = self.norm(self.mix(self.up(x)).relu()).mean((2, 3))
        return self.head(y + torch.rand_like(y) if self.noise else y)

class Pair(Net):
    def forward(self, x):
        return super().forward(x), x

class Branching(Net):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)
"""


def images(count: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def trained() -> nn.Module:
    """The variant's network as after some training: no weight, bias or statistic has its first value."""
    model, drawn = build(VARIANT, seed=3), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=drawn)
                module.running_var.uniform_(0.5, 2, generator=drawn)
                module.bias.normal_(0, 0.1, generator=drawn)
    return model.eval()


def checkpoint_of(path: Path) -> nn.Module:
    model = trained()
    about = Checkpoint(
        run="r", network=VARIANT.name, variant=VARIANT.to_dict(), classes=("a", "b", "c", "d"), image=32, channels=3,
        mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), seed=0, epoch=1, step=1, digest="",
    )  # fmt: skip
    save_weights(path, model, about)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, an.Exported]:
    """A checkpoint as ONNX and int8, compared on a folder of real images."""
    folder = tmp_path_factory.mktemp("exported")
    checkpoint_of(folder / "last.safetensors")
    drawn = np.random.default_rng(1)
    for name in ("cat", "dog"):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(6):
            pixels = drawn.integers(0, 256, (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{number}.png")
    target, data = str(folder / "last.safetensors"), str(folder / "pictures")
    return folder, an.export(target, folder / "net.onnx", data=data, int8=True, images=12, quiet=True)


@pytest.mark.slow
def test_onnx_runtime_gives_what_the_network_gives_at_any_batch(exported: tuple[Path, an.Exported]) -> None:
    folder, done = exported
    session = onnxruntime.InferenceSession(folder / "net.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 3, 7):
        with torch.no_grad():
            expected = trained()(images(batch)).numpy()
        got = session.run(["logits"], {"images": images(batch).numpy()})[0]
        assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
    assert [one.batch for one in done.agreements] == [1, 5]
    assert all(0 <= one.difference <= done.tolerance == 1e-4 for one in done.agreements)
    assert "12 images of" in done.images
    assert done.bytes == (folder / "net.onnx").stat().st_size


def test_the_onnx_files_figures_are_the_variants(exported: tuple[Path, an.Exported]) -> None:
    """Params as the network has them: no batch norm is folded, and its statistics are buffers."""
    folder, done = exported
    own = an.analyze(VARIANT)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in trained().modules())
    record = an.analyze(str(folder / "net.onnx"))
    assert (done.params, done.macs, done.unequal) == (own.params, own.macs, ())
    for figure in ("params", "param_bytes", "macs", "flops", "conv_activations", "depth"):
        assert getattr(record, figure) == getattr(own, figure), figure
    assert record.buffer_bytes == own.buffer_bytes - 8 * norms  # its count of batches is not exported
    theirs = {row.path: (row.params, row.macs) for row in record.layers or ()}
    assert theirs == {row.path: (row.params, row.macs) for row in own.layers or () if row.params}


def test_the_onnx_file_says_what_it_is_and_nothing_of_where_it_was_made(exported: tuple[Path, an.Exported]) -> None:
    folder, done = exported
    data = (folder / "net.onnx").read_bytes()
    said = {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}
    assert said["name"] == VARIANT.name == done.network
    assert said["source"] == f"sha256:{done.source}"
    assert json.loads(said["classes"]) == ["a", "b", "c", "d"]
    assert json.loads(said["mean"]) == [0.5, 0.5, 0.5]
    for place in (ROOT, folder, Path.home(), sys.prefix, socket.gethostname()):
        assert len(str(place)) < 4 or str(place).encode() not in data
    assert b".py" not in data


def test_int8_is_judged_on_images_that_did_not_calibrate(exported: tuple[Path, an.Exported]) -> None:
    folder, done = exported
    made = done.int8
    assert made is not None
    assert (made.calibrated, made.judged) == (6, 6)
    assert (made.bytes, made.from_bytes) == ((folder / "net.int8.onnx").stat().st_size, done.bytes)
    record = an.analyze(str(folder / "net.int8.onnx"))
    assert (made.params, made.param_bytes) == (record.params, record.param_bytes)
    assert record.macs == done.macs
    graph = onnx.load(folder / "net.int8.onnx").graph
    bytes_ = {t.name: len(t.raw_data) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8}
    weights = sum(p.numel() for p in trained().parameters() if p.dim() > 1)
    assert sum(size for name, size in bytes_.items() if "weight_quantized" in name) == weights
    if made.reduce_range:
        small = [np.frombuffer(t.raw_data, np.int8) for t in graph.initializer if "weight_quantized" in t.name]
        assert max(int(np.abs(values).max()) for values in small if values.size) <= 64


def test_int8s_agreement_is_what_the_two_files_say(exported: tuple[Path, an.Exported], tmp_path: Path) -> None:
    folder, _ = exported
    batch = images(10).numpy()
    made = quantize(folder / "net.onnx", batch, tmp_path / "q.onnx")
    runs = [onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            for path in (folder / "net.onnx", tmp_path / "q.onnx")]  # fmt: skip
    tops = [[run.run(None, {"images": one[None]})[0].argmax() for one in batch[5:]] for run in runs]
    assert made.agreement == np.mean(np.equal(*tops))
    assert len(made.times.first_s) == len(made.times.second_s) >= 5
    with pytest.raises(UsageError, match="overwrite its source"):
        quantize(folder / "net.onnx", batch, folder / "net.onnx")
    with pytest.raises(UsageError, match="two images"):
        quantize(folder / "net.onnx", batch[:1], tmp_path / "q.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net.pt2", "net.onnx"])
def test_resnet50_is_counted_in_its_file_as_published(name: str, tmp_path: Path) -> None:
    """25,557,032 params (torchvision); MACs at 64 px by torch's own counter."""
    variant = dataclasses.replace(PRESETS["resnet50"], image=64)
    with FlopCounterMode(display=False) as counter:
        an.build(variant, device="meta").eval()(torch.empty(1, 3, 64, 64, device="meta"))
    done = an.export(variant, tmp_path / name, quiet=True)
    assert done.params == 25_557_032
    assert done.macs == counter.get_total_flops() // 2
    assert done.unequal == ()
    assert all(one.difference <= done.tolerance for one in done.agreements)


@pytest.mark.slow
def test_an_exported_program_runs_to_the_bit_without_this_package(tmp_path: Path) -> None:
    model = trained()
    done = an.export(model, tmp_path / "net.pt2", inputs=(1, 3, 32, 32), quiet=True)
    assert [one.difference for one in done.agreements] == [0, 0]
    own = an.analyze(VARIANT)
    assert (done.params, done.macs, done.unequal) == (own.params, own.macs, ())
    data = (tmp_path / "net.pt2").read_bytes()
    assert str(ROOT).encode() not in data
    assert str(tmp_path).encode() not in data
    with torch.no_grad():
        save_file({"x": images(4), "y": model(images(4))}, tmp_path / "pair.safetensors")
    code = """
import sys, torch
from safetensors.torch import load_file
pair = load_file("pair.safetensors")
module = torch.export.load("net.pt2").module()
assert torch.equal(module(pair["x"]), pair["y"])
assert "analyzer" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True, timeout=300)


def test_weights_are_written_to_the_bit_and_a_checkpoint_stays_one(tmp_path: Path) -> None:
    model = checkpoint_of(tmp_path / "last.safetensors")
    done = an.export(str(tmp_path / "last.safetensors"), tmp_path / "out.safetensors", quiet=True)
    assert (done.params, done.macs) == (an.analyze(VARIANT).params, None)
    there = load_file(tmp_path / "out.safetensors")
    assert all(torch.equal(there[name], tensor) for name, tensor in model.state_dict().items())
    shown = run_here("show", "out.safetensors", "--format", "json", cwd=tmp_path)
    assert json.loads(shown.stdout)["macs"] == an.analyze(VARIANT).macs
    done = an.export(VARIANT, tmp_path / "bare.safetensors", quiet=True)
    assert done.params == an.analyze(VARIANT).params


def test_a_compressed_checkpoint_is_exported_as_it_is(tmp_path: Path) -> None:
    made = an.compress(VARIANT, an.Budget(max_params=1500), plan="prune l2 global")
    made.save(tmp_path / "small.safetensors")
    done = an.export(str(tmp_path / "small.safetensors"), tmp_path / "out.safetensors", quiet=True)
    assert done.params == sum(p.numel() for p in made.model.parameters()) <= 1500
    macs = an.analyze(made.model, inputs=(1, 3, 32, 32)).macs
    shown = run_here("show", "out.safetensors", "--format", "json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["macs"] == macs
    same = run_here("export", "small.safetensors", "--out", "small.safetensors", cwd=tmp_path)
    assert "would overwrite its source" in same.stderr


def test_a_model_of_ones_own_with_its_weights(tmp_path: Path) -> None:
    """A transposed and a grouped convolution; figures of the file against those of the module."""
    (tmp_path / "net.py").write_text(NET)
    done = run_here("export", "net.py:Net", "--input", "1,3,8,8", "--out", "w.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_here(
        "export", "net.py:Net@w.safetensors", "--input", "1,3,8,8", "--out", "n.onnx", "--format", "json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "made" in done.stderr  # what its code prints is not our data
    data = json.loads(done.stdout)
    params = (3 * 8 * 4 + 8) + (8 * 4 * 9 + 8) + 16 + 45
    macs = 3 * 64 * 8 * 4 + 8 * 256 * 4 * 9 + 40
    assert (data["network"], data["params"], data["macs"], data["unequal"]) == ("Net", params, macs, [])
    assert "not the network's" not in done.stderr
    held = {t.name: t for t in onnx.load(tmp_path / "n.onnx").graph.initializer}
    weight = np.frombuffer(held["mix.weight"].raw_data, np.float32)
    assert np.array_equal(weight, load_file(tmp_path / "w.safetensors")["mix.weight"].numpy().ravel())


# -- what goes wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("densenet121", "--out", "n.onxx"), 2, "did you mean"),
        (("densenet121", "--out", "net"), 2, "end its name in"),
        (("densenet121", "--out", "n.safetensors", "--int8"), 2, "made from an .onnx or .pt2"),
        (("net.py:Net", "--out", "n.pt2"), 2, "needs the one input"),
        (("net.py:Net", "--input", "1,3,8", "--out", "n.pt2"), 2, "no batch of images"),
        (("net.py:Pair", "--input", "1,3,8,8", "--out", "n.pt2"), 3, "gives a tuple"),
        (("net.py:Branching", "--input", "1,3,8,8", "--out", "n.pt2"), 3, "can't be exported by torch.export"),
        (("net.py:Net", "--input", "1,3,8,8", "--out", "n.pt2", "--data", "nowhere"), 2, "is not there"),
        (("n.onnx", "--out", "m.onnx"), 2, "is a file of an exported network"),
    ],
)
def test_what_can_not_be_exported_is_said_and_nothing_is_left(
    tmp_path: Path, args: tuple[str, ...], code: int, says: str
) -> None:
    (tmp_path / "net.py").write_text(NET)
    done = run_here("export", *args, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "fix:" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["net.py"]


def test_a_file_that_differs_is_not_written_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "n.pt2").write_text("kept")
    args = ("export", "net.py:Net", "--kwarg", "noise=true", "--input", "1,3,8,8", "--out", "n.pt2")
    done = run_here(*args, cwd=tmp_path)
    assert done.returncode == 3
    assert "differs from the network by" in done.stderr
    assert (tmp_path / "n.pt2").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.pt2", "net.py"]


def test_a_source_is_never_written_over(tmp_path: Path) -> None:
    checkpoint_of(tmp_path / "last.safetensors")
    before = (tmp_path / "last.safetensors").read_bytes()
    (tmp_path / "link.safetensors").symlink_to("last.safetensors")
    for name in ("last.safetensors", "link.safetensors"):
        done = run_here("export", "last.safetensors", "--out", name, cwd=tmp_path)
        assert done.returncode == 2
        assert "would overwrite its source" in done.stderr
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_modules_that_are_not_ready_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs its input"):
        an.export(trained(), tmp_path / "n.pt2")
    with pytest.raises(UsageError, match="meta device"):
        an.export(build(VARIANT, device="meta"), tmp_path / "n.pt2", inputs=(1, 3, 32, 32))
    with pytest.raises(UsageError, match="float32"):
        an.export(build(VARIANT).half(), tmp_path / "n.pt2", inputs=(1, 3, 32, 32))
    with pytest.raises(TargetError):
        an.export(build(VARIANT), tmp_path / "n.pt2", inputs=(1, 4, 32, 32))


# -- words -----------------------------------------------------------------------------------------------------


def paired(*second: float) -> PairedTimes:
    return PairedTimes(
        first="fp32", second="int8", first_s=(1.0,) * len(second), second_s=second, batch=1, threads=1, device="cpu"
    )


@pytest.mark.parametrize(
    ("times", "kernels", "says"),
    [
        ((0.5, 0.6, 0.7), 9, "faster here"),
        ((1.5, 1.6, 1.7), 9, "no gain here: slower"),
        ((0.5, 1.0, 1.5), 9, "no gain here that the spread does not cover"),
        ((0.5, 0.6, 0.7), 0, "no kernel here: no gain"),
    ],
)
def test_no_gain_is_said(times: tuple[float, ...], kernels: int, says: str) -> None:
    made = Int8Result(
        file="q", bytes=1, from_bytes=4, params=1, param_bytes=1, calibrated=1, judged=1, agreement=1.0,
        reduce_range=True, processor="AVX2 without VNNI", kernels=kernels, times=paired(*times),
    )  # fmt: skip
    assert made.gain == says


def test_a_ratio_is_the_median_of_the_pairs_own_with_its_quartiles() -> None:
    assert paired(0.5, 2.0, 1.0, 0.75, 1.25).ratio == (1.0, 0.75, 1.25)
    assert "1.00x the time (quartiles 0.75 to 1.25 of 5 alternated pairs" in paired(0.5, 2.0, 1.0, 0.75, 1.25).told()
