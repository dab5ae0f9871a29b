"""`.onnx` and bare `.safetensors` as targets: figures by hand, and files that nobody should trust."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import run_command, run_here
from graphs import floats, small, whole, written
from onnx import TensorProto, helper, numpy_helper

import analyzer as an
from analyzer.errors import UsageError
from analyzer.targets.files import FileTarget, record_of_file, resolve_costed


def counted(path: Path, *inputs: str) -> an.Record:
    target = resolve_costed(str(path), inputs=inputs)
    assert isinstance(target, FileTarget)
    return record_of_file(target)


def test_the_figures_are_those_of_hand_arithmetic(tmp_path: Path) -> None:
    """A convolution's MACs are its result's elements times its window's; BN's statistics are no params."""
    record = counted(small(tmp_path / "a.onnx"))
    learnt = 8 * 3 * 9 + 2 * 8 + (8 * 4 + 8) + (5 * 8 + 5)
    macs = 8 * 64 * 27 + 8 * 64 * 4 + 5 * 8
    assert (record.params, record.param_bytes, record.buffer_bytes) == (learnt, 4 * learnt, 4 * 16)
    assert (record.macs, record.flops, record.depth) == (macs, 2 * macs, 3)
    assert record.conv_activations == 8 * 64 + 8 * 64 + 5
    assert record.uncounted == ()
    assert record.trainable_params is None
    assert record.saved_bytes is None
    assert (record.input, record.batch) == ((1, 3, 16, 16), 1)
    assert any("'batch' is counted as 1" in note for note in record.notes)
    assert [(row.path, row.type, row.output, row.params, row.macs) for row in record.layers or ()] == [
        ("stem.conv", "Conv", (1, 8, 8, 8), 216, 8 * 64 * 27),
        ("stem.norm", "BatchNormalization", (1, 8, 8, 8), 16, 0),
        ("mix", "Conv", (1, 8, 8, 8), 40, 8 * 64 * 4),
        ("head", "Gemm", (1, 5), 45, 40),
    ]


def test_a_batch_that_is_given_is_counted_whole(tmp_path: Path) -> None:
    path = small(tmp_path / "a.onnx")
    one, four = counted(path), counted(path, "4,3,16,16")
    assert (four.batch, four.macs, four.conv_activations) == (4, 4 * one.macs, 4 * one.conv_activations)
    assert counted(path, "x=2,3,16,16").macs == 2 * one.macs
    for wrong in ("4,3,17,16", "4,3,16", "z=1,3,16,16"):
        with pytest.raises(UsageError, match=r"is not the N,3,16,16|has no such input"):
            counted(path, wrong)


def test_products_transposed_convolutions_and_a_tied_weight(tmp_path: Path) -> None:
    """The weight is read twice and counted once; a product of two activations is no layer."""
    nodes = [
        helper.make_node("ConvTranspose", ["x", "up.weight"], ["a"], strides=[2, 2], kernel_shape=[2, 2]),
        helper.make_node("Reshape", ["a", "sizes"], ["b"]),
        helper.make_node("MatMul", ["b", "tied"], ["c"], name="first"),
        helper.make_node("Transpose", ["tied"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["c", "t"], ["d"], name="second"),
        helper.make_node("Transpose", ["d"], ["e"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["d", "e"], ["y"], name="scores"),
    ]
    tensors = [floats("up.weight", 4, 6, 2, 2), whole("sizes", [1, 6, 64]), floats("tied", 64, 10)]
    record = counted(written(tmp_path / "a.onnx", nodes, tensors, (1, 4, 4, 4)))
    assert record.params == 4 * 6 * 4 + 640
    up, first, second, scores = 4 * 16 * 6 * 4, 6 * 10 * 64, 6 * 64 * 10, 6 * 6 * 64
    assert record.macs == up + first + second + scores
    assert record.conv_activations == 6 * 64 + 6 * 10 + 6 * 64
    assert record.depth == 3
    assert sum(row.params for row in record.layers or ()) == record.params
    assert sum(row.macs for row in record.layers or ()) == record.macs


def test_a_quantised_graph_has_its_weights_at_a_byte_and_its_scales_as_buffers(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["d"]),
        helper.make_node("DequantizeLinear", ["conv.weight_quantized", "ws", "wz"], ["w"], axis=0),
        helper.make_node("Conv", ["d", "w"], ["y"]),
    ]
    tensors = [
        numpy_helper.from_array(np.float32(0.1), "xs"), numpy_helper.from_array(np.uint8(3), "xz"),
        numpy_helper.from_array(np.ones((8, 3, 1, 1), np.int8), "conv.weight_quantized"), floats("ws", 8),
        whole("wz", [0] * 8, np.int8),
    ]  # fmt: skip
    record = counted(written(tmp_path / "a.onnx", nodes, tensors, (1, 3, 4, 4)))
    assert (record.params, record.param_bytes, record.buffer_bytes) == (24, 24, 4 + 1 + 8 * 4 + 8)
    assert (record.macs, record.depth) == (8 * 16 * 3, 1)


def test_what_has_no_formula_or_no_shape_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], domain="some.where", name="odd"),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="unknown"),
        helper.make_node("Einsum", ["b", "b"], ["y"], name="ein", equation="ij,ij->i"),
    ]
    path = written(tmp_path / "a.onnx", nodes, [floats("w", 4, 4)], (2, 4), domains=["some.where"])
    record = counted(path)
    assert {(one.operator, one.module) for one in record.uncounted} == {
        ("some.where::Mystery", "odd"), ("MatMul", "unknown"), ("Einsum", "ein"),
    }  # fmt: skip
    assert (record.params, record.macs) == (16, 0)
    done = run_here("show", "a.onnx", "--strict", cwd=tmp_path)
    assert done.returncode == 3
    assert "Mystery" in done.stderr


def test_show_compare_and_report_take_files(tmp_path: Path) -> None:
    small(tmp_path / "a.onnx")
    done = run_here("show", "a.onnx", "--format", "json", "--input", "2,3,16,16", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert (data["target"]["name"], data["batch"], data["params"]) == ("a.onnx", 2, 317)
    done = run_here("compare", "article", "a.onnx", "--classes", "5", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["params"] for row in json.loads(done.stdout)["records"]][1] == 317
    assert run_here("report", "a.onnx", "--out", "r.html", cwd=tmp_path).returncode == 0
    larger = small(tmp_path / "b.onnx")
    model = onnx.load(larger)
    model.graph.initializer.append(floats("more", 100))
    onnx.save(model, larger)
    done = run_here("report", "a.onnx", "b.onnx", "--format", "md", "--max-params", "400", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Over budget" in done.stdout
    assert "417" in done.stdout
    assert an.analyze(str(tmp_path / "a.onnx")).params == 317


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("show", "a.onnx", "--classes", "2"), "is of one network"),
        (("show", "a.onnx", "--peak"), "needs a network's code"),
        (("show", "a.onnx", "--witnesses"), "needs a network's code"),
        (("show", "a.onnx", "--backward"), "needs a network's code"),
        (("show", "gone.onnx"), "can't be read"),
        (("fit", "a.onnx", "--memory", "1GiB"), "is a file of an exported network"),
        (("measure", "a.onnx"), "is a file of an exported network"),
        (("explain", "a.onnx"), "is a file of an exported network"),
    ],
)
def test_what_a_file_can_not_do_is_said(tmp_path: Path, args: tuple[str, ...], says: str) -> None:
    small(tmp_path / "a.onnx")
    done = run_here(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "fix:" in done.stderr


def test_check_and_lock_hold_files(tmp_path: Path) -> None:
    small(tmp_path / "a.onnx")
    text = "[models.net]\ntarget = 'a.onnx'\ninput = [2, 3, 16, 16]\nbudgets.params = { max = 300 }\n"
    (tmp_path / "analyzer.toml").write_text(text)
    done = run_here("check", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "317" in done.stdout
    (tmp_path / "analyzer.toml").write_text(text.replace("300", "317"))
    assert run_here("lock", cwd=tmp_path).returncode == 0
    assert run_here("check", cwd=tmp_path).returncode == 0
    (tmp_path / "analyzer.toml").write_text(text.replace("input =", "batch = 2\n#"))
    done = run_here("check", cwd=tmp_path)
    assert done.returncode == 2
    assert "batch means nothing to a file" in done.stdout + done.stderr
    (tmp_path / "analyzer.toml").write_text(text.replace("'a.onnx'", "'../a.onnx'"))
    assert run_here("check", cwd=tmp_path).returncode in (2, 3)


# -- files that nobody should trust ----------------------------------------------------------------------------


def test_weights_in_another_file_are_not_opened(tmp_path: Path) -> None:
    """Not one outside of the folder, either: shapes stand in the graph."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"\1" * 8 * 3 * 4)
    inner = tmp_path / "inner"
    inner.mkdir()
    path = small(inner / "a.onnx")
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "../secret", "offset": "0", "length": "96"}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    before = secret.stat().st_atime_ns
    secret.chmod(0)
    record = counted(path)
    assert (record.params, record.macs) == (317, 8 * 64 * 27 + 8 * 64 * 4 + 40)
    assert any("not opened" in note for note in record.notes)
    assert secret.stat().st_atime_ns == before


