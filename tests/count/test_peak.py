"""Predicted peaks against torch's own storages on meta, the published table, and hand arithmetic."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from reference_models import ListDenseNet

import analyzer as an
from analyzer.architecture.blocks import BLOCKS
from analyzer.architecture.network import PRESETS, trace
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import CountError, UsageError
from analyzer.reading import peak, prediction
from analyzer.reading.cuda_allocator import CudaHeap
from analyzer.reading.family import columns_of, record
from analyzer.reading.heap import KINDS
from analyzer.reading.peak import Training, inference_peak, training_peak
from analyzer.reading.prediction import (
    PROVEN,
    fitting_batches,
    largest_batch,
    predict_memory,
    smaller_growth,
    unproven,
    ways_to_fit,
)
from analyzer.tracing import prediction as of_modules
from analyzer.tracing import training_step
from analyzer.tracing.lifetimes import module_peaks

MIB = 2**20
ROOT = Path(__file__).parents[2]

# Peaks at 224 px in MiB with Adam, from an independent tracker of storage lifetimes on torch's meta device.
PUBLISHED = {
    ("article", "foreach"): {1: 2859.6, 8: 2951.3, 16: 3718.5, 32: 5252.8, 64: 8490.4, 128: 15264.7},
    ("article", "single"): {1: 2575.9},
    ("article", "fused"): {1: 2345.9},
    ("densenet121", "foreach"): {1: 225.8, 8: 1093.5, 16: 2091.1, 32: 4086.4, 64: 8077.0, 128: 16058.1},
}
INFERENCE = {("article", 1): 591.1, ("article", 32): 1178.5, ("densenet121", 1): 39.0, ("densenet121", 32): 294.1}


@pytest.mark.parametrize(("name", "form"), PUBLISHED)
def test_training_peaks_are_the_published_ones(name: str, form: peak.Form) -> None:
    net = trace(PRESETS[name])
    for batch, mib in PUBLISHED[name, form].items():
        assert round(training_peak(net, batch, Training(form=form)).bytes / MIB, 1) == mib


@pytest.mark.parametrize(("name", "batch"), INFERENCE)
def test_inference_peaks_are_the_published_ones(name: str, batch: int) -> None:
    assert round(inference_peak(trace(PRESETS[name]), batch).bytes / MIB, 1) == INFERENCE[name, batch]


@pytest.mark.parametrize(
    ("name", "inplace", "inference", "training"),
    [("article", True, [588.1, 1080.5], [2859.6, 5252.8]), ("densenet121", False, [40.5, 343.1], [225.8, 4086.4])],
)
def test_where_relus_are_in_place_moves_the_inference_peak_alone(
    name: str, inplace: bool, inference: list[float], training: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tracker's figures with the article's ReLUs all in place, DenseNet121's inside its layers alone."""
    block = PRESETS[name].block
    monkeypatch.setitem(BLOCKS, block, replace(BLOCKS[block], inplace=inplace))
    net = trace(PRESETS[name])
    assert [round(inference_peak(net, batch).bytes / MIB, 1) for batch in (1, 32)] == inference
    assert [round(training_peak(net, batch).bytes / MIB, 1) for batch in (1, 32)] == training


@pytest.mark.slow
def test_a_list_of_features_has_a_peak_of_its_own() -> None:
    """torchvision's coding of DenseNet121: outputs that nothing keeps live to their block's last concatenation."""
    with torch.device("meta"):
        model = ListDenseNet()
    for batch, inference, training in ((1, 40.9, 225.8), (32, 355.4, 4086.4)):
        found = module_peaks(model, [torch.empty(batch, 3, 224, 224, device="meta")])
        assert found.training is not None
        assert round(found.inference.bytes / MIB, 1) == inference
        assert round(found.training.bytes / MIB, 1) == training


