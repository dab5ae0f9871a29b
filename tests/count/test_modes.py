"""One pass tells both modes' figures where only layers read the mode that don't go by it; any other reader is seen."""

import pytest
import torch
import torch.nn.functional as F
from counted import Call, count, meta
from hypothesis import given, settings
from torch import nn
from variants import variants
from zoo_models import ENTRIES

from analyzer.building.modules import build
from analyzer.errors import AnalyzerError
from analyzer.tracing.attribution import ModuleTally
from analyzer.tracing.running import Ladder, untouched

pytestmark = pytest.mark.filterwarnings("ignore")


def counted(found):
    """What of a pass is no matter of saving."""
    rows = {path: (row.macs, row.conv_activations) for path, row in found.rows.items() if row.macs}
    shapes = {path: shape for path, shape in found.outputs.items() if shape is not None}
    return found.macs, found.conv_activations, found.depth, rows, shapes, found.by_operator, found.uncounted


def told_by_training(model, args=(), kwargs=None):
    """Whether one pass does; if so, it is what a pass in evaluation mode comes to."""
    ladder = Ladder(model, (tuple(args), dict(kwargs or {})))
    with untouched():
        done = ladder.in_training(backward=False)
        if done is None or not done.modeless:
            return False
        assert counted(done) == counted(ladder.run(training=False))
    assert all(isinstance(row, ModuleTally) for row in done.rows.values())
    return True


@pytest.mark.parametrize("name", ENTRIES)
def test_models_of_all_kinds(name):
    entry = ENTRIES[name]
    told_by_training(entry.build(), *entry.tensors("meta"))


@settings(max_examples=30, deadline=None)
@given(variants(buildable=True))
def test_variants(variant):
    try:
        model = build(variant, device="meta")
    except AnalyzerError:
        return
    told = told_by_training(model, [meta(2, 3, variant.image, variant.image)])
    assert told or variant.drop


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False), nn.InstanceNorm2d(4, track_running_stats=True),
        nn.Dropout(0.5), nn.Dropout2d(1.0), nn.AlphaDropout(), nn.FeatureAlphaDropout(),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_layers_of_torch(layer):
    assert told_by_training(nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Conv2d(4, 2, 1)), [meta(2, 3, 8, 8)])


@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"activation": "gelu"}], ids=str)
def test_attention_and_its_layers(options):
    layer = nn.TransformerEncoderLayer(16, 4, 32, 0.1, batch_first=True, **options)
    model = nn.TransformerEncoder(layer, 2)
    assert told_by_training(model, [meta(2, 5, 16)])
    assert told_by_training(model, [meta(2, 5, 16)], {"src_key_padding_mask": meta(2, 5, dtype=torch.bool)})


class Skips(nn.Module):
    """Has twice the work in training; how it asks for the mode is the case."""

    def __init__(self):
        super().__init__()
        self.norm, self.layer = nn.BatchNorm1d(8), nn.Linear(8, 8, bias=False)

    def forward(self, x):
        x = self.layer(self.norm(x))
        return self.layer(x) if self.trains() else x

    def trains(self):
        return self.training


class ByTheNorm(Skips):
    def trains(self):
        return self.norm.training


class ByGetattr(Skips):
    def trains(self):
        return getattr(self, "training")  # noqa: B009


class ByItsDict(Skips):
    def trains(self):
        return vars(self)["training"]


class ByTrain(Skips):
    def train(self, mode=True):
        self.twice = mode
        return super().train(mode)

    def trains(self):
        return self.twice


class ByAProperty(Skips):
    @property
    def training(self):
        return self.__dict__.get("mode", True)

    @training.setter
    def training(self, mode):
        self.__dict__["mode"] = mode


class BySettingIt(Skips):
    def trains(self):
        was = self.norm.training
        self.norm.train(not was)
        return was


def _of(module):
    return module.training


class ByAFunction(Skips):
    def trains(self):
        return _of(self.layer)


@pytest.mark.parametrize(
    "kind", [Skips, ByTheNorm, ByGetattr, ByItsDict, ByTrain, ByAProperty, BySettingIt, ByAFunction]
)
def test_a_model_that_goes_by_its_mode_is_run_in_both(kind):
    record = count(kind(), meta(2, 8))
    assert record.macs == 2 * 8 * 8
    assert [remark.kind for remark in record.remarks] == ["mode"]
    assert not told_by_training(kind(), [meta(2, 8)])


def test_functional_dropout_is_run_in_both():
    model = Call(lambda layers, x: layers[0](x), nn.Linear(8, 4))
    model.function = lambda layers, x: F.dropout(layers[0](x), 0.5, model.training)
    assert not told_by_training(model, [meta(2, 8)])
    assert count(model, meta(2, 8)).macs == 2 * 8 * 4


def test_torchs_module_is_as_it_was():
    told_by_training(nn.Sequential(nn.BatchNorm1d(4)), [meta(2, 4)])
    assert "training" not in vars(nn.Module)
    assert nn.ReLU().eval().training is False
