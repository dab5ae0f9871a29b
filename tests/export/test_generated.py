"""A network as one Python module with its weights: others load it without this package, and it gives the same."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import run_here
from safetensors.torch import load_file, save_file
from torch import fx, nn

import analyzer as an
from analyzer.errors import TargetError, UsageError

VARIANT = an.Variant(block_config=(2,), growth=8, init=8, image=32, classes=4)
ELSEWHERE = """
import sys
sys.modules["analyzer"] = None  # an import of it fails
import torch
from safetensors.torch import load_file
from net import IMAGE, load

pair, network = load_file("pair.safetensors"), load()
assert not network.training
assert IMAGE == tuple(pair["x"].shape[1:])
with torch.no_grad():
    assert torch.equal(network(pair["x"]), pair["y"])
network.train()(pair["x"]).sum().backward()
assert all(parameter.grad is not None for parameter in network.parameters())
"""


def images(count: int, size: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(5))


@pytest.mark.slow
def test_a_compressed_network_loads_to_the_bit_where_this_package_is_not(tmp_path: Path) -> None:
    """And it can be trained there; its figures are those of the checkpoint."""
    made = an.compress(VARIANT, an.Budget(max_params=1500), quiet=True)
    made.save(tmp_path / "net.safetensors")
    done = run_here("export", "net.safetensors", "--out", "net.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        save_file({"x": images(3), "y": made.model(images(3))}, tmp_path / "pair.safetensors")
    subprocess.run([sys.executable, "-B", "-c", ELSEWHERE], cwd=tmp_path, check=True, timeout=300)
    assert {path.name for path in tmp_path.iterdir()} == {
        "net.safetensors", "net.py", "net.weights.safetensors", "pair.safetensors"
    }  # fmt: skip
    text = (tmp_path / "net.py").read_text()
    assert "import analyzer" not in text
    assert str(tmp_path) not in text
    again = an.export(str(tmp_path / "net.safetensors"), tmp_path / "again.py", quiet=True)
    assert (again.params, again.macs) == (made.record.after["params"], made.record.after["macs"])
    assert again.unequal == ()
    assert (tmp_path / "again.py").read_text() == text


class Odd(nn.Module):
    """Tied layers, a layer used twice, a parameter and buffers of its own, a constant, attributes of many kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding="same", padding_mode="reflect", bias=False)
        self.a, self.b = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.b.weight = self.a.weight
        self.steps = nn.ModuleList([nn.Sequential(nn.GroupNorm(2, 8), nn.GELU("tanh")), nn.PReLU(8, init=0.1)])
        self.scale = nn.Parameter(torch.rand(8, 1, 1))
        self.register_buffer("shift", torch.rand(8, 1, 1))
        self.register_buffer("hidden", torch.rand(8, 1, 1), persistent=False)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Dropout(0.3))
        self.norm = nn.BatchNorm1d(16, eps=1e-3, momentum=None, affine=False)
        self.head, self.unused = nn.Linear(16, 3), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.steps[1](self.b(self.steps[0](self.a(self.stem(x)))))
        x = self.steps[1](x * self.scale + self.shift - self.hidden).clamp(-float("inf"), 2.5)
        x = torch.cat(x.chunk(2, 1)[::-1], 1) + torch.ones(8, 1, 1) * 0.25
        return self.head(self.norm(self.pool(x)))


def test_what_is_no_plain_layer_is_written_out_too(tmp_path: Path) -> None:
    model = Odd().eval()
    done = an.export(model, tmp_path / "odd.py", inputs=(1, 3, 16, 16), quiet=True)
    assert [one.difference for one in done.agreements] == [0, 0]
    assert (done.params, done.unequal) == (sum(p.numel() for p in model.parameters()), ())
    held = load_file(tmp_path / "odd.weights.safetensors")
    assert all(torch.equal(held[name], tensor) for name, tensor in model.state_dict().items() if name != "b.weight")
    assert "b.weight" not in held
    again = runpy.run_path(str(tmp_path / "odd.py"))["load"]()
    assert again.a.weight is again.b.weight
    assert again.state_dict().keys() >= model.state_dict().keys()


@fx.wrap
def outside(x: torch.Tensor) -> torch.Tensor:
    return x * 2


class Calling(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return outside(x).flatten(1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x.mean(1))[0].flatten(1)


class Looking(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x if x.sum() > 0 else -x).flatten(1)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Calling(), "calls outside of"), (Recurrent(), "cell is a LSTM"), (Looking(), "can't be exported by torch.fx"),
    ],
)  # fmt: skip
def test_what_can_not_be_written_out_is_named_and_nothing_is_left(model: nn.Module, says: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=says) as told:
        an.export(model, tmp_path / "net.py", inputs=(1, 3, 8, 8), quiet=True)
    assert told.value.fix
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    for seed in (0, 1):
        an.export(an.build(VARIANT, seed=seed), tmp_path / f"net{seed}.py", inputs=(1, 3, 32, 32), quiet=True)
    load = runpy.run_path(str(tmp_path / "net0.py"))["load"]
    load()
    with pytest.raises(ValueError, match="not the weights of this network"):
        load(tmp_path / "net1.weights.safetensors")


def test_its_weights_take_no_sources_place(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Conv2d(3, 2, 8))\n"
    )
    an.export(nn.Sequential(nn.Conv2d(3, 2, 8)), tmp_path / "n.weights.safetensors", inputs=(1, 3, 8, 8), quiet=True)
    target = f"{tmp_path / 'code.py'}:net@{tmp_path / 'n.weights.safetensors'}"
    with pytest.raises(UsageError, match="would overwrite its source"):
        an.export(target, tmp_path / "n.py", inputs=(1, 3, 8, 8), quiet=True)
