"""`analyze show` and `compare`, as subprocesses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

MODEL = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, 2)
    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))

def needs(width): return Tiny(width)
def looks():  # a drop-path schedule
    torch.linspace(0, 1, 3)[1].item()
    return Tiny()
def boom(): raise ValueError("no good")
instance = Tiny(4)
number = 3
lazy = lambda: nn.LazyLinear(3)
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "model.py").write_text(MODEL)
    return "model.py"


def test_the_article_in_json_has_the_articles_figures(analyze) -> None:
    done = analyze("show", "article", "--batch", "32", "--format", "json")
    data = json.loads(done.stdout)
    assert done.returncode == 0
    assert data["params"] == 149_871_874
    assert data["macs"] == 18_622_955_520
    assert data["flops"] == 2 * data["macs"]
    assert data["saved_bytes"] == 3_348_708_608
    assert data["input"] == [32, 3, 224, 224]
    assert data["target"]["name"] == "article"
    for figure in ("params", "macs", "conv_activations", "saved_bytes"):
        assert sum(row[figure] for row in data["layers"]) == data[figure]


def test_the_table_compares_with_densenet121_at_the_same_classes(analyze) -> None:
    done = analyze("show")
    assert done.returncode == 0
    assert "149,871,874" in done.stdout
    assert "6,955,906" in done.stdout
    assert "21.55x" in done.stdout


@pytest.mark.parametrize(("depth", "lines"), [(0, 1), (1, 3), (2, 16)])
def test_depth_limits_the_tree(analyze, depth: int, lines: int) -> None:
    done = analyze("show", "--depth", str(depth))
    table = done.stdout.split("\n\n")[1].splitlines()
    assert len(table) == 1 + lines


def test_a_canonical_name_is_a_target_and_options_override_it(analyze) -> None:
    name = json.loads(analyze("show", "densenet121", "--classes", "2", "--format", "json").stdout)["target"]["name"]
    again = json.loads(analyze("show", name, "--format", "json").stdout)
    assert again["params"] == 6_955_906


@pytest.mark.parametrize("attribute", ["Tiny", "looks", "instance"])
def test_any_module_shows_its_parameters(analyze, model: str, attribute: str) -> None:
    done = analyze("show", f"{model}:{attribute}", "--format", "json")
    data = json.loads(done.stdout)
    width = 4 if attribute == "instance" else 8
    assert data["params"] == (27 * width + width) + (2 * width + 2)
    assert data["macs"] is None
    assert data["target"]["variant"] is None
    assert "--input" in done.stderr


def test_a_factorys_arguments(analyze, model: str) -> None:
    data = json.loads(analyze("show", f"{model}:needs", "--kwarg", "width=2", "--format", "json").stdout)
    assert data["params"] == 54 + 2 + 4 + 2


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        ("model.py:needs", 3, "--kwarg"),
        ("model.py:boom", 3, "no good at"),
        ("model.py:number", 3, "not a model"),
        ("model.py:lazy", 3, "run the model once"),
        ("model.py:Tinny", 3, "did you mean 'Tiny'?"),
        ("absent.py:Tiny", 3, "no file"),
        ("absent_package:Tiny", 3, "no module"),
        ("densnet121", 2, "did you mean 'densenet121'?"),
        ("dense_b6-12_q7", 2, "unknown part"),
        ("model.py", 2, "add the attribute"),
        ("model.py:", 2, "names no attribute"),
    ],
)
def test_bad_targets_say_what_where_and_how_to_fix_it(analyze, model: str, target: str, code: int, says: str) -> None:
    done = analyze("show", target)
    assert done.returncode == code
    assert says in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_error_in_the_users_file_shows_its_own_line(analyze, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import math\nx = math.nothing\n")
    done = analyze("show", "broken.py:x")
    assert done.returncode == 3
    assert "broken.py:2" in done.stderr
    assert "x = math.nothing" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--kernel", "4"], 2, "odd"),
        (["--image", "16"], 3, "features.transition3.pool"),
        (["--blocks", "3,60"], 3, "2^63-1"),
        (["--groups", "3"], 3, "do not divide"),
        (["--ratio", "0.001"], 3, "width"),
        (["--growth", "-4"], 2, "out of range"),
        (["--growth", "1/2"], 2, "stages"),
        (["--init", "1e99"], 2, "whole number"),
        (["--ratio", "0.25", "--bn-size", "4"], 2, "only one"),
        (["--block", "dens"], 2, "did you mean 'dense'?"),
        (["--clases", "2"], 2, "did you mean '--classes'?"),
        (["--batch", "0"], 2, "--batch"),
        (["--input", "1,3,8,8"], 2, "--image"),
    ],
)
def test_limits_are_errors_with_a_reason(analyze, options: list[str], code: int, says: str) -> None:
    done = analyze("show", *options)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_batch_normalisation_that_cannot_train_has_no_saved_bytes_and_says_so(analyze) -> None:
    done = analyze("show", "--image", "32", "--format", "json")
    assert json.loads(done.stdout)["saved_bytes"] is None
    assert "one value a channel" in done.stderr


def test_compare_names_the_layers_that_carry_the_difference(analyze) -> None:
    done = analyze("compare", "densenet121", "article", "--classes", "2", "--format", "json")
    data = json.loads(done.stdout)
    first = data["layers"][0]["changes"][0]
    assert first["path"] == "features.denseblock4.denselayer2"
    changes = data["layers"][0]["changes"]
    assert sum((c["after"] or 0) - (c["before"] or 0) for c in changes) == 149_871_874 - 6_955_906


def test_compare_wants_two(analyze) -> None:
    done = analyze("compare", "article")
    assert done.returncode == 2
    assert "two targets" in done.stderr


def test_debug_adds_the_traceback(analyze) -> None:
    assert "Traceback" in analyze("show", "--kernel", "4", "--debug").stderr


def test_no_color_and_force_color(analyze) -> None:
    assert "\x1b[" not in analyze("show", "--depth", "0", NO_COLOR="1").stdout
    assert "\x1b[" in analyze("show", "--depth", "0", FORCE_COLOR="1").stdout


def test_doctor(analyze) -> None:
    done = analyze("doctor")
    assert done.returncode == 0
    assert "torch" in done.stdout
    assert "measured on" in done.stdout
