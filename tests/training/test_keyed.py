"""Randomness as a function of what it is for."""

from __future__ import annotations

import random

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.training import keyed


def test_splitmix64_is_the_published_one() -> None:
    """The first outputs for the state 1234567 (Vigna's splitmix64.c, as Rosetta Code lists them)."""
    state, found = np.uint64(1234567), []
    with np.errstate(over="ignore"):
        for _ in range(3):
            found.append(int(keyed._mixed(np.asarray(state))))
            state = state + np.uint64(0x9E3779B97F4A7C15)
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.integers(0, 2**62), st.integers(0, 1000), st.integers(1, 300))
@settings(max_examples=40)
def test_an_order_is_a_permutation_and_the_same_whatever_came_before(seed: int, epoch: int, images: int) -> None:
    order = keyed.order(seed, epoch, images)
    assert sorted(order) == list(range(images))
    np.random.seed(1)
    assert (keyed.order(seed, epoch, images) == order).all()


def test_seeds_and_epochs_give_unlike_orders() -> None:
    orders = {tuple(keyed.order(seed, epoch, 20)) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400


def test_an_images_augmentation_is_its_keys_whoever_is_beside_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3)).astype(np.uint8)
    drawn = keyed.keys(keyed.AUGMENT, 3, 1, np.arange(10))
    together = keyed.augmented(pixels, drawn, ("flip", "crop"))
    alone = [keyed.augmented(pixels[i : i + 1], drawn[i : i + 1], ("flip", "crop"))[0] for i in range(10)]
    assert (together == np.stack(alone)).all()
    assert (together != pixels).any(axis=(1, 2, 3)).sum() >= 8


def test_a_crop_is_a_window_of_the_image_with_its_edge_reflected() -> None:
    pixels = np.arange(16 * 16 * 3).reshape(1, 16, 16, 3).astype(np.uint8)
    padded = np.pad(pixels[0], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    windows = {padded[y : y + 16, x : x + 16].tobytes() for y in range(5) for x in range(5)}
    seen = {keyed.augmented(pixels, keyed.keys(keyed.AUGMENT, seed)[None], ("crop",)).tobytes() for seed in range(300)}
    assert seen == windows


def test_half_the_images_are_mirrored() -> None:
    pixels = np.zeros((2000, 2, 2, 1), np.uint8)
    pixels[:, :, 0] = 1
    flipped = keyed.augmented(pixels, keyed.keys(keyed.AUGMENT, 0, 0, np.arange(2000)), ("flip",))
    assert 900 < (flipped[:, 0, 1, 0] == 1).sum() < 1100


def test_generators_are_given_back_as_they_were() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    with keyed.seeded(keyed.STEP, 5):
        first = torch.rand(1), random.random(), np.random.rand()
        keyed.reseed(keyed.STEP, 5)
        assert (torch.rand(1), random.random(), np.random.rand()) == first
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
