"""The article's network: its torchinfo table row for row, its printed tree, its figures, its forward to the bit."""

from __future__ import annotations

import copy
import csv
import math
import pickle
import re
from pathlib import Path

import pytest
import reference_models
import torch
import torchinfo
from torch import nn

from analyzer.architecture.network import PRESETS
from analyzer.building.modules import build
from analyzer.reading.family import record
from analyzer.reading.layers import tree

ARTICLE = PRESETS["article"]
TABLE = list(csv.DictReader((Path(__file__).parent / "data" / "article_torchinfo.csv").open()))


def remade(how: str) -> nn.Module:
    model = build(ARTICLE, device="meta")
    if how == "deepcopy":
        return copy.deepcopy(model)
    return pickle.loads(pickle.dumps(model)) if how == "pickle" else model


@pytest.mark.parametrize("how", ["built", "deepcopy", "pickle"])
def test_torchinfo_prints_the_articles_table(how: str) -> None:
    summary = torchinfo.summary(remade(how), input_size=(32, 3, 224, 224), device="meta", depth=3, verbose=0)
    rows = [info for info in summary.summary_list if info.depth <= 3]
    assert len(rows) == len(TABLE)
    for got, expected in zip(rows, TABLE, strict=True):
        assert got.class_name == expected["type"]
        assert got.depth == int(expected["depth"])
        assert got.depth_index == int(expected["index"])
        assert "x".join(map(str, got.output_size)) == expected["output_shape"]
        if expected["params"]:
            assert got.num_params == int(expected["params"])
    assert summary.total_params == summary.trainable_params == 149_871_874
    text = str(summary)
    for total in ("595.94", "19.27", "5317.85", "599.49", "5936.61"):
        assert total in text


def test_our_own_rows_are_the_articles_table() -> None:
    full = record(ARTICLE, 32)
    root = tree(full.layers or ())
    nodes = [(level, node) for level, node in root.walk(3)]
    rows = list(TABLE)
    assert len(nodes) == len(rows)
    for (level, node), expected in zip(nodes, rows, strict=True):
        assert level == int(expected["depth"])
        if node.row is not None:
            assert node.row.type == expected["type"]
            assert "x".join(map(str, node.row.output or ())) == expected["output_shape"]
        if expected["params"]:
            assert node.totals["params"] == int(expected["params"])


def test_torchinfos_totals_from_our_trace() -> None:
    """Its mult-adds count BN and bias as parameters x batch; its pass size is twice every leaf's output."""
    full = record(ARTICLE, 32)
    leaves = [row for row in full.layers or () if row.type not in ("DenseNet", "ResidualBlock")]
    mult_adds = 32 * sum(row.macs + (row.params if row.type == "BatchNorm2d" else 0) for row in leaves)
    mult_adds += 32 * 2  # the classifier's bias
    assert f"{mult_adds / 1e9:.2f}" == "595.94"
    with_params = [row for row in leaves if row.params]
    passed = 2 * 4 * sum(math.prod(row.output) for row in with_params)
    assert f"{passed / 1e6:.2f}" == "5317.85"
    assert f"{full.param_bytes / 1e6:.2f}" == "599.49"


def without_norms(model: nn.Module) -> list[str]:
    """The printed tree, BN's own text (which torch changed) left out, the 3x3's padding as the integer that it is."""
    text = str(model).replace("padding=same", "padding=(1, 1)")
    return [re.sub(r"BatchNorm2d\((\d+),.*\)", r"BatchNorm2d(\1)", line) for line in text.splitlines()]


@pytest.mark.parametrize("how", ["built", "deepcopy", "pickle"])
def test_print_shows_the_articles_tree(how: str) -> None:
    with torch.device("meta"):
        expected = reference_models.ArticleDenseNet()
    assert without_norms(remade(how)) == without_norms(expected)


@pytest.mark.parametrize("how", ["built", "deepcopy", "pickle"])
def test_features_index_like_a_sequential(how: str) -> None:
    model = remade(how)
    assert isinstance(model.features[0], nn.Conv2d)
    assert model.features[4][0] is model.features.denseblock1.denselayer1
    assert len(model.features) == 13


def test_figures() -> None:
    full = record(ARTICLE, 32)
    assert full.params == 149_871_874
    assert full.macs == 18_622_955_520
    assert full.saved_bytes == 3_348_708_608
    assert record(PRESETS["densenet121"], 32).saved_bytes == 4_171_897_600


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_forward_equals_the_hand_written_network_to_the_bit(mode: str) -> None:
    ours = build(ARTICLE)
    theirs = reference_models.ArticleDenseNet()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    ours.train(mode == "train")
    theirs.train(mode == "train")
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


def test_it_is_initialised_as_the_article_says() -> None:
    model = build(ARTICLE, seed=5)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.in_channels * module.kernel_size[0] ** 2
            std = module.weight.std().item()
            assert std == pytest.approx(math.sqrt(2 / fan_in), rel=6 / math.sqrt(module.weight.numel()))
        elif isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert torch.equal(module.bias, torch.zeros_like(module.bias))
            assert torch.equal(module.running_var, torch.ones_like(module.weight))
    assert torch.equal(model.classifier.bias, torch.zeros(2))
