"""A process that analyses for long: what an analysis copied and ran is gone after it, whatever way it was run."""

import gc

import pytest
import torch
from torch import nn

from analyzer import analyze
from analyzer.reading.peak import Training
from analyzer.tracing.lifetimes import module_peaks
from analyzer.tracing.trace import count_module
from analyzer.tracing.witnesses import witnesses

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class Keeps(nn.Module):
    """Operators that keep their own results for the backward pass, in place too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu_()
        x = nn.functional.max_pool2d(x, 2).mean((2, 3))
        return self.linear(x.tanh().sigmoid().exp().sqrt()).softmax(1)


class ReadsValues(Keeps):
    """What meta can't run: it is counted on CPU."""

    def forward(self, x):
        x = super().forward(x)
        return x if x.sum().item() > 0 else x.relu()


class DifferentiatesTwice(Keeps):
    """A gradient, and the gradient of that, within the forward: results that were kept are read, and have a graph."""

    def forward(self, x):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(super().forward(x).tanh().sum(), x, create_graph=True)
        return slope.square().sum((1, 2, 3))


class FailsInTraining(Keeps):
    """Has no pass in training mode: what it made until then goes, too."""

    def forward(self, x):
        x = super().forward(x)
        if self.training:
            raise ValueError("is not trained")
        return x


class UnderAutocast(Keeps):
    """Is seen only when it has begun: autocast passes meta by."""

    def forward(self, x):
        x = super().forward(x)
        with torch.autocast("cpu"):
            return self.linear(x)


@pytest.fixture(autouse=True)
def what_was_before():
    """Is left out of what is looked through: after other tests it is millions of objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def alive() -> dict[int, type]:
    """The tensors and modules that there are since. A graph that is kept keeps the parameters that it ends in."""
    gc.collect()
    return {id(thing): type(thing) for thing in gc.get_objects() if issubclass(type(thing), (torch.Tensor, nn.Module))}


def count(model, x, **options):
    return count_module(model, [x], name="model", **options)


WAYS = {
    "forward": count,
    "backward": lambda model, x: count(model, x, backward=True),
    "peaks": lambda model, x: module_peaks(model, [x]),
    "autocast": lambda model, x: module_peaks(model, [x], training=Training(autocast="bfloat16")),
    "witnesses": lambda model, x: witnesses(model, [x], ours=count(model, x)),
}
ALL = [
    (way, kind)
    for way in WAYS
    for kind in (Keeps, ReadsValues)
    if (way, kind) not in {("peaks", ReadsValues), ("autocast", ReadsValues)}
]


OTHERS = [
    ("forward", DifferentiatesTwice), ("backward", DifferentiatesTwice), ("forward", FailsInTraining),
    ("forward", UnderAutocast), ("backward", UnderAutocast),
]  # fmt: skip


@pytest.mark.parametrize(("way", "kind"), [*ALL, *OTHERS])
def test_no_tensor_and_no_module_of_an_analysis_stays(way, kind):
    model, x = kind(), torch.ones(2, 3, 8, 8)
    before = alive()
    for _ in range(3):
        WAYS[way](model, x)
        assert alive().items() <= before.items()


def test_no_growth_over_200_analyses():
    model, x = nn.Sequential(Keeps(), nn.ReLU()), torch.ones(2, 3, 8, 8)
    before = alive()
    for _ in range(200):
        analyze(model, inputs=[x])
    assert alive().items() <= before.items()