def damaged(kind: str, path: Path) -> None:
    model = onnx.load(small(path))
    graph = model.graph
    whole_file = path.read_bytes()
    if kind == "cut":
        path.write_bytes(whole_file[: len(whole_file) // 2])
        return
    if kind in ("empty", "text"):
        path.write_bytes(b"" if kind == "empty" else b"not an onnx file at all\n" * 20)
        return
    if kind == "huge":
        graph.initializer[0].dims[0] = 2**62
    if kind == "negative":
        graph.initializer[0].dims[0] = -8
    if kind == "short":
        graph.initializer[0].raw_data = graph.initializer[0].raw_data[:-4]
    if kind == "type":
        graph.initializer[0].data_type = 99
    if kind == "twice":
        graph.initializer.append(graph.initializer[0])
    if kind == "contradiction":
        graph.node[3].attribute[0].i = 3
        graph.initializer[0].dims[1], graph.initializer[0].dims[0] = 8, 3
    if kind == "nested":
        inner = graph
        for _ in range(30):
            node = inner.node.add(op_type="If", input=["x"], output=["z"])
            node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.CopyFrom(helper.make_graph(
                [helper.make_node("Relu", ["x"], ["z"])], "n", [], []))  # fmt: skip
            inner = node.attribute[0].g
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "huge", "negative", "short", "type", "twice", "nested"])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, kind: str) -> None:
    damaged(kind, tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=r"damaged|nests graphs"):
        counted(tmp_path / "a.onnx")


