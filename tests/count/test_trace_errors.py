"""What can't be counted, or not fully: operators without a formula, wrong shapes, lazy modules, models out of reach."""

import pytest
import torch
from counted import Call, count, meta
from torch import nn

from analyzer.errors import CountError

pytestmark = pytest.mark.filterwarnings("ignore")


# -- what can't be counted -------------------------------------------------------------------------------------


def test_an_operator_without_a_formula_is_listed_with_module_and_calls():
    model = Call(
        lambda layers, x: layers[0](x),
        nn.Sequential(nn.Linear(4, 4), Call(lambda _, x: x.inverse() + torch.linalg.inv(x))),
    )
    record = count(model, meta(4, 4))
    assert record.macs == 64
    assert [(u.operator, u.module, u.calls) for u in record.uncounted] == [("aten::linalg_inv_ex", "layers.0.1", 2)]
    with pytest.raises(CountError, match=r"layers\.0\.1: .*linalg_inv_ex.*--strict"):
        count(model, meta(4, 4), strict=True)


def test_a_custom_operator_is_uncounted():
    library = torch.library.Library("analyzer_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
    record = count(Call(lambda layers, x: torch.ops.analyzer_test.twice(layers[0](x)), nn.Linear(8, 4)), meta(2, 8))
    assert [(u.operator, u.calls) for u in record.uncounted] == [("analyzer_test::twice", 1)]
    assert record.macs == 64


# -- errors ----------------------------------------------------------------------------------------------------

WRONG = {
    "channels": (
        nn.Sequential(nn.Conv2d(3, 4, 3)), [(1, 4, 8, 8)],
        r"^0: Conv2d got \(1, 4, 8, 8\) and wants \(N, 3, H, W\)",
    ),
    "features": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(10, 2)), [(1, 3, 8, 8)],
        r"^2: Linear got \(1, 144\) and wants \(…, 10\)",
    ),
    "deep": (
        nn.Sequential(nn.Sequential(nn.Identity(), nn.BatchNorm2d(5))), [(2, 4, 3, 3)],
        r"^0\.1: BatchNorm2d got \(2, 4, 3, 3\) and wants \(N, 5, …\)",
    ),
    "sequence": (nn.LSTM(6, 4), [(5, 2, 7)], r"LSTM got \(5, 2, 7\) and wants \(…, 6\)"),
    "too few": (nn.Bilinear(8, 9, 10), [(3, 8)], r"missing 1 required positional argument: 'input2'.*number and names"),
    "dtype": (nn.Embedding(10, 4), [(3, 8)], "Embedding got.*wants integers"),
    "own": (Call(lambda layers, x: x @ x), [(3, 8)], r"Call fails on \(3, 8\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_shape_names_the_module_what_it_got_and_what_it_wants(case):
    model, shapes, message = WRONG[case]
    with pytest.raises(CountError, match=message):
        count(model, *(meta(*shape) for shape in shapes))


def test_lazy_modules_say_what_to_do():
    with pytest.raises(CountError, match=r"has not seen an input yet.*run the model once"):
        count(nn.Sequential(nn.LazyLinear(3)), meta(1, 3))
    with pytest.raises(CountError, match="has not seen an input yet"):
        count(nn.LazyBatchNorm1d(affine=False), meta(2, 3))


def test_a_value_that_zeros_do_not_have_is_an_error_that_names_the_module():
    model = nn.Sequential(nn.Linear(8, 8), Call(lambda _, x: x[x.sum().item() > 10**9 or 1 / 0]))
    with pytest.raises(CountError, match=r"^1: Call fails on .*ZeroDivisionError"):
        count(model, meta(2, 8))


def test_nothing_to_train_has_no_backward_pass():
    with pytest.raises(CountError, match="no output needs a gradient"):
        count(nn.ReLU(), meta(2, 8), backward=True)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_forward_that_reaches_the_original_is_refused(device):
    layers = {"only": nn.Linear(8, 4, device=device)}
    model = nn.Sequential(layers["only"])
    model.forward = lambda x: layers["only"](x)
    with pytest.raises(CountError, match="reaches the model itself"):
        count(model, meta(2, 8))


def test_a_model_that_can_not_be_copied():
    class Fixed(nn.Module):
        def __deepcopy__(self, memo):
            raise RuntimeError("one of a kind")

    with pytest.raises(CountError, match=r"can't be copied.*one of a kind"):
        count(Fixed(), meta(2, 8))


def test_one_line_says_what_could_not_be_seen():
    assert count(nn.Linear(4, 4), meta(2, 4)).unseen == ""
    record = count(Call(lambda layers, x: layers[0](x) @ x.inverse(), nn.Linear(4, 4)), meta(4, 4))
    assert record.unseen == "what these do: aten::linalg_inv_ex"
    path = count(Call(lambda layers, x: layers[0](x) if x.sum() == 0 else x, nn.Linear(4, 4)), meta(2, 4))
    assert path.unseen.startswith("counted on one path")
