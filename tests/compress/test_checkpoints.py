"""A compressed network as a file: it comes back to the bit, every verb takes it, its source is never touched."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import run_here
from compressions import TINY, Mixed, mixed, same, state
from safetensors.torch import save_file

import analyzer as an
from analyzer.api.training import train
from analyzer.compressing.original import original_of
from analyzer.errors import UsageError
from analyzer.measurements import Conditions
from analyzer.measuring.job import Job
from analyzer.measuring.measure import subject_of
from analyzer.measuring.worker import made as made_to_measure
from analyzer.targets.checkpoints import read_header, read_tensors
from analyzer.targets.resolving import resolve

BUDGET = an.Budget(max_params=1000)
OWN = f"{Path(__file__).parent / 'compressions.py'}:Mixed"


def shown(path: str, cwd: Path) -> dict[str, Any]:
    done = run_here("show", path, "--format", "json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_no_variant_comes_back_to_the_bit_and_is_counted_as_it_is(tmp_path: Path) -> None:
    made = an.compress(TINY, BUDGET, quiet=True)
    assert made.variant is None
    made.save(tmp_path / "small.safetensors")
    again = original_of(str(tmp_path / "small.safetensors"))
    assert same(state(again.model), state(made.model))
    record = shown("small.safetensors", tmp_path)
    assert record["params"] == made.record.after["params"] == sum(p.numel() for p in made.model.parameters())
    assert record["macs"] == made.record.after["macs"]
    assert record["uncounted"] == []


def test_what_is_a_variant_is_that_variants_checkpoint(tmp_path: Path) -> None:
    whole, half = (
        an.Variant(growth="double", init=8, block_config=(1, 1), image=32),
        an.Variant(growth="double", init=4, block_config=(1, 1), image=32),
    )
    made = an.compress(whole, an.Budget(max_params=an.analyze(half).params), "prune l1 local", quiet=True)
    path = made.save(tmp_path / "half.safetensors")
    assert read_header(path).checkpoint.family() == half
    assert shown("half.safetensors", tmp_path)["target"]["variant"]["init"] == 4
    assert same(state(original_of(str(path)).model), state(made.model))


def test_a_report_takes_a_checkpoint_that_is_a_variant_and_judges_the_last(tmp_path: Path) -> None:
    """Its row has the variant's name, not the file's."""
    whole, half = an.Variant(init=8, block_config=(1, 1), image=32), an.Variant(init=4, block_config=(1, 1), image=32)
    for name, variant in {"whole": whole, "half": half}.items():
        an.compress(variant, an.Budget(max_params="1G"), quiet=True).save(tmp_path / f"{name}.safetensors")
    done = run_here("report", "whole.safetensors", "half.safetensors", "--format", "md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"| params | exact | {an.analyze(half).params:,} | {an.analyze(whole).params:,} |" in done.stdout
    assert run_here("report", "half.safetensors", "--out", "r.html", cwd=tmp_path).returncode == 0


def test_a_model_of_ones_own_is_named_with_its_weights(tmp_path: Path) -> None:
    """As safetensors of another program, and as torch.save writes; the compressed one is named as its source was."""
    model = mixed().float()
    save_file(model.state_dict(), tmp_path / "own.safetensors")
    torch.save(model.state_dict(), tmp_path / "own.pt")
    made = [
        an.compress(f"{OWN}@{tmp_path / name}", an.Budget(max_macs="1M"), inputs=(1, 3, 16, 16), quiet=True)
        for name in ("own.safetensors", "own.pt")
    ]
    assert same(state(made[0].model), state(made[1].model))
    path = made[0].save(tmp_path / "small.safetensors")
    record = shown(f"{OWN}@{path}", tmp_path)
    assert record["params"] == made[0].record.after["params"]
    assert record["macs"] == made[0].record.after["macs"] <= 1_000_000
    assert same(state(original_of(f"{OWN}@{path}").model), state(made[0].model))
    require_measured(f"{OWN}@{path}", made[0].record.after["params"])
    done = run_here("show", str(path), cwd=tmp_path)
    assert done.returncode == 2
    assert f"{OWN}@{path}" in done.stderr


def test_a_module_is_left_as_it_is() -> None:
    model = Mixed().train()
    before = state(model)
    made = an.compress(model, an.Budget(max_params=4000), inputs=(1, 3, 16, 16), quiet=True)
    assert same(state(model), before)
    assert model.training
    assert sum(p.numel() for p in made.model.parameters()) <= 4000


def test_compressed_again_it_is_one_cut_of_what_it_was(tmp_path: Path) -> None:
    first = an.compress(TINY, an.Budget(max_params=1200), quiet=True)
    path = first.save(tmp_path / "first.safetensors")
    second = an.compress(str(path), an.Budget(max_params=800), quiet=True)
    assert len(second.map.steps) == 1
    again = original_of(str(second.save(tmp_path / "second.safetensors")))
    assert same(state(again.model), state(second.model))
    assert second.record.before == first.record.after


@pytest.mark.parametrize(
    "plan", ["inherit {shallower}, prune", "inherit {shallower}, svd 1/2, prune", "svd lowrank, prune"]
)
def test_what_is_cut_out_of_another_variant_than_it_was_made_from_comes_back(
    plan: str, tmp_path: Path, data: Path
) -> None:
    """Fewer layers, or layers of other names: its map is one of the variant that it was on its way."""
    deep = an.Variant(block="dense", block_config=(3, 2), growth=8, bn_size=2, init=12, image=16, stem="small")
    shallower = dataclasses.replace(deep, block_config=(2, 1))
    text = plan.format(shallower=shallower.name)
    made = an.compress(deep, an.Budget(max_params=1200), text, data=data, batch=8, quiet=True)
    assert made.variant is None
    path = made.save(tmp_path / "small.safetensors")
    assert same(state(original_of(str(path)).model), state(made.model))
    assert shown(str(path), tmp_path)["params"] == made.record.after["params"] <= 1200


def require_measured(target: str, params: int) -> None:
    """What a measuring process is told to run is the compressed network."""
    subject = subject_of(resolve(target))
    job = Job(model=subject, baseline=subject, device="cpu", batch=2, conditions=Conditions())
    model, args, _ = made_to_measure(subject, job, torch.device("cpu"), 2)
    assert sum(parameter.numel() for parameter in model.parameters()) == params
    assert len(model(*args)) == 2


@pytest.mark.slow
def test_every_verb_that_takes_checkpoints_takes_it(tmp_path: Path, data: Path) -> None:
    """show and compare count it; check holds it to a budget; measure runs it; train takes its form, predict its
    weights.
    """
    made = an.compress(TINY, BUDGET, "prune", data=data, quiet=True)
    path = made.save(tmp_path / "small.safetensors")
    params = made.record.after["params"]
    rows = json.loads(run_here("compare", str(path), "article", "--format", "json", cwd=tmp_path).stdout)
    assert f'"params": {params}' in json.dumps(rows)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.analyzer.models.small]\ntarget = "small.safetensors"\n'
        f"[tool.analyzer.models.small.budgets]\nparams = {{ max = {params} }}\n"
    )
    assert run_here("check", cwd=tmp_path).returncode == 0
    page = run_here("report", "small.safetensors", "--format", "md", cwd=tmp_path)
    assert f"| params | exact | {params:,} |" in page.stdout, page.stderr
    require_measured(str(path), params)
    runs = train(str(path), data, out=tmp_path / "runs", epochs=1, batch=8, quiet=True, threads=1)
    last = next((tmp_path / "runs").glob("runs/*/last.safetensors"))
    assert shown(str(last), tmp_path)["params"] == params
    assert not runs.runs[0].error
    image = next(data.rglob("*.png"))
    done = run_here("predict", str(path), str(image), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_source_stays_as_it_is(tmp_path: Path) -> None:
    an.compress(TINY, BUDGET, quiet=True).save(tmp_path / "a.safetensors")
    before = hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    done = run_here("compress", "a.safetensors", "--max-params", "700", "--out", "b.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "same.safetensors").hardlink_to(tmp_path / "a.safetensors")
    for out in ("a.safetensors", "./a.safetensors", "same.safetensors"):
        done = run_here("compress", "a.safetensors", "--max-params", "1k", "--out", out, cwd=tmp_path)
        assert done.returncode == 2
        assert "stays as it is" in done.stderr
    assert hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors", "same.safetensors"]


# -- what can't be -----------------------------------------------------------------------------------------------


def refused(*args: str, cwd: Path, code: int = 2) -> str:
    done = run_here("compress", *args, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_weights_that_do_not_match_name_both_and_the_first_that_differs(tmp_path: Path) -> None:
    torch.save({**mixed().state_dict(), "head.weight": torch.zeros(4, 10)}, tmp_path / "other.pt")
    said = refused(f"{OWN}@other.pt", "--input", "1,3,16,16", "--max-params", "1k", cwd=tmp_path)
    assert "other.pt" in said
    assert OWN in said
    assert "head.weight is (4, 10) there and (3, 10) here" in said


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    torch.save(mixed(), tmp_path / "whole.pt")
    said = refused(f"{OWN}@whole.pt", "--input", "1,3,16,16", "--max-params", "1k", cwd=tmp_path)
    assert "holds more than weights" in said
    (tmp_path / "noise.pt").write_bytes(b"noise" * 9)
    refused(f"{OWN}@noise.pt", "--input", "1,3,16,16", "--max-params", "1k", cwd=tmp_path)
    refused(f"{OWN}@none.pt", "--input", "1,3,16,16", "--max-params", "1k", cwd=tmp_path)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["article"], "has nothing to aim at"),
        (["article", "--max-params", "5M", "--plan", "finetune 2"], "needs images"),
        (["article", "--max-params", "5M", "--plan", "prune taylor"], "needs images"),
        (["article", "--max-params", "5M", "--plan", "prune, int8"], "give --out"),
        (["article", "--max-latency", "2ms"], "--on rtx4090"),
        (["article", "--max-params", "5M", "--device", "gpu9"], "unknown device 'gpu9'"),
        (["article", "--max-params", "many"], "is not a number"),
        (["article", "--max-params", "5M", "--out", "small.pt"], "is no name of a checkpoint"),
        ([OWN, "--max-params", "5M"], "say its size: --input"),
        ([OWN, "--input", "1,3,16,8", "--max-params", "5M"], "no batch of square images"),
        (["none.safetensors", "--max-params", "5M"], "can't be read"),
        (["article", "--under", "densenet122"], "did you mean 'densenet121'"),
        (["residual_b1-1_g8_r0.5_c0.5_i16_stemsmall_n3_s16", "--under", "densenet121"], "makes no network at 16 px"),
    ],
)
def test_bad_input(args: list[str], says: str, tmp_path: Path) -> None:
    assert says in refused(*args, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_map_of_another_network_is_refused(tmp_path: Path) -> None:
    """A changed mask is damage; a whole map of a network that is wider than it says is refused by the layer's name."""
    made = an.compress(TINY, BUDGET, quiet=True)
    path = made.save(tmp_path / "small.safetensors")
    whole = path.read_bytes()
    at = whole.index(b"mask")
    at += whole[at:].index(b":") + 3
    path.write_bytes(whole[:at] + (b"0" if whole[at : at + 1] != b"0" else b"1") + whole[at + 1 :])
    with pytest.raises(UsageError, match="damaged"):
        read_header(path)
    wide = an.compress(dataclasses.replace(TINY, init=10), BUDGET, quiet=True)
    wrong = dataclasses.replace(made, map=wide.map)
    wrong.save(tmp_path / "wrong.safetensors")
    with pytest.raises(UsageError, match="its map cuts 5 outputs of features"):
        original_of(str(tmp_path / "wrong.safetensors"))


