"""The witnesses' figures are what the counters themselves say, and their differences are explained to the last MAC."""

import copy
import sys

import msgspec
import pytest
import torch
from torch import nn

from analyzer.architecture.network import PRESETS
from analyzer.building.modules import build
from analyzer.errors import UsageError
from analyzer.tracing import witnesses as module
from analyzer.tracing.trace import count_module
from analyzer.tracing.witnesses import witnesses

pytestmark = pytest.mark.filterwarnings("ignore")


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.same = nn.Conv2d(3, 4, 3, padding="same")
        self.norm, self.weight = nn.BatchNorm2d(4), nn.Parameter(torch.zeros(4, 4))

    def forward(self, x):
        x = self.norm(self.same(x)).mean((2, 3)) @ self.weight
        return x * torch.mv(x, x[0])[:, None]


def seen(model, *inputs, **kwargs):
    ours = count_module(model, inputs, kwargs, name="model")
    return ours, {witness.name: witness for witness in witnesses(model, inputs, kwargs, ours=ours)}


def reasons(witness):
    return {part.reason.split(": ")[0]: part.macs for part in witness.explanations}


def test_the_article_network():
    """torchinfo and fvcore count some of what multiplies no matrices; torch's counter agrees."""
    _, by_name = seen(build(PRESETS["article"], device="meta"), torch.empty(1, 3, 224, 224, device="meta"))
    # batch 32: 595.94 G in the article's own table, 18.62307 G an image
    assert by_name["torchinfo"].macs == 18_623_074_114
    assert reasons(by_name["torchinfo"]) == {"BatchNorm2d": 118_592, "Linear": 2}
    assert by_name["fvcore"].difference == sum(reasons(by_name["fvcore"]).values()) == 58_956_800
    assert set(reasons(by_name["fvcore"])) == {"batch_norm"}
    assert by_name["torch"].figure == 2 * 18_622_955_520
    assert by_name["torch"].difference == 0
    assert by_name["torch"].explanations == ()


def test_each_difference_is_explained_by_operator():
    ours, by_name = seen(Functional(), torch.zeros(2, 3, 8, 8))
    conv, product, vector = 2 * 64 * 4 * 27, 2 * 4 * 4, 2 * 4
    assert ours.macs == conv + product + vector
    for witness in by_name.values():
        assert witness.error is None
        assert witness.macs - ours.macs == witness.difference == sum(part.macs for part in witness.explanations)
        assert not any("not explained" in part.reason for part in witness.explanations)
    assert reasons(by_name["torchinfo"]) == {
        "Conv2d": 2 * 64 * 4,
        "BatchNorm2d": 2 * 8,
        "Functional": -product - vector,
    }
    assert reasons(by_name["torch"]) == {"aten::mv": -vector}
    assert {"aten::_convolution_mode": -conv, "aten::mv": -vector}.items() <= reasons(by_name["fvcore"]).items()


def test_repeated_calls_of_one_layer_are_explained():
    layer = nn.Linear(8, 8)
    _, by_name = seen(nn.Sequential(layer, nn.ReLU(), layer, layer), torch.zeros(2, 5, 8))
    assert not any("not explained" in part.reason for part in by_name["torchinfo"].explanations)


def test_a_crash_is_a_row_and_the_others_go_on(monkeypatch):
    def crash(*_):
        raise RuntimeError("no\nluck")

    monkeypatch.setattr(module, "_torchinfo", crash)
    _, by_name = seen(nn.Linear(8, 4), torch.zeros(2, 8))
    assert by_name["torchinfo"].error == "RuntimeError: no"
    assert by_name["torchinfo"].figure is None
    assert by_name["fvcore"].macs == by_name["torch"].macs == 64


def test_keyword_inputs_are_a_row_of_fvcore():
    class Keyword(nn.Linear):
        def forward(self, *, x):
            return super().forward(x)

    _, by_name = seen(Keyword(8, 4, bias=False), x=torch.zeros(2, 8))
    assert "keyword" in by_name["fvcore"].error
    assert by_name["torchinfo"].macs == by_name["torch"].macs == 64


def test_a_missing_package_is_a_row(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", version)
    _, by_name = seen(nn.Linear(8, 4), torch.zeros(2, 8))
    assert by_name["fvcore"].error == "not installed: pip install fvcore"


def test_the_model_is_untouched_by_all_of_them():
    model = Functional().train()
    state, hooks = copy.deepcopy(model.state_dict()), {k: dict(vars(m)) for k, m in model.named_modules()}
    random_state, modules = torch.get_rng_state(), set(sys.modules)
    seen(model, torch.ones(2, 3, 8, 8))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())
    assert model.state_dict().keys() == state.keys()
    assert all(vars(m) == hooks[k] for k, m in model.named_modules())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert modules <= set(sys.modules)


def test_from_python_beside_our_own_record_or_the_one_that_is_given():
    import analyzer as an

    model = nn.Linear(8, 4, bias=False)
    assert [witness.macs for witness in an.witnesses(model, (2, 8))] == [64, 64, 64]
    ours = an.analyze(model, inputs=(2, 8))
    other = msgspec.structs.replace(ours, macs=60)
    assert [witness.difference for witness in an.witnesses(model, torch.zeros(2, 8), other)] == [4, 4, 4]
    assert an.witnesses(model, [(2, 8)], ours=ours) == an.witnesses(model, (2, 8))
    by_name = {witness.name: witness for witness in an.witnesses("article")}
    assert by_name["torch"].macs == an.analyze("article").macs == 18_622_955_520
    assert by_name["torchinfo"].macs == 18_623_074_114


def test_from_python_a_model_needs_its_inputs_and_a_variant_has_them():
    import analyzer as an

    with pytest.raises(UsageError, match="needs its inputs"):
        an.witnesses(nn.Linear(8, 4))
    with pytest.raises(UsageError, match="knows its input"):
        an.witnesses("article", (1, 3, 224, 224))
