"""What only a GPU shows. Run by `make gpu`; skipped with the reason elsewhere."""

from __future__ import annotations

import pytest
import torch

from analyzer.architecture.network import PRESETS, densenet121_like
from analyzer.architecture.variant import Variant
from analyzer.build import build
from analyzer.measure.environment import environment, pick_device
from analyzer.measure.throughput import measure_against

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


@pytest.mark.parametrize("name", ["article", "densenet121"])
def test_measures_with_events(name: str) -> None:
    variant = PRESETS[name]
    result = measure_against(
        variant,
        densenet121_like(variant),
        baseline_name="densenet121",
        device=pick_device("cuda"),
        batch=8,
        seconds=1,
    )
    assert result.batch == 8
    assert result.ratio_low <= result.ratio <= result.ratio_high
    assert all(t > 0 for t in result.seconds_per_batch)


def test_a_batch_that_does_not_fit_is_halved_and_said() -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    per_image = 4 * 3 * 4096**2
    batch = 1
    while batch * per_image < 2 * total:
        batch *= 2
    variant = Variant(block_config=(1,), growth=4, init=8, image=4096)
    result = measure_against(
        variant, variant, baseline_name="itself", device=pick_device("cuda"), batch=batch, seconds=0
    )
    assert result.batch < result.asked_batch == batch
    assert any("did not fit" in note for note in result.notes)
