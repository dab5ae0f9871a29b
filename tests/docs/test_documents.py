"""What the documents say works: the block of CONTRIBUTING.md, the examples, the commands of README.md."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.network import PRESETS
from analyzer.architecture.variant import Variant
from analyzer.budget.configuration import parse
from analyzer.budget.limits import limits
from analyzer.building.modules import build
from analyzer.reading.family import record, records

ROOT = Path(__file__).parents[2]
LONG = {"search_by_measuring", "train_and_compare", "compress_a_checkpoint"}
ON_IMAGES = {"train_and_compare", "compress_a_checkpoint"}
"""Examples that take a folder of images: here a few small ones."""
EXAMPLES = [
    pytest.param(path, marks=pytest.mark.slow) if path.stem in LONG else path
    for path in sorted((ROOT / "examples").glob("*.py"))
]


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


def patched(change: str, folder: Path) -> list[str]:
    """Applies a document's diff below a folder: files, each with lines that go, come and stay. Gives the files."""
    files = []
    for part in change.split("--- ")[1:]:
        name, *lines = part.splitlines()
        before, after = ("\n".join(line[1:] for line in lines if line[0] in signs) for signs in ("- ", "+ "))
        text = (folder / name).read_text()
        assert text.count(before) == 1, f"{name} has no such place"
        (folder / name).write_text(text.replace(before, after))
        files.append(name)
    return files


AXIS_IN_FIGURES = """
import json
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.reading.family import record, records

small = {"block": "squeeze", "block_config": (1, 1), "growth": 8, "image": 64}
several = [Variant(**small, reduction=reduction) for reduction in (4, 2)]
params = lambda variant: sum(p.numel() for p in build(variant, device="meta").parameters())
print(json.dumps([[r.params for r in records(several)], [record(v).params for v in several], [*map(params, several)]]))
"""


@pytest.mark.slow
def test_contributings_axis_takes_two_files_and_is_then_everywhere(tmp_path: Path) -> None:
    """In a copy of the tree; tests/space then sweeps, searches, explains, exports and reads back the new axis."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add an axis")[2]
    change = re.search(r"```diff\n(.*?)```", section, re.DOTALL)
    assert change is not None
    shutil.copytree(ROOT / "analyzer", tmp_path / "analyzer", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "space", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    assert len(patched(change[1], tmp_path)) == 2

    def python(*command: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    arrays, scalars, built = json.loads(python("-c", AXIS_IN_FIGURES))
    assert arrays == scalars == built
    # By hand, two layers of growth 8: 8 -> 4 -> 8 against 8 -> 2 -> 8, weights and biases of the two 1x1.
    assert built[1] - built[0] == 2 * ((8 * 4 + 4 + 4 * 8) - (8 * 2 + 2 + 2 * 8))
    assert " passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "reduction", "tests")
    refused = "from analyzer.architecture.variant import Variant; Variant(block='dense', reduction=2)"
    with pytest.raises(AssertionError, match="has no squeeze-and-excitation"):
        python("-c", refused)


def few_images(to: Path) -> Path:
    """Sixteen real ones a class, of three classes."""
    for name in ("glass", "metal", "paper"):
        (to / name).mkdir(parents=True)
        for path in sorted((ROOT / "examples/data/trashnet" / name).iterdir())[:16]:
            shutil.copy(path, to / name)
    return to


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path: Path, tmp_path: Path) -> None:
    images = [str(few_images(tmp_path / "images"))] if path.stem in ON_IMAGES else []
    done = subprocess.run(
        [sys.executable, str(path), *images],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


SHOWN = {
    "the article's network": Variant(),
    "DenseNet121, 2 classes": replace(PRESETS["densenet121"], classes=2),
    "… with compression 0.25": Variant(compression=0.25),
    "… with growth 48": Variant(growth=48),
}
"""The variants of the documents' table, in its order."""


@pytest.mark.parametrize("document", ["README.md", "docs/first-steps.md"])
def test_the_articles_table_is_what_torch_counts(document: str) -> None:
    rows = re.findall(
        r"^\| (.+?) \| ([\d,]+) \| [\d.x]+ \| ([\d,]+) \| ([\d.]+) MiB \|", (ROOT / document).read_text(), re.M
    )
    assert [label for label, *_ in rows] == list(SHOWN)
    for label, *shown in rows:
        model = build(SHOWN[label], device="meta").eval()
        with FlopCounterMode(display=False) as flops:
            model(torch.zeros(1, 3, 224, 224, device="meta"))
        params, saved = sum(p.numel() for p in model.parameters()), record(SHOWN[label]).saved_bytes
        assert saved is not None
        assert shown == [f"{params:,}", f"{flops.get_total_flops() // 2:,}", f"{saved / 2**20:.2f}"]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


def test_the_documented_configuration_is_one() -> None:
    code = re.search(r"```toml\n(.*?)```", (ROOT / "docs/budgets.md").read_text(), re.DOTALL)
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
