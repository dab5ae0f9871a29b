"""Tensors that are not plain: complex, sparse, in lists, subclasses; figures by hand."""

import pytest
import torch
import torch.nn.functional as F
from counted import count
from torch import nn
from torch.utils._pytree import tree_map_only

from analyzer.errors import CountError
from analyzer.tracing.lifetimes import module_peaks

pytestmark = pytest.mark.filterwarnings("ignore")


class Holds(nn.Module):
    """A model that is one function of itself and its inputs, over one buffer or parameter `w`."""

    def __init__(self, function, w, parameter=False):
        super().__init__()
        self.function = function
        if parameter:
            self.w = nn.Parameter(w, requires_grad=False)
        else:
            self.register_buffer("w", w)

    def forward(self, *args):
        return self.function(self.w, *args)


# -- complex -----------------------------------------------------------------------------------------------------

COMPLEX = {  # result, MACs: each weight at each position once
    "1d": (nn.Conv1d(4, 6, 3, dtype=torch.complex64), (2, 4, 10), 2 * 6 * 8, 2 * 6 * 8 * 4 * 3),
    "2d": (nn.Conv2d(2, 3, 3, bias=False, dtype=torch.complex64), (1, 2, 8, 8), 3 * 36, 36 * 54),
    "grouped": (nn.Conv2d(4, 4, 3, groups=2, dtype=torch.complex64), (1, 4, 8, 8), 4 * 36, 4 * 36 * 2 * 9),
    "transposed": (nn.ConvTranspose2d(4, 6, 2, 2, dtype=torch.complex64), (1, 4, 5, 5), 6 * 100, 25 * 4 * 6 * 4),
    "as a product": (nn.Linear(18, 3, dtype=torch.complex64), (36, 18), 3 * 36, 36 * 54),
}


@pytest.mark.parametrize("case", COMPLEX)
def test_a_complex_layer_counts_each_complex_product_once(case):
    model, shape, activations, macs = COMPLEX[case]
    record = count(model, torch.zeros(shape, dtype=torch.complex64), backward=True)
    assert (record.macs, record.conv_activations, record.depth) == (macs, activations, 1)
    assert record.training_macs == 2 * macs  # the weight's gradient; the input needs none
    assert any("complex products" in note for note in record.notes)


# -- sparse ------------------------------------------------------------------------------------------------------


def dense():
    """64 x 128 with every eighth column: 1,024 entries."""
    w = torch.zeros(64, 128)
    w[:, ::8] = 1.0
    return w


def blocks():
    """3 blocks of 16 x 16 in 64 x 64."""
    w = torch.zeros(64, 64)
    w[:16, :16] = w[32:48, 16:48] = 1.0
    return w


CSR, COO, CSC = 1024 * 12 + 65 * 8, 1024 * 20, 1024 * 12 + 129 * 8
BLOCKS = 3 * 256 * 4 + 3 * 8 + 5 * 8
SPARSE = {  # model, input, MACs, bytes of values and indices
    "CSR in linear": (Holds(lambda w, x: F.linear(x, w), dense().to_sparse_csr(), True), (4, 128), 4 * 1024, CSR),
    "CSR left": (Holds(lambda w, x: w @ x, dense().to_sparse_csr()), (128, 4), 4 * 1024, CSR),
    "CSR right": (Holds(lambda w, x: x @ w, dense().to_sparse_csr()), (4, 64), 4 * 1024, CSR),
    "CSC left": (Holds(lambda w, x: w @ x, dense().to_sparse_csc()), (128, 4), 4 * 1024, CSC),
    "COO left": (Holds(lambda w, x: torch.sparse.mm(w, x), dense().to_sparse_coo()), (128, 4), 4 * 1024, COO),
    "COO by a vector": (Holds(lambda w, x: w @ x, dense().to_sparse_coo()), (128,), 1024, COO),
    "COO added": (
        Holds(lambda w, x: torch.sparse.addmm(torch.zeros(64, 4), w, x), dense().to_sparse_coo()),
        (128, 4),
        4 * 1024,
        COO,
    ),
    "BSR left": (Holds(lambda w, x: w @ x, blocks().to_sparse_bsr((16, 16))), (64, 8), 3 * 256 * 8, BLOCKS),
    "BSC right": (Holds(lambda w, x: x @ w, blocks().to_sparse_bsc((16, 16))), (8, 64), 3 * 256 * 8, BLOCKS),
    # a row of the first meets 16 entries of each of its 16 columns' rows in the second
    "both": (Holds(lambda w, x: torch.sparse.mm(w, w.mT.to_sparse_coo()).to_dense() + x, dense().to_sparse_coo()),
             (1,), 16 * 64 * 64, COO),
}  # fmt: skip