def test_random_damage_never_ends_in_anything_but_a_word_or_figures(tmp_path: Path) -> None:
    good = small(tmp_path / "a.onnx").read_bytes()
    drawn = np.random.default_rng(3)
    for number in range(16):
        bad = bytearray(good)
        for place in drawn.integers(0, len(bad), 4):
            bad[place] = int(drawn.integers(0, 256))
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(bytes(bad))
        try:
            assert counted(path).params is not None
        except UsageError as error:
            assert error.what
            assert error.fix


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    with path.open("wb") as file:
        file.truncate(2**31 + 10)
    with pytest.raises(UsageError, match="an ONNX file at most"):
        counted(path)


def test_without_onnx_it_is_said_what_to_install(tmp_path: Path) -> None:
    small(tmp_path / "a.onnx")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "__init__.py").write_text("raise ImportError('none')")
    root = Path(an.__file__).parents[1]
    done = run_command("show", "a.onnx", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{root}")
    assert done.returncode == 2, done.stderr
    assert "[onnx]" in done.stderr


# -- weights alone ---------------------------------------------------------------------------------------------

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((2, 3)))
"""


def weights_of(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from torch import nn

    (folder / "net.py").write_text(NET)
    parts = {"conv": nn.Conv2d(3, 8, 3), "norm": nn.BatchNorm2d(8), "head": nn.Linear(8, 5)}
    save_file({f"{n}.{k}": t for n, m in parts.items() for k, t in m.state_dict().items()}, folder / "w.safetensors")
    save_file({"other": torch.zeros(3)}, folder / "other.safetensors")


def test_weights_alone_have_params_and_bytes_and_with_their_code_all(tmp_path: Path) -> None:
    weights_of(tmp_path)
    done = run_here("show", "w.safetensors", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    params = 8 * 27 + 8 + 16 + 45
    assert (data["params"], data["param_bytes"], data["buffer_bytes"]) == (params, 4 * params, 4 * 16 + 8)
    assert data["macs"] is None
    assert "path/file.py:attr@w.safetensors" in done.stderr
    done = run_here("show", "net.py:Net@w.safetensors", "--input", "1,3,8,8", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["macs"] == 8 * 36 * 27 + 40
    done = run_here("show", "net.py:Net@other.safetensors", "--input", "1,3,8,8", cwd=tmp_path)
    assert done.returncode == 2
    assert "has weights that are none of Net" in done.stderr


@pytest.mark.parametrize("damage", ["cut", "longer", "shape"])
def test_damaged_weights_are_said_to_be(tmp_path: Path, damage: str) -> None:
    weights_of(tmp_path)
    path = tmp_path / "w.safetensors"
    data = path.read_bytes()
    changed = {"cut": data[:-8], "longer": data + b"0000", "shape": data.replace(b"[8,3,3,3]", b"[8,3,3,2]", 1)}
    assert changed[damage] != data
    path.write_bytes(changed[damage])
    done = run_here("show", "w.safetensors", cwd=tmp_path)
    assert done.returncode == 2
    assert "w.safetensors" in done.stderr
