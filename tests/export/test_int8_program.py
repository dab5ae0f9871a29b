"""int8 by torchao: an exported program quantised, judged and timed; what is said where torchao is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import analyzer as an
from analyzer.errors import UsageError

ROOT = Path(an.__file__).parents[1]
VARIANT = an.Variant(block_config=(2, 1), growth=8, init=16, image=32)


def test_without_torchao_nothing_is_written_and_the_cure_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchao"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchao", None)  # as where it is not installed
    with pytest.raises(UsageError, match="needs torchao") as told:
        an.export(VARIANT, tmp_path / "net.pt2", int8=True, quiet=True)
    assert "[torchao]" in told.value.fix
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_torchaos_program_has_whole_weights_and_answers_as_its_source(tmp_path: Path) -> None:
    """Weights of int8, none of them in float beside; batch norms after a convolution are its bias now."""
    pytest.importorskip("torchao")
    done = an.export(VARIANT, tmp_path / "net.pt2", int8=True, images=8, quiet=True)
    made = done.int8
    assert made is not None
    assert (made.calibrated, made.judged) == (4, 4)
    assert (made.bytes, made.from_bytes) == ((tmp_path / "net.int8.pt2").stat().st_size, done.bytes)
    network = an.build(VARIANT).eval()
    weights = [p.numel() for p in network.parameters() if p.dim() > 1]
    program = torch.export.load(tmp_path / "net.int8.pt2").module()
    held = program.state_dict()
    assert sorted(t.numel() for t in held.values() if t.dtype == torch.int8) == sorted(weights)
    assert not [name for name, t in held.items() if t.dtype == torch.float32 and t.dim() > 1]
    assert sum(weights) < made.params < done.params
    assert made.param_bytes == sum(weights) + 4 * (made.params - sum(weights))
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted, got = network(images), program(images)
    assert float((wanted - got).abs().max() / wanted.abs().max()) < 0.2
    assert made.kernels == 0
    assert made.gain == "no kernel here: no gain"
    data = (tmp_path / "net.int8.pt2").read_bytes()
    assert str(ROOT).encode() not in data
    assert str(tmp_path).encode() not in data
