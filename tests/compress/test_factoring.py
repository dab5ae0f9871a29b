"""Low rank: errors on images are what the spectra say, ranks below break-even alone, the budget held."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from compressions import Mixed, mixed, network, same, state
from torch import nn

import analyzer as an
from analyzer.building.low_rank import factors_of
from analyzer.compressing.factoring import factor, factored, moments_of, spectrum, tucker2
from analyzer.compressing.original import original_of
from analyzer.compressing.sizes import Counter
from analyzer.errors import UsageError
from analyzer.limits import at_most

DENSE = an.Variant(block="dense", block_config=(2, 2), growth=8, init=12, image=16, stem="small")
LEARN = {"batch": 8, "quiet": True}


def images(size: int = 16, count: int = 3) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(4)
    return [torch.randn(4, 3, size, size, generator=draw, dtype=torch.float64) for _ in range(count)]


def outputs_of(model: nn.Module, path: str) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    hook = model.get_submodule(path).register_forward_hook(lambda module, inputs, gave: found.append(gave.detach()))
    with torch.no_grad():
        for batch in images():
            model(batch)
    hook.remove()
    return found


def lost(model: nn.Module, path: str, layers: nn.Module) -> float:
    """The share of a layer's outputs' energy, its bias aside, that other layers in its place lose on the images."""
    inputs: list[torch.Tensor] = []
    layer = model.get_submodule(path)
    hook = layer.register_forward_pre_hook(lambda module, given: inputs.append(given[0].detach()))
    with torch.no_grad():
        for batch in images():
            model(batch)
        hook.remove()
        bias = 0 if layer.bias is None else layer.bias.view(1, -1, 1, 1) if isinstance(layer, nn.Conv2d) else layer.bias
        far = sum(float((layer(x) - layers(x)).square().sum()) for x in inputs)
        return far / sum(float((layer(x) - bias).square().sum()) for x in inputs)


@pytest.mark.parametrize("path", ["left", "back", "hidden"])
def test_a_pairs_error_on_the_images_is_what_its_spectrum_says(path: str) -> None:
    model = mixed()
    moments = moments_of(model, images())[path]
    layer = model.get_submodule(path)
    seen = spectrum(path, layer, moments)
    assert seen.ranks[-1] == ()
    assert seen.params[-1] == layer.weight.numel()
    assert (seen.params[:-1] < layer.weight.numel()).all()
    for place in (0, len(seen.ranks) - 2):
        pair = factored(layer, seen.ranks[place], moments, path)
        assert sum(each.weight.numel() for each in pair) == seen.params[place]
        assert lost(model, path, pair) == pytest.approx(seen.errors[place], abs=1e-9)


def test_no_pair_of_a_rank_is_nearer_on_the_images_than_ours() -> None:
    """The plain singular value decomposition of the weights, which does not know what the inputs are, loses more."""
    model = mixed()
    layer = model.back
    moments = moments_of(model, images())["back"]
    plain = copy.deepcopy(factored(layer, (5,), moments, "back"))
    u, s, v = torch.linalg.svd(layer.weight.detach()[:, :, 0, 0], full_matrices=False)
    plain[1].weight.data.copy_((u[:, :5] * s[:5])[:, :, None, None])
    plain[0].weight.data.copy_(v[:5][:, :, None, None])
    assert lost(model, "back", factored(layer, (5,), moments, "back")) < lost(model, "back", plain)


def test_three_layers_of_a_kernel() -> None:
    model = mixed()
    layer = model.right
    moments = moments_of(model, images())["right"]
    into, core, out = tucker2(layer.weight.detach(), layer.in_channels, layer.out_channels)
    torch.testing.assert_close(torch.einsum("abhw,oa,ib->oihw", core, out, into), layer.weight.detach())
    small = factored(layer, (6, 5), moments, "right")
    assert [tuple(each.weight.shape) for each in small] == [(6, 16, 1, 1), (5, 6, 3, 3), (12, 5, 1, 1)]
    assert 0 < lost(model, "right", small) < 1


@pytest.mark.parametrize(
    ("path", "ranks"), [("left", (6,)), ("right", (16, 12)), ("right", (5,)), ("grouped.3", (2, 2))]
)
def test_ranks_that_save_nothing_are_refused(path: str, ranks: tuple[int, ...]) -> None:
    """Also from a checkpoint's map, before any memory is taken for them. Break-even of 8x16 is 128 / 24."""
    with pytest.raises(UsageError, match=f"its map makes {path}"):
        factors_of(mixed().get_submodule(path), ranks, path)
    assert len(factors_of(mixed().left, (5,), "left")) == 2


