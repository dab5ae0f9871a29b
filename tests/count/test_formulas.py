"""Formulas against hand arithmetic, torch's own counter, and dense equivalents; the free list against torch's tags."""

import pytest
import torch
import torch.nn.functional as F
from counted import meta
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from analyzer.tracing.formulas import FORMULAS, formula_of
from analyzer.tracing.free_operators import FREE, is_free
from analyzer.tracing.trace import count_module

aten = torch.ops.aten


class Call(nn.Module):
    """A model that is one function of its inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def macs(function, *inputs):
    record = count_module(Call(function), inputs, name="call")
    assert record.uncounted == ()
    return record.macs


LINEAR_ALGEBRA = {
    "mm": (torch.mm, [(5, 7), (7, 3)], 5 * 7 * 3),
    "bmm": (torch.bmm, [(2, 5, 7), (2, 7, 3)], 2 * 5 * 7 * 3),
    "mv": (torch.mv, [(5, 7), (7,)], 5 * 7),
    "dot": (torch.dot, [(7,), (7,)], 7),
    "vdot": (torch.vdot, [(7,), (7,)], 7),
    "addmm": (torch.addmm, [(5, 3), (5, 7), (7, 3)], 5 * 7 * 3),
    "addmv": (torch.addmv, [(5,), (5, 7), (7,)], 5 * 7),
    "addbmm": (torch.addbmm, [(5, 3), (2, 5, 7), (2, 7, 3)], 2 * 5 * 7 * 3),
    "baddbmm": (torch.baddbmm, [(2, 5, 3), (2, 5, 7), (2, 7, 3)], 2 * 5 * 7 * 3),
    "addr": (torch.addr, [(5, 3), (5,), (3,)], 5 * 3),
    "inner": (torch.inner, [(5, 7), (3, 7)], 5 * 7 * 3),
    "tensordot": (lambda a, b: torch.tensordot(a, b, 2), [(5, 2, 7), (2, 7, 3)], 5 * 14 * 3),
    "broadcast matmul": (torch.matmul, [(4, 1, 5, 7), (2, 7, 3)], 4 * 2 * 5 * 7 * 3),
    "chained matmul": (
        lambda a, b, c: torch.linalg.multi_dot([a, b, c]), [(2, 9), (9, 3), (3, 9)], 2 * 9 * 3 + 2 * 3 * 9,
    ),
    "einsum": (lambda a, b: torch.einsum("bhqd,bhkd->bhqk", a, b), [(2, 3, 5, 7), (2, 3, 4, 7)], 2 * 3 * 5 * 4 * 7),
    "in place": (lambda s, a, b: torch.zeros_like(s).addmm_(a, b), [(5, 3), (5, 7), (7, 3)], 5 * 7 * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", LINEAR_ALGEBRA)
def test_linear_algebra(name):
    function, shapes, expected = LINEAR_ALGEBRA[name]
    assert macs(function, *(meta(*shape) for shape in shapes)) == expected


CONVOLUTIONS = {
    "1d": (F.conv1d, [(2, 4, 10), (6, 4, 3)], 2 * 6 * 8 * 4 * 3),
    "2d": (F.conv2d, [(2, 4, 10, 8), (6, 4, 3, 3)], 2 * 6 * 8 * 6 * 4 * 9),
    "3d": (F.conv3d, [(2, 4, 5, 10, 8), (6, 4, 2, 3, 3)], 2 * 6 * 4 * 8 * 6 * 4 * 18),
    "unbatched": (F.conv2d, [(4, 10, 8), (6, 4, 3, 3)], 6 * 8 * 6 * 4 * 9),
    "same": (lambda x, w: F.conv2d(x, w, padding="same"), [(1, 4, 10, 8), (6, 4, 4, 4)], 6 * 10 * 8 * 4 * 16),
    "strided": (lambda x, w: F.conv2d(x, w, stride=2), [(1, 4, 10, 8), (6, 4, 3, 3)], 6 * 4 * 3 * 4 * 9),
    "dilated": (lambda x, w: F.conv2d(x, w, dilation=2), [(1, 4, 10, 8), (6, 4, 3, 3)], 6 * 6 * 4 * 4 * 9),
    "grouped": (lambda x, w: F.conv2d(x, w, groups=2), [(1, 4, 10, 8), (6, 2, 3, 3)], 6 * 8 * 6 * 2 * 9),
    "depthwise": (lambda x, w: F.conv2d(x, w, groups=4), [(1, 4, 10, 8), (4, 1, 3, 3)], 4 * 8 * 6 * 9),
    # each input position meets each weight once
    "transposed": (lambda x, w: F.conv_transpose2d(x, w, stride=2), [(1, 4, 5, 6), (4, 6, 3, 3)], 4 * 5 * 6 * 6 * 9),
    "transposed grouped": (
        lambda x, w: F.conv_transpose2d(x, w, groups=2), [(1, 4, 5, 6), (4, 3, 3, 3)], 4 * 5 * 6 * 3 * 9,
    ),
    "time first": (lambda x, w: torch.conv_tbc(x, w, torch.zeros(9)), [(5, 2, 8), (3, 8, 9)], 3 * 2 * 9 * 3 * 8),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    function, shapes, expected = CONVOLUTIONS[name]
    assert macs(function, *(meta(*shape) for shape in shapes)) == expected


CONVENTIONS = {
    # 2 n ⌈log2 n⌉ for each complex transform of n points, half of it from or to real numbers
    "fft": (torch.fft.fft, [meta(3, 8, dtype=torch.complex64)], 3 * 2 * 8 * 3),
    "fft of 9": (torch.fft.fft, [meta(9, dtype=torch.complex64)], 2 * 9 * 4),
    "rfft": (torch.fft.rfft, [meta(3, 8)], 3 * 8 * 3),
    "irfft": (torch.fft.irfft, [meta(3, 5, dtype=torch.complex64)], 3 * 8 * 3),
    "fft2": (torch.fft.fft2, [meta(4, 8, dtype=torch.complex64)], 2 * 32 * (2 + 3)),
    "bilinear sampling": (F.grid_sample, [meta(2, 3, 8, 8), meta(2, 4, 5, 2)], 2 * 3 * 4 * 5 * 4),
    "trilinear sampling": (F.grid_sample, [meta(2, 3, 8, 8, 8), meta(2, 4, 5, 6, 3)], 2 * 3 * 4 * 5 * 6 * 8),
    "nearest sampling": (lambda x, g: F.grid_sample(x, g, mode="nearest"), [meta(2, 3, 8, 8), meta(2, 4, 5, 2)], 0),
    "few distances": (torch.cdist, [meta(5, 8), meta(7, 8)], 5 * 7 * 8),
    "many distances": (torch.cdist, [meta(50, 8), meta(70, 8)], 50 * 70 * 8),
    "manhattan distances": (lambda a, b: torch.cdist(a, b, p=1.0), [meta(5, 8), meta(7, 8)], 5 * 7 * 8),
    "own distances": (F.pdist, [meta(5, 8)], 10 * 8),
    "bilinear layer": (F.bilinear, [meta(3, 8), meta(3, 9), meta(10, 8, 9)], 3 * 10 * 8 * 9),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_are_counted_and_named(name):
    function, inputs, expected = CONVENTIONS[name]
    record = count_module(Call(function), inputs, name="call")
    assert record.macs == expected
    assert any(note.startswith("by convention") for note in record.notes)


def test_complex_products_are_named():
    record = count_module(
        Call(torch.mm), [meta(5, 7, dtype=torch.complex64), meta(7, 3, dtype=torch.complex64)], name="c"
    )
    assert record.macs == 5 * 7 * 3
    assert "complex" in record.notes[0]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_gradients_of_a_convolution_cost_a_forward_each(groups, transposed):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    model = nn.Sequential(nn.Linear(10, 10), kind(4, 8, 3, groups=groups))
    first = 4 * 9 * 10 * 10
    record = count_module(model, [meta(1, 4, 9, 10)], name="conv", backward=True)
    forward = record.macs - first
    assert record.training_macs == 2 * first + 3 * forward  # nothing asks for the gradient of the model's input


def test_attention_of_fused_kernels_equals_its_products():
    query, key, value = (torch.zeros(2, 3, n, d) for n, d in ((5, 8), (7, 8), (7, 8)))
    out = aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)
    formula = formula_of(aten._scaled_dot_product_flash_attention_for_cpu.default)
    assert formula.macs(out, query, key, value) == 2 * 3 * 5 * 7 * (8 + 8)
    assert macs(F.scaled_dot_product_attention, query, key, value) == 2 * 3 * 5 * 7 * (8 + 8)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [((6, 4), (3, 4, 5), 6 * 4 * 5), ((3, 6, 4), (3, 4, 5), 3 * 6 * 4 * 5), ((4, 6), (6, 5), 4 * 6 * 5)],
)
def test_grouped_products(a, b, expected):
    assert FORMULAS["aten::_grouped_mm"].macs(None, meta(*a), meta(*b)) == expected


def test_sparse_products_count_stored_entries():
    sparse = torch.eye(6).to_sparse()
    assert count_module(Call(lambda x: torch.sparse.mm(sparse, x)), [torch.ones(6, 5)], name="sparse").macs == 6 * 5


def test_quantized_layers_cost_what_their_float_forms_do():
    quantize = torch.ao.nn.quantized.Quantize(0.1, 0, torch.quint8)
    conv = nn.Sequential(quantize, torch.ao.nn.quantized.Conv2d(4, 8, 3, groups=2))
    assert count_module(conv, [meta(1, 4, 8, 8)], name="conv").macs == 8 * 6 * 6 * 2 * 9
    linear = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 4)), {nn.Linear})
    record = count_module(linear, [meta(2, 8)], name="linear")
    assert record.macs == 2 * 8 * 4
    assert any("packed" in note for note in record.notes)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.conv2d(x, x.new_zeros(5, 3, 3, 3), padding=1),
        lambda x: F.conv_transpose2d(x, x.new_zeros(3, 5, 2, 2), stride=2),
        lambda x: x @ x.transpose(2, 3),
        lambda x: F.scaled_dot_product_attention(x, x, x),
        lambda x: torch.einsum("nchw,ncwk->nhk", x, x),
        lambda x: F.linear(x, x.new_zeros(4, 8), x.new_zeros(4)),
    ],
)
def test_torch_counts_the_same(function):
    x = meta(2, 3, 8, 8)
    with FlopCounterMode(display=False) as counter:
        function(x)
    assert 0 < 2 * macs(function, x) == counter.get_total_flops()


def operators():
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, rest = name.partition("::")
        base, _, overload = rest.partition(".")
        operator = getattr(getattr(torch.ops, namespace), base, None)
        if namespace == "aten" and operator is not None:
            yield getattr(operator, overload or "default", None)


def test_no_operator_is_both_free_and_counted():
    both = {op._schema.name for op in operators() if op and formula_of(op) and is_free(op)}
    assert both == set()


def test_the_reviewed_list_names_operators_that_exist():
    known = {op._schema.name.removeprefix("aten::") for op in operators() if op}
    unknown = {name for name in FREE if not {name, f"{name}_", f"{name}_forward", f"{name}_backward"} & known}
    assert unknown == set()


MULTIPLY = ["linalg_inv_ex", "_linalg_svd", "linalg_qr", "_linalg_solve_ex", "linalg_matrix_exp", "_cudnn_rnn", "mm",
            "_transformer_encoder_layer_fwd", "convolution", "bmm", "_fft_r2c", "cholesky",
            "linalg_cholesky_ex"]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in MULTIPLY if hasattr(aten, name)])  # 2.14 has no cholesky
def test_operators_that_multiply_are_not_free(name):
    assert not is_free(getattr(aten, name).default)