@pytest.mark.slow
def test_int8_is_the_last_step_of_what_is_kept(tmp_path: Path) -> None:
    """Three files; the ONNX has the params of the checkpoint, by another counter."""
    pytest.importorskip("onnxruntime")
    out = tmp_path / "small.safetensors"
    done = run_here(
        "compress", TINY.name, "--max-params", str(BUDGET.max_params), "--plan", "prune, int8", "--out", str(out),
        "--format", "json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {path.name for path in tmp_path.iterdir()} == {"small.safetensors", "small.onnx", "small.int8.onnx"}
    held = sum(math.prod(tensor.shape) for tensor in read_tensors(out).values())
    assert told["exported"]["params"] == told["record"]["after"]["params"] < held
    assert Path(told["exported"]["int8"]["file"]).name == "small.int8.onnx"


# -- what was cut ------------------------------------------------------------------------------------------------


def test_the_map_says_what_was_cut_and_from_where(tmp_path: Path) -> None:
    """Row by row what the checkpoint's tensors are, and of the source's the very channels."""
    source = original_of(TINY.name).model
    made = an.compress(TINY, BUDGET, quiet=True)
    made.save(tmp_path / "small.safetensors")
    done = run_here("show", "small.safetensors", "--map", "--format", "json", cwd=tmp_path)
    said = json.loads(done.stdout)
    kept = said["steps"][0]["channels"]["features.conv0"]["outputs"]
    assert kept["width"] == 8
    assert torch.equal(source.features.conv0.weight[kept["kept"]], made.model.features.conv0.weight)
    assert said["parent"]["init"] == 8
    assert said["record"]["plan"] == "prune l2 global"
    done = run_here("show", "small.safetensors", "--map", "--format", "csv", cwd=tmp_path)
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert rows[0][:2] == ["layer", "outputs kept"]
    row = next(row for row in rows if row[0] == "features.conv0")
    assert row[1] == f"{len(kept['kept'])} of 8"
    assert "not pruned: classifier" in done.stderr


@pytest.mark.parametrize("target", ["article", "runs.db"])
def test_what_was_never_compressed_has_no_map(target: str, tmp_path: Path) -> None:
    done = run_here("show", target, "--map", cwd=tmp_path)
    assert done.returncode == 2
    assert "compressed checkpoint" in done.stderr
