"""What counts as a weight: the model's own tensors and what is made of them alone; figures by hand."""

import pytest
import torch
import torch.nn.functional as F
from counted import count, meta
from torch import nn
from torch.nn.utils import parametrizations, prune

pytestmark = pytest.mark.filterwarnings("ignore")
STRAY = nn.Parameter(torch.zeros(6, 5))


class Holds(nn.Module):
    """A model that is one function of itself and its inputs, over parameters, buffers and plain attributes."""

    def __init__(self, function, parameters=(), buffers=(), **attributes):
        super().__init__()
        self.function = function
        for name, shape in dict(parameters).items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
        for name, tensor in dict(buffers).items():
            self.register_buffer(name, tensor)
        vars(self).update(attributes)

    def forward(self, *args):
        return self.function(self, *args)


def pruned():
    layer = nn.Linear(6, 5, bias=False)
    prune.l1_unstructured(layer, "weight", amount=0.5)
    return layer


def quantized(model, x):
    return F.linear(x, model.codes.float() * model.scale)


def attended(model, x, make):
    """Attention over a cache that is made like the weight and takes keys."""
    keys = make(model.w, x)
    return torch.softmax((x @ model.w) @ keys.transpose(-2, -1), -1)


def filled(weight, x):
    cache = weight.new_zeros(x.shape[0], 5)
    cache[:] = x[:, :5]
    return cache


def indexed(weight, x):
    cache = torch.zeros_like(weight)[:4]
    return cache.index_put_((torch.arange(x.shape[0]),), x[:, :5])


ONE_LAYER = {  # inputs of (4, 6), results of (4, 5)
    "plain": nn.Linear(6, 5, bias=False),
    "masked by a buffer": pruned(),
    "masked by a constant": Holds(lambda m, x: F.linear(x, m.w * torch.ones(5, 6).tril()), {"w": (5, 6)}),
    "int8 in buffers": Holds(
        quantized, buffers={"codes": torch.zeros(5, 6, dtype=torch.int8), "scale": torch.ones(5, 1)}
    ),
    "low rank": Holds(lambda m, x: F.linear(x, m.u @ m.v), {"u": (5, 2), "v": (2, 6)}),
    "merged": Holds(lambda m, x: F.linear(x, m.w + 2 * (m.u @ m.v)), {"w": (5, 6), "u": (5, 2), "v": (2, 6)}),
    "magnitude and direction": Holds(
        lambda m, x: F.linear(x, m.g * (m.w + m.u @ m.v) / (m.w + m.u @ m.v).norm(dim=1, keepdim=True)),
        {"w": (5, 6), "u": (5, 2), "v": (2, 6), "g": (5, 1)},
    ),
    "spectral": parametrizations.spectral_norm(nn.Linear(6, 5, bias=False)),
    "orthogonal": parametrizations.orthogonal(nn.Linear(6, 5, bias=False)),
    "weight norm": parametrizations.weight_norm(nn.Linear(6, 5, bias=False)),
    "mixed": Holds(
        lambda m, x: F.linear(x, torch.einsum("k,koi->oi", m.a.softmax(0), m.w)), {"a": (3,), "w": (3, 5, 6)}
    ),
    "made from a constant": Holds(
        lambda m, x: x @ F.linear(torch.ones(1, 3), m.w).view(6, 5), {"w": (30, 3)}
    ),
    "kronecker": Holds(lambda m, x: x @ torch.kron(m.a, m.b), {"a": (2, 1), "b": (3, 5)}),
    "attribute": Holds(lambda m, x: x @ m.w, w=torch.zeros(6, 5)),
    "dictionary": Holds(lambda m, x: x @ m.weights["w"], weights={"w": nn.Parameter(torch.zeros(6, 5))}),
    "global": Holds(lambda m, x: x @ STRAY),
    "fused addend": Holds(lambda m, x: torch.addmm(m.b, x, m.w), {"w": (6, 5), "b": (5,)}),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_LAYER)
def test_a_weight_however_it_is_made_is_one_layer(case):
    record = count(ONE_LAYER[case], meta(4, 6))
    assert (record.conv_activations, record.depth) == (4 * 5, 1)
    assert record.macs >= 4 * 6 * 5


def test_products_that_make_a_weight_stay_in_macs():
    assert count(ONE_LAYER["low rank"], meta(4, 6)).macs == 4 * 6 * 5 + 5 * 2 * 6


NO_LAYER = {
    "learned addend": (Holds(lambda m, x: torch.baddbmm(m.b, x, x.mT), {"b": (6, 6)}), (2, 6, 4), 0),
    "learned addend of addmm": (Holds(lambda m, x: torch.addmm(m.b, x, x.T), {"b": (6, 6)}), (6, 4), 0),
    "cache that takes data": (Holds(lambda m, x: attended(m, x, filled), {"w": (6, 5)}), (4, 6), 20),
    "cache that is indexed": (Holds(lambda m, x: attended(m, x, indexed), {"w": (6, 5)}), (4, 6), 20),
    "buffer that takes data": (
        Holds(lambda m, x: x @ m.cache.copy_(x).mT, buffers={"cache": torch.zeros(4, 6)}), (4, 6), 0,
    ),
    "constant": (Holds(lambda m, x: torch.ones(4, 4).tril() @ x), (4, 6), 0),
    "weights alone": (Holds(lambda m, x: x + F.conv1d(m.w, m.k).sum(), {"w": (1, 2, 6), "k": (2, 2, 3)}), (4, 6), 0),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_LAYER)
def test_what_only_touches_a_weight_is_no_layer(case):
    model, shape, activations = NO_LAYER[case]
    record = count(model, meta(*shape))
    assert (record.conv_activations, record.depth) == (activations, int(activations > 0))


def test_parameters_in_a_list_work_and_are_said_to_be_missed():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.head = [nn.Linear(10, 10) for _ in range(3)], nn.Linear(10, 2)

        def forward(self, x):
            for layer in self.layers:
                x = torch.relu(layer(x))
            return self.head(x)

    record = count(Listed(), meta(1, 10))
    assert (record.params, record.conv_activations, record.depth) == (22, 3 * 10 + 2, 4)
    assert any("6 parameters (330 elements) are not registered" in note for note in record.notes)
    assert not any("not registered" in note for note in count(nn.Linear(3, 4), meta(1, 3)).notes)


def test_a_model_without_inputs_works_on_what_it_makes():
    model = Holds(lambda m: torch.randn(4, 6) @ m.w, {"w": (6, 5)})
    record = count(model)
    assert (record.macs, record.conv_activations, record.depth) == (120, 20, 1)
