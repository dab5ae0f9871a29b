"""The loop against torch's own words, written out here."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from trainings import TINY, bits, trained, uneven

from analyzer.architecture.variant import Variant
from analyzer.building.modules import build
from analyzer.errors import TargetError, TrainingError, UsageError
from analyzer.images.source import open_source
from analyzer.images.split_file import read_split
from analyzer.storing.results_file import NAME
from analyzer.targets.resolving import FamilyTarget
from analyzer.training import execution, keyed, planning, preflight, stepping
from analyzer.training.evaluation import judged
from analyzer.training.feeding import Feed, as_input
from analyzer.training.recipe import Recipe
from analyzer.training.runs_file import RunsFile

PLAIN = Variant(**{**TINY.to_dict(), "block_config": (1, 1), "drop": 0.0, "classes": 3})
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def images_of(data: Path, indices: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images by the definition, and labels."""
    source = open_source(data)
    from PIL import Image

    small = [Image.fromarray(source.image(i)).resize((16, 16), Image.Resampling.BILINEAR) for i in indices]
    pixels = torch.stack([torch.from_numpy(np.array(image)) for image in small]).float() / 255
    labels = torch.tensor([source.labels[i] for i in indices])
    return ((pixels - MEAN) / STD).permute(0, 3, 1, 2), labels


@pytest.mark.parametrize(
    ("said", "make"),
    [
        ({}, lambda p: torch.optim.Adam(p, lr=0.01)),
        ({"optimizer": "adamw", "weight_decay": 0.1}, lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1)),
        (
            {"optimizer": "sgd", "weight_decay": 0.1},
            lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
        ),
        ({"classes_weighted": True}, lambda p: torch.optim.Adam(p, lr=0.01)),
    ],
    ids=["adam", "adamw", "sgd", "class weights"],
)
def test_two_epochs_are_a_plain_torch_loop(data: Path, tmp_path: Path, said: dict, make: object) -> None:
    data = uneven(data, tmp_path / "data")
    runs = trained(data, tmp_path, PLAIN, image=16, augment=(), lr=0.01, seeds=(7,), **said)
    (outcome,) = runs.runs
    split = read_split(tmp_path / "split.json", open_source(data))
    images, labels = images_of(data, split.train)
    weight = None
    if said.get("classes_weighted"):
        counts = torch.bincount(labels, minlength=3)
        weight = len(labels) / (3 * counts.float())
    model = build(PLAIN, seed=7)
    optimizer = make(model.parameters())
    for epoch in range(2):
        right, total = 0, 0.0
        order = torch.from_numpy(keyed.order(7, epoch, len(labels)).copy())
        for part in order.split(8):
            if len(part) < 2:
                continue
            optimizer.zero_grad()
            logits = model(images[part])
            loss = F.cross_entropy(logits, labels[part], weight=weight)
            loss.backward()
            optimizer.step()
            right += int((logits.argmax(1) == labels[part]).sum())
            total += float(loss.detach()) * len(part)
        epoch_of = outcome.epochs[epoch]
        assert epoch_of.log_train_accuracy == pytest.approx(right / epoch_of.images)
        assert epoch_of.log_train_loss == pytest.approx(total / epoch_of.images, rel=1e-3)
    there = load_file(runs.checkpoint(outcome.config.run))
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(there[name], tensor, rtol=2e-3, atol=2e-4)
    model.load_state_dict(there)
    model.eval()
    with torch.no_grad():
        test_images, test_labels = images_of(data, split.test)
        logits = model(test_images)
        train_right = (model(images).argmax(1) == labels).double().mean()
    last = outcome.epochs[-1]
    assert last.test_accuracy == pytest.approx(float((logits.argmax(1) == test_labels).double().mean()))
    assert last.test_loss == pytest.approx(float(F.cross_entropy(logits, test_labels)), rel=1e-4)
    assert last.train_accuracy == pytest.approx(float(train_right))
    assert last.generalisation_gap == pytest.approx(100 * (float(train_right) - last.test_accuracy))
    with closing(RunsFile(tmp_path / NAME)) as kept:
        stored = kept.logits(outcome.config.run, 2, "test", 3)
        torch.testing.assert_close(torch.from_numpy(stored.copy()), logits, rtol=1e-4, atol=1e-4)


def test_an_epoch_sees_each_image_once_and_takes_no_single_one() -> None:
    from analyzer.training.trainer import parts_of

    train = tuple(range(100, 133))
    parts = parts_of(train, 0, 0, 8)
    assert [len(part) for part in parts] == [8, 8, 8, 8]
    assert len({int(index) for part in parts for index in part}) == 32
    assert sorted(int(i) for part in parts_of(train, 0, 0, 11) for i in part) == list(train)


