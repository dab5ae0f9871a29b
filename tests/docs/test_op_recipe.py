"""CONTRIBUTING's "Add an op", followed in a copy of the package: two files, and torch agrees on all figures of it."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

PROJECT = '''

@dataclass(frozen=True, slots=True)
class Project(Op):
    """Fully connected layer without bias."""

    is_layer = True
    normalised = None
    keeps = "inputs"
    beside = None
    weightless = is_view = overwrites = trains_only = False
    autograd = MULTIPLIES
    kind = "linear"
    compared = 0
    role = "projection"
    function = None

    @property
    def parameters(self) -> tuple[Dim, ...]:
        return (self.x.channels * self.output.channels,)

    def macs(self, parameters: tuple[Dim, ...]) -> Dim:
        return parameters[0]

    @property
    def module(self) -> TorchCall:
        return TorchCall("Linear", (self.x.channels, self.output.channels), {"bias": False})
'''
RECORDED = '''
    def project(self, name: str, x: Value, out: Dim) -> Value:
        """Fully connected layer without bias."""
        return self._record(ops.Project(name, (x,), self._tensor(out, None)))
'''

WITNESS = """
import dataclasses, sys
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
import analyzer
from analyzer.architecture import families
from analyzer.architecture.blocks import BLOCKS, block
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.reading.family import record, records
from analyzer.reading.peak import inference_peak, training_peak
from analyzer.architecture.network import trace
from analyzer.tracing.lifetimes import module_peaks

assert analyzer.__file__.startswith(sys.argv[1])


def saved_by_hooks(model, images):
    own = {t.untyped_storage()._cdata for t in [*model.parameters(), *model.buffers()]}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images)
    return sum(storage.nbytes() for storage in kept.values())


def projected(net, x, v, block):
    with net.part("stem"):
        x = net.conv("conv", x, v.init, 3, stride=2)
    with net.part("stage", 1), net.scope("layer", block.kind):
        x = block.layer(net, x, families._wide_layer(v, 0, v.init))
    with net.part("head"):
        x = net.project("hidden", net.flatten(net.global_pool(x)), 2 * v.init)
        net.linear("fc", x, v.classes)


FLAT = dataclasses.replace(families.RESNET, assemble=projected)


@block("gated", kind="GatedLayer", bn_size=4)
def gated(net, x, layer):
    y = net.conv("conv1", net.gelu(net.norm("norm1", x)), layer.hidden)
    y = net.conv("conv2", net.gelu(net.norm("norm2", y)), layer.growth, layer.kernel, groups=layer.groups)
    return net.concat(x, net.dropout(y, layer.drop))


block("projecting", kind="GatedLayer", bn_size=4, family=FLAT)(gated)

for variant in (
    Variant(block="gated", block_config=(2, 1), growth=8, init=12, classes=5, image=64, drop=0.25),
    Variant(block="gated", block_config=(1, 3), growth=6, bn_size=2, init=16, groups=2, stem="deep", image=70),
    Variant(block="projecting", block_config=(1,), growth=8, init=12, classes=5, image=32),
):
    counted, net = record(variant, 3), trace(variant)
    model = build(variant, device="meta")
    images = torch.empty(3, 3, variant.image, variant.image, device="meta")
    assert counted.params == sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter:
        model.eval()(images[:1])
    assert counted.flops == counter.get_total_flops()
    assert counted.saved_bytes == saved_by_hooks(model.train(), images)
    found = module_peaks(model, [images])
    assert training_peak(net, 3, accumulates_in_place=False).bytes == found.training.bytes
    assert inference_peak(net, 3).bytes == found.inference.bytes == counted.peak_inference_bytes
    names = dict(model.named_modules())
    assert all(type(names[row.path]).__name__ == row.type for row in counted.layers)
    assert build(variant)(torch.zeros(2, 3, variant.image, variant.image)).shape == (2, variant.classes)
    wider = dataclasses.replace(variant, init=variant.init + 4)
    for one, many in zip((variant, wider), records([variant, wider], 3), strict=True):
        alone = record(one, 3, layers=False)
        for figure in ("params", "macs", "conv_activations", "saved_bytes", "peak_training_bytes"):
            assert getattr(alone, figure) == getattr(many, figure)
print("as torch says")
"""


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def follow(tree: Path) -> None:
    """Does what the section's blocks say."""
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## Add an op\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        place, _, code = block.partition("\n")
        append(tree / place.removeprefix("# at the end of "), code)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "analyzer", tmp_path / "analyzer", ignore=shutil.ignore_patterns("__pycache__"))
    follow(tmp_path)
    return tmp_path


def test_an_op_takes_two_files_and_is_as_torch_says(tree: Path) -> None:
    files = [path.relative_to(tree) for path in (tree / "analyzer").rglob("*.py")]
    changed = [str(path) for path in files if not filecmp.cmp(ROOT / path, tree / path, shallow=False)]
    assert sorted(changed) == ["analyzer/architecture/net.py", "analyzer/architecture/ops.py"]
    append(tree / "analyzer/architecture/ops.py", PROJECT)  # another one, with parameters, in the same two files
    append(tree / "analyzer/architecture/net.py", RECORDED)
    (tree / "witness.py").write_text(WITNESS)
    command = [sys.executable, "witness.py", str(tree)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "as torch says", done.stderr


def test_the_op_without_one_of_its_facts_is_refused(tree: Path) -> None:
    path = tree / "analyzer/architecture/ops.py"
    text = path.read_text()
    head, _, gelu = text.rpartition("class GELU(")
    path.write_text(head + "class GELU(" + gelu.replace('    keeps = "inputs"\n', "", 1))
    code = "from analyzer.architecture.net import Net; net = Net(); net.gelu(net.input(3, 8))"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert "TypeError" in done.stderr
    assert "keeps" in done.stderr
