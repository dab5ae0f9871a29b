"""For random edits of a model, the check's verdict is the one that a recount from scratch gives."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import analyzer

Spec = list[tuple[str, int]]
KINDS = ("conv", "pointwise", "norm", "relu")
SOURCE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        channels, layers = 3, []
        for kind, width in {spec!r}:
            if kind == "norm":
                layers.append(nn.BatchNorm2d(channels))
            elif kind == "relu":
                layers.append(nn.ReLU())
            else:
                kernel = 3 if kind == "conv" else 1
                layers.append(nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False))
                channels = width
        self.{name} = nn.Sequential(*layers)
        self.head = nn.Linear(channels, 2)

    def forward(self, x):
        return self.head(self.{name}(x).mean((2, 3)))
"""
CONFIG = """
[models.net]
target = "net.py:Net"
input = [1, 3, 8, 8]
budgets.params = {{ max = {max_params}, growth = "{percent}%", growth-min = {least} }}
budgets.macs = {{ growth = "0%" }}
"""

specs = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 9)), min_size=1, max_size=5)


@st.composite
def edits(draw: st.DrawFn) -> tuple[Spec, Spec]:
    """A network, and what a branch makes of it: a layer put in, taken out, changed, or nothing."""
    before = draw(specs)
    after = list(before)
    place = draw(st.integers(0, len(after) - 1))
    layer = draw(st.tuples(st.sampled_from(KINDS), st.integers(1, 9)))
    edit = draw(st.sampled_from(["nothing", "insert", "remove", "change"]))
    if edit == "insert":
        after.insert(place, layer)
    elif edit == "remove" and len(after) > 1:
        del after[place]
    elif edit == "change":
        after[place] = layer
    return before, after


def recounted(source: str) -> tuple[int, int]:
    """Params and MACs of the real model, by torch alone."""
    namespace: dict[str, type[nn.Module]] = {}
    exec(source, namespace)  # noqa: S102 (the text above)
    model = namespace["Net"]().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 8, 8))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


@pytest.mark.slow
@given(
    edits(),
    st.sampled_from(["body", "trunk"]),
    st.integers(0, 900),
    st.sampled_from(["0", "2.5", "10"]),
    st.integers(0, 50),
)
@settings(max_examples=60, deadline=None)
def test_the_verdict_is_that_of_a_recount(
    edit: tuple[Spec, Spec], name: str, max_params: int, percent: str, least: int
) -> None:
    was, now = SOURCE.format(spec=edit[0], name="body"), SOURCE.format(spec=edit[1], name=name)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "analyzer.toml").write_text(CONFIG.format(max_params=max_params, percent=percent, least=least))
        (root / "net.py").write_text(was)
        analyzer.lock(root)
        (root / "net.py").write_text(now)
        verdict = analyzer.check(root)
    (params_was, macs_was), (params, macs) = recounted(was), recounted(now)
    allowed = params_was + max(int(params_was * Fraction(percent) / 100), least)
    failed = {f.figure for f in verdict.errors}
    expected = ({"params"} if params > min(max_params, allowed) else set()) | ({"macs"} if macs > macs_was else set())
    assert failed == expected
    assert verdict.exit_code == (1 if expected else 0)
    for finding in verdict.errors:
        change = {"params": params - params_was, "macs": macs - macs_was}[finding.figure or ""]
        assert sum(paying.delta for paying in finding.changes) == change
        assert (finding.value, finding.base) == (
            (params, params_was) if finding.figure == "params" else (macs, macs_was)
        )
    if edit[0] == edit[1]:
        assert ("moved" in {f.kind for f in verdict.findings}) == (name != "body")
