"""Inputs and results of any shape, on the command line and from Python; errors that say what to do."""

import json

import pytest
import torch
from torch import nn
from torch.distributions import Categorical

import analyzer as an
from analyzer.budget.counting import input_text
from analyzer.errors import AnalyzerError, TargetError, UsageError
from analyzer.targets.analysis import analyze_target
from analyzer.targets.inputs import parse_input, tensors
from analyzer.targets.loading import load
from analyzer.targets.resolving import resolve
from analyzer.tracing.trace import count_module

pytestmark = pytest.mark.filterwarnings("ignore")


class Call(nn.Module):
    """A model that is one function of two layers of 4 to 4, and inputs."""

    def __init__(self, function):
        super().__init__()
        self.function, self.a, self.b = function, nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


# -- on the command line -----------------------------------------------------------------------------------------


def shapes(value):
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), str(value.dtype)[6:]
    if isinstance(value, dict):
        return {key: shapes(part) for key, part in value.items()}
    return type(value)(map(shapes, value)) if isinstance(value, (list, tuple)) else value


FORMS = {
    "(1,3;1,4:int64)": (((1, 3), "float32"), ((1, 4), "int64")),
    "((1,3;scalar);2)": ((((1, 3), "float32"), ((), "float32")), ((2,), "float32")),
    "(1,3;)": (((1, 3), "float32"),),
    '{"ids": "1,7:int64", "deep": [{"x": "2"}, 3, true, null]}': {
        "ids": ((1, 7), "int64"), "deep": [{"x": ((2,), "float32")}, 3, True, None],
    },
    '["1,3", "(2;3)"]': [((1, 3), "float32"), (((2,), "float32"), ((3,), "float32"))],
    '({"x": "1"};[4])': ({"x": ((1,), "float32")}, [4]),
}  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("name", ["", "batch="])
def test_structures_on_the_command_line(text, name):
    given = parse_input(name + text)
    args, kwargs = tensors([given])
    assert (shapes(kwargs["batch"]) if name else shapes(args[0])) == FORMS[text]
    assert parse_input(input_text(given)) == given


@pytest.mark.parametrize("text", ["(1,3", "(a=1,3)", '{"x": "1,y"}', "{x: 1}", "packed(;8)", "packed(0;8)", "[1,"])
def test_what_is_no_structure(text):
    with pytest.raises(UsageError):
        parse_input(text)


def test_a_packed_sequence():
    packed = tensors([parse_input("packed(2,5,3;8)")], "cpu")[0][0]
    expected = nn.utils.rnn.pack_sequence([torch.zeros(n, 8) for n in (2, 5, 3)], enforce_sorted=False)
    for ours, torchs in zip(packed, expected, strict=True):
        assert torch.equal(ours, torchs)
    assert count_module(nn.GRU(8, 4), tensors([parse_input("packed(2,5,3;8)")])[0], name="gru").macs == 10 * 12 * 12


MODULE = """
from torch import nn
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.a = nn.Linear(4, width)
    def forward(self, pair, batch):
        return self.a(pair[0] + pair[1]) + self.a(batch["x"])
"""


def test_structures_reach_the_model_and_its_record(tmp_path):
    (tmp_path / "net.py").write_text(MODULE)
    record = analyze_target(resolve(f"{tmp_path}/net.py:Net", inputs=["(2,4;2,4)", 'batch={"x": "2,4"}']))
    assert record.macs == 2 * 2 * 16
    assert [(one.shape, one.name) for one in record.inputs] == [((2, 4), None), ((2, 4), None), ((2, 4), "batch")]
    assert json.loads(record.to_json())["input"] == [2, 4]


# -- from Python -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [(), [], None])
def test_keyword_only_forwards(inputs):
    model = Call(lambda m, *, x: m.a(x))
    assert an.analyze(model, inputs=inputs, kwargs={"x": torch.rand(2, 4)}).macs == 32
    assert an.analyze(model, inputs=inputs, kwargs={"x": an.Shape(2, 4)}).macs == 32


def test_forwards_without_inputs():
    assert an.analyze(Call(lambda m: m.a(torch.randn(2, 4))), inputs=()).macs == 32
    with pytest.raises(UsageError):
        an.analyze(Call(lambda m: None))


def test_lists_and_texts_in_kwargs_are_values():
    def forward(model, x, steps=(1,), mode="twice"):
        for _ in steps:
            x = model.a(x) if mode == "" else model.b(model.a(x))
        return x

    model, x = Call(forward), torch.rand(2, 4)
    assert an.analyze(model, inputs=[x], kwargs={"steps": [7, 7, 7]}).macs == 3 * 2 * 32
    assert an.analyze(model, inputs=[x], kwargs={"steps": (7, 7)}).macs == 2 * 2 * 32
    assert an.analyze(model, inputs=[x], kwargs={"mode": ""}).macs == 32
    assert an.analyze(model, inputs=an.Shape(2, 4, dtype="float32")).macs == 64


# -- results -----------------------------------------------------------------------------------------------------


class Out:
    def __init__(self, y):
        self.y = y


class Slotted:
    __slots__ = ("y",)

    def __init__(self, y):
        self.y = y


class Mine(dict):
    pass


RESULTS = {
    "object": Out,
    "slots": Slotted,
    "objects in a list": lambda y: [Out({"deep": Out(y)})],
    "own dictionary": lambda y: Mine(y=y),
    "distribution": lambda y: Categorical(logits=y),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_results_in_objects(kind):
    model = Call(lambda m, x: RESULTS[kind](m.b(torch.relu(m.a(x)))))
    record = count_module(model, [torch.zeros(2, 4)], name="model", backward=True)
    assert (record.macs, record.depth) == (64, 2)
    assert record.training_macs == 64 + 2 * 32 + 32
    assert record.layers[-1].output is None or record.layers[-1].output == (2, 4)


# -- errors ------------------------------------------------------------------------------------------------------


def test_errors_say_what_to_do(tmp_path):
    package = tmp_path / "pkg" / "sub"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "net.py").write_text("from . import layers\n")
    (tmp_path / "missing.py").write_text("import cv2_of_mine\n")
    (tmp_path / "net.py").write_text(MODULE)

    def failing(text, **options):
        with pytest.raises(AnalyzerError) as found:
            load(resolve(text, **options))
        assert isinstance(found.value, TargetError)
        return found.value.fix

    assert "pkg.sub.net:Net" in failing(f"{package}/net.py:Net")
    assert failing(f"{tmp_path}/missing.py:Net") == "install it: pip install cv2_of_mine"
    assert failing(f"{tmp_path}/net.py:Net", kwargs=["widht=3"]) == "did you mean 'width'? --kwarg takes width"
