"""Values that a forward decides by, where its weights have none: small stand-ins, and the CPU within a bound."""

import json
import subprocess
import sys

import pytest
import torch
from counted import Call, count, meta
from torch import nn

import analyzer as an
from analyzer.errors import CountError
from analyzer.tracing.room import OnCpu
from analyzer.tracing.trace import count_module

TOKENS, WIDTH, EXPERTS, CHOSEN = 6, 8, 4, 2


def routed(layers, x):
    """Each token to two of four experts, by a router; a loop over the experts that any token goes to."""
    _, chosen = layers[0](x).topk(CHOSEN, dim=-1)
    mask = nn.functional.one_hot(chosen, EXPERTS).permute(2, 1, 0)
    out = torch.zeros_like(x)
    for expert in mask.sum((1, 2)).nonzero().flatten().tolist():
        _, tokens = torch.where(mask[expert])
        out = out.index_add(0, tokens, layers[1 + expert](x[tokens]))
    return out


def router_and_experts():
    return [nn.Linear(WIDTH, EXPERTS, bias=False), *(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(EXPERTS))]


def test_tokens_go_to_as_many_experts_as_are_chosen():
    """By hand: the router of each token, and two experts of each; wherever they go."""
    record = count(Call(routed, *router_and_experts()).to("meta"), meta(TOKENS, WIDTH))
    assert record.macs == TOKENS * WIDTH * (EXPERTS + CHOSEN * WIDTH)
    assert any("stand-ins" in note for note in record.notes)
    torch.manual_seed(0)
    counter = torch.utils.flop_counter.FlopCounterMode(display=False)
    with counter, torch.no_grad():
        Call(routed, *router_and_experts())(torch.randn(TOKENS, WIDTH))
    assert record.macs == counter.get_total_flops() // 2


def test_masks_are_the_forwards_own():
    """Rows at even places, told by a mask that is computed and written into, are half of them."""

    def forward(layers, x):
        mask = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        mask[::2] = True
        return layers[0](x[mask]) if mask.any() and int(mask.sum()) < len(x) else x

    assert count(Call(forward, nn.Linear(8, 4, bias=False)).to("meta"), meta(6, 8)).macs == 3 * 8 * 4


def test_integer_inputs_have_their_values():
    def forward(layers, ids):
        return layers[1](layers[0](ids)[ids != 0])

    model = Call(forward, nn.Embedding(9, 8), nn.Linear(8, 4, bias=False)).to("meta")
    assert count(model, torch.tensor([[3, 0, 5, 0, 7]])).macs == 3 * 8 * 4


def test_a_branch_on_features_takes_their_values():
    """The given ones are positive; of zeros, which stand in for features elsewhere, none is."""

    def forward(layers, x):
        return layers[0](x) if (layers[0](x).abs() + x > 0).any().tolist() else x

    record = count(Call(forward, nn.Linear(8, 8, bias=False)), torch.ones(2, 8))
    assert record.macs == 2 * 2 * 8 * 8
    assert any("on CPU on the given values" in note for note in record.notes)


# -- the CPU ----------------------------------------------------------------------------------------------------


class ByValue(nn.Module):
    """Goes by a value that only its weights have."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64, bias=False)

    def forward(self, x):
        return self.linear(x) if self.linear.weight.detach().numpy().sum() != 0.5 else x


def test_a_run_on_the_cpu_says_what_it_takes_before_it_begins():
    x, weights = torch.zeros(1, 64), 4 * (64 * 64 + 64)
    assert count_module(ByValue(), [x], name="m", on_cpu=OnCpu(memory=weights)).macs == 64 * 64
    with pytest.raises(CountError, match="run on the CPU, which takes") as caught:
        count_module(ByValue(), [x], name="m", on_cpu=OnCpu(memory=weights - 1))
    assert "--cpu-memory" in caught.value.fix
    with pytest.raises(CountError, match="over the"):
        an.analyze(ByValue(), inputs=x, cpu_memory=weights - 1)


def test_a_model_on_meta_is_there_twice():
    """Once made, once copied."""
    weights, x = 2 * 4 * (64 * 64 + 64), meta(1, 64)
    made = OnCpu(ByValue, weights)
    assert count_module(ByValue().to("meta"), [x], name="m", on_cpu=made).macs == 64 * 64
    with pytest.raises(CountError, match="over the"):
        count_module(ByValue().to("meta"), [x], name="m", on_cpu=OnCpu(ByValue, weights - 1))


# -- from Python and from a configuration ------------------------------------------------------------------------


def test_keyword_inputs_alone():
    class Keyed(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, *, hidden, scale=1.0):
            return self.linear(hidden) * scale

    assert an.analyze(Keyed(), kwargs={"hidden": an.Shape(2, 4)}).macs == 2 * 4 * 3
    assert an.predict_memory(Keyed(), kwargs={"hidden": an.Shape(2, 4)}).peak_inference_bytes > 4 * 2 * 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_grouped_products_count_at_any_dtype(dtype):
    """Five rows of 8 shared out among three groups of 8 x 16, with the result of torch's own CPU kernel."""

    def forward(layers, x):
        ends = torch.tensor([1, 3, 5], dtype=torch.int32, device=x.device)
        return torch._grouped_mm(x, layers[0].weight.view(3, 8, 16), offs=ends)

    model = Call(forward, nn.Linear(16, 24, bias=False)).to(dtype)
    assert count(model.to("meta"), torch.empty(5, 8, dtype=dtype, device="meta")).macs == 5 * 8 * 16


@pytest.mark.slow
def test_a_configuration_that_is_not_there_says_how_to_have_it(tmp_path):
    for place, words in {"": "is no configuration", "none": "there is no file"}.items():
        (tmp_path / "config.json").write_text("{")
        target = f"hf:{tmp_path / place}"
        done = subprocess.run([sys.executable, "-m", "analyzer", "show", target], capture_output=True, text=True)
        assert done.returncode in (2, 3)
        assert words in done.stderr


def test_a_configuration_of_transformers_is_a_target(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": 1}')
    command = [sys.executable, "-m", "analyzer", "show", f"hf:{tmp_path}", "--input", "input_ids=1,7:int64"]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["params"] == 23_837_184 + 7_087_872 + 590_592  # embeddings, a layer, a pooler
