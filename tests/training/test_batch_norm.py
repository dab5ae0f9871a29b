"""Batch norm over several processes' images against torch's own over all of them, in float64."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from ranks import together
from torch import Tensor, nn

from analyzer.building.modules import build
from analyzer.errors import TargetError
from analyzer.training.batch_norm import Settled, WholeBatchNorm, synchronise
from analyzer.training.together import ALONE, Together

EXACT = {"rtol": 1e-12, "atol": 1e-12}
KINDS = [
    (make, momentum, affine, tracked)
    for make, momentum, affine, tracked in [
        *product((nn.BatchNorm2d,), (0.1, None, 0.0), (True, False), (True, False)),
        *product((nn.BatchNorm1d, nn.BatchNorm3d), (0.1,), (True,), (True,)),
    ]
]
CUTS = {2: (3,), 3: (1, 6)}
"""Where eight images are cut: unequal shares."""


def norm_of(kind: tuple[Any, ...]) -> nn.Module:
    make, momentum, affine, tracked = kind
    norm = make(5, momentum=momentum, affine=affine, track_running_stats=tracked).double()
    if affine:
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 2, 5))
            norm.bias.copy_(torch.linspace(-1, 1, 5))
    return norm


def images(kind: tuple[Any, ...], step: int) -> tuple[Tensor, Tensor]:
    """An input far from 0, and what the loss weighs each of its numbers by."""
    shape = (8, 5, *[3] * {nn.BatchNorm1d: 0, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}[kind[0]])
    draw = torch.Generator().manual_seed(step)
    x, weights = (torch.randn(shape, dtype=torch.float64, generator=draw) for _ in range(2))
    return (x * 3 + 20).requires_grad_(), weights


def passes(norm: nn.Module, kind: tuple[Any, ...], rows: slice = slice(None)) -> dict[str, Tensor]:
    """Two steps forward and backward, then one in evaluation: all that comes of them."""
    found: dict[str, Tensor] = {}
    for step in range(2):
        x, weights = images(kind, step)
        own = x[rows].detach().requires_grad_()
        norm.zero_grad()
        made = norm(own)
        (made.sin() * weights[rows]).sum().backward()
        found |= {f"output {step}": made.detach(), f"gradient {step}": own.grad}
        found |= {f"{name} gradient {step}": each.grad.clone() for name, each in norm.named_parameters()}
    norm.eval()
    if kind[3]:  # else by the statistics of whichever images it is given, as torch's
        found["evaluated"] = norm(images(kind, 2)[0][rows]).detach()
    return found | {f"kept {name}": tensor for name, tensor in norm.state_dict().items()}


@pytest.mark.parametrize("processes", [2, 3])
def test_over_all_images_it_is_torchs(processes: int) -> None:
    """Forward, backward, running statistics; momentum None, affine False, none tracked, unequal shares."""
    edges = [0, *CUTS[processes], 8]

    def work(met: Together) -> list[dict[str, Tensor]]:
        each = []
        for kind in KINDS:
            norm = nn.Sequential(norm_of(kind))
            synchronise(norm, met)
            assert isinstance(norm[0], WholeBatchNorm)
            found = passes(norm, kind, slice(edges[met.rank], edges[met.rank + 1]))
            each.append({name: tensor.numpy() for name, tensor in found.items()})
        return each

    ranks = together(work, processes)
    for index, kind in enumerate(KINDS):
        wanted = passes(nn.Sequential(norm_of(kind)), kind)
        each = [rank[index] for rank in ranks]
        assert all(rank.keys() == wanted.keys() for rank in each)
        for name, tensor in wanted.items():
            parts = [torch.from_numpy(rank[name]) for rank in each]
            if name.startswith("kept"):
                found = parts[0]
                assert all(torch.equal(part, found) for part in parts), (kind, name)
            else:  # weights' gradients are of each one's images: their sum is the batch's
                found = sum(parts) if name.startswith("0.") else torch.cat(parts)
            torch.testing.assert_close(found, tensor, **EXACT, msg=lambda words, at=(kind, name): f"{at}: {words}")


@pytest.mark.parametrize("momentum", [0.1, None, 0.7])
def test_ghosts_keep_what_one_process_keeps_that_takes_the_shares_in_turn(momentum: float | None) -> None:
    def model() -> nn.Module:
        torch.manual_seed(0)
        made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=momentum), nn.BatchNorm2d(4)).double()
        made.register_buffer("own", torch.zeros(2, dtype=torch.float64))
        return made

    steps = torch.randn(4, 3, 2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def work(met: Together) -> dict[str, Any]:
        mine = model()
        settled = Settled(mine, met)
        for step in steps:
            before = settled.now()
            for part in step[met.rank :: met.processes]:
                mine(part)
                mine.own += met.rank + 1
            settled.settle(before)
        return {name: tensor.numpy() for name, tensor in mine.state_dict().items()}

    alone = model()
    for step in steps:
        for part in (0, 2, 1):  # the first process has two parts, the second one
            alone(step[part])
    first, second = together(work)
    for name, tensor in alone.state_dict().items():
        assert (first[name] == second[name]).all()
        if name != "own":
            torch.testing.assert_close(torch.from_numpy(first[name]), tensor, **EXACT)
    assert first["own"].tolist() == [8, 8]  # the first process's


def test_a_networks_tensors_keep_their_names_and_places() -> None:
    from trainings import TINY

    model = build(TINY, seed=0)
    before = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    synchronise(model, ALONE)
    assert {name: tensor.data_ptr() for name, tensor in model.state_dict().items()} == before
    assert sum(isinstance(module, WholeBatchNorm) for module in model.modules()) > 2
    build(TINY, seed=0).load_state_dict(model.state_dict())


def test_batch_norm_of_another_kind_is_refused_by_name() -> None:
    class Own(nn.BatchNorm2d):
        pass

    with pytest.raises(TargetError, match=r"0\.1 is a Own, batch norm of its own kind.*--batch-norm ghost"):
        synchronise(nn.Sequential(nn.Sequential(nn.ReLU(), Own(3))), ALONE)