@pytest.mark.parametrize("micro", [1, 3, 4, 8])
def test_gradients_of_parts_add_up_to_the_batchs(micro: int) -> None:
    """In float64, on a network whose images don't meet (no batch norm), with class weights."""
    torch.manual_seed(0)
    images, labels = torch.randn(8, 12, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0, 1, 1, 2])
    weights = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    model = nn.Linear(12, 3).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss = F.cross_entropy(model(images), labels, weight=weights)
    wanted = torch.autograd.grad(loss, list(model.parameters()))

    config = SimpleNamespace(micro=micro, classes=("a", "b", "c"), recipe=Recipe())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    stepper = stepping.Stepper(model, optimizer, config, weights.float(), torch.device("cpu"))
    taken, right = stepper.step(images, labels)
    assert float(taken) == pytest.approx(float(loss), rel=1e-6)  # the loss itself is summed in float32
    for (name, tensor), gradient in zip(model.state_dict().items(), wanted, strict=True):
        torch.testing.assert_close(start[name] - tensor, gradient, rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        model.load_state_dict(start)
        assert int(right) == int((model(images).argmax(1) == labels).sum())


def test_a_judgement_is_torchs() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32) * 30
    labels = np.random.default_rng(1).integers(0, 7, 50)
    found = judged(logits, labels)
    tensor = torch.from_numpy(logits).double()
    assert found.loss == pytest.approx(float(F.cross_entropy(tensor, torch.from_numpy(labels))), rel=1e-12)
    assert found.right == int((tensor.argmax(1).numpy() == labels).sum())