def test_the_articles_peak_is_in_the_optimizer_at_batch_1_and_in_the_backward_pass_from_8() -> None:
    net = trace(PRESETS["article"])
    assert [training_peak(net, batch, timeline=True).at.phase for batch in (1, 8)] == ["optimizer", "backward"]


def test_gradients_kept_through_the_forward_cost_what_torch_says() -> None:
    """At batch 32, 5,747 MB are alive when the forward ends; its last ReLU, not in place, needs 101 MB more."""
    article, late = PRESETS["article"], Training(zero_grad="after_forward")
    net = trace(article)
    assert round(training_peak(net, 32).bytes / 1e6) == 5508
    found = record(article, 32, layers=False)
    assert round((4 * found.param_bytes + found.buffer_bytes + found.saved_bytes) / 1e6) == 5747
    model, images = on_meta(article, 32, late)
    tracked = module_peaks(model, images, training=late).training
    assert tracked is not None
    assert training_peak(net, 32, late).bytes == tracked.bytes == 5_847_796_816


def on_meta(variant: Variant, batch: int, training: Training) -> tuple[nn.Module, list[torch.Tensor]]:
    dtype = getattr(torch, training.dtype)
    model = build(variant, device="meta", checkpoint_layers=training.checkpoint).to(dtype)
    return model, [torch.empty(batch, 3, variant.image, variant.image, device="meta", dtype=dtype)]


