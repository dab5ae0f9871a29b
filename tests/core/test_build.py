"""Built modules: torch's own counters, hand-written networks, checkpoints, seeds, copies."""

from __future__ import annotations

import copy
import pickle

import pytest
import reference_models
import torch
from hypothesis import given, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from variants import variants

from analyzer.architecture.network import PRESETS, trace
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import ArchitectureError, TargetError
from analyzer.reading import saved as memory
from analyzer.reading.family import record

SMALL_DENSE = Variant(block="dense", block_config=(2, 3), growth=8, init=12, classes=5, image=64)
SMALL = Variant(block_config=(2, 1), growth=8, init=8, image=64)


def on_meta(variant: Variant, batch: int) -> torch.Tensor:
    return torch.empty(batch, 3, variant.image, variant.image, device="meta")


def saved_by_hooks(model: nn.Module, images: torch.Tensor) -> int:
    """Bytes of the storages that autograd keeps, parameters and buffers aside."""
    own = {t.untyped_storage()._cdata for t in [*model.parameters(), *model.buffers()]}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor.detach()  # itself, it would keep its own graph alive for ever

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = model(images)
    del result
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(variants(buildable=True))
def test_torchs_own_counters_agree(variant: Variant) -> None:
    try:
        counted = record(variant, 3, layers=True)
    except ArchitectureError:
        with pytest.raises(ArchitectureError):
            build(variant, device="meta")
        return
    model = build(variant, device="meta")
    assert counted.params == sum(p.numel() for p in model.parameters())
    assert counted.buffer_bytes == sum(b.numel() * b.element_size() for b in model.buffers())
    with FlopCounterMode(display=False) as counter:
        model.eval()(on_meta(variant, 1))
    assert counted.flops == counter.get_total_flops()
    assert counted.saved_bytes == saved_by_hooks(model.train(), on_meta(variant, 3))
    for figure in ("params", "macs", "conv_activations", "saved_bytes"):
        assert sum(getattr(row, figure) for row in counted.layers or ()) == getattr(counted, figure)
    names = dict(model.named_modules())
    for row in counted.layers or ():
        assert type(names[row.path]).__name__ == row.type


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_output_and_conv_outputs(name: str) -> None:
    """Activations, counted by hooks on the built modules."""
    model = build(PRESETS[name], device="meta")
    seen = []
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(lambda m, i, o: seen.append(o.numel()))
    assert model(on_meta(PRESETS[name], 1).expand(2, -1, -1, -1)).shape == (2, PRESETS[name].classes)
    assert sum(seen) == 2 * record(PRESETS[name], layers=False).conv_activations


PAIRS = [
    (SMALL_DENSE, lambda: reference_models.ListDenseNet((2, 3), growth=8, width=12, classes=5)),
    (PRESETS["densenet121"], reference_models.ListDenseNet),
    (PRESETS["resnet50"], lambda: reference_models.ResNet((3, 4, 6, 3))),
    (PRESETS["resnext50_32x4d"], lambda: reference_models.ResNet((3, 4, 6, 3), groups=32, base_width=4)),
    (PRESETS["wide_resnet50_2"], lambda: reference_models.ResNet((3, 4, 6, 3), base_width=128)),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "make"), PAIRS, ids=["small", "densenet121", "resnet50", "resnext50", "wide_resnet50"]
)
def test_a_torchvision_state_dict_loads_strictly_and_gives_its_forward_to_the_bit(variant: Variant, make) -> None:
    theirs, ours = make(), build(variant)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    for mode in (True, False):
        with torch.no_grad():
            assert torch.equal(ours.train(mode)(images), theirs.train(mode)(images))


def test_old_keys_load_strictly() -> None:
    theirs, ours = reference_models.ListDenseNet((2, 3), growth=8, width=12, classes=5), build(SMALL_DENSE)
    old = {
        key.replace("norm1", "norm.1")
        .replace("norm2", "norm.2")
        .replace("conv1", "conv.1")
        .replace("conv2", "conv.2"): value
        for key, value in theirs.state_dict().items()
        if "num_batches_tracked" not in key
    }
    assert any("norm.1" in key for key in old)
    ours.load_state_dict(old, strict=True)
    assert all(torch.equal(ours.state_dict()[k], v) for k, v in theirs.state_dict().items() if "num_batches" not in k)


def test_a_wrong_key_is_still_refused() -> None:
    state = build(SMALL_DENSE).state_dict()
    state["features.denseblock1.denselayer9.norm.1.weight"] = torch.ones(1)
    with pytest.raises(RuntimeError, match="denselayer9"):
        build(SMALL_DENSE).load_state_dict(state)


def test_a_training_step_equals_the_hand_written_networks() -> None:
    theirs, ours = (
        reference_models.ArticleDenseNet((2, 1), width=8, pool=8),
        build(Variant(block_config=(2, 1), init=8, image=64)),
    )
    ours.load_state_dict(theirs.state_dict())
    images, targets = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 0, 1])
    for model in (ours, theirs):
        nn.functional.cross_entropy(model(images), targets).backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-6, rtol=1e-4)


def test_the_seed_alone_makes_the_weights_and_torchs_own_state_is_left() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again, other = build(SMALL, seed=1), build(SMALL, seed=1), build(SMALL, seed=2)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_on_meta_nothing_is_allocated() -> None:
    model = build(PRESETS["article"], device="meta")
    assert all(t.is_meta for t in [*model.parameters(), *model.buffers()])


@pytest.mark.parametrize("remake", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_run_and_load(remake) -> None:
    model = build(SMALL)
    other = remake(model)
    images = torch.randn(2, 3, 64, 64)
    assert str(other) == str(model)
    assert type(other.features.denseblock1).__name__ == "DenseBlock"
    with torch.no_grad():
        assert torch.equal(other.eval()(images), model.eval()(images))
    other.load_state_dict(model.state_dict())


@pytest.mark.slow
def test_it_compiles_and_exports_whole() -> None:
    model = build(SMALL).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        assert torch.equal(torch.compile(model, backend="eager", fullgraph=True)(images), expected)
        assert torch.allclose(torch.export.export(model, (images,)).module()(images), expected, atol=1e-6)


def test_dropout_is_active_in_training_only() -> None:
    model = build(Variant(block_config=(2,), growth=8, init=8, image=64, drop=0.5))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(model.train()(images), model(images))
        assert torch.equal(model.eval()(images), model(images))


def test_a_device_that_is_not_there_is_a_typed_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(TargetError, match="can't be built on cuda"):
        build(SMALL, device="cuda")


def test_saved_bytes_counts_each_storage_once() -> None:
    """By hand, one basic layer without stem pool: 2 images of 8 px, 4 channels in, 3 more out."""
    variant = Variant(block="basic", block_config=(1,), growth=3, init=4, stem="small", image=8)
    area, batch = 64, 2
    image, stem_out, relu1, concat, relu5, pooled = 3, 4, 4, 7, 7, 7
    kept = 4 * batch * (area * (image + stem_out + relu1 + concat + relu5) + pooled)
    assert memory.saved_bytes(trace(variant), batch) == kept + 8 * (4 + 7)
