"""Levers that learn or inherit: what changes, what stays, what the record says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from compressions import TINY, Mixed, network, roused, same, state
from safetensors.torch import save_file
from torch import nn

import analyzer as an
from analyzer.api.training import train
from analyzer.building.modules import build
from analyzer.compressing.distilling import Distiller
from analyzer.compressing.inheriting import inherited
from analyzer.compressing.original import of_module, of_variant, original_of
from analyzer.compressing.pictures import pictures_of
from analyzer.compressing.tuning import recalibrate, trained
from analyzer.errors import UsageError
from analyzer.training.recipe import recipe

pytestmark = pytest.mark.slow

RUN = {"epochs": 1, "batch": 8, "quiet": True, "threads": 1}
LEARN = {"batch": 8, "lr": 1e-3, "quiet": True}


def meta(size: int) -> list[torch.Tensor]:
    return [torch.zeros(1, 3, size, size, device="meta", dtype=torch.float64)]


def batch(size: int) -> list[torch.Tensor]:
    return [torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)]


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


# -- inheriting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        (an.Variant(block_config=(2, 2), init=8, image=32), an.Variant(block_config=(2, 2), init=5, image=32)),
        (
            an.Variant(block="dense", block_config=(3, 2), growth=8, init=12, image=32),
            an.Variant(block="dense", block_config=(3, 2), growth=5, init=7, image=32),
        ),
        (
            an.Variant(block="bottleneck", block_config=(2, 1), init=8, image=32),
            an.Variant(block="bottleneck", block_config=(2, 1), init=4, image=32),
        ),
    ],
)
def test_a_narrower_variant_inherits_slices_and_answers_as_the_whole_without_the_others(whole, part) -> None:
    model = network(whole)
    made, cuts, lacks = inherited(model, part, batch(32), meta(32))
    assert lacks == 0
    assert shapes(made) == shapes(build(part))
    silent = network(whole)
    for path, cut in cuts.modules.items():
        module = silent.get_submodule(path)
        if cut.outputs is not None:
            for tensor in (module.weight, module.bias):
                if tensor is not None:
                    tensor.data[torch.from_numpy(~cut.outputs.flags())] = 0
    with torch.inference_mode():
        wanted, got = silent(*batch(32)), made(*batch(32))
    assert float((wanted - got).abs().max() / wanted.abs().max()) < 1e-10


def test_a_shallower_variant_inherits_the_first_layers_of_each_stage() -> None:
    """Of a dense stage what its last layers add is cut from all that reads it; by hand: leading rows and columns."""
    whole = an.Variant(block="dense", block_config=(3, 2), growth=4, bn_size=2, init=6, compression=1.0, image=32)
    part = replace(whole, block_config=(1, 1))
    model = network(whole)
    made, _, lacks = inherited(model, part, batch(32), meta(32))
    assert lacks == 6
    assert same(state(made.features.denseblock1.denselayer1), state(model.features.denseblock1.denselayer1))
    assert torch.equal(made.features.transition1.norm.weight, model.features.transition1.norm.weight[:10])
    assert made.features.transition1.conv.weight.shape == (10, 10, 1, 1)
    assert made(*batch(32)).shape == (2, 2)


def test_what_is_no_part_of_it_can_not_inherit() -> None:
    model = network(TINY)
    for other in (replace(TINY, init=9), an.Variant(block="dense", growth=4, image=16, block_config=(2, 1))):
        with pytest.raises(UsageError, match="can't inherit"):
            inherited(model, other, batch(16), meta(16))


def test_the_widest_narrower_variant_under_a_budget() -> None:
    """One wider is over it, by the counting core."""
    made = an.compress(TINY, an.Budget(max_params=1000), "inherit", quiet=True)
    wider = replace(made.variant, init=made.variant.init + 1)
    assert an.analyze(made.variant).params <= 1000 < an.analyze(wider).params
    assert made.record.after["params"] == an.analyze(made.variant).params
    assert made.record.steps[0].did.startswith(f"it is {made.variant.name}")


# -- learning ----------------------------------------------------------------------------------------------------


def test_recalibrating_takes_the_means_of_the_images_and_leaves_the_weights(data: Path) -> None:
    original = of_variant(TINY)
    pictures = pictures_of(data, original, recipe({"batch": 8}))
    model = roused(build(TINY), dtype=torch.float32)
    before = state(model)
    seen: list[torch.Tensor] = []
    hook = model.features.conv0.register_forward_hook(lambda module, inputs, gave: seen.append(gave))
    assert recalibrate(model, pictures) == sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    hook.remove()
    means = torch.stack([gave.mean((0, 2, 3)) for gave in seen]).mean(0)
    torch.testing.assert_close(model.features.denseblock1.denselayer1.norm1.running_mean, means)
    changed = {name for name, tensor in state(model).items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked") for name in changed)
    assert not any(module.training for module in model.modules())


def test_fine_tuning_goes_on_from_the_weights_and_counts_every_epoch(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run's own split is kept, its epochs are in the record, and what it was is still there."""
    runs = train(TINY, data, out=tmp_path / "runs", fractions=(0.5, 0.25, 0.25), **{**RUN, "epochs": 2})
    path = runs.checkpoint(runs.runs[0].config.run)
    whole = path.read_bytes()
    made = an.compress(
        str(path), an.Budget(max_params=1000), "prune l2 global 1/2, finetune 1, prune taylor, finetune 2, recalibrate",
        data=data, split=next((tmp_path / "runs").glob("split*.json")), **LEARN,
    )  # fmt: skip
    assert path.read_bytes() == whole
    assert [done.epochs for done in made.record.steps] == [2, 2, 3, 3, 5, 5]
    assert (made.record.source_epochs, made.record.epochs) == (2, 5)
    sizes = [done.figures["params"] for done in made.record.steps]
    assert sizes[0] > sizes[1] == sizes[2] > sizes[3] == sizes[5] <= 1000
    assert all(0 <= done.test_accuracy <= 1 for done in made.record.steps)
    assert len(made.map.steps) == 1
    kept = made.save(tmp_path / "small.safetensors")
    again = an.compress(str(kept), an.Budget(max_params=700), quiet=True)
    assert again.record.source_epochs == 5
    assert made.record.split is not None
    capsys.readouterr()
    an.compress(str(kept), None, "recalibrate", data=data, batch=8)
    assert "some that test now may have trained it" in capsys.readouterr().err


