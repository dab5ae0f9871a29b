"""Each rule for a result on meta against torch's own kernel, on random shapes, layouts, dtypes and wrong arguments."""

import math
from collections import Counter

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from analyzer.tracing.shape_rules import RULES

FLOATS = [torch.float32, torch.float64, torch.bfloat16]
DTYPES = [*FLOATS, torch.int64, torch.bool]
sizes = st.integers(1, 4)
numbers = st.sampled_from([2, -1, 0.5, True])


@st.composite
def tensors(draw, shape=None, dtypes=DTYPES, ranks=(0, 5)):
    """A tensor on meta: in order, channels last, permuted, sliced or expanded."""
    if shape is None:
        shape = draw(st.lists(sizes, min_size=ranks[0], max_size=ranks[1]))
    dtype, layout = draw(st.sampled_from(dtypes)), draw(st.sampled_from(["coco", "permuted", "sliced", "expanded"]))
    made = torch.empty(shape, dtype=dtype, device="meta")
    if layout == "permuted" and shape:
        order = draw(st.permutations(range(len(shape))))
        back = sorted(range(len(order)), key=order.__getitem__)
        return torch.empty([shape[axis] for axis in order], dtype=dtype, device="meta").permute(back)
    if layout == "sliced" and shape:
        return torch.empty([*shape[:-1], shape[-1] + 1], dtype=dtype, device="meta")[..., :-1]
    if layout == "expanded" and shape:
        return torch.empty([1, *shape[1:]], dtype=dtype, device="meta").expand(shape)
    if layout == "coco" and len(shape) == 4:
        return made.contiguous(memory_format=torch.channels_last)
    return made


@st.composite
def pairs(draw, dtypes=DTYPES):
    """Two tensors, mostly of shapes that go together."""
    first = draw(tensors(dtypes=dtypes))
    shape = [draw(st.sampled_from([size, size, 1, 3])) for size in first.shape][draw(st.integers(0, 2)) :]
    return first, draw(tensors(shape, dtypes))


