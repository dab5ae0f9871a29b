"""Modules matched across a change: whatever the edit, the changes add up to it, and no module is matched twice."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analyzer.budget.alignment import Alignment
from analyzer.budget.globs import matcher
from analyzer.budget.lock_file import natural, structure_hash
from analyzer.records import LayerRow

NAMES = ("a", "b", "conv", "0", "1", "2", "3")


def row(path: str, params: int, type_: str = "Conv2d") -> LayerRow:
    return LayerRow(
        path=path, type=type_, output=(1, 4), params=params, macs=2 * params, conv_activations=4, saved_bytes=16
    )


def rows() -> st.SearchStrategy[list[LayerRow]]:
    path = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(".".join)
    one = st.builds(row, path, st.integers(0, 3), st.sampled_from(["Conv2d", "Linear"]))
    return st.lists(one, max_size=12, unique_by=lambda r: r.path)


@pytest.mark.slow
@given(rows(), rows())
@settings(max_examples=500, deadline=None)
def test_changes_add_up_and_no_module_is_matched_twice(before: list[LayerRow], after: list[LayerRow]) -> None:
    alignment = Alignment(before, after)
    for figure in ("params", "macs", "flops"):
        factor = {"params": 1, "macs": 2, "flops": 4}[figure]
        grown = factor * (sum(r.params for r in after) - sum(r.params for r in before))
        assert sum(change.delta for change in alignment.changes(figure)) == grown
    matched = [was.path for r in after if (was := alignment.before(r.path)) is not None]
    assert max(Counter(matched).values(), default=1) == 1
    assert len(matched) + len(alignment.gone) == len(before)


@given(rows())
@settings(max_examples=200, deadline=None)
def test_what_did_not_change_is_matched_with_itself(before: list[LayerRow]) -> None:
    alignment = Alignment(before, list(reversed(before)))
    assert alignment.changes("params") == ()
    assert alignment.moved == []
    assert alignment.gone == []


@given(rows(), st.sampled_from(["body", "trunk.inner"]))
@settings(max_examples=200, deadline=None)
def test_what_only_moved_grew_by_nothing(before: list[LayerRow], top: str) -> None:
    after = [row(f"{top}.{r.path}", r.params, r.type) for r in before]
    alignment = Alignment(before, after)
    assert alignment.changes("params") == ()
    assert alignment.gone == []


def grown(before: list[LayerRow], after: list[LayerRow]) -> dict[str, tuple[Any, Any]]:
    changes = Alignment(before, after).changes("params")
    return {change.path: (change.before, change.after) for change in changes}


def test_a_swap_of_two_grown_layers_is_told_as_it_is() -> None:
    before = [row("one", 1), row("two", 2), row("three", 3)]
    assert grown(before, [row("one", 2), row("two", 3), row("three", 3)]) == {"one": (1, 2), "two": (2, 3)}


def test_insertion_into_a_sequence() -> None:
    before = [row(str(i), 10 + i) for i in range(12)]
    after = [row("0", 10), row("1", 99), *(row(str(i + 1), 10 + i) for i in range(1, 12))]
    assert grown(before, after) == {"1": (None, 99)}


def test_a_renamed_container_with_a_grown_layer() -> None:
    before = [row("features.conv1", 5), row("features.conv2", 7), row("head", 2, "Linear")]
    after = [row("backbone.conv1", 5), row("backbone.conv2", 70), row("head", 2, "Linear")]
    alignment = Alignment(before, after)
    assert grown(before, after) == {"backbone.conv2": (7, 70)}
    assert alignment.moved == [("features", "backbone", 2)]


def test_a_container_moved_away_and_another_of_its_form_put_there() -> None:
    before = [row("a.conv1", 5), row("a.conv2", 7)]
    after = [row("b.conv1", 5), row("b.conv2", 7), row("c.conv1", 50), row("c.conv2", 70)]
    assert grown(before, after) == {"c.conv1": (None, 50), "c.conv2": (None, 70)}


def test_globs() -> None:
    for glob, path, matches in [
        ("features.denseblock4.**", "features.denseblock4", True),
        ("features.denseblock4.**", "features.denseblock4.denselayer1.conv1", True),
        ("features.denseblock4.**", "features.denseblock41", False),
        ("features.*", "features.conv0", True),
        ("features.*", "features.a.b", True),  # a name means its subtree
        ("features.*", "features", False),
        ("features", "features.a.b", True),
        ("features", "features4", False),
        ("**.a.**.b", "x.a.b", True),
        ("**.a.**.b", "x.b.a", False),
        ("a*b*c", "abbc", True),
        ("a*b*c", "acb", False),
        ("ab*ba", "aba", False),
        ("a", "", False),
        ("", "a", False),
        ("**.conv?", "a.conv1", False),  # only stars are special
        ("**.conv*", "a.b.conv1", True),
        ("**", "", True),
        ("*.conv", "conv", False),
        ("a+.(b)", "a+.(b)", True),
    ]:
        assert matcher(glob)(path) is matches, (glob, path)


@given(
    st.lists(st.sampled_from(["**", "*", "a", "a*", "*b", "a*b"]), min_size=1, max_size=4), st.text("ab.", max_size=9)
)
def test_globs_mean_what_a_regular_expression_says(parts: list[str], path: str) -> None:
    assume(".." not in path and not path.startswith(".") and not path.endswith("."))
    words = [r"(?:\.[^.]+)*" if part == "**" else r"\." + part.replace("*", "[^.]*") for part in [*parts, "**"]]
    expected = re.fullmatch("".join(words), "." + path if path else "") is not None
    assert matcher(".".join(parts))(path) is expected


def test_globs_that_a_regular_expression_goes_back_in_for_ever() -> None:
    path = ".".join(["a"] * 200)
    assert not matcher("**.a." * 8 + "b")(path)
    assert not matcher("a*" * 40 + "b")("a" * 20_000)


def test_natural_order_and_hashes() -> None:
    assert sorted(["f.10", "f.9", "f", "a.1.b", "f.x"], key=natural) == ["a.1.b", "f", "f.9", "f.10", "f.x"]
    assert structure_hash(row("a", 1)) == structure_hash(row("b.c", 1)) != structure_hash(row("a", 2))
    assert len({structure_hash(row("a", 1, kind)) for kind in ("Conv2d", "Linear")}) == 2
