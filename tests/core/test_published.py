"""Published networks, to the integer."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.reading.family import record

PUBLISHED = list(csv.DictReader((Path(__file__).parent / "data" / "published.csv").open()))


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["model"])
def test_every_published_figure(row: dict[str, str]) -> None:
    counted = record(PRESETS[row["model"]], layers=False)
    assert counted.params == int(row["params"])
    assert counted.macs == int(row["macs"])
    if row["conv_activations"]:
        assert counted.conv_activations == int(row["conv_activations"])


def test_two_classes_as_the_article_compares() -> None:
    assert record(Variant(classes=1000), layers=False).params == 166_224_104
    from dataclasses import replace

    assert record(replace(PRESETS["densenet121"], classes=2), layers=False).params == 6_955_906


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        # Huang et al. 2017, table 2, on CIFAR-10: 0.8 M and 1.0 M; to the integer as their PyTorch ports count them.
        ({"block": "dense", "block_config": (16, 16, 16), "growth": 12, "init": 24}, 769_162),
        ({"block": "basic", "block_config": (12, 12, 12), "growth": 12, "init": 16, "compression": 1.0}, 1_019_722),
    ],
)
def test_the_first_densenets_on_cifar(fields: dict, params: int) -> None:
    variant = Variant(**fields, stem="small", classes=10, image=32)
    assert record(variant, layers=False).params == params


@pytest.mark.parametrize("preset", [name for name in PRESETS if re.fullmatch(r"(densenet|resnet)\d+", name)])
def test_depth_is_the_number_in_the_papers_names(preset: str) -> None:
    assert record(PRESETS[preset], layers=False).depth == int(re.sub(r"\D", "", preset))
