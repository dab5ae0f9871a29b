"""What only a GPU shows. Run by `make gpu`; skipped with the reason elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from in_process import in_this_process

import analyzer as an
from analyzer.architecture.network import PRESETS, densenet121_like
from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import MeasureError
from analyzer.measurements import Conditions
from analyzer.measuring.environment import environment, pick_device
from analyzer.measuring.measure import best_batch, measure_all, measure_memory, subject_of
from analyzer.measuring.protocol import Protocol

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
SMALL = Variant(block_config=(2, 2), growth=8, image=64)


def test_the_same_weights_and_nearly_the_same_result_as_on_the_cpu() -> None:
    images = torch.randn(2, 3, 64, 64)
    on_cpu, on_gpu = build(SMALL, seed=3).eval(), build(SMALL, device="cuda", seed=3).eval()
    for a, b in zip(on_cpu.parameters(), on_gpu.parameters(), strict=True):
        assert torch.equal(a, b.cpu())
    torch.backends.cudnn.allow_tf32 = False
    with torch.no_grad():
        assert torch.allclose(on_cpu(images), on_gpu(images.cuda()).cpu(), atol=1e-3, rtol=1e-3)


def test_auto_picks_cuda_and_the_environment_names_it() -> None:
    device = pick_device("auto")
    assert device.type == "cuda"
    assert environment(device).device_name == torch.cuda.get_device_name(device)


def test_measures_with_events() -> None:
    subject, base = subject_of(PRESETS["article"]), subject_of(densenet121_like(PRESETS["article"]))
    ((_, made),) = measure_all(
        [subject], base, device="cuda", batch=8, protocol=Protocol(discard=1, pairs=2, most=2, least=2)
    )
    assert not isinstance(made, MeasureError)
    assert made.batch == 8
    assert made.ratio_low <= made.ratio <= made.ratio_high
    assert all(t > 0 for t in made.seconds_per_batch)
    assert made.environment.cudnn
    assert made.environment.driver


def test_a_batch_that_does_not_fit_is_halved_and_said() -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    batch = 1
    while batch * 4 * 3 * 4096**2 < 2 * total:
        batch *= 2
    subject = subject_of(Variant(block_config=(1,), growth=4, init=8, image=4096))
    ((_, made),) = measure_all(
        [subject], subject, device="cuda", batch=batch, protocol=Protocol(discard=1, pairs=1, most=1, least=1)
    )
    assert not isinstance(made, MeasureError)
    assert made.batch < made.asked_batch == batch
    assert any("did not fit" in note for note in made.notes)


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("name", ["article", "densenet121"])
def test_allocated_memory_is_what_the_simulated_allocator_says_and_workspaces(name: str, batch: int, mode: str) -> None:
    """cuBLAS's and cuDNN's workspaces come on top: so it is at least that, but for what the last bit rounds."""
    found = measure_memory(
        subject_of(PRESETS[name]), batch=batch, device="cuda", conditions=Conditions(mode=mode), worker=in_this_process
    )
    assert found.predicted_allocated_bytes is not None
    assert 0.99 * found.predicted_allocated_bytes <= found.measured_bytes
    assert found.reserved_bytes is not None
    assert found.reserved_bytes >= found.measured_bytes


def test_memory_that_is_not_there_is_an_error_with_the_bytes() -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    huge = Variant(block_config=(1,), growth=4, init=8, image=4096)
    batch = 2 * total // (4 * 8 * 2048**2)
    with pytest.raises(MeasureError, match="predicted"):
        measure_memory(subject_of(huge), batch=batch, device="cuda", worker=in_this_process)


def test_a_batch_for_most_images_a_second_is_found() -> None:
    choice = best_batch(subject_of(SMALL), device="cuda", most=8)
    assert set(choice.images_per_s) <= {1, 2, 4, 8}
    assert choice.best in choice.images_per_s


def test_steps_of_a_compression_train_there_and_the_network_comes_back(tmp_path: Path) -> None:
    """Every lever that learns; the checkpoint is on the CPU, and right about as often as it was said to be."""
    pytest.importorskip("torch_pruning", reason="needs torch-pruning, which GPU machines may not have")
    drawn = np.random.default_rng(0)
    parts = {"train": 32, "val": 8, "test": 8}
    arrays = {f"{name}_images": drawn.integers(0, 256, (count, 32, 32, 3), np.uint8) for name, count in parts.items()}
    arrays |= {f"{name}_labels": np.arange(count)[:, None] % 2 for name, count in parts.items()}
    np.savez(tmp_path / "data.npz", **arrays)
    variant, out = Variant(block_config=(2, 1), growth=8, init=8, image=32), tmp_path / "small.safetensors"
    plan = "prune taylor 1/2, finetune 1, svd 1/2, distill 1 features, prune, recalibrate, finetune 1"
    made = an.compress(
        variant, an.Budget(max_params=3000), plan,
        data=tmp_path / "data.npz", batch=8, device="cuda", out=out, quiet=True,
    )  # fmt: skip
    assert {tensor.device.type for tensor in made.model.state_dict().values()} == {"cpu"}
    assert made.record.after["params"] <= 3000
    again = an.compress(str(out), None, "recalibrate", data=tmp_path / "data.npz", batch=8, device="cpu", quiet=True)
    assert abs(again.record.steps[0].test_accuracy - made.record.steps[-1].test_accuracy) <= 1 / 8