@pytest.mark.parametrize("form", ["single", "foreach", "fused"])
@pytest.mark.parametrize("optimizer", ["sgd", "sgd_momentum", "adam", "adamw"])
@pytest.mark.parametrize("decay", [False, True])
def test_every_optimizer_where_its_own_step_is_the_peak(
    form: peak.Form, optimizer: peak.Optimizer, decay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wide layers on a small image: parameters outweigh activations. Fused Adam is torch's own here."""
    variant = Variant(block_config=(2, 1), growth=64, init=48, image=32)
    training = Training(optimizer=optimizer, form=form, weight_decay=decay)
    if form == "fused" and "adam" in optimizer:  # fused SGD has no kernel on meta at all
        allow_fused_on_meta(monkeypatch)
    model, images = on_meta(variant, 2, training)
    found = module_peaks(model, images, training=training)
    assert found.training is not None
    assert training_peak(trace(variant), 2, training, accumulates_in_place=False).bytes == found.training.bytes


def allow_fused_on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch has meta kernels of its fused optimizers, and a list of devices that refuses them."""
    import importlib

    home = importlib.import_module("torch.optim.optimizer")
    monkeypatch.setattr(home, "_get_fused_kernels_supported_devices", lambda: ["meta"])

    def fused(parameters: list[torch.Tensor], training: Training) -> torch.optim.Optimizer:
        make = torch.optim.Adam if training.optimizer == "adam" else torch.optim.AdamW
        return make(parameters, weight_decay=0.01 if training.weight_decay else 0.0, fused=True)

    monkeypatch.setattr(training_step, "make_optimizer", fused)


def test_what_a_linear_model_needs_by_hand() -> None:
    """Batch 3 of 5 floats into 2 classes, plain SGD: the peak stands in the backward pass of the classifier."""
    found = module_peaks(nn.Linear(5, 2), [torch.empty(3, 5, device="meta")], training=Training(optimizer="sgd"))
    fixed = 4 * (5 * 2 + 2) + 4 * 3 * 5 + 8 * 3  # parameters, input, targets
    logits, loss, root = 4 * 3 * 2, 4, 4
    gradients = 4 * (5 * 2 + 2)
    assert found.training is not None
    assert found.training.bytes == fixed + logits + loss + root + logits + gradients
    assert found.inference.bytes == 4 * (5 * 2 + 2) + 4 * 3 * 5 + logits


def test_gradients_that_meet_are_added_in_place_by_torch_itself() -> None:
    """Why the prediction may be under the tracker's: no mode watches here. A view of another gradient can't be."""
    x = torch.ones(4, 64, 2, 2, requires_grad=True)

    def owned(y: torch.Tensor) -> torch.Tensor:
        return (y * 2.0).sum() + (y * 3.0).sum()

    def viewed_first(y: torch.Tensor) -> torch.Tensor:
        return (y * 2.0).sum() + torch.cat([x * 1.0, y], 1).sum()  # the backward pass begins with the last

    # The loss itself is a sum of two: its gradient goes to both as it is. x is reached twice by the second.
    for loss, expected in ((owned, {"add_": 1, "add": 0}), (viewed_first, {"add_": 1, "add": 1})):
        value = loss(x * 1.0)
        with torch.autograd.profiler.profile() as profile:
            torch.autograd.grad(value, x)
        names = [event.name for event in profile.function_events or ()]
        assert {name: names.count(f"aten::{name}") for name in expected} == expected


def test_array_form_equals_scalar_form() -> None:
    for block in ("residual", "dense", "bottleneck", "vovnet", "csp", "squeeze"):
        some = [
            Variant(block=block, block_config=(2, 1), init=init, growth=24, image=64, classes=3) for init in (8, 12, 32)
        ]
        net = trace(columns_of(some))
        together = [training_peak(net, 2).bytes, inference_peak(net, 2).bytes]
        for i, variant in enumerate(some):
            one = trace(variant)
            assert [int(np.broadcast_to(t, 3)[i]) for t in together] == [
                training_peak(one, 2).bytes, inference_peak(one, 2).bytes,
            ]  # fmt: skip
            assert record(variant, 2).peak_training_bytes == training_peak(one, 2).bytes


def test_a_timeline_reaches_the_peak_and_ends_with_the_optimizer() -> None:
    found = training_peak(trace(PRESETS["article"]), 8, timeline=True)
    assert max(moment.live_bytes for moment in found.moments) == found.bytes
    phases = list(dict.fromkeys(moment.phase for moment in found.moments))
    assert phases == ["forward", "loss", "backward", "optimizer"]


def test_a_timeline_says_what_the_memory_is_for() -> None:
    """By hand: parameters and buffers, two states of Adam's, saved bytes beside targets and loss, all gradients."""
    net, batch = trace(PRESETS["densenet121"]), 4
    counted = record(PRESETS["densenet121"], batch)
    params, buffers = 4 * counted.params, counted.buffer_bytes
    found = training_peak(net, batch, timeline=True)
    assert all(sum(moment.kinds) == moment.live_bytes for moment in found.moments)
    by_phase = {moment.phase: dict(zip(KINDS, moment.kinds, strict=True)) for moment in found.moments}
    assert {(kinds["weights"], kinds["optimizer"]) for kinds in by_phase.values()} == {(params + buffers, 2 * params)}
    of_loss = 4 * 1000 * batch + 4  # log-probabilities, total weight
    assert by_phase["loss"]["saved"] == counted.saved_bytes + 8 * batch + of_loss
    assert by_phase["loss"]["gradients"] == 0
    assert by_phase["optimizer"]["gradients"] == params
    assert by_phase["optimizer"]["transient"] >= params  # a list as large as the parameters


@pytest.mark.slow
def test_so_does_that_of_any_module() -> None:
    """By hand: logits and loss are alive beside what autograd keeps; a kind is that of a storage's whole life."""
    batch, net = 4, PRESETS["densenet121"]
    counted = record(net, batch)
    model, images = on_meta(net, batch, Training())
    peaks = module_peaks(model, images)
    found = peaks.training
    assert found is not None
    assert all(sum(moment.kinds) == moment.live_bytes for moment in found.moments)
    by_phase = {moment.phase: dict(zip(KINDS, moment.kinds, strict=True)) for moment in found.moments}
    fixed = (4 * counted.params + counted.buffer_bytes, 2 * 4 * counted.params)
    assert {(kinds["weights"], kinds["optimizer"]) for kinds in by_phase.values()} == {fixed}
    beside = 8 * batch + (2 * 4 * 1000 * batch + 4 + 4)  # targets, logits and their logarithms, total weight, loss
    assert by_phase["loss"]["saved"] == counted.saved_bytes + beside
    assert (by_phase["loss"]["gradients"], by_phase["optimizer"]["gradients"]) == (0, 4 * counted.params)
    assert by_phase["optimizer"]["transient"] == 4 * counted.params
    assert {moment.kinds[0] for moment in peaks.inference.moments} == {fixed[0]}


# -- CUDA's allocator ------------------------------------------------------------------------------------------


def test_cudas_allocator_by_hand() -> None:
    heap = CudaHeap()
    small = heap.allocate(1)
    assert (heap.live, heap.reserved) == (512, 2 * MIB)
    medium = heap.allocate(3 * MIB)
    assert (heap.live, heap.reserved) == (512 + 3 * MIB, 22 * MIB)
    large = heap.allocate(11 * MIB + 1)  # 12 MiB of the 17 left would fit, and the rest is split off
    assert heap.reserved == 22 * MIB
    assert heap.live == 512 + 3 * MIB + 11 * MIB + 512
    huge = heap.allocate(101 * MIB + 1)  # a segment of 102 MiB; under 1 MiB would be left, so it counts whole
    assert heap.live == 512 + 14 * MIB + 512 + 102 * MIB
    del medium, large
    again = heap.allocate(20 * MIB)  # the freed neighbours are one block of 20 MiB again
    assert heap.reserved == 124 * MIB
    del small, again, huge
    assert heap.live == 0


@pytest.mark.parametrize("name", ["article", "densenet121"])
def test_cudas_allocator_needs_a_little_more_than_the_tensors(name: str) -> None:
    net = trace(PRESETS[name])
    for batch in (1, 8, 64):
        heap = CudaHeap()
        exact, allocated = training_peak(net, batch).bytes, training_peak(net, batch, heap=heap).bytes
        assert exact <= allocated <= 1.03 * exact
        assert allocated <= heap.reserved
        assert heap.live == 0


# -- predictions and what fits ---------------------------------------------------------------------------------


def test_a_prediction_says_where_and_adds_up() -> None:
    found = predict_memory(PRESETS["article"], 8, timeline=True)
    assert found.training_peak_at is not None
    assert (found.training_peak_at.phase, found.training_peak_at.layer) == ("backward", "features.transition3.relu")
    assert found.param_bytes == 4 * 149_871_874
    assert found.optimizer_bytes == 2 * found.param_bytes
    assert found.timeline is not None


def test_no_training_at_batch_1_of_one_value_a_channel_is_said() -> None:
    found = predict_memory(Variant(block_config=(1, 1), growth=8, image=32), 1)
    if found.peak_training_bytes is None:
        assert any("batch normalisation" in note for note in found.notes)
    assert found.peak_inference_bytes > 0


@pytest.mark.parametrize("budget", [300 * MIB, 2**30, 2**33])
def test_the_largest_batch_fits_and_one_more_does_not(budget: int) -> None:
    net = trace(PRESETS["densenet121"])
    trains, infers = fitting_batches(PRESETS["densenet121"], budget)
    assert trains is not None
    assert infers is not None
    assert training_peak(net, trains).bytes <= budget < training_peak(net, trains + 1).bytes
    assert inference_peak(net, infers).bytes <= budget < inference_peak(net, infers + 1).bytes


def test_nothing_fits_in_nothing() -> None:
    assert fitting_batches(PRESETS["article"], MIB) == (None, None)
    assert largest_batch(lambda batch: None if batch == 1 else batch, 7) == 7
    assert largest_batch(lambda batch: batch, 10**9, most=100) == 100


def test_a_smaller_growth_is_the_largest_that_fits() -> None:
    budget = 2**32
    smaller = smaller_growth(PRESETS["densenet121"], budget, 64)
    assert smaller is not None
    assert isinstance(smaller.growth, int)
    larger = Variant.from_dict({**smaller.to_dict(), "growth": smaller.growth + 1})
    assert training_peak(trace(smaller), 64).bytes <= budget < training_peak(trace(larger), 64).bytes


def test_ways_to_fit_have_their_figures() -> None:
    ways = list(ways_to_fit(PRESETS["article"], 11 * 2**30, 128))
    assert ways[0].change == ""
    assert all(way.peak_bytes < ways[0].peak_bytes for way in ways[1:])
    checkpointed = next(way for way in ways if way.change == "checkpointed layers")
    assert checkpointed.more_macs > 0


def test_checkpointing_runs_again_all_but_each_layers_last_convolution() -> None:
    """The last value that a layer keeps is its last convolution's input: there the second run ends."""
    net = trace(PRESETS["densenet121"])
    expected = sum(
        conv.macs
        for conv in record(PRESETS["densenet121"]).layers or ()
        if ".denselayer" in conv.path and conv.path.endswith("conv1")
    )
    assert training_peak(net, 2, Training(checkpoint=True)).recomputed_macs == expected


@pytest.mark.parametrize(
    "wrong", [{"dtype": "int8"}, {"optimizer": "lion"}, {"form": "tensor"}, {"accumulate": 0}, {"zero_grad": "never"}]
)
def test_what_is_not_verified_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Training(**wrong)  # type: ignore[arg-type]


def test_a_model_that_reads_values_has_no_peak_and_says_so() -> None:
    class Reads(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum().item() > 0 else -x

    with pytest.raises(CountError, match="isn't known"):
        module_peaks(Reads(), [torch.empty(2, device="meta")])


@pytest.mark.parametrize("batch", [1, 2])
def test_torch_adds_to_no_view_of_a_concatenations_gradient_in_place(batch: int) -> None:
    """Else the sum would keep the whole gradient alive: its storage is of the value's own size."""
    value = torch.randn(batch, 2, 4, 4, requires_grad=True) * 1.0
    arrived: list[torch.Tensor] = []
    value.register_hook(lambda gradient: arrived.append(gradient))
    read = value.relu().sum()
    (read + torch.cat([value, torch.randn(batch, 6, 4, 4)], 1).square().sum()).backward()
    assert [gradient.untyped_storage().nbytes() for gradient in arrived] == [4 * value.numel()]


@pytest.mark.parametrize("version", [None, "nightly", "2.9.1", "2.11.0", "2.13.0+cpu", f"{PROVEN[1]}.7+cu130"])
def test_nothing_is_said_of_peaks_on_a_proven_torch(version: str | None) -> None:
    assert unproven(version) == ()


def test_a_newer_torch_than_peaks_are_proven_on_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = f"{PROVEN[1].split('.')[0]}.{int(PROVEN[1].split('.')[1]) + 1}.0a0+git12"
    (said,) = unproven(newer)
    assert newer in said
    assert all(proven in said for proven in PROVEN)
    monkeypatch.setattr(prediction, "torch_version", lambda: newer)
    assert said in predict_memory(PRESETS["densenet121"]).notes
    monkeypatch.setattr(of_modules, "torch_version", lambda: newer)
    assert said in an.predict_memory(nn.Linear(4, 2), inputs=(torch.ones(2, 4),)).notes


def test_torchs_version_is_known_without_importing_it() -> None:
    code = "import sys; from analyzer.distribution import torch_version as said; print(said(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [torch.__version__, "False"]


def test_the_documents_say_on_which_torch_peaks_are_proven() -> None:
    assert f"Peaks are proven on torch {PROVEN[0]} to {PROVEN[1]}" in (ROOT / "docs" / "faq.md").read_text()
    assert f'"torch>={PROVEN[0]}"' in (ROOT / "pyproject.toml").read_text()
