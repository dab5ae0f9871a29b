"""What models do beyond plain layers: attribution, modes, kernels, copies, ways down the ladder."""

import threading
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from counted import Call, count, meta
from torch import nn

from analyzer.tracing.room import OnCpu
from analyzer.tracing.shape_rules import batch_norm
from analyzer.tracing.shapes import Shapes
from analyzer.tracing.trace import count_module

pytestmark = pytest.mark.filterwarnings("ignore")


def rows(record):
    return {row.path: row for row in record.layers}


# -- attribution -----------------------------------------------------------------------------------------------


def test_functional_calls_belong_to_the_module_that_makes_them():
    model = Call(lambda layers, x: layers[0](x) @ x.T, nn.Linear(8, 4, bias=False), nn.Linear(9, 9))
    model.function = lambda layers, x: layers[0](x) @ layers[0](x).T
    record = count(model, meta(2, 8))
    assert [(row.path, row.macs, row.params, row.output) for row in record.layers] == [
        ("layers.0", 2 * 2 * 8 * 4, 32, (2, 4)),
        ("", 2 * 2 * 4, 0, (2, 2)),
        ("layers.1", 0, 90, None),  # owns parameters and never runs
    ]
    assert record.conv_activations == 2 * 2 * 4  # the product of two activations is none


def test_a_direct_call_of_forward_is_the_childs():
    record = count(Call(lambda layers, x: layers[0].forward(x), nn.Linear(8, 4)), meta(2, 8))
    assert rows(record)["layers.0"].macs == 2 * 8 * 4


def test_shared_modules_and_tied_weights_count_once_as_parameters_and_each_time_as_work():
    layer = nn.Linear(8, 8, bias=False)
    tied = nn.Linear(8, 8, bias=False)
    tied.weight = layer.weight
    record = count(nn.Sequential(layer, layer, tied), meta(2, 8))
    assert record.params == 64
    assert record.param_bytes == 256
    assert [(row.path, row.params, row.macs) for row in record.layers] == [("0", 64, 256), ("2", 0, 128)]


def test_a_saved_storage_counts_once_in_the_module_that_saves_it_first():
    record = count(Call(lambda layers, x: [layer(x) for layer in layers], nn.Linear(8, 4), nn.Linear(8, 4)), meta(2, 8))
    assert rows(record)["layers.0"].saved_bytes == 2 * 8 * 4
    assert rows(record)["layers.1"].saved_bytes == 0


def test_frozen_layers_save_nothing_and_dtypes_count():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).to(torch.float64)
    model[0].requires_grad_(False)
    record = count(model, meta(2, 8, dtype=torch.float64))
    assert record.trainable_params == 72
    assert record.param_bytes == 144 * 8
    assert record.saved_bytes == 2 * 8 * 8  # the second layer's input alone


def test_inputs_are_recorded_with_name_and_dtype_and_nested_ones_are_run():
    model = Call(
        lambda layers, pair, ids: layers[0](pair["a"] + pair["b"]) + layers[1](ids), nn.Linear(8, 4), nn.Embedding(9, 4)
    )
    args, kwargs = [{"a": meta(3, 8), "b": meta(3, 8)}], {"ids": meta(3, dtype=torch.int64)}
    record = count_module(model, args, kwargs, name="model")
    assert [(i.shape, i.dtype, i.name) for i in record.inputs] == [
        ((3, 8), "float32", None), ((3, 8), "float32", None), ((3,), "int64", "ids"),
    ]  # fmt: skip
    assert (record.input, record.batch) == ((3, 8), 3)


@dataclass
class Output:
    logits: torch.Tensor
    hidden: tuple


def test_results_in_dataclasses():
    def forward(layers, x):
        y = layers[0](x)
        return Output(y, (y,))

    record = count(Call(forward, nn.Linear(8, 4)), meta(2, 8), backward=True)
    assert rows(record)["layers.0"].output == (2, 4)
    assert record.training_macs == 2 * 2 * 8 * 4


# -- modes -----------------------------------------------------------------------------------------------------


def test_macs_are_of_evaluation_and_saved_bytes_of_training():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.auxiliary = nn.Linear(8, 4), nn.Linear(8, 2)

        def forward(self, x):
            return (self.main(x), self.auxiliary(x)) if self.training else self.main(x)

    record = count(Auxiliary().eval(), meta(2, 8), backward=True)
    assert record.macs == 2 * 8 * 4
    assert record.training_macs == 2 * (2 * 8 * 4 + 2 * 8 * 2)
    assert any("one in training mode has 96" in note for note in record.notes)


def test_batch_normalisation_of_one_value_has_no_saved_bytes():
    record = count(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)), meta(1, 4))
    assert record.macs == 20
    assert record.saved_bytes is None
    assert "1: batch normalisation gets one value a channel" in record.notes[0]
    assert all(row.saved_bytes is None for row in record.layers)


def test_dropout_saves_its_noise():
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)).eval()
    assert rows(count(model, meta(2, 8)))["1"].saved_bytes == 2 * 8 * 4


