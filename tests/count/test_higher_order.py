"""Functions that take functions, nested tensors, scripts and operators of one's own: figures by hand."""

import pytest
import torch
from counted import Call, count
from torch import nn

from analyzer.errors import CountError
from analyzer.tracing.lifetimes import module_peaks
from analyzer.tracing.witnesses import witnesses

pytestmark = pytest.mark.filterwarnings("ignore")


def conditional(layers, x):
    return torch.cond(x.sum() >= 0, lambda y: layers[1](layers[0](y)), lambda y: layers[0](y), (x,))


def by_size(layers, x):
    return torch.cond(x.shape[0] > 1, lambda y: layers[1](layers[0](y)), lambda y: layers[0](y), (x,))


def looped(layers, x):
    from torch._higher_order_ops.while_loop import while_loop

    return while_loop(lambda i, y: i < 2, lambda i, y: (i + 1, layers[0](y)), (torch.tensor(0), x))[1]


def scanned(layers, x):
    from torch._higher_order_ops.scan import scan

    return scan(lambda carry, y: (layers[0](carry), layers[0](y)[..., :2]), torch.zeros(4), x)[1]


def associated(layers, x):
    from torch._higher_order_ops.associative_scan import associative_scan

    return associative_scan(lambda a, b: a + b, layers[0](layers[1](x)), 0)


def mapped(layers, x):
    from torch._higher_order_ops.map import map

    return map(lambda row, y: layers[0](row) + y, x, layers[0](x[0]))


ONE = 4 * 4  # MACs of a row through a layer
FUNCTIONS = {  # two rows: MACs, depth
    "cond": (conditional, 4 * ONE, 2),
    "cond by size": (by_size, 4 * ONE, 2),
    "while_loop": (looped, 4 * ONE, 2),
    "scan": (scanned, 4 * ONE, 1),
    "associative_scan": (associated, 4 * ONE, 2),
    "map": (mapped, 3 * ONE, 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_take_functions_count_as_they_are_written(name):
    function, macs, depth = FUNCTIONS[name]
    model = Call(function, nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    record = count(model, torch.zeros(2, 4), backward=True)
    assert (record.macs, record.depth, record.uncounted) == (macs, depth, ())
    assert record.saved_bytes >= 2 * 4 * 4
    assert record.training_macs > macs
    code = torch.cond.__code__
    assert code.co_filename.endswith("cond.py")  # torch's own again


def test_a_loop_without_end_is_an_error():
    from torch._higher_order_ops.while_loop import while_loop

    def endless(layers, x):
        return while_loop(lambda y: (y == y).all(), lambda y: (y + 1,), (x,))[0]

    with pytest.raises(CountError, match="while_loop has no end"):
        count(Call(endless), torch.zeros(1))


# -- flex attention ----------------------------------------------------------------------------------------------


def flexible(change=None, causal=False):
    def forward(layers, x):
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        batch, length, _ = x.shape
        q, k, v = layers[0](x).view(batch, length, 3, 2, 16).permute(2, 0, 3, 1, 4)
        mask = None
        if causal:
            mask = create_block_mask(lambda b, h, q, kv: q >= kv, None, None, length, length, device="cpu")
        table = layers[1].weight if len(layers) > 1 else None
        mixed = flex_attention(q, k, v, score_mod=change and (lambda *at: change(table, *at)), block_mask=mask)
        return mixed.transpose(1, 2).reshape(batch, length, 32)

    return forward


QKV, ATTENTION = 16 * 32 * 96, 2 * 2 * 16 * 16 * 16


def test_flex_attention_is_its_two_products():
    record = count(Call(flexible(), nn.Linear(32, 96, bias=False)), torch.zeros(1, 16, 32), backward=True)
    assert (record.macs, record.conv_activations, record.depth) == (QKV + ATTENTION, 16 * 96, 1)
    assert record.training_macs == 2 * QKV + 3 * ATTENTION
    assert any("attention as its products" in note for note in record.notes)


def test_flex_attention_with_a_mask_and_weights_that_its_scores_are_changed_by():
    def change(table, score, b, h, q, kv):
        return score + table[h, (q - kv) % 8]

    model = Call(flexible(change, causal=True), nn.Linear(32, 96, bias=False), nn.Embedding(2, 8))
    record = count(model, torch.zeros(1, 16, 32), backward=True)
    assert (record.macs, record.depth) == (QKV + ATTENTION, 1)
    assert module_peaks(model, [torch.zeros(1, 16, 32)]).inference.bytes > 0


# -- nested tensors, scripts, operators of one's own -------------------------------------------------------------


def test_jagged_tensors():
    def forward(layers, a, b):
        return layers[0](torch.nested.nested_tensor([a, b], layout=torch.jagged)).values()

    record = count(Call(forward, nn.Linear(8, 4)), torch.zeros(3, 8), torch.zeros(5, 8))
    assert (record.macs, record.conv_activations, record.depth) == (8 * 8 * 4, 32, 1)
    assert {row.path: row.output for row in record.layers} == {"": (8, 4), "layers.0": (8, 4)}
    assert '"output":[8,4]' in record.to_json()


def test_a_script_beside_its_witnesses():
    model = torch.jit.script(nn.Sequential(nn.Linear(8, 4)))
    record = count(model, torch.zeros(2, 8))
    assert record.macs == 64
    found = {witness.name: witness for witness in witnesses(model, [torch.zeros(2, 8)], ours=record)}
    assert found["torch"].macs == 64


@torch.library.custom_op("analyzer_test::plus_one", mutates_args=())
def plus_one(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def test_an_operator_without_a_fake_runs_on_cpu():
    record = count(Call(lambda layers, x: layers[0](plus_one(x)), nn.Linear(8, 4)), torch.zeros(2, 8))
    assert record.macs == 64
    assert record.notes[0].startswith("counted on one path, on CPU")
    assert [entry.operator for entry in record.uncounted] == ["analyzer_test::plus_one"]
