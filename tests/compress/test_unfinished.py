"""Plans that are interrupted: what is finished is kept, and the same plan goes on to the same network."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import run_here
from compressions import TINY, Mixed, roused, same, state
from safetensors.torch import save_file

import analyzer as an
from analyzer.compressing.budgets import Budget
from analyzer.compressing.execution import compress
from analyzer.compressing.original import Original, of_variant, original_of
from analyzer.compressing.pictures import pictures_of
from analyzer.compressing.plan import plan_of
from analyzer.compressing.planning import CompressPlan, CompressWatch
from analyzer.compressing.result import Compressed
from analyzer.errors import UsageError
from analyzer.training.recipe import recipe

OWN = f"{Path(__file__).parent / 'compressions.py'}:Mixed"
DENSE = an.Variant(block="dense", block_config=(2, 1), growth=8, init=12, image=16, stem="small", bn_size=2)


def carried_out(
    original: Original,
    text: str,
    data: Path,
    out: Path | None,
    stop: str = "never",
    params: int = 1000,
    lr: float = 0.01,
) -> Compressed:
    """A plan, interrupted as by Ctrl-C once something is said that begins with `stop`."""

    def say(words: str) -> None:
        if words.startswith(stop):
            raise KeyboardInterrupt

    pictures = pictures_of(data, original, recipe({"batch": 8, "lr": lr}))
    plan = CompressPlan(
        original=original, budget=Budget(max_params=params), steps=plan_of(text), pictures=pictures, out=out
    )
    return compress(plan, CompressWatch(say))


def interrupted(original: Original, text: str, data: Path, out: Path, stop: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        carried_out(original, text, data, out, stop)
    assert not out.exists()
    assert out.with_name(f"{out.name}.unfinished").is_dir()


@pytest.mark.parametrize(
    ("variant", "plan", "stop"),
    [
        (TINY, "prune l2 global 1/2, recalibrate, prune taylor", "prune l2 global 1/2"),
        (TINY, "prune local 1/2, finetune 3, recalibrate", "epoch 2 of 3"),
        (DENSE, "svd lowrank, scratch 2, prune l1", "svd lowrank"),
        (DENSE, "svd 1/2, distill 2, prune l1", "epoch 1 of 2"),
    ],
)  # fmt: skip
def test_what_is_interrupted_goes_on_to_the_same_network(
    variant: an.Variant, plan: str, stop: str, data: Path, tmp_path: Path
) -> None:
    """Bits, map and record; and then nothing is left beside the result."""
    original, out = of_variant(variant), tmp_path / "small.safetensors"
    whole = carried_out(original, plan, data, None)
    interrupted(original, plan, data, out, stop)
    again = carried_out(original, plan, data, out)
    assert same(state(again.model), state(whole.model))
    assert again.map == whole.map
    assert again.record == whole.record
    assert list(tmp_path.iterdir()) == [out]
    assert same(state(original_of(str(out)).model), state(whole.model))


def test_finished_steps_are_not_done_again(data: Path, tmp_path: Path) -> None:
    """What is told of the second time is what was left."""
    original, out = of_variant(TINY), tmp_path / "small.safetensors"
    interrupted(original, "prune 1/2, finetune 3, recalibrate", data, out, "epoch 2 of 3")
    said: list[str] = []
    pictures = pictures_of(data, original, recipe({"batch": 8, "lr": 0.01}))
    plan = CompressPlan(
        original=original, budget=Budget(max_params=1000), steps=plan_of("prune 1/2, finetune 3, recalibrate"),
        pictures=pictures, out=out,
    )  # fmt: skip
    compress(plan, CompressWatch(said.append))
    assert said[0] == "goes on after prune l2 global 1/2"
    assert [words.partition(":")[0] for words in said[1:4]] == ["epoch 3 of 3", "finetune 3", "recalibrate"]


@pytest.mark.slow
def test_a_model_of_ones_own_that_was_compressed_before_goes_on_too(data: Path, tmp_path: Path) -> None:
    """Its map is one of the model itself, its weights are those of a checkpoint of it."""
    save_file(roused(Mixed(classes=2), dtype=torch.float32).state_dict(), tmp_path / "own.safetensors")
    target = f"{OWN}@{tmp_path / 'own.safetensors'}"
    first = an.compress(
        target, an.Budget(max_params=7000), "prune", inputs=(1, 3, 16, 16), kwargs={"classes": 2}, quiet=True
    )
    first.save(tmp_path / "first.safetensors")
    again = f"{OWN}@{tmp_path / 'first.safetensors'}"
    plan, out, budget = "prune 1/2, svd 1/2, prune", tmp_path / "small.safetensors", Budget(max_params=3000)
    for stop in ("prune l2 global 1/2", "svd 1/2"):

        def say(words: str, stop: str = stop) -> None:
            if words.startswith(stop):
                raise KeyboardInterrupt

        original = original_of(again, kwargs=["classes=2"])
        pictures = pictures_of(data, original, recipe({"batch": 8}))
        asked = CompressPlan(original=original, budget=budget, steps=plan_of(plan), pictures=pictures, out=out)
        with pytest.raises(KeyboardInterrupt):
            compress(asked, CompressWatch(say))
    made = compress(asked, CompressWatch())
    whole = compress(
        CompressPlan(original=original, budget=budget, steps=asked.steps, pictures=pictures), CompressWatch()
    )
    assert same(state(made.model), state(whole.model))
    assert made.map == whole.map
    assert same(state(original_of(f"{OWN}@{out}", kwargs=["classes=2"]).model), state(whole.model))


def test_another_plan_does_not_go_on_from_there_and_nothing_is_lost(data: Path, tmp_path: Path) -> None:
    original, out = of_variant(TINY), tmp_path / "small.safetensors"
    interrupted(original, "prune 1/2, recalibrate, prune", data, out, "recalibrate")
    kept = out.with_name("small.safetensors.unfinished") / "network.safetensors"
    before = kept.read_bytes()
    for what, change in {
        "plan": {"text": "prune l1, recalibrate"}, "limits": {"params": 900}, "recipe": {"lr": 0.02},
        "network": {"original": of_variant(TINY, seed=1)},
    }.items():  # fmt: skip
        asked = {"original": original, "text": "prune 1/2, recalibrate, prune", **change}
        with pytest.raises(UsageError, match=f"begun with another {what}") as told:
            carried_out(data=data, out=out, **asked)
        assert "delete that folder" in told.value.fix
    assert kept.read_bytes() == before
    # A longer end is the same beginning.
    made = carried_out(original, "prune 1/2, recalibrate, prune taylor, recalibrate", data, out)
    assert [done.step for done in made.record.steps][-1] == "recalibrate"


def test_epochs_of_another_recipe_are_kept_beside(data: Path, tmp_path: Path) -> None:
    """Interrupted, asked for fewer epochs and interrupted again, the first command goes on from where it was."""
    original, out = of_variant(TINY), tmp_path / "small.safetensors"
    whole = carried_out(original, "prune, finetune 4", data, None)
    interrupted(original, "prune, finetune 4", data, out, "epoch 3 of 4")
    interrupted(original, "prune, finetune 2", data, out, "epoch 1 of 2")
    with pytest.raises(KeyboardInterrupt):
        carried_out(original, "prune, finetune 4", data, out, "epoch 4 of 4")
    again = carried_out(original, "prune, finetune 4", data, out, "epoch 3 of 4")
    assert same(state(again.model), state(whole.model))


def test_what_fails_before_anything_is_finished_leaves_nothing(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="out of reach"):
        carried_out(of_variant(TINY), "prune, recalibrate", data, tmp_path / "small.safetensors", params=5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_command_that_is_killed_goes_on(data: Path, tmp_path: Path) -> None:
    """By SIGKILL in the midst of fine-tuning; the result is that of a command that was not."""
    plan = ("--max-params", "1000", "--plan", "prune 1/2, finetune 60, prune", "--data", str(data), "--batch", "8",
            "--device", "cpu", "--threads", "1")  # fmt: skip
    command = [sys.executable, "-m", "analyzer", "compress", TINY.name, *plan, "--out", "killed.safetensors"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 3 of 60"):
                process.send_signal(signal.SIGKILL)
                break
    assert not (tmp_path / "killed.safetensors").exists()
    done = run_here("compress", TINY.name, *plan, "--out", "killed.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "goes on after prune l2 global 1/2" in done.stderr
    assert "epoch 2 of 60" not in done.stderr
    done = run_here("compress", TINY.name, *plan, "--out", "whole.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, other = (original_of(str(tmp_path / f"{name}.safetensors")) for name in ("killed", "whole"))
    assert same(state(one.model), state(other.model))
    assert one.about == other.about
    assert {path.name for path in tmp_path.iterdir()} == {"killed.safetensors", "whole.safetensors"}