def test_the_control_is_trained_as_long_from_weights_drawn_anew(data: Path, tmp_path: Path) -> None:
    runs = train(TINY, data, out=tmp_path / "runs", **{**RUN, "epochs": 2})
    path = str(runs.checkpoint(runs.runs[0].config.run))
    budget = an.Budget(max_params=1000)
    tuned = an.compress(path, budget, "prune l2 global, finetune 1", data=data, **LEARN)
    control = an.compress(path, budget, "prune l2 global, scratch 3", data=data, **LEARN)
    assert shapes(control.model) == shapes(tuned.model)
    assert control.record.epochs == tuned.record.epochs == 3
    other = an.compress(path, budget, "prune l2 global, scratch", data=data, seed=1, **LEARN)
    assert other.record.epochs == 2
    assert not torch.equal(next(other.model.parameters()), next(control.model.parameters()))


@pytest.mark.parametrize("hint", ["logits", "features"])
def test_distillation_brings_a_network_nearer_to_its_teacher(hint: str, data: Path) -> None:
    """By the answers on training images; and it says whom it learned from."""
    teacher = of_variant(TINY, seed=5)
    teacher.model.classifier.weight.data.mul_(20)
    pictures = pictures_of(data, teacher, recipe({"batch": 8, "lr": 3e-3}))
    learner = build(replace(TINY, init=6), seed=1).eval()
    images = torch.cat([part for part, _ in pictures.batches()])

    def far(model: nn.Module) -> float:
        with torch.inference_mode():
            return float(nn.functional.kl_div(
                torch.log_softmax(model(images), 1), torch.log_softmax(teacher.model(images), 1), log_target=True,
                reduction="batchmean",
            ))  # fmt: skip

    def taught(trainer) -> None:
        trainer.stepper = Distiller(trainer, teacher.model, hint)

    lines = []
    made = trained(learner, pictures, 6, lambda config, epoch: lines.append(epoch.log_train_loss), taught)
    assert len(lines) == 6
    assert lines[-1] < lines[0]
    if hint == "logits":
        assert far(made) < far(learner)
    assert state(made).keys() == state(learner).keys()


def test_a_network_without_stages_is_taught_by_answers_alone(data: Path) -> None:
    """And the classes must be those of the images."""
    with pytest.raises(UsageError, match="knows no stages"):
        an.compress(Mixed(classes=2), None, "distill 1 features", data=data, inputs=(1, 3, 16, 16), **LEARN)
    assert of_module(Mixed(), (1, 3, 16, 16)).epochs is None


def test_images_of_other_classes_are_refused(data: Path, tmp_path: Path) -> None:
    runs = train(TINY, data, out=tmp_path / "runs", **RUN)
    path = str(runs.checkpoint(runs.runs[0].config.run))
    (tmp_path / "others").mkdir()
    for name in ("dark", "grey"):
        (tmp_path / "others" / name).symlink_to(data / "dark")
    with pytest.raises(UsageError, match=r"has the classes dark, grey, and .* was trained on dark, light"):
        an.compress(path, an.Budget(max_params=1000), "finetune 1", data=tmp_path / "others", **LEARN)


def test_every_lever_takes_a_network_of_ones_own(data: Path, tmp_path: Path) -> None:
    """One outside the family, with concatenations and groups; and it comes back to the bit."""
    model = Mixed(classes=2)
    save_file(model.state_dict(), tmp_path / "own.safetensors")
    own = f"{Path(__file__).parent / 'compressions.py'}:Mixed"
    made = an.compress(
        f"{own}@{tmp_path / 'own.safetensors'}", an.Budget(max_params=4000),
        "prune taylor local 1/2, finetune 1, svd 1/2, distill 1, recalibrate, prune l1, scratch 1",
        data=data, inputs=(1, 3, 16, 16), kwargs={"classes": 2}, **LEARN,
    )  # fmt: skip
    assert made.record.after["params"] == sum(p.numel() for p in made.model.parameters()) <= 4000
    assert made.record.source_epochs is None
    assert [done.epochs for done in made.record.steps] == [None] * 7 + [1]
    path = made.save(tmp_path / "small.safetensors")
    assert same(state(original_of(f"{own}@{path}").model), state(made.model))


def test_a_variant_of_other_classes_is_refused_and_the_right_one_named(data: Path) -> None:
    other = replace(TINY, classes=7)
    with pytest.raises(UsageError, match=r"has 2 classes, and .*_n7.* has 7") as told:
        an.compress(other, an.Budget(max_params=1000), "prune l2 global, recalibrate", data=data, quiet=True)
    assert replace(TINY, classes=2).name in told.value.fix
