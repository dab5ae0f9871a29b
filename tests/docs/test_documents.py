"""What the documents say works: the block of CONTRIBUTING.md, the examples, the commands of README.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.variant import Variant
from analyzer.budget.configuration import parse
from analyzer.budget.limits import limits
from analyzer.building.modules import build
from analyzer.reading.family import record, records

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_contributings_block_is_one_short_function_and_works() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert code is not None
    assert len([line for line in code[1].splitlines() if line.strip()]) < 15
    try:
        exec(code[1], {})  # noqa: S102 - our own document
        variant = Variant(block="depthwise", block_config=(2, 1), growth=6, image=64)
        assert Variant.parse(variant.name) == variant
        counted = record(variant, 2)
        model = build(variant)
        assert counted.params == sum(p.numel() for p in model.parameters())
        # By hand, the first layer: 64 in, growth 6.
        first = sum(row.params for row in counted.layers or () if "denseblock1.denselayer1." in row.path)
        assert first == 2 * 64 + 9 * 64 + 2 * 64 + 64 * 6
        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 2)
        assert next(records([variant], 2)).macs == counted.macs
    finally:
        BLOCKS.pop("depthwise", None)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


def test_the_readmes_configuration_is_one() -> None:
    code = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    configuration = parse(code[1], "pyproject.toml")
    assert configuration is not None
    assert [limit.figure for limit in limits(configuration.models["cnn"])] == [
        "params",
        "macs",
        "saved_bytes",
        "params",
    ]
    assert len(configuration.models["cnn"].waivers) == 1