# -- other ways to write a model -------------------------------------------------------------------------------


def linear():
    return nn.Linear(8, 4)


FORMS = {
    "compiled": lambda: nn.Sequential(torch.compile(linear())),
    "compiled in place": lambda: _compiled(linear()),
    "scripted": lambda: nn.Sequential(torch.jit.script(linear())),
    "traced": lambda: torch.jit.trace(linear(), torch.zeros(2, 8)),
    "fx": lambda: torch.fx.symbolic_trace(nn.Sequential(linear())),
    "exported": lambda: torch.export.export(nn.Sequential(linear()), (torch.zeros(2, 8),)).module(),
    "data parallel": lambda: nn.DataParallel(linear()),
    "old weight norm": lambda: nn.utils.weight_norm(linear()),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(linear()),
    "half": lambda: Call(lambda layers, x: layers[0](x.half()), linear().half()),
    "vmap": lambda: Call(lambda layers, x: torch.vmap(layers[0])(x), linear()),
    "functional_call": lambda: Call(
        lambda layers, x: torch.func.functional_call(layers[0], dict(layers[0].named_parameters()), x), linear()
    ),
    "autocast": lambda: Call(lambda layers, x: torch.autocast("cpu", torch.bfloat16)(layers[0])(x), linear()),
    "inference mode": lambda: Call(torch.inference_mode()(lambda layers, x: layers[0](x)), linear()),
    "checkpointed": lambda: Call(
        lambda layers, x: torch.utils.checkpoint.checkpoint(layers[0], x, use_reentrant=False), linear()
    ),
    "own device": lambda: Call(lambda layers, x: layers[0](x + torch.zeros(8, device="cpu")), linear()),
    "constant": lambda: Call(lambda layers, x: layers[0](x * torch.tensor([1.0] * 8)), linear()),
    "stray tensor": lambda: _with(linear(), table=torch.ones(8)),
    "lock": lambda: _with(linear(), lock=threading.Lock()),
    "generator": lambda: _with(linear(), steps=(i for i in range(3))),
}  # fmt: skip


def _compiled(module):
    module.compile()
    return module


def _with(module, **attributes):
    vars(module).update(attributes)
    return module


@pytest.mark.parametrize("form", FORMS)
def test_however_a_layer_is_wrapped_it_costs_the_same(form):
    record = count(FORMS[form](), meta(2, 8))
    assert record.macs == 2 * 8 * 4
    assert record.conv_activations == 2 * 4
    assert record.uncounted == ()
    assert sum(row.params for row in record.layers) == record.params > 0


def test_a_models_own_gradient_counts():
    def energy(layers, x):
        x.requires_grad_()
        return torch.autograd.grad(layers[0](x).sum(), x, create_graph=True)[0]

    assert count(Call(energy, nn.Linear(8, 4)), meta(2, 8)).macs == 2 * 2 * 8 * 4


def test_checkpointing_keeps_the_input_alone_and_computes_twice():
    inner = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.ReLU())
    model = Call(lambda layers, x: torch.utils.checkpoint.checkpoint(layers[0], x, use_reentrant=False), inner)
    record = count(model, meta(2, 8), backward=True)
    forward = 2 * (8 * 16 + 16 * 4)
    assert record.saved_bytes == 2 * 8 * 4
    assert record.training_macs == 2 * forward + (2 * 8 * 16) + 2 * (2 * 16 * 4)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_functions_that_close_over_the_model_run_on_the_copy(device):
    class Closing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 4)
            inner = lambda x: self.layer(x)  # noqa: E731
            self.call = lambda x: inner(x)

        def forward(self, x):
            return self.call(x)

    model = Closing().to(device)
    assert rows(count(model, meta(2, 8)))["layer"].macs == 2 * 8 * 4
    layer = model.layer
    model.forward = lambda x: layer(layer(x)[:, :1] + x)
    assert rows(count(model, meta(2, 8)))["layer"].macs == 2 * 2 * 8 * 4


# -- the ladder ------------------------------------------------------------------------------------------------

ON_VALUES = {
    "item": lambda layers, x: layers[0](x) if x.sum().item() == 0 else x,
    "truth": lambda layers, x: layers[0](x) if (x == 0).all() else x,
    "random choice": lambda layers, x: layers[0](x) if torch.rand(1).item() < 2 else x,
    "schedule": lambda layers, x: layers[0](x) if torch.linspace(0, 1, 3).tolist()[0] == 0 else x,
    "masked rows": lambda layers, x: layers[0](x[(x == 0).any(1)]),
    "numpy": lambda layers, x: layers[0](torch.from_numpy(x.detach().numpy() + 1)),
    "cond": lambda layers, x: torch.cond(x.sum() == 0, layers[0], lambda y: y[:, :4] * 1.0, (x,)),
}


