"""Attention, recurrent layers, autocast in the forward, tensors on a context: figures by hand and by torch's own
run.
"""

import pytest
import torch
import torch.nn.functional as F
from counted import Call, count
from torch import nn
from torch.profiler import ProfilerActivity, profile

from analyzer.tracing.lifetimes import module_peaks

pytestmark = pytest.mark.filterwarnings("ignore")


def kept_by_torch(model, *args):
    """Bytes that a real forward in training mode keeps, without its parameters."""
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), torch.backends.mkldnn.flags(enabled=False):
        result = model.train()(*args)
    assert result is not None
    return sum(storage.nbytes() for storage in kept.values())


def allocated(model, x):
    """The most bytes of an inference by the CPU allocator's events, with parameters and input."""
    off = torch.backends.mkldnn.flags(enabled=False)
    with off, torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as run:
        result = model.eval()(x)
    assert result is not None
    live = most = 0
    events = [event for event in run.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        most = max(most, live)
    return most + 4 * (x.numel() + sum(parameter.numel() for parameter in model.parameters()))


# -- attention ---------------------------------------------------------------------------------------------------


def attention(causal):
    def forward(layers, x):
        batch, length, width = x.shape
        q, k, v = layers[0](x).view(batch, length, 3, 4, 16).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return layers[1](mixed.transpose(1, 2).reshape(batch, length, width))

    return Call(forward, nn.Linear(64, 192, bias=False), nn.Linear(64, 64, bias=False))


@pytest.mark.parametrize("causal", [False, True])
def test_the_peak_of_attention_is_of_live_tensors_and_its_scratch_is_named(causal):
    found = module_peaks(attention(causal), [torch.empty(1, 1024, 64, device="meta")])
    weights, x, qkv, out = 4 * 16384, 4 * 1024 * 64, 4 * 1024 * 192, 4 * 1024 * 64
    assert found.inference.bytes == weights + x + qkv + 2 * out  # the last layer's input and output
    # a block of 256 queries by 512 keys: scores, their greatest and sums, results, each fp32
    assert any(f"{4 * 256 * (512 + 2 + 16):,} bytes a thread" in note for note in found.notes)


# -- recurrent layers --------------------------------------------------------------------------------------------

LAYERS = {
    "LSTM": (nn.LSTM(8, 64, batch_first=True), (16, 4, 8)),
    "GRU": (nn.GRU(8, 32, 2), (5, 4, 8)),
    "RNN": (nn.RNN(8, 16), (7, 3, 8)),
    "both ways": (nn.LSTM(8, 32, 2, bidirectional=True), (6, 5, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_peak_of_recurrent_layers_is_the_cpu_allocators(name):
    layer, shape = LAYERS[name]
    found = module_peaks(layer, [torch.empty(shape, device="meta")])
    assert found.inference.bytes == allocated(layer, torch.zeros(shape))
    assert any("without oneDNN" in note for note in found.notes)


def test_the_peak_of_the_lstm_of_the_manual():
    assert module_peaks(LAYERS["LSTM"][0], [torch.empty(16, 4, 8, device="meta")]).inference.bytes == 196_608


@pytest.mark.parametrize("steps", [2, 4, 5, 50])
def test_every_step_of_a_recurrent_layer_counts(steps):
    """An LSTM of 8 to 16: 4 gates of 16 from 8 + 16 values a step, each gate's two products an activation."""
    layer, batch = nn.LSTM(8, 16, batch_first=True), 3
    record = count(layer, torch.empty(batch, steps, 8, device="meta"), backward=True)
    product_of_x, product_of_h = batch * 64 * 8, batch * 64 * 16
    assert record.macs == steps * (product_of_x + product_of_h)
    assert record.conv_activations == steps * batch * 2 * 64
    assert record.depth == steps
    # backward: both weights' gradients, and the hidden state's but for the first
    assert record.training_macs == record.macs + steps * (product_of_x + product_of_h) + (steps - 1) * product_of_h
    gates, state = (
        4 * batch * 4 * 16,
        4 * batch * 16,
    )  # kept: the gates (one storage), tanh of the cell, the cell, the output
    kept = [count(layer, torch.empty(batch, n, 8, device="meta")).saved_bytes for n in (steps, steps + 1)]
    assert kept[1] - kept[0] == gates + 3 * state + 4 * batch * 8


def test_long_sequences_through_all_kinds_keep_what_torch_keeps_step_by_step():
    x = torch.empty(12, 3, 8, device="meta")
    for layer in (nn.GRU(8, 6, 2), nn.RNN(8, 6, bidirectional=True), nn.LSTM(8, 6, proj_size=3)):
        model = Call(lambda layers, x: layers[0](x)[0].relu(), layer)
        assert count(model, x).saved_bytes == kept_by_torch(model.to("meta"), x)


def test_a_cell_starts_from_a_state_that_is_data():
    record = count(nn.LSTMCell(8, 4), torch.empty(2, 8, device="meta"))
    assert (record.conv_activations, record.depth) == (2 * 2 * 16, 1)


# -- autocast ----------------------------------------------------------------------------------------------------


def inside(layers, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return layers[1](torch.tanh(layers[0](x)))


@torch.autocast("cpu", dtype=torch.bfloat16)
def decorated(layers, x):
    return layers[1](torch.tanh(layers[0](x)))


def partly(layers, x):
    with torch.autocast("cpu", dtype=torch.float16):
        x = layers[0](x)
        with torch.autocast("cpu", enabled=False):
            return layers[1](x.float())


@pytest.mark.parametrize("forward", [inside, decorated, partly])
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_autocast_in_the_forward_counts(forward, device):
    model = Call(forward, nn.Linear(64, 64), nn.Linear(64, 64))
    record = count(model, torch.zeros(8, 64, device=device))
    assert record.saved_bytes == kept_by_torch(model, torch.zeros(8, 64))
    assert (record.macs, record.depth) == (2 * 8 * 64 * 64, 2)
    assert not any("one path" in note for note in record.notes)


def test_autocast_keeps_half_and_a_cast_weight():
    record = count(Call(inside, nn.Linear(64, 64), nn.Linear(64, 64)), torch.zeros(8, 64))
    assert record.saved_bytes == 2 * 8 * 64 + 2 * 8 * 64 + 2 * 64 * 64


def test_autocast_in_the_forward_is_in_the_peak():
    model = Call(inside, nn.Linear(64, 64), nn.Linear(64, 64))
    found = module_peaks(model, [torch.empty(8, 64, device="meta")])
    assert found.inference.bytes == allocated(model, torch.zeros(8, 64))


# -- tensors on a context ----------------------------------------------------------------------------------------


class Attribute(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.y = x.exp()
        return ctx.y.sum(-1)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.y * gradient.unsqueeze(-1)


class Nested(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x.exp().sum(-1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.kept = {"all": [(inputs[0].exp(), 3)]}

    @staticmethod
    def backward(ctx, gradient):
        return ctx.kept["all"][0][0] * gradient.unsqueeze(-1)


@pytest.mark.parametrize("function", [Attribute, Nested])
def test_what_a_context_holds_is_kept(function):
    record = count(Call(lambda layers, x: function.apply(layers[0](x)), nn.Linear(16, 64)), torch.zeros(8, 16))
    assert record.saved_bytes == 8 * 16 * 4 + 8 * 64 * 4
    assert {row.path: row.saved_bytes for row in record.layers} == {"layers.0": 512, "": 2048}
