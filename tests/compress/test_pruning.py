"""Pruning: every cut is one, of the budget's size to within a channel, whatever the network."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import pytest
import torch
import torch_pruning
from compressions import TINY, mixed, network, same, state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import analyzer as an
from analyzer.building.modules import build
from analyzer.building.surgery import cut_channels
from analyzer.channel_maps import ChannelMap
from analyzer.compressing.coupling import coupled
from analyzer.compressing.criteria import scores_of
from analyzer.compressing.oracle import verified
from analyzer.compressing.pruning import Pruned, PruneWish, prune
from analyzer.compressing.sizes import Counter
from analyzer.errors import UsageError
from analyzer.limits import at_most


def pruned(model: nn.Module, image: int, figure: str = "params", share: float = 0.5, **wish: object) -> Pruned:
    """A model cut to a share of a figure."""
    counter = Counter([torch.zeros(1, 3, image, image, device="meta", dtype=next(model.parameters()).dtype)])
    (whole,) = counter.values(model, at_most({figure: 1}))
    return prune(model, [images(image)], PruneWish(**wish), at_most({figure: int(whole * share)}), counter)


def images(size: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)


def silenced(original: nn.Module, cuts: ChannelMap) -> nn.Module:
    """The original, whose layers give zeros where a channel is gone; what reads them is left as it is."""
    model = copy.deepcopy(original)
    for path, cut in cuts.modules.items():
        if cut.outputs is None:
            continue
        module = model.get_submodule(path)
        gone = torch.from_numpy(~cut.outputs.flags())
        for tensor in (module.weight, module.bias):
            if tensor is not None:
                tensor.data[gone] = 0
    return model


def slice_of(tensor: torch.Tensor, cuts: ChannelMap, name: str, groups: int) -> torch.Tensor:
    """A tensor's slice by plain indexing: outputs first; of a grouped convolution the places within its first group."""
    cut = cuts.modules.get(name.rpartition(".")[0])
    if cut is None or tensor.ndim == 0:
        return tensor
    if cut.outputs is not None:
        tensor = tensor[torch.from_numpy(cut.outputs.indices())]
    if cut.inputs is not None and tensor.ndim > 1:
        kept = cut.inputs.indices()
        block = cut.inputs.width // groups
        tensor = tensor[:, torch.from_numpy(kept[kept < block] if groups > 1 and block > 1 else kept % block)]
        if block == 1:
            tensor = tensor[:, :1]
    return tensor


def require_a_cut(original: nn.Module, made: Pruned, size: int) -> None:
    whole, small = state(original), state(made.model)
    assert whole.keys() == small.keys()
    for name, tensor in whole.items():
        module = original.get_submodule(name.rpartition(".")[0])
        assert torch.equal(slice_of(tensor, made.cuts, name, getattr(module, "groups", 1)), small[name]), name
    with torch.inference_mode():
        wanted, got = silenced(original, made.cuts)(images(size)), made.model(images(size))
    assert float(wanted.abs().max()) > 0
    assert float((wanted - got).abs().max() / wanted.abs().max()) < 1e-10
    assert made.model(images(size)[:1]).shape == original(images(size)[:1]).shape


VARIANTS = st.builds(
    an.Variant,
    block=st.sampled_from(["residual", "dense", "basic", "squeeze", "separable", "harmonic", "logdense", "lowrank"]),
    block_config=st.lists(st.integers(1, 2), min_size=1, max_size=3).map(tuple),
    growth=st.integers(4, 9), init=st.integers(5, 12), image=st.just(32), stem=st.sampled_from(["imagenet", "deep"]),
    classes=st.integers(2, 3),
)  # fmt: skip
OTHERS = st.builds(
    an.Variant, block=st.sampled_from(["add", "bottleneck", "vovnet"]), block_config=st.just((2, 1)),
    init=st.sampled_from([8, 12]), image=st.just(32),
)  # fmt: skip


@settings(max_examples=7, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    variant=st.one_of(VARIANTS, OTHERS), share=st.floats(0.3, 0.9),
    criterion=st.sampled_from(["random", "l1", "l2", "bn"]), scope=st.sampled_from(["local", "global"]),
)  # fmt: skip
def test_a_cut_is_a_slice_and_equals_the_original_with_what_is_gone_at_zero(variant, share, criterion, scope) -> None:
    original = network(variant)
    before = state(original)
    made = pruned(original, 32, share=share, criterion=criterion, scope=scope)
    assert same(state(original), before)
    require_a_cut(original, made, 32)
    params = sum(parameter.numel() for parameter in made.model.parameters())
    assert made.values == (params,)
    bound = int(sum(parameter.numel() for parameter in original.parameters()) * share)
    assert params <= bound
    assert made.one_more is None or made.one_more[0] > bound


