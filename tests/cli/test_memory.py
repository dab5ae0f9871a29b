"""`show --peak` and `fit` as a user calls them: families and models of one's own, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from analyzer.architecture.network import PRESETS
from analyzer.reading.peak import Training
from analyzer.reading.prediction import predict_memory

OWN = """
import torch
class Net(torch.nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, width, 3, padding=1)
        self.head = torch.nn.Linear(width, 10)
    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))
"""


def test_a_peak_says_where_it_is_and_how_training_is_meant(analyze) -> None:
    done = analyze("show", "article", "--batch", "32", "--peak", "--depth", "0")
    assert re.search(r"replayed; in backward, features\.transition3\.relu +5,252\.80 MiB\n", done.stdout)
    assert "float32, adam (foreach), zero_grad before forward" in done.stdout
    words = (
        "--autocast",
        "bfloat16",
        "--optimizer",
        "sgd-momentum",
        "--form",
        "fused",
        "--checkpoint",
        "--weight-decay",
    )
    other = analyze("show", "article", "--batch", "32", "--peak", "--depth", "0", *words).stdout
    said = "float32 under autocast to bfloat16, sgd with momentum (fused), zero_grad before forward, weight decay"
    assert f"{said}, layers checkpointed" in other
    assert "MACs run again" in other
    training = Training(autocast="bfloat16", optimizer="sgd_momentum", form="fused", checkpoint=True, weight_decay=True)
    expected = predict_memory(PRESETS["article"], 32, training).peak_training_bytes
    assert expected is not None
    assert f"{expected / 2**20:,.2f} MiB" in other


def test_the_timeline_is_in_the_json_and_reaches_the_peak(analyze) -> None:
    memory = json.loads(analyze("show", "article", "--batch", "8", "--peak", "--format", "json").stdout)["memory"]
    phase, layer, size, kinds = max(memory["timeline"], key=lambda moment: moment[2])
    assert size == sum(kinds) == memory["peak_training_bytes"]
    assert {"phase": phase, "layer": layer} == memory["training_peak_at"]


def test_fit_gives_every_change_its_figure(analyze) -> None:
    done = analyze("fit", "densenet121", "--memory", "4GiB", "--batch", "64", "--format", "json")
    ways = {way["change"]: way for way in json.loads(done.stdout)["ways"]}
    assert {"", "bfloat16", "autocast to bfloat16", "checkpointed layers"} <= set(ways)
    assert ways[""]["training_batch"] < 64 <= ways["checkpointed layers"]["training_batch"]
    assert ways["checkpointed layers"]["more_macs"] > 0
    growth = next(way for change, way in ways.items() if change.startswith("growth "))
    assert growth["peak_bytes"] <= 4 * 2**30
    for way in ways.values():
        assert way is ways[""] or way["peak_bytes"] < ways[""]["peak_bytes"]


def test_what_can_not_train_says_what_one_image_takes(analyze) -> None:
    done = analyze("fit", "article", "--memory", "1GiB")
    assert done.returncode == 0
    assert "not one image trains: it takes 2,859.61 MiB" in done.stderr
    assert "no batch" in done.stdout


@pytest.mark.slow
def test_a_model_of_ones_own_fits_by_its_storages(analyze, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    target = (f"{tmp_path}/own.py:Net", "--input", "1,3,32,32")
    (way,) = json.loads(analyze("fit", *target, "--memory", "10MiB", "--format", "json").stdout)["ways"]
    at = {
        batch: json.loads(
            analyze("show", target[0], "--input", f"{batch},3,32,32", "--peak", "--format", "json").stdout
        )["memory"]["peak_training_bytes"]
        for batch in (way["training_batch"], way["training_batch"] + 1)
    }
    assert at[way["training_batch"]] <= 10 * 2**20 < at[way["training_batch"] + 1]


def test_autocast_of_a_model_of_ones_own_is_tracked_and_claims_no_more(analyze, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    words = ("show", f"{tmp_path}/own.py:Net", "--input", "8,3,32,32", "--peak", "--format", "json")
    plain, cast = (json.loads(analyze(*words, *more).stdout)["memory"] for more in ((), ("--autocast", "bfloat16")))
    assert 0.4 * plain["peak_training_bytes"] < cast["peak_training_bytes"] < 0.9 * plain["peak_training_bytes"]
    assert cast["saved_bytes"] is None  # the record's is of fp32


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "article"), "--memory"),
        (("fit", "article", "--memory", "lots"), "not a number"),
        (("fit", "article", "--memory", "1GiB", "--batch", "0"), "out of range"),
        (("fit", "article", "--memory", "1GiB", "--dtype", "float64"), "float64"),
        (("fit", "article", "--memory", "1GiB", "--dtype", "bfloat16", "--autocast", "bfloat16"), "autocast"),
        (("show", "article", "--autocast", "bfloat16"), "--peak"),
        (("show", "article", "--peak", "--accumulate", "2", "--zero-grad", "after-forward"), "accumulate"),
        (("measure", "article", "--batch", "0"), "--batch"),
        (("measure", "article", "--device", "cuda:9"), "not there"),
        (("measure", "article", "--memory", "--device", "cpu", "--dtype", "float16"), "float16"),
        (("measure", "article", "--device", "cpu", "--autocast", "float16"), "--autocast"),
        (("measure", "article", "--device", "cpu", "--dtype", "bfloat16", "--autocast", "bfloat16"), "autocast"),
        (("calibrate", "--device", "cuda:9"), "not there"),
        (("calibrate", "--device", "cpu", "--dtype", "float16"), "float16"),
        (("doctor", "--device", "tpu"), "unknown device"),
        (("sweep", "--profile", "none.json"), "can't be read"),
    ],
)
def test_bad_input_is_told_in_three_parts(analyze, words: tuple[str, ...], said: str) -> None:
    done = analyze(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