def test_training_leaves_the_users_randomness_and_gives_the_same_again(data: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    trained(data, tmp_path / "a")
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    torch.manual_seed(99)
    trained(data, tmp_path / "b")
    assert bits(tmp_path / "a") == bits(tmp_path / "b")
    trained(data, tmp_path / "c", seeds=(1,))
    assert {value for key, value in bits(tmp_path / "a").items() if key.startswith("runs/")}.isdisjoint(
        value for key, value in bits(tmp_path / "c").items() if key.startswith("runs/")
    )


def test_workers_and_memory_change_no_bit(data: Path, tmp_path: Path) -> None:
    trained(data, tmp_path / "kept")
    source = open_source(data)
    feeds = [Feed(source, 16), Feed(source, 16, workers=2, cache_bytes=0)]
    feeds[0].keep(range(36))
    parts = [np.array([3, 1, 35]), np.array([7])]
    for one, other in zip(*(list(feed.batches(parts)) for feed in feeds), strict=True):
        assert (one == other).all()
    plan = plan_of(data, tmp_path / "read", cache_bytes=0, workers=2)
    execution.execute(plan, planning.TrainWatch())
    assert bits(tmp_path / "kept") == bits(tmp_path / "read")


def test_an_image_is_decoded_once_and_never_for_a_run_that_is_finished(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whichever network, seed, epoch or evaluation asks for it."""
    from analyzer.training import feeding

    decode, decoded = feeding._Decoded.__getitem__, []

    def counted(self: feeding._Decoded, index: int) -> np.ndarray:
        decoded.append(index)
        return decode(self, index)

    monkeypatch.setattr(feeding._Decoded, "__getitem__", counted)
    networks = [TINY, Variant(**{**TINY.to_dict(), "block_config": (1, 1), "growth": 8})]
    trained(data, tmp_path, networks, seeds=(0, 1), folds=2)
    assert sorted(decoded) == list(range(36))
    trained(data, tmp_path, networks, seeds=(0, 1), folds=2)
    assert len(decoded) == 36


def plan_of(data: Path, out: Path, **said: object) -> planning.TrainPlan:
    return planning.TrainPlan(
        targets=(FamilyTarget(TINY),), data=data, out=out, recipe=Recipe(epochs=2, batch=8), threads=1, **said
    )


def test_an_input_is_normalised_by_the_definition() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)).astype(np.uint8)
    wanted = ((torch.from_numpy(pixels).double() / 255 - MEAN) / STD).permute(0, 3, 1, 2).float()
    for layout in (False, True):
        given = as_input(pixels, torch.device("cpu"), channels_last=layout)
        torch.testing.assert_close(given, wanted)
        assert given.is_contiguous(memory_format=torch.channels_last if layout else torch.contiguous_format)


# -- what goes wrong -------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_with_the_step_and_the_last_good_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = stepping.Stepper.step, []

    def broken(self: stepping.Stepper, *args: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss, right = step(self, *args)
        calls.append(1)
        return (loss * math.nan if len(calls) == 4 + 6 else loss), right  # four are the preflight's

    monkeypatch.setattr(stepping.Stepper, "step", broken)
    (outcome,) = trained(data, tmp_path, epochs=3).runs
    assert isinstance(outcome.error, TrainingError)
    assert "the loss is nan in epoch 2, step 6" in outcome.error.what
    assert "last.safetensors is of step 3 (1 epochs), before it" in outcome.error.what
    assert len(outcome.epochs) == 1
    monkeypatch.setattr(stepping.Stepper, "step", step)
    (outcome,) = trained(data, tmp_path, epochs=3).runs
    assert outcome.error is None
    assert len(outcome.epochs) == 3


def test_a_weight_that_is_no_number_is_never_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step of the second epoch breaks the weights, its loss is a number."""
    from analyzer.targets.checkpoints import read_header

    step, calls = stepping.Stepper.step, []

    def breaking(self: stepping.Stepper, *args: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        made = step(self, *args)
        calls.append(1)
        if len(calls) == 4 + 6:
            with torch.no_grad():
                next(self.model.parameters()).mul_(math.nan)
        return made

    monkeypatch.setattr(stepping.Stepper, "step", breaking)
    (outcome,) = trained(data, tmp_path, epochs=3).runs
    assert "a weight is no number after epoch 2, step 6" in outcome.error.what
    assert len(outcome.epochs) == 1
    (path,) = tmp_path.glob("runs/*/last.safetensors")
    assert read_header(path).checkpoint.epoch == 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in load_file(path).values() if tensor.is_floating_point())


def test_memory_that_runs_out_shrinks_the_parts_and_not_the_batch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, told = stepping.Stepper.step, []

    def small(self: stepping.Stepper, images: torch.Tensor, labels: torch.Tensor) -> object:
        if self.micro > 4 and len(told) > 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, images, labels)

    monkeypatch.setattr(stepping.Stepper, "step", small)
    watch = planning.TrainWatch(began=lambda *_: told.append("began"), warn=told.append)
    done = execution.execute(plan_of(data, tmp_path), watch)
    (outcome,) = done.runs
    assert len(outcome.epochs) == 2
    assert any("parts of 4 at the same batch of 8" in word for word in told)
    monkeypatch.setattr(stepping.Stepper, "step", step)
    monkeypatch.setattr(preflight, "free_bytes", lambda device: 10**12)
    trained(data, tmp_path, epochs=3, accept=True)  # goes on in parts of 4
    with closing(RunsFile(tmp_path / NAME)) as runs:
        (config,) = runs.configs().values()
    assert (config.micro, config.recipe.batch, config.recipe.epochs) == (4, 8, 3)


def test_too_little_memory_is_said_before_the_first_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analyzer.reading.prediction import predict_memory

    asked = preflight.training_of(Recipe(), torch.device("cpu"))
    variant = Variant(**{**TINY.to_dict(), "block_config": (1, 1), "classes": 3})
    at_2 = predict_memory(variant, 2, asked).peak_training_bytes
    monkeypatch.setattr(preflight, "free_bytes", lambda device: int(at_2 / preflight.SHARE) + 1)
    ready = execution.dry_run(plan_of(data, tmp_path / "a"), planning.TrainWatch())
    assert (ready[0].need.micro, ready[0].need.peak_bytes) == (2, at_2)
    assert "batch norm sees 2 images" in " ".join(ready[0].doubts)
    monkeypatch.setattr(preflight, "free_bytes", lambda device: 1000)
    with pytest.raises(UsageError, match=r"for one image, and .* are free on cpu"):
        execution.dry_run(plan_of(data, tmp_path / "b"), planning.TrainWatch())


def test_a_model_of_other_classes_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "def build(num_classes=10, wide=4):\n"
        "    return nn.Sequential(nn.Conv2d(3, wide, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),"
        " nn.Linear(wide, num_classes))\n"
        "def lost():\n    return nn.Linear(3, 3)\n"
    )
    own = f"{tmp_path}/own.py:build"
    with pytest.raises(TargetError, match=r"\(8, 10\), and the data has 3 classes.*num_classes=3"):
        trained(data, tmp_path / "out", own, image=16)
    with pytest.raises(TargetError, match=r"can't take a step on images of \(N, 3, 16, 16\)"):
        trained(data, tmp_path / "out", f"{tmp_path}/own.py:lost", image=16)
    with pytest.raises(UsageError, match="give --image"):
        trained(data, tmp_path / "out", own)
    (outcome,) = trained(data, tmp_path / "out", own, image=16, kwargs={"num_classes": 3}).runs
    assert outcome.config.network == "build_num-classes=3_n3_s16" or "num_classes=3" in outcome.config.network
    grey = trained(data, tmp_path / "grey", f"{tmp_path}/own.py:build", kwargs={"num_classes": 3}, inputs=["1,3,16,16"])
    assert grey.runs[0].epochs[0].test_accuracy is not None