@st.composite
def convolutions(draw):
    sides, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2]))
    channels = groups * draw(sizes)
    x = draw(tensors([draw(sizes), channels, *[draw(st.integers(3, 6)) for _ in range(sides)]], FLOATS[:2]))
    outputs = groups * draw(sizes)
    weight = draw(tensors([outputs, channels // groups, *[draw(st.integers(1, 3)) for _ in range(sides)]], FLOATS[:2]))
    bias = draw(st.one_of(st.none(), tensors([outputs], FLOATS[:2])))
    each = [draw(st.lists(st.integers(low, 2), min_size=sides, max_size=sides)) for low in (1, 0, 1)]
    return (x, weight, bias, *each, False, [0] * sides, groups)


@st.composite
def products(draw, batch=False):
    shapes = [[draw(sizes) for _ in range(2)] for _ in range(2)]
    if draw(st.integers(0, 4)):
        shapes[1][0] = shapes[0][1]
    heads = [draw(sizes)] if batch else []
    return tuple(draw(tensors([*heads, *shape], FLOATS[:2])) for shape in shapes)


@st.composite
def added(draw):
    a, b = draw(products())
    return draw(tensors([b.shape[1]] if draw(st.booleans()) else [a.shape[0], 1], FLOATS[:2])), a, b


@st.composite
def pools(draw):
    x = draw(tensors([draw(sizes), draw(sizes), draw(st.integers(2, 8)), draw(st.integers(2, 8))]))
    window = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    step = draw(st.sampled_from([[], [1, 1], [2, 2], [2]]))
    return x, window, step, draw(st.sampled_from([[0, 0], [1, 1], [1]])), [1, 1], draw(st.booleans())


@st.composite
def joined(draw):
    first = draw(tensors(ranks=(1, 4)))
    dim = draw(st.integers(-first.dim() - 1, first.dim()))
    shape = list(first.shape)
    if draw(st.booleans()) and -first.dim() <= dim < first.dim():
        shape[dim] = draw(sizes)
    return [first, draw(tensors(shape, [first.dtype]))], dim


@st.composite
def reductions(draw):
    x = draw(tensors(dtypes=FLOATS))
    dims = draw(st.lists(st.integers(-3, 3), min_size=1, max_size=2, unique=True))
    return x, dims, draw(st.booleans())


@st.composite
def normed(draw):
    x = draw(tensors(ranks=(1, 4), dtypes=FLOATS))
    shape = list(x.shape[-draw(st.integers(1, x.dim())) :])
    weight = draw(st.one_of(st.none(), tensors(shape, [x.dtype])))
    return x, shape, weight, weight, 1e-5


@st.composite
def batch_normed(draw):
    x = draw(tensors(ranks=(2, 4), dtypes=FLOATS[:2]))
    of_a_channel = [torch.empty(x.shape[1], dtype=x.dtype, device="meta") for _ in range(4)]
    return (x, *of_a_channel, draw(st.booleans()), 0.1, 1e-5)


@st.composite
def grouped(draw):
    """Rows shared out among the groups of a batch of matrices; sizes in whole 16 bytes, as the kernel wants them."""
    inner, columns, groups, dtype = 8 * draw(sizes), 8 * draw(sizes), draw(sizes), draw(st.sampled_from(FLOATS[::2]))
    rows = torch.empty(8 * draw(sizes), inner, dtype=dtype, device="meta")
    matrices = torch.empty(groups, inner, columns, dtype=dtype, device="meta")
    return rows, matrices, torch.empty(groups, dtype=torch.int32, device="meta")


one = st.tuples(tensors())
in_a_window = st.tuples(tensors(), numbers, numbers)
ARGUMENTS = {
    "add sub mul div gt lt ge le eq ne rsub": st.one_of(pairs(), st.tuples(tensors(), numbers)),
    "add_ sub_ mul_ div_ copy_": st.one_of(pairs(), st.tuples(tensors(), numbers)),
    "pow": st.tuples(tensors(), numbers),
    "leaky_relu clamp_min clamp_max leaky_relu_ clamp_min_ bernoulli_ fill_": st.tuples(tensors(), numbers),
    "hardtanh clamp hardtanh_ clamp_ normal_ uniform_": in_a_window,
    "masked_fill": pairs().map(lambda given: (given[0], given[1].to(torch.bool), 1.0)),
    "cat": joined(), "mm": products(), "bmm": products(batch=True), "addmm": added(), "convolution": convolutions(),
    "embedding": st.tuples(tensors(ranks=(2, 2)), tensors(dtypes=[torch.int64, torch.int32, torch.float32])),
    "max_pool2d_with_indices": pools(),
    "_adaptive_avg_pool2d": st.tuples(tensors(ranks=(3, 4)), st.sampled_from([[1, 1], [2, 3]])),
    "mean sum": reductions(), "_safe_softmax": st.tuples(tensors(dtypes=FLOATS), st.integers(-3, 3)),
    "_softmax _log_softmax": st.tuples(tensors(dtypes=FLOATS), st.integers(-3, 3), st.just(False)),
    "native_layer_norm": normed(), "native_batch_norm": batch_normed(), "_grouped_mm": grouped(),
    "full_like": st.tuples(tensors(), numbers),
}  # fmt: skip
BY_NAME = {name: strategy for names, strategy in ARGUMENTS.items() for name in names.split()}


def described(out):
    """Shapes, dtypes, and the strides of dimensions that have any: of one element none is ever taken."""
    parts = [out] if isinstance(out, torch.Tensor) else out
    strides = [[step for size, step in zip(part.shape, part.stride(), strict=True) if size > 1] for part in parts]
    return [(part.shape, part.dtype) for part in parts], strides


def torchs(operator, args):
    """What torch's kernel makes: meta's, but for two of whose results it makes another or none (for some dtypes)."""
    if operator in (torch.ops.aten.native_batch_norm.default, torch.ops.aten._grouped_mm.default):
        args = [torch.zeros_like(one, device="cpu") if isinstance(one, torch.Tensor) else one for one in args]
    return operator(*args)


@pytest.mark.parametrize("operator", list(RULES), ids=str)
def test_a_rule_says_what_torchs_kernel_makes_or_nothing(operator):
    answered = Counter()

    @settings(max_examples=60)
    @given(BY_NAME.get(operator._schema.name.removeprefix("aten::"), one))
    def compared(args):
        wants = {"Tensor": True, "Scalar": False}.get(operator._overloadname)
        if wants is not None and len(args) == 2 and isinstance(args[1], torch.Tensor) is not wants:
            return
        told = RULES[operator](*args)
        answered[told is not None] += 1
        try:
            made = torchs(operator, args)
        except (RuntimeError, IndexError, NotImplementedError, ValueError, TypeError, AssertionError):
            assert told is None
            return
        if told is not None:
            assert described(told) == described(made)
            assert not operator._schema.is_mutable or told is args[0]

    compared()
    assert answered[True]


def test_a_result_is_laid_out_as_torchs_iterator_does():
    """By hand: two permuted operands and a broadcast one; the outermost dimension is the one of the largest stride."""
    a = torch.empty(4, 3, 2, device="meta").permute(2, 1, 0)
    told = RULES[torch.ops.aten.add.Tensor](a, torch.empty(3, 1, device="meta"))
    assert (told.shape, told.stride()) == ((2, 3, 4), (1, 2, 6))
    assert math.prod(told.shape) == 24