@pytest.mark.parametrize("case", SPARSE)
def test_only_stored_entries_multiply_and_take_bytes(case):
    model, shape, macs, size = SPARSE[case]
    record = count(model, torch.zeros(shape))
    assert record.macs == macs
    assert record.param_bytes + record.buffer_bytes == size
    assert record.uncounted == ()
    assert record.depth == (0 if case == "both" else 1)


def test_a_graph_layer_of_4000_edges():
    source = torch.arange(1000).repeat(4)
    target = (source + torch.arange(4).repeat_interleave(1000) + 1) % 1000
    edges = torch.sparse_coo_tensor(torch.stack([source, target]), torch.ones(4000), (1000, 1000)).coalesce()
    record = count(Holds(lambda w, x: torch.sparse.mm(w, x), edges), torch.zeros(1000, 4))
    assert (record.macs, record.buffer_bytes) == (4000 * 4, 2 * 4000 * 8 + 4000 * 4)


# -- lists -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(torch, "_foreach_mm"), reason="this torch has no products of lists")
def test_products_of_lists_count():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(torch.zeros(4, 5)), nn.Parameter(torch.zeros(4, 6))

        def forward(self, x):
            return torch.cat(torch._foreach_mm([x, x], [self.a, self.b]), 1)

    record = count(Two(), torch.zeros(2, 4))
    assert (record.macs, record.conv_activations, record.depth) == (2 * 4 * 5 + 2 * 4 * 6, 22, 1)
    assert count(Holds(lambda w, x: torch._foreach_add([x], [w])[0], torch.zeros(4)), torch.zeros(4)).uncounted == ()


# -- subclasses --------------------------------------------------------------------------------------------------


class Wrapper(torch.Tensor):
    """int8 codes and fp32 scales that say they are an fp32 matrix."""

    @staticmethod
    def __new__(cls, *parts):
        return torch.Tensor._make_wrapper_subclass(cls, (64, 128), dtype=torch.float32)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            return cls(*args[0].parts())
        return func(*tree_map_only(Wrapper, lambda w: w.dense(), args), **(kwargs or {}))

    def dense(self):
        return torch.zeros(64, 128)

    def parts(self):
        return ()


class Attributes(Wrapper):
    def __init__(self, codes, scales):
        self.codes, self.scales = codes, scales

    def parts(self):
        return self.codes, self.scales


class Flattened(Attributes):
    def __tensor_flatten__(self):
        return ["codes", "scales"], None

    @staticmethod
    def __tensor_unflatten__(inner, meta, size, stride):
        return Flattened(inner["codes"], inner["scales"])


class Listed(Wrapper):
    def __init__(self, *parts):
        self.inner = {"all": list(parts)}

    def parts(self):
        return self.inner["all"]


@pytest.mark.parametrize("kind", [Attributes, Flattened, Listed])
def test_a_subclass_takes_the_bytes_of_what_it_holds(kind):
    w = kind(torch.zeros(64, 128, dtype=torch.int8), torch.ones(64, 1))
    model = Holds(lambda w, x: F.linear(x, w), w, parameter=True)
    record = count(model, torch.zeros(2, 128))
    assert (record.param_bytes, record.macs) == (64 * 128 + 64 * 4, 2 * 64 * 128)
    with pytest.raises(CountError, match=f"peak isn't known: .*{kind.__name__}"):
        module_peaks(model, [torch.zeros(2, 128)])


def test_a_subclass_that_holds_nothing_it_tells_of_is_named():
    record = count(Holds(lambda w, x: F.linear(x, w), Wrapper(), parameter=True), torch.zeros(2, 128))
    assert record.param_bytes is None
    assert any("can't be said: Wrapper" in note for note in record.notes)
