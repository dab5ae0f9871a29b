"""Which images train, validate and test: a partition, groups whole, classes in proportion, the same everywhere."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from listed import listed

from analyzer.errors import UsageError
from analyzer.images.splits import split

PARTS = ("train", "val", "test")
LABELS = st.lists(st.integers(0, 3), min_size=8, max_size=120)
SEEDS = st.integers(0, 2**40)


@st.composite
def drawn_groups(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """Labels, and groups of images of one class each, which share none."""
    sizes = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), min_size=6, max_size=40))
    labels: list[int] = []
    groups = []
    for label, size in sizes:
        groups.append(list(range(len(labels), len(labels) + size)))
        labels += [label] * size
    assume(set(labels) == set(range(max(labels) + 1)) and max(labels) > 0)
    return labels, groups


def members(found: object) -> dict[str, tuple[int, ...]]:
    return {part: getattr(found, part) for part in PARTS}


@given(LABELS, SEEDS, st.data())
def test_a_split_is_a_partition_of_what_is_not_left_out(labels: list[int], seed: int, data: st.DataObject) -> None:
    assume(set(labels) == {0, 1, 2, 3})
    out = data.draw(st.sets(st.sampled_from(range(len(labels))), max_size=4))
    assume({label for i, label in enumerate(labels) if i not in out} == {0, 1, 2, 3})
    found = split(listed(labels), seed=seed, exclude=out)
    every = [*found.train, *found.val, *found.test]
    assert sorted(every) == [index for index in range(len(labels)) if index not in out]
    assert found.origin == "drawn"
    for part in members(found).values():
        assert list(part) == sorted(part)


@given(drawn_groups(), SEEDS, st.sampled_from([(70, 10, 20), (50, 25, 25), (80, 0, 20), (1, 1, 1)]))
def test_groups_stay_whole_and_classes_in_proportion(
    drawn: tuple[list[int], list[list[int]]], seed: int, shares: tuple[int, int, int]
) -> None:
    labels, groups = drawn
    found = members(split(listed(labels), seed=seed, fractions=shares, duplicates=groups))
    for group in groups:
        assert sum(bool(set(group) & set(part)) for part in found.values()) == 1
    for label in set(labels):
        of_class = [len(group) for group in groups if labels[group[0]] == label]
        ideal = {part: share / sum(shares) * sum(of_class) for part, share in zip(PARTS, shares, strict=True)}
        has = {part: sum(labels[index] == label for index in found[part]) for part in PARTS}
        if all(not share or share >= max(of_class) for share in ideal.values()):
            assert all(abs(has[part] - ideal[part]) <= max(of_class) for part in PARTS)
        wanted = [part for part in ("train", "test", "val") if ideal[part]][: len(of_class)]
        assert all(has[part] for part in wanted), (has, of_class)
        assert not has["val"] or ideal["val"]


@given(LABELS, SEEDS)
def test_single_images_are_dealt_to_within_one(labels: list[int], seed: int) -> None:
    assume(set(labels) == {0, 1, 2, 3})
    found = members(split(listed(labels), seed=seed))
    for label, count in Counter(labels).items():
        if count >= 10:
            for part, share in zip(PARTS, (0.7, 0.1, 0.2), strict=True):
                assert abs(sum(labels[index] == label for index in found[part]) - share * count) <= 1


@given(LABELS, SEEDS, st.data())
def test_the_same_seed_gives_the_same_and_chains_of_pairs_are_groups(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    assume(set(labels) == {0, 1, 2, 3})
    chain = data.draw(st.lists(st.sampled_from(range(len(labels))), min_size=2, max_size=5, unique=True))
    pairs = list(pairwise(chain))
    asked = [split(listed(labels), seed=seed, duplicates=given_) for given_ in (pairs, pairs[::-1], [chain])]
    assert asked[0] == asked[1] == asked[2]
    assert sum(bool(set(chain) & set(part)) for part in members(asked[0]).values()) == 1


def test_another_seed_gives_another_split_and_digest() -> None:
    source = listed([0, 1] * 100)
    found = [split(source, seed=seed) for seed in range(5)]
    assert len({each.train for each in found}) == len({each.digest for each in found}) == 5


@settings(max_examples=40)
@given(drawn_groups(), SEEDS, st.integers(2, 6))
def test_folds_test_every_image_once(drawn: tuple[list[int], list[list[int]]], seed: int, folds: int) -> None:
    labels, groups = drawn
    assume(len(groups) >= folds and all(sum(labels[g[0]] == label for g in groups) > 1 for label in set(labels)))
    each = [
        members(split(listed(labels), seed=seed, duplicates=groups, folds=folds, fold=fold)) for fold in range(folds)
    ]
    assert sorted(index for parts in each for index in parts["test"]) == list(range(len(labels)))
    for parts in each:
        assert sorted(index for part in parts.values() for index in part) == list(range(len(labels)))
        assert all(sum(bool(set(group) & set(part)) for part in parts.values()) == 1 for group in groups)
    for label in set(labels):
        of_class = [len(group) for group in groups if labels[group[0]] == label]
        counts = [sum(labels[index] == label for index in parts["test"]) for parts in each]
        assert all(abs(count - sum(of_class) / folds) <= max(of_class) for count in counts)


def test_given_parts_are_used_as_they_are() -> None:
    given_ = ["train", "test", "val", "train", "test", "val"]
    found = split(listed([0, 0, 0, 1, 1, 1], given_), duplicates=[(0, 1)], seed=3)
    assert members(found) == {"train": (0, 3), "val": (2, 5), "test": (1, 4)}
    assert found.origin == "given"


@pytest.mark.parametrize(("has", "missing"), [("test", "val"), ("val", "test")])
def test_what_is_missing_is_drawn_from_train(has: str, missing: str) -> None:
    given_ = ["train"] * 90 + [has] * 10
    found = split(listed([0, 1] * 50, given_))
    assert getattr(found, has) == tuple(range(90, 100))
    share = {"val": 10 / 80, "test": 20 / 90}[missing]
    assert abs(len(getattr(found, missing)) - share * 90) <= 2
    assert sorted([*found.train, *getattr(found, missing)]) == list(range(90))
    assert found.origin == f"given, {missing} drawn"


def test_with_train_alone_given_both_others_are_drawn_from_it() -> None:
    found = split(listed([0, 1] * 50, ["train"] * 100))
    assert [len(part) for part in members(found).values()] == [70, 10, 20]
    assert found.origin == "given, val and test drawn"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"fractions": (0, 1, 1)}, "0/1/1 are no shares"),
        ({"fractions": (1, -1, 1)}, "are no shares"),
        ({"seed": -1}, "-1 is no seed"),
        ({"folds": 1}, "no fold 0 of 1"),
        ({"folds": 5, "fold": 5}, "no fold 5 of 5"),
        ({"folds": 50}, "fewer than 50 folds"),
        ({"exclude": [1, 3, 5]}, "no image of class 'class 1' to train on"),
    ],
)
def test_what_can_not_be_drawn_says_why(asked: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        split(listed([0, 1, 0, 1, 0, 1]), **asked)


def test_folds_are_not_mixed_with_given_parts() -> None:
    with pytest.raises(UsageError, match="split of its own"):
        split(listed([0, 1, 0, 1], ["train", "train", "test", "test"]), folds=2)