def test_orthogonal_iteration_finds_a_kernel_that_is_of_low_rank_and_beats_plain_directions_where_it_is_not() -> None:
    draw = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    def again(kernel: torch.Tensor, inputs: int, outputs: int) -> torch.Tensor:
        into, core, out = tucker2(kernel, inputs, outputs)
        return torch.einsum("abhw,oa,ib->oihw", core, out, into)

    low = torch.einsum("abhw,oa,ib->oihw", random(3, 4, 3, 3), random(10, 3), random(8, 4))
    torch.testing.assert_close(again(low, 4, 3), low)
    full = random(10, 8, 3, 3)
    out, into = (
        np.linalg.svd(np.moveaxis(full.numpy(), side, 0).reshape(full.shape[side], -1))[0][:, :count]
        for side, count in ((0, 3), (1, 4))
    )
    plain = np.einsum("oihw,oa,ib,pa,jb->pjhw", full.numpy(), out, into, out, into)
    assert (
        float((again(full, 4, 3) - full).square().sum()) <= float(((torch.from_numpy(plain) - full) ** 2).sum()) + 1e-9
    )


def test_the_budget_is_held_and_what_is_left_of_it_is_little() -> None:
    """A rank of the narrowest layer costs tens of parameters here."""
    model = network(DENSE)
    counter = Counter([torch.zeros(1, 3, 16, 16, device="meta", dtype=torch.float64)])
    whole = sum(parameter.numel() for parameter in model.parameters())
    before = state(model)
    bound = int(0.7 * whole)
    made = factor(model, images(), (at_most({"params": bound}), counter))
    assert same(state(model), before)
    params = sum(parameter.numel() for parameter in made.model.parameters())
    assert bound - 150 <= params <= bound
    for path, ranks in made.ranks.modules.items():
        layer, parts = model.get_submodule(path), made.model.get_submodule(path)
        assert sum(part.weight.numel() for part in parts) < layer.weight.numel()
        assert len(parts) == len(ranks) + 1
    tight = factor(model, images(), (at_most({"params": int(0.5 * whole)}), counter))
    assert sum(tight.errors.values()) > sum(made.errors.values())
    with pytest.raises(UsageError, match=r"out of reach: at rank 1 everywhere it has params [\d,]+ where 10"):
        factor(model, images(), (at_most({"params": 10}), counter))


def test_macs_can_be_the_budget_and_a_network_outside_the_family_too() -> None:
    model = mixed()
    counter = Counter([torch.zeros(1, 3, 16, 16, device="meta", dtype=torch.float64)])
    (whole,) = counter.values(model, at_most({"macs": 1}))
    made = factor(model, images(), (at_most({"macs": int(0.8 * whole)}), counter))
    assert counter.record(made.model).macs <= int(0.8 * whole)
    assert made.model(images()[0]).shape == (4, 3)


def test_what_is_pruned_and_factored_comes_back_to_the_bit(data: Path, tmp_path: Path) -> None:
    made = an.compress(
        DENSE, an.Budget(max_params="8k"), "prune l2 global 1/2, svd, recalibrate, prune l1 local", data=data, **LEARN
    )
    assert made.record.after["params"] <= 8000
    assert [type(step).__name__ for step in made.map.steps][:2] == ["ChannelMap", "RankMap"]
    path = made.save(tmp_path / "small.safetensors")
    assert same(state(original_of(str(path)).model), state(made.model))


def test_a_dense_network_is_the_familys_lowrank_variant(data: Path, tmp_path: Path) -> None:
    """By name, by the counting core's own parameters, and loadable as such."""
    made = an.compress(DENSE, None, "svd lowrank", data=data, **LEARN)
    assert made.variant.block == "lowrank"
    assert made.record.after["params"] == an.analyze(made.variant).params < an.analyze(DENSE).params
    path = made.save(tmp_path / "lowrank.safetensors")
    assert original_of(str(path)).variant == made.variant
    with pytest.raises(UsageError, match="variants of the block dense"):
        an.compress(Mixed(classes=2), None, "svd lowrank", data=data, inputs=(1, 3, 16, 16), **LEARN)
