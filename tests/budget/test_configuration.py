"""The configuration is data: every wrong key and value is named with its place, and nothing in it is run."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.budget.check import check
from analyzer.budget.configuration import MOST_BYTES, find, line_of, parse
from analyzer.budget.limits import limits
from analyzer.budget.schema import schema_text
from analyzer.errors import AnalyzerError, UsageError

ROOT = Path(__file__).parents[2]
HEAD = '[models.m]\ntarget = "net.py:build"\ninput = [1, 3, 8, 8]\n'


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(text, "analyzer.toml")
    return str(caught.value)


def test_the_shipped_schema_is_current_and_accepts_the_example() -> None:
    shipped = (ROOT / "analyzer" / "budget" / "schema.json").read_text()
    assert shipped == schema_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(shipped))
    example = tomllib.loads((ROOT / "examples" / "budget" / "pyproject.toml").read_text())
    jsonschema.validate(example["tool"]["analyzer"], json.loads(shipped))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"model": {}}, json.loads(shipped))


def test_numbers_are_exact_and_of_their_own_unit() -> None:
    text = HEAD + (
        'budgets.params = { max = "2M", min = 1_000, growth = "2.5%", growth-min = "1k" }\n'
        'budgets.macs = { max = "2.83 GMACs" }\nbudgets.saved_bytes = { max = "32 MiB" }\n'
        'budgets.flops = { max-ratio = 1.1, of = "densenet121" }\n'
        'groups."features.**".params = { max = "1.5k" }\n'
    )
    configuration = parse(text, "analyzer.toml")
    assert configuration is not None
    params, macs, saved, flops, group = limits(configuration.models["m"])
    assert (params.max, params.min, params.growth_min) == (2_000_000, 1000, 1000)
    assert params.most_grown(288_746) == 288_746 + 7218  # floor of 7,218.65
    assert params.most_grown(100) == 1100
    assert (macs.max, saved.max, group.max) == (2_830_000_000, 32 * 2**20, 1500)
    assert flops.max_ratio is not None
    assert int(10 * flops.max_ratio) == 11  # 1.1 as written, not the float below it
    assert (group.group, group.figure) == ("features.**", "params")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model.m]\n", "unknown key 'model'; did you mean 'models'?"),
        (HEAD + "budget.params = { max = 1 }\n", "unknown key 'budget'; did you mean 'budgets'?"),
        (HEAD + "budgets.parms = { max = 1 }\n", "unknown figure 'parms'; did you mean 'params'?"),
        (HEAD + "budgets.params = { maximum = 1 }\n", "unknown key 'maximum'"),
        (HEAD + "budgets.params = 8\n", "is not a table"),
        (HEAD + "budgets.params = {}\n", "holds nothing"),
        (
            HEAD + "budgets.params = { max = 1.5 }\n",
            "models.m.budgets.params.max: expected `int | str | null`, got `float`",
        ),
        (HEAD + "budgets.params = { max = -1 }\n", "out of range"),
        (HEAD + 'budgets.params = { max = "8 MB" }\n', "is in B, and params is not"),
        (HEAD + 'budgets.macs = { max = "5 GFLOPs" }\n', "is in FLOPs, and macs is not"),
        (HEAD + "budgets.params = { growth = 5 }\n", 'write a share of the baseline, "5%"'),
        (HEAD + 'budgets.params = { growth = "5" }\n', 'write a share of the baseline, "5%"'),
        (HEAD + 'budgets.params = { growth = "-5%" }\n', "is no growth"),
        (HEAD + 'budgets.params = { growth-min = "1k", max = 1 }\n', "growth-min needs growth"),
        (HEAD + "budgets.params = { max-ratio = 1.0 }\n", "max-ratio and of go together"),
        (HEAD + "budgets.params = { max-ratio = nan, of = 'article' }\n", "is no ratio"),
        (HEAD + "budgets.params = { max = 1, min = 2 }\n", "min 2 is above max 1"),
        (HEAD + "budgets.params = { max = 1, level = 'fatal' }\n", "level"),
        (HEAD + 'groups."a.**".depth = { max = 1 }\n', "layers have no depth"),
        (HEAD + "kwargs = { when = 2020-01-01 }\n", "a date is no argument"),
        (HEAD + "batch = 2\n", "batch means nothing to a model of your own"),
        ("[models.m]\ntarget = 'article'\ninput = [1]\n", "input means nothing to the family"),
        ("[models.m]\n", "names no model"),
        ('[models.m]\ntarget = "net.py:build"\ninput = [1, "x"]\n', "mixes sizes and inputs"),
        ('[models.m]\ntarget = "net.py:build"\ninput = "1,3,8,8:float99"\n', "unknown dtype"),
        (HEAD + "[[models.m.waivers]]\nfigure = 'params'\n", "missing required field `reason`"),
        (
            HEAD + "[[models.m.waivers]]\nfigure = 'parms'\nreason = 'r'\nby = 'b'\nexpires = 2030-01-01\n",
            "did you mean 'params'?",
        ),
        (
            HEAD + "[[models.m.waivers]]\nfigure = 'params'\nreason = ' '\nby = 'b'\nexpires = 2030-01-01\n",
            "says why and by whom",
        ),
        ("models = 3", "expected `object`, got `int`"),
        ("[models.m", "is not TOML"),
        ("a = " + "[" * 5000, "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    assert said in refused(text)


@pytest.mark.parametrize("value", ["8", '"2M"', "1.5"])
def test_a_limit_without_its_side_is_told_how_to_write_it(value: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(HEAD + f"budgets.params = {value}\n", "analyzer.toml")
    written = error.value.fix.partition(": ")[2]
    assert written == f"{{ max = {value} }}"
    if value != "1.5":  # a share of a parameter is another mistake
        assert parse(HEAD + f"budgets.params = {written}\n", "analyzer.toml") is not None


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["models", "m", "target", "budgets", "params", "max", "growth", "groups", "waivers",
                             "input", "kwargs", "variant"]),
            inner, max_size=4,
        ),
    ),
    max_leaves=20,
))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_data_is_a_configuration_or_a_usage_error(data: object) -> None:
    from analyzer.budget.configuration import from_data

    try:
        from_data(data, "analyzer.toml")
    except AnalyzerError as error:
        assert error.exit_code == 2
        assert error.what


def test_places(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('# one\n[tool.analyzer.models."m x"]\ntarget = "article"\n')
    found = find(folder)
    assert (found.root, found.file, line_of(found, "m x")) == (tmp_path.resolve(), "pyproject.toml", 2)
    with pytest.raises(UsageError, match="has no configuration"):
        find(folder, tmp_path / "none.toml")
    (tmp_path / "analyzer.toml").write_text("[models.a]\ntarget = 'article'\n" + "#" * MOST_BYTES)
    with pytest.raises(UsageError, match="more than"):
        find(folder)


def test_a_list_in_a_list_of_inputs_is_a_tuple(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Steps(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.rnn = nn.LSTM(8, 12)\n"
        "    def forward(self, x, state):\n        h, c = state\n        return self.rnn(x, (h, c))[0]\n"
    )
    (tmp_path / "analyzer.toml").write_text(
        '[models.steps]\ntarget = "net.py:Steps"\ninput = ["5,2,8", ["1,2,12", "1,2,12"]]\n'
        'budgets.macs = { max = "9.6k" }\n'
    )
    verdict = check(tmp_path)
    # Four gates of 8 and 12 inputs and two biases; 5 steps of 2 samples.
    figures = {line.figure: line.value for line in verdict.models[0].figures}
    assert (figures["params"], figures["macs"]) == (4 * 12 * (8 + 12 + 2), 5 * 2 * 4 * 12 * (8 + 12))
    assert verdict.exit_code == 0