@pytest.mark.parametrize("case", ON_VALUES)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_forward_that_reads_values_is_counted_on_one_path(case, device):
    record = count(Call(ON_VALUES[case], nn.Linear(8, 4)), torch.zeros(2, 8, device=device))
    assert record.macs == 2 * 8 * 4
    assert record.notes[0].startswith("counted on one path")
    assert record.saved_bytes is not None


def test_values_that_only_training_reads_leave_macs_exact():
    def forward(layers, x):
        return x if layers[0].training and torch.rand(1).item() > 2 else layers[0](x)

    record = count(Call(forward, nn.Linear(8, 8)), meta(2, 8))
    assert record.macs == 2 * 8 * 8
    assert record.saved_bytes == 2 * 8 * 4
    assert record.notes[0].startswith("in training mode: counted on one path")


def test_given_values_choose_the_path():
    model = Call(lambda layers, x: layers[int(x[0, 0].item())](x), nn.Linear(8, 4), nn.Linear(8, 16))
    assert count(model, torch.zeros(2, 8)).macs == 2 * 8 * 4
    assert count(model, torch.ones(2, 8)).macs == 2 * 8 * 16


def test_a_model_on_meta_is_rebuilt_where_its_values_are_needed():
    def make():
        model = Call(lambda layers, x: layers[int(layers[0].bias[0].item())](x), nn.Linear(8, 4), nn.Linear(8, 16))
        nn.init.ones_(model.layers[0].bias)
        return model

    record = count(make().to("meta"), meta(2, 8), on_cpu=OnCpu(make))
    assert record.macs == 2 * 8 * 16


def test_packed_sequences_take_the_given_lengths():
    def forward(layers, x, lengths):
        return layers[0](nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True))[1]

    record = count(Call(forward, nn.GRU(8, 4, batch_first=True)), meta(2, 5, 8), torch.tensor([5, 3]))
    assert record.macs == (5 + 3) * 3 * 4 * (8 + 4)


# -- shapes on meta -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_shape_rule_of_batch_norm_is_torchs(training, dtype, layout):
    x, weight = meta(2, 3, 4, 5, dtype=dtype).to(memory_format=layout), meta(3, dtype=dtype)
    operator = torch.ops.aten.native_batch_norm.default
    args = (x, weight, weight, weight, weight, training, 0.1, 1e-5)
    ours, torchs = batch_norm(*args), operator(*args)
    for a, b in zip(ours, torchs if training else torchs[:1], strict=False):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)
    if not training:  # on a real device, unlike on meta, there is nothing to keep in evaluation
        real = [torch.zeros(t.shape) if t.dim() > 1 else torch.ones(3) for t in args[:5]]
        assert [t.shape for t in ours] == [t.shape for t in operator(*real, False, 0.1, 1e-5)]


def test_calls_under_no_grad_and_inference_mode_agree():
    model, x = nn.Sequential(nn.Linear(8, 4), nn.ReLU()), torch.zeros(2, 8)
    plain = count(model, x)
    with torch.no_grad():
        assert count(model, x) == plain
    with torch.inference_mode():
        assert count(model, x) == plain


def test_attention_notes_that_fused_kernels_keep_less():
    record = count(Call(lambda _, q: F.scaled_dot_product_attention(q, q, q)), meta(1, 2, 5, 8))
    assert any("fused kernel" in note for note in record.notes)


def test_remembered_shapes_are_torchs_own():
    """Every operator of a forward and its like, once computed and once remembered: the same shapes and storages."""
    shapes, x = Shapes(), meta(4, 6)
    aten = torch.ops.aten
    calls = [
        (aten.add.Tensor, (x, 1)), (aten.add.Tensor, (meta(4, 6, dtype=torch.int64), 1)),
        (aten.add.Tensor, (meta(4, 6, dtype=torch.int64), 1.0)), (aten.mm.default, (x, x.t())),
        (aten.view.default, (x, [24])), (aten._unsafe_view.default, (x, [24])), (aten.unsafe_split.Tensor, (x, 2)),
        (aten.relu_.default, (x,)), (aten.native_layer_norm.default, (x, [6], None, None, 1e-5)),
        (aten.topk.default, (x, 2)), (aten.cat.default, ([x, x], 1)), (aten.mul.Tensor, (x.t(), 2.0)),
        (aten.split.Tensor, (x, 2)),
    ]  # fmt: skip
    for operator, args in calls:
        expected, results = operator(*args), [shapes.run(operator, args, {}) for _ in range(3)]
        for result in results:
            pairs = [(expected, result)] if isinstance(result, torch.Tensor) else zip(expected, result, strict=True)
            for a, b in pairs:
                assert (a.shape, a.stride(), a.dtype, a.storage_offset()) == (
                    b.shape,
                    b.stride(),
                    b.dtype,
                    b.storage_offset(),
                )
                assert a.untyped_storage().nbytes() == b.untyped_storage().nbytes()
                shared = a.untyped_storage()._cdata == x.untyped_storage()._cdata
                assert (b.untyped_storage()._cdata == x.untyped_storage()._cdata) == shared
