"""Models of the user's own, counted through the command; witnesses; reports from any verb."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from analyzer.cli import cli
from analyzer.cli.base import run

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, 2)
    def forward(self, x, scale=None):
        y = self.head(self.conv(x).mean((2, 3)))
        return y if scale is None else y @ scale

class Odd(Net):
    def forward(self, x):
        return torch.linalg.inv(super().forward(x).mT @ super().forward(x))

class Boom(Net):
    def forward(self, x):
        raise RuntimeError("the user's own error")

def lazy():
    return nn.Sequential(nn.LazyLinear(4))
"""
CONV, HEAD = 27 * 8 * 30 * 30, 16


@pytest.fixture(autouse=True)
def model(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODEL)


def test_figures_by_hand(analyze) -> None:
    done = analyze("show", "net.py:Net", "--input", "2,3,32,32", "--format", "json", "--backward")
    data = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert data["macs"] == 2 * (CONV + HEAD)
    assert data["conv_activations"] == 2 * (8 * 900 + 2)
    # Backward: the weight's gradient everywhere, the input's but for the first layer's.
    assert data["training_macs"] == 2 * (CONV + HEAD) + 2 * (CONV + 2 * HEAD)
    assert data["batch"] == 2
    assert data["uncounted"] == []
    for figure in ("params", "macs", "conv_activations", "saved_bytes"):
        assert sum(row[figure] for row in data["layers"]) == data[figure]


def test_several_inputs_by_name_and_dtype(analyze) -> None:
    done = analyze(
        "show", "net.py:Net", "--kwarg", "width=4", "--input", "1,3,32,32", "--input", "scale=2,5", "--format", "json"
    )
    assert json.loads(done.stdout)["macs"] == CONV // 2 + HEAD // 2 + 2 * 5


def test_what_has_no_formula_is_said_and_strict_makes_it_an_error(analyze) -> None:
    done = analyze("show", "net.py:Odd", "--input", "2,3,32,32", "--format", "json")
    assert done.returncode == 0
    assert any("inv" in entry["operator"] for entry in json.loads(done.stdout)["uncounted"])
    assert "not counted" in done.stderr
    strict = analyze("show", "net.py:Odd", "--input", "2,3,32,32", "--strict")
    assert strict.returncode == 3
    assert "inv" in strict.stderr
    assert strict.stdout == ""


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["net.py:Net", "--input", "2,4,32,32"], 3, "conv"),
        (["net.py:Boom", "--input", "2,3,32,32"], 3, "the user's own error"),
        (["net.py:lazy", "--input", "2,3"], 3, "run the model once"),
        (["net.py:Net", "--input", "2,x"], 2, "not an input"),
        (["net.py:Net", "--input", "2,3:float99"], 2, "did you mean"),
        (["net.py:Net", "--classes", "2"], 2, "--kwarg"),
        (["net.py:Net", "--kwarg", "width"], 2, "name=value"),
    ],
)
def test_bad_input(analyze, args: list[str], code: int, says: str) -> None:
    done = analyze("show", *args)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr


def test_witnesses_explain_what_they_count_beside_our_macs(analyze) -> None:
    done = analyze("show", "article", "--witnesses", "--format", "json")
    seen = {w["name"]: w for w in json.loads(done.stdout)["witnesses"]}
    assert seen["torch"]["difference"] == 0
    assert any("batch_norm" in e["reason"] for e in seen["fvcore"]["explanations"])
    for witness in seen.values():
        assert sum(e["macs"] for e in witness["explanations"]) == witness["difference"]


