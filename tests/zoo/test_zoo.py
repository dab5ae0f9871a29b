"""The zoo: exact multiply-accumulates by hand, sums that hold, and models that come back exactly as they were."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from zoo_models import ENTRIES

from analyzer.errors import CountError
from analyzer.tracing.trace import count_module

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ALL = pytest.mark.parametrize("name", ENTRIES)


def traced(name, device="meta", **options):
    entry = ENTRIES[name]
    args, kwargs = entry.tensors(device)
    return count_module(entry.build(), args, kwargs, name=name, **options)


def test_the_zoo_is_large_and_broad():
    by_hand = [entry for entry in ENTRIES.values() if entry.macs is not None]
    assert len(ENTRIES) >= 40
    assert len(by_hand) >= 25
    assert len({entry.kind for entry in ENTRIES.values()}) >= 10


@ALL
def test_macs_are_those_worked_out_by_hand(name):
    record = traced(name, strict=True)
    assert record.macs == ENTRIES[name].macs
    assert record.flops == 2 * record.macs
    assert record.uncounted == ()
    assert any("one path" in note for note in record.notes) == ENTRIES[name].values


@ALL
def test_layers_add_up_and_parameters_are_torchs(name):
    record, model = traced(name), ENTRIES[name].build()
    for figure in ("params", "macs", "conv_activations", "saved_bytes"):
        parts = [getattr(row, figure) for row in record.layers]
        total = getattr(record, figure)
        assert total == (None if None in parts else sum(parts))
    assert record.params == sum(parameter.numel() for parameter in model.parameters())
    assert len({row.path for row in record.layers}) == len(record.layers)
    assert {row.path for row in record.layers} <= set(dict(model.named_modules()))


@ALL
def test_saved_bytes_are_what_a_real_forward_keeps(name):
    """The same model, trained for one step on CPU: the storages its graph holds, parameters and buffers left out."""
    entry, record = ENTRIES[name], traced(name)
    if record.saved_bytes is None:
        assert any("no saved_bytes" in note for note in record.notes)
        return
    model = entry.build().train()
    if name == "BiLSTM":  # on CPU torch projects the inputs of all steps at once, from a copy of its own
        assert any("recurrent" in note for note in record.notes)
        return
    args, kwargs = entry.tensors()
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor.detach()  # itself, it would keep its own graph alive for ever

    torch.manual_seed(0)
    math = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), torch.backends.mkldnn.flags(enabled=False), math:
        result = model(*args, **kwargs)
    assert record.saved_bytes == sum(storage.nbytes() for storage in kept.values())
    del result


@ALL
def test_real_inputs_and_a_real_model_give_the_same_record(name):
    words: dict[str, list[str]] = {"notes": [], "remarks": []}
    assert traced(name, "cpu").to_dict() | words == traced(name).to_dict() | words


PLAIN = [name for name, entry in ENTRIES.items() if not entry.convention and not entry.values]


@pytest.mark.parametrize("name", PLAIN)
def test_the_backward_pass_agrees_with_torchs_counter(name):
    """On meta torch's counter is right but for gradients of grouped convolutions, overcounted, and mv, not counted."""
    model = ENTRIES[name].build().to("meta").train()
    if any(getattr(module, "groups", 1) > 1 for module in model.modules()) or name in (
        "HyperNetwork",
        "LinearAttention",
    ):
        return
    args, kwargs = ENTRIES[name].tensors("meta")
    record = traced(name)
    if record.saved_bytes is None:
        return
    record = traced(name, backward=True)
    with FlopCounterMode(display=False) as counter:
        result = model(*args, **kwargs)
        outputs = [t for t in torch.utils._pytree.tree_leaves(result) if t.requires_grad]
        torch.autograd.backward(outputs, [torch.ones_like(t) for t in outputs])
    assert 2 * record.training_macs == counter.get_total_flops()


# -- untouched -------------------------------------------------------------------------------------------------


def snapshot(model):
    """Everything of a model and of the process that a count might change."""
    modules = {
        path: (
            module.training,
            sorted(vars(module)),
            [list(hooks.items()) for key, hooks in vars(module).items() if key.endswith("_hooks")],
            {key: repr(value) for key, value in vars(module).items() if isinstance(value, (int, float, str, tuple))},
            vars(module).get("forward"),
        )
        for path, module in model.named_modules()
    }
    tensors = {
        key: (id(tensor), tensor.data_ptr(), tensor._version, tensor.requires_grad, tensor.detach().clone(),
              None if tensor.grad is None else tensor.grad.clone())
        for key, tensor in (*model.named_parameters(), *model.named_buffers())
    }  # fmt: skip
    flags = (
        torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device(),
        torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.math_sdp_enabled(), torch.backends.cuda.flash_sdp_enabled(), 
        torch.backends.cuda.mem_efficient_sdp_enabled(), torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled(),
        torch.utils._python_dispatch._get_current_dispatch_mode_stack(), torch.get_num_threads(),
        len(torch.nn.modules.module._global_forward_hooks), len(torch.nn.modules.module._global_forward_pre_hooks),
    )  # fmt: skip
    return (
        modules,
        list(model.state_dict()),
        tensors,
        flags,
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state(),
    )


def assert_equal(before, after):
    if isinstance(before, torch.Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, np.ndarray):
        assert (before == after).all()
    elif isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            assert_equal(before[key], after[key])
    elif isinstance(before, (tuple, list)):
        assert len(before) == len(after)
        for a, b in zip(before, after, strict=True):
            assert_equal(a, b)
    else:
        assert before == after


def prepared(name):
    """A model with mixed modes, hooks, gradients and a frozen parameter."""
    model = ENTRIES[name].build()
    for i, (module, parameter) in enumerate(zip(model.modules(), model.parameters(), strict=False)):
        module.training = i % 2 == 0
        module.register_forward_hook(lambda *_: None)
        parameter.requires_grad_(i != 1)
        if i == 2:
            parameter.grad = torch.ones_like(parameter)
    return model


@ALL
def test_the_model_comes_back_exactly_as_it_was(name):
    model = prepared(name)
    args, kwargs = ENTRIES[name].tensors()
    inputs = copy.deepcopy((args, kwargs))
    trains = traced(name).saved_bytes is not None
    before = snapshot(model)
    count_module(model, args, kwargs, name=name, backward=trains)
    assert_equal(before, snapshot(model))
    assert_equal(inputs, (args, kwargs))


@ALL
def test_it_comes_back_after_an_exception_too(name):
    model = prepared(name)
    model.eval()
    list(model.modules())[-1].register_forward_hook(lambda *_: 1 / 0)
    args, kwargs = ENTRIES[name].tensors()
    before = snapshot(model)
    try:
        count_module(model, args, kwargs, name=name)
    except CountError as error:
        assert "division" in str(error)
    assert_equal(before, snapshot(model))


def test_wrong_inputs_leave_it_alone_too():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    before = snapshot(model)
    with pytest.raises(CountError):
        count_module(model, [torch.zeros(1, 5, 8, 8)], name="wrong")
    assert_equal(before, snapshot(model))