def test_macs_are_aimed_at_and_are_those_of_torchs_own_counter() -> None:
    original = network(replace(TINY, image=32))
    made = pruned(original, 32, "macs", 0.4)
    with FlopCounterMode(display=False) as counter:
        made.model(images(32)[:1])
    assert made.values == (counter.get_total_flops() // 2,)
    with FlopCounterMode(display=False) as counter:
        original(images(32)[:1])
    assert made.values[0] <= int(0.4 * (counter.get_total_flops() // 2)) < made.one_more[0]


@pytest.mark.parametrize("criterion", ["l1", "l2", "bn", "random"])
def test_half_of_every_layer_is_the_variant_of_half_the_width(criterion: str) -> None:
    """As many parameters as the narrower variant's are asked for, and it is what comes out, by name and to the bit."""
    whole, half = replace(TINY, init=8), replace(TINY, init=4)
    model = build(whole, seed=3)
    made = an.compress(whole, an.Budget(max_params=an.analyze(half).params), f"prune {criterion} local", quiet=True)
    assert made.variant == half
    loaded = build(half, seed=9)
    loaded.load_state_dict(made.model.state_dict())
    assert same(state(loaded), state(made.model))
    assert made.record.variant == half.name
    assert model is not made.model


@pytest.mark.slow
def test_half_of_the_articles_network_is_init_32() -> None:
    """37,508,162 parameters, by hand arithmetic and by the variant's own count."""
    made = an.compress("article", an.Budget(max_params=37_508_162), "prune l2 local", quiet=True)
    assert sum(parameter.numel() for parameter in made.model.parameters()) == 37_508_162
    assert made.variant == an.Variant(init=32)


# -- against torch-pruning itself ------------------------------------------------------------------------------


def traced(model: nn.Module, size: int) -> torch_pruning.DependencyGraph:
    return torch_pruning.DependencyGraph().build_dependency(model, example_inputs=images(size)[:1])


@pytest.mark.parametrize("variant", [TINY, an.Variant(block="dense", block_config=(2, 2), growth=4, init=6, image=32)])
def test_torch_prunings_own_surgery_gives_the_same(variant: an.Variant) -> None:
    """Its groups pruned one after the other, each by the indices that are left of those that we name."""
    model = network(variant)
    found = coupled(model, [torch.zeros(1, 3, variant.image, variant.image, device="meta", dtype=torch.float64)])
    removed = {number: group.units[0] for number, group in enumerate(found.groups)}
    ours = copy.deepcopy(model)
    cut_channels(ours, found.map_of(model, removed))
    theirs = copy.deepcopy(model)
    for number, group in enumerate(found.groups):
        root = theirs.get_submodule(group.name)
        traced(theirs, variant.image).get_pruning_group(
            root, torch_pruning.prune_conv_out_channels, removed[number].tolist()
        ).prune()
    assert same(state(ours), state(theirs))


@pytest.mark.parametrize("criterion", ["l1", "l2", "bn"])
def test_scores_are_torch_prunings(criterion: str) -> None:
    model = network(TINY)
    found = coupled(model, [torch.zeros(1, 3, 16, 16, device="meta", dtype=torch.float64)])
    graph = traced(model, 16)
    score = {
        "l1": torch_pruning.importance.GroupMagnitudeImportance(p=1),
        "l2": torch_pruning.importance.GroupMagnitudeImportance(p=2),
        "bn": torch_pruning.importance.BNScaleImportance(),
    }[criterion]
    for number, group in enumerate(found.groups):
        root = model.get_submodule(group.name)
        whole = graph.get_pruning_group(root, torch_pruning.prune_conv_out_channels, list(range(root.out_channels)))
        theirs, ours = score(whole), scores_of(model, number, group, criterion, 0)
        assert (theirs is None) == (ours is None)
        if ours is not None:
            assert ours == pytest.approx(theirs.numpy(), rel=1e-5)


# -- what can't be pruned --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_network_outside_the_family_with_concatenations_and_groups(scope: str) -> None:
    original = mixed()
    made = pruned(original, 16, share=0.5, criterion="l2", scope=scope)
    require_a_cut(original, made, 16)
    grouped = made.model.grouped[3]
    assert grouped.groups == 4
    assert grouped.in_channels % 4 == grouped.out_channels % 4 == 0
    assert made.model.grouped[6].groups == made.model.grouped[6].in_channels == grouped.out_channels
    assert made.left == {"head": "gives the network's own outputs"}


@pytest.mark.parametrize("scope", ["local", "global"])
def test_the_oracle_leaves_what_a_shuffle_moves_about_and_all_else_is_cut(scope: str) -> None:
    """torch-pruning's graph takes a channel shuffle for the identity: a cut across it would give other answers."""
    original = network(an.Variant(block="shuffle", block_config=(2, 1), growth=8, init=8, image=32, groups=2))
    made = pruned(original, 32, share=0.7, scope=scope)
    require_a_cut(original, made, 32)
    shuffled = {path for path, _ in original.named_modules() if re.fullmatch(r".*denselayer\d\.conv1", path)}
    assert shuffled == made.left.keys() - {"classifier"}
    assert all("moves its channels about" in made.left[path] for path in shuffled)
    assert all(made.model.get_submodule(path).out_channels == 32 for path in shuffled)
    found = coupled(original, [torch.zeros(1, 3, 32, 32, device="meta", dtype=torch.float64)])
    number, group = next((n, g) for n, g in enumerate(found.groups) if g.name in shuffled)
    across = found.map_of(original, {number: group.units[0]})
    wrong = copy.deepcopy(original)
    cut_channels(wrong, across)
    assert not verified(original, wrong, across, [images(32)]).holds


def test_channels_that_a_forward_takes_apart_by_number_are_left_and_named() -> None:
    original = network(an.Variant(block="csp", block_config=(2, 2), growth=8, init=16, image=32))
    made = pruned(original, 32, share=0.6)
    require_a_cut(original, made, 32)
    assert {"features.denseblock1.conv", "features.denseblock2.conv"} <= set(made.left)
    assert made.model.features.conv0.out_channels == 16


class Tied(nn.Module):
    """Two layers of one weight, a layer of one channel, one that the next can't do without."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)
        self.c = nn.Conv2d(8, 8, 1)
        self.c.weight = self.b.weight
        self.one = nn.Conv2d(8, 1, 1)
        self.norm, self.free = nn.GroupNorm(2, 6), nn.Conv2d(1, 6, 1)
        self.last, self.head = nn.Conv2d(6, 9, 1), nn.Conv2d(9, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.one(torch.relu(self.c(torch.relu(self.b(torch.relu(self.a(x))))))))
        return self.head(torch.relu(self.last(self.norm(self.free(x)))))


def test_layers_that_cant_be_pruned_are_left_by_name_and_reason() -> None:
    model = Tied().double()
    made = pruned(model, 8, share=0.9)
    assert made.left["b"].startswith("shares weights")
    assert made.left["one"] == "has one channel, and none can go"
    assert made.left["free"] == "reaches norm, and a GroupNorm is not cut"
    assert made.model.last.out_channels < 9
    assert made.model.b.weight is made.model.c.weight


def test_a_budget_out_of_reach_says_how_near_pruning_gets() -> None:
    model = network(TINY)
    with pytest.raises(UsageError, match=r"out of reach: with one channel left everywhere it has params \d+ where 5"):
        prune(
            model, [images(16)], PruneWish(), at_most({"params": 5}),
            Counter([torch.zeros(1, 3, 16, 16, device="meta", dtype=torch.float64)]),
        )  # fmt: skip


def test_no_layer_loses_its_last_channel() -> None:
    """The smallest that pruning gets: one channel everywhere, or what a layer needs to have one."""
    model = network(an.Variant(block="add", block_config=(2,), init=6, image=32))
    counter = Counter([torch.zeros(1, 3, 32, 32, device="meta", dtype=torch.float64)])
    with pytest.raises(UsageError) as reached:
        prune(model, [images(32)], PruneWish(), at_most({"params": 1}), counter)
    least = int(reached.value.what.split(" params ")[1].split()[0].replace(",", ""))
    made = prune(model, [images(32)], PruneWish(), at_most({"params": least}), counter)
    assert made.values == (least,)
    assert all(min(tensor.shape, default=1) >= 1 for tensor in made.model.state_dict().values())
    require_a_cut(model, made, 32)


def test_the_oracle_sees_a_cut_that_is_none() -> None:
    """A weight changed, and a map whose consumer keeps other channels than its producer gives."""
    model = network(TINY)
    made = pruned(model, 16)
    assert verified(model, made.model, made.cuts, [images(16)]).holds
    changed = copy.deepcopy(made.model)
    next(changed.parameters()).data.view(-1)[0] += 1
    assert verified(model, changed, made.cuts, [images(16)]).unlike == (next(iter(state(model))),)
    path = next(path for path, cut in made.cuts.modules.items() if cut.inputs and cut.inputs.count < cut.inputs.width)
    cut = made.cuts.modules[path]
    moved = cut.inputs.of(~cut.inputs.flags() if cut.inputs.count * 2 == cut.inputs.width else cut.inputs.flags()[::-1])
    wrong = ChannelMap(modules={**made.cuts.modules, path: type(cut)(outputs=cut.outputs, inputs=moved)})
    other = copy.deepcopy(model)
    cut_channels(other, wrong)
    seen = verified(model, other, wrong, [images(16)])
    assert not seen.holds
    assert seen.difference > 1e-3