def test_reports_from_show_compare_and_search_and_what_changed_between_two(analyze, tmp_path: Path) -> None:
    assert analyze("show", "resnet50", "--report", "a.html").returncode == 0
    assert analyze("compare", "densenet121", "resnet101", "--report", "b.html").returncode == 0
    assert analyze("search", "--growth", "8:32:8", "--under", "densenet121", "--report", "c.html").returncode == 0
    assert analyze("show", "net.py:Net", "--input", "1,3,32,32", "--report", "own.html").returncode == 0
    done = analyze("report", "a.html", "b.html", "--out", "changed.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "changed.html"
    text = analyze("report", "a.html", "b.html", "--format", "md").stdout
    assert "25,557,032" in text
    assert "44,549,160" in text
    for name in ("a", "b", "c", "own", "changed"):
        assert (tmp_path / f"{name}.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("words", [["n\udcff.py:build"], ["net.py:build", "--kwarg", "a=\udcff"]])
@pytest.mark.parametrize("verb", ["show", "measure"])
def test_bytes_that_are_no_text_are_wrong_use(analyze, verb: str, words: list[str]) -> None:
    """No record can hold them: such a target was said to have ended its process."""
    done = analyze(verb, *words, "--input", "1,8")
    assert done.returncode == 2
    assert "is not UTF-8" in done.stderr


def test_a_report_that_is_none(analyze, tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("<p>no report</p>")
    (tmp_path / "y.html").write_text("<p>no report</p>")
    for args in (["x.html", "y.html"], ["absent.jsonl"], ["x.html"]):
        done = analyze("report", *args)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("place", ["import", "constructor", "forward"])
def test_a_model_that_exits_is_an_error_and_what_it_prints_is_not_our_data(
    analyze_apart, tmp_path: Path, place: str
) -> None:
    lines = {
        "import": "print('hello'); raise SystemExit(0)",
        "constructor": "print('hello'); raise SystemExit(0)",
        "forward": "print('hello'); raise SystemExit(0)",
    }
    code = "from torch import nn\n"
    code += lines["import"] + "\n" if place == "import" else ""
    code += "class Exits(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    code += f"        {lines['constructor']}\n" if place == "constructor" else ""
    code += f"    def forward(self, x):\n        {lines['forward']}\n"
    (tmp_path / "exits.py").write_text(code)
    done = analyze_apart("show", "exits.py:Exits", "--input", "1,3", "--format", "json")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "hello" in done.stderr
    assert "fix:" in done.stderr


def test_a_model_that_wants_a_gpu_gets_a_hint(analyze, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    (tmp_path / "gpu.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(2, 2).cuda()\n")
    done = analyze("show", "gpu.py:build", "--input", "1,2")
    assert done.returncode == 3
    assert "no .cuda()" in done.stderr
    assert "gpu.py:3" in done.stderr


def test_batch_is_not_silently_ignored(analyze) -> None:
    done = analyze("show", "net.py:Net", "--input", "1,3,32,32", "--batch", "8")
    assert done.returncode == 2
    assert "--input" in done.stderr


ENDS = """
import os, signal, sys, time
from torch import nn

def exits():
    sys.exit(0)

def leaves():
    os._exit(0)

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def sleeps():
    time.sleep(600)

def talks():
    sys.stdout.write("before the fork ")
    os.write(1, b"to the descriptor\\n")
    if os.fork():
        print("after the fork")
    return nn.Linear(4, 4)
"""


@pytest.mark.parametrize("name", ["exits", "leaves", "killed", "sleeps"])
def test_show_of_a_model_that_ends_its_process_is_3_with_the_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    out, err = io.StringIO(), io.StringIO()
    words = ["show", f"{tmp_path}/ends.py:{name}", "--input", "1,4", *(["--timeout", "2s"] if name == "sleeps" else [])]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(cli, words)
    assert (code, out.getvalue()) == (3, "")
    reason = {"exits": "SystemExit: 0", "leaves": "exit code 0", "killed": "signal 9", "sleeps": "took over 2 s"}
    assert reason[name] in err.getvalue()


def test_what_a_model_writes_and_a_fork_of_its_own_mix_with_no_data(tmp_path: Path, analyze_apart) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    done = analyze_apart("show", "ends.py:talks", "--input", "1,4", "--format", "json")
    assert (done.returncode, json.loads(done.stdout)["params"]) == (0, 20), done.stderr
    assert done.stderr.count("before the fork") == 1
    assert done.stderr.count("to the descriptor") == 1
    assert done.stderr.count("after the fork") == 1
