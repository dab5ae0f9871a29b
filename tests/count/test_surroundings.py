"""A count sees code that runs beside the traced call, is the same each time, and leaves everything as it was."""

import asyncio
import contextlib
import contextvars
import functools
import multiprocessing.pool
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from counted import count, meta
from torch import nn

from analyzer.errors import CountError
from analyzer.tracing.witnesses import witnesses

pytestmark = pytest.mark.filterwarnings("ignore")


class Call(nn.Module):
    """A model that is one function of its four layers, and inputs."""

    def __init__(self, function, **attributes):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        vars(self).update(attributes)

    def forward(self, *args, **kwargs):
        return self.function(self, *args, **kwargs)


ONE = 2 * 8 * 8  # the MACs of a layer, for two rows


# -- results that are made when they are asked for --------------------------------------------------------------


def stages(model, x):
    for layer in model.layers:
        x = layer(x)
        yield x


async def awaited(model, x):
    await asyncio.sleep(0)
    return model.layers[0](x)


async def streamed(model, x):
    for layer in model.layers:
        yield layer(x)


def future(model, x):
    return ThreadPoolExecutor(1).submit(model.layers[0], x)


LAZY = {
    "generator": (stages, 4),
    "generator in a dict": (lambda m, x: {"all": stages(m, x), "x": x}, 4),
    "expression": (lambda m, x: (layer(x) for layer in m.layers), 4),
    "map": (lambda m, x: map(m.layers[0], x.unbind(0)), 1),
    "zip of maps": (lambda m, x: zip(map(m.layers[0], [x]), map(m.layers[1], [x]), strict=True), 2),
    "coroutine": (awaited, 1),
    "asynchronous generator": (streamed, 4),
    "future": (future, 1),
    "torch's future": (lambda m, x: torch.jit.fork(m.layers[0], x), 1),
}


@pytest.mark.parametrize("case", LAZY)
def test_a_result_that_is_made_later_is_made(case):
    function, layers = LAZY[case]
    record = count(Call(function), meta(2, 8), backward=True)
    assert record.macs == layers * ONE
    assert record.depth == (4 if function is stages or case == "generator in a dict" else 1)


def test_an_endless_result_and_one_that_runs_nothing_are_errors():
    def endless(model, x):
        while True:
            yield x

    with pytest.raises(CountError, match="no end"):
        count(Call(endless), meta(2, 8))
    with pytest.raises(CountError, match="runs no operator and returns function"):
        count(Call(lambda m, x: lambda: m.layers[0](x)), meta(2, 8))
    record = count(Call(lambda m, x: (m.layers[0](x), lambda: m.layers[1](x))), meta(2, 8))
    assert record.macs == ONE
    assert any("which is returned" in entry.operator for entry in record.uncounted)


# -- threads, processes, numpy -----------------------------------------------------------------------------------


def branches(model, x):
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(lambda layer: layer(x), model.layers))


async def offloaded(model, x):
    return await asyncio.to_thread(model.layers[0], x)


@pytest.mark.parametrize(("function", "layers"), [(branches, 4), (offloaded, 1)])
def test_tasks_of_thread_pools_are_counted(function, layers):
    record = count(Call(function), meta(2, 8))
    assert (record.macs, record.saved_bytes) == (layers * ONE, 2 * 8 * 4)


def in_a_thread(target):
    def forward(model, x):
        thread = threading.Thread(target=target, args=(model, x))
        thread.start()
        thread.join()
        return x

    return forward


def test_operators_in_other_threads_and_processes_are_an_error_that_names_them():
    with pytest.raises(CountError, match=r"operators run in thread Thread-.*can't be seen"):
        count(Call(in_a_thread(lambda m, x: m.layers[0](x))), meta(2, 8))
    with pytest.raises(CountError, match="operators run in thread"):
        count(Call(in_a_thread(lambda m, x: x @ x.T)), meta(2, 8))
    with pytest.raises(CountError, match="multiprocessing pool"):
        count(Call(lambda m, x: multiprocessing.pool.ThreadPool(1).map(m.layers[0], [x])), meta(2, 8))
    record = count(Call(lambda m, x: in_a_thread(lambda *_: None)(m, m.layers[0](x))), meta(2, 8))
    assert record.macs == ONE  # a thread that runs no operator


def test_numpy_is_uncounted_and_what_comes_back_is_data():
    def forward(model, x):
        y = model.layers[0](x).detach().numpy() @ np.ones((8, 8), dtype=np.float32)
        return model.layers[1](torch.from_numpy(y))

    record = count(Call(forward), torch.zeros(2, 8))
    assert (record.macs, record.conv_activations, record.depth) == (2 * ONE, 32, 2)
    assert [entry.operator for entry in record.uncounted] == ["numpy"]
    table = count(Call(lambda m, x: m.layers[0](x + torch.from_numpy(torch.ones(8).numpy()))), torch.zeros(2, 8))
    assert table.uncounted == ()  # a constant


# -- randomness and state ----------------------------------------------------------------------------------------


def dropping(draw):
    def forward(model, x):
        for layer in model.layers:
            if not model.training or draw(model) < 0.5:
                x = torch.tanh(layer(x))
        return x

    return forward


DRAWS = {
    "python": lambda m: random.random(),
    "numpy": lambda m: np.random.rand(),
    "torch": lambda m: torch.rand(1).item(),
    "a tensor's truth": lambda m: float((torch.rand(()) > 0.5).item()),
    "numpy's own": lambda m: np.random.default_rng().random(),
    "torch's list": lambda m: torch.rand(1).tolist()[0],
    "the model's python": lambda m: m.python.random(),
    "the model's numpy": lambda m: m.numpy.random(),
    "a method of python's": lambda m: m.methods[0](),
    "a method of numpy's": lambda m: m.methods[1](),
    "numpy's own method": lambda m: m.own_method(),
    "a global's": lambda m: GENERATOR.random(),
    "a closure's": (lambda generator: lambda m: torch.rand(1, generator=generator).item())(torch.Generator()),
}
GENERATOR = np.random.default_rng(3)


def states(model):
    return (
        random.getstate(),
        model.python.getstate(),
        model.methods[0].__self__.getstate(),
        str(GENERATOR.__getstate__()),
    )


@pytest.mark.parametrize("draw", DRAWS)
def test_a_random_path_has_one_answer_and_is_said_to_vary(draw):
    methods = [random.Random(3).random, np.random.default_rng(3).random]
    own = {"python": random.Random(3), "numpy": np.random.default_rng(3), "methods": methods}
    model = Call(dropping(DRAWS[draw]), **own, own_method=np.random.rand)
    before = states(model)
    first, second = count(model, meta(2, 8)), count(model, meta(2, 8))
    assert first == second
    assert before == states(model)
    assert any(note.startswith("saved_bytes varies, from ") and "(8 passes)" in note for note in first.notes)
    assert first.macs == 4 * ONE


def test_random_numbers_that_choose_nothing_are_not_said_to_vary():
    record = count(Call(lambda m, x: m.layers[0](nn.functional.dropout(x + torch.rand(8), 0.5))), torch.zeros(2, 8))
    assert not any("varies" in note for note in record.notes)


def test_each_pass_starts_from_the_model_as_given():
    def alternating(model, x):
        model.calls.append(1)
        model.n += 1
        return model.layers[0](x) if model.n % 2 else model.layers[1](torch.tanh(model.layers[2](x)))

    model = Call(alternating, n=0, calls=[])
    record = count(model, meta(2, 8))
    assert (record.macs, record.saved_bytes) == (ONE, 2 * 8 * 4)
    assert (model.n, model.calls) == (0, [])


def patched():
    """What a count exchanges for a while, of classes of torch's and Python's own."""
    kinds = (nn.Module, torch.Tensor, torch.autocast, threading.Thread, ThreadPoolExecutor)
    return {(kind, name): value for kind in kinds for name, value in vars(kind).items()}


def test_threads_count_at_once_and_leave_all_as_it_was():
    before, model, found = patched(), nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.1), nn.Linear(4, 2)), []
    with ThreadPoolExecutor(4) as pool:
        counts = [pool.submit(count, model, meta(3, 8)) for _ in range(16)]
        found = [each.result().macs for each in counts]
    assert found == [3 * (8 * 4 + 4 * 2)] * 16
    assert patched() == before


def test_another_threads_work_is_none_of_the_counts():
    """It starts threads, leaves torch, reads and sets modes while a count runs."""
    other, errors = nn.Sequential(nn.BatchNorm1d(4)), []
    entered, done = threading.Event(), threading.Event()

    def beside():
        entered.wait()
        try:
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
            assert other.eval().training is False
            assert torch.ones(2).numpy().tolist() == [1, 1]
            with torch.autocast("cpu"):
                other.train()
        except Exception as error:
            errors.append(error)
        done.set()

    def forward(model, x):
        entered.set()
        assert done.wait(300)
        return model.layers[0](x)

    thread = threading.Thread(target=beside)
    thread.start()
    record = count(Call(forward), meta(2, 8))
    thread.join()
    assert not errors
    assert record.macs == ONE
    assert record.remarks == ()


# -- the model's surroundings ------------------------------------------------------------------------------------

CACHE, LATEST, COUNTER, LOCAL = {}, None, torch.zeros(1), threading.local()
CONTEXT = contextvars.ContextVar("CONTEXT", default=None)


@functools.lru_cache(None)
def table(size):
    return torch.arange(size, dtype=torch.float32).sqrt()


def in_default(size, cache={}):  # noqa: B006
    return cache.setdefault(size, torch.ones(size))


def closing():
    last = None

    def get(size):
        nonlocal last
        last = torch.ones(size) if last is None else last
        return last

    return get


class Slotted:
    __slots__ = ("value",)

    def __init__(self):
        self.value = None


SLOTTED, CLOSING = Slotted(), closing()


def in_global(size):
    global LATEST
    LATEST = torch.ones(size) if LATEST is None else LATEST
    return LATEST


def in_slot(size):
    SLOTTED.value = torch.ones(size) if SLOTTED.value is None else SLOTTED.value
    return SLOTTED.value


def in_thread_local(size):
    if not hasattr(LOCAL, "value"):
        LOCAL.value = torch.ones(size)
    return LOCAL.value


def in_class(size):
    Call.shared = getattr(Call, "shared", None)
    Call.shared = torch.ones(size) if Call.shared is None else Call.shared
    return Call.shared


def in_context(size):
    if CONTEXT.get() is None:
        CONTEXT.set(torch.ones(size))
    return CONTEXT.get()


CACHES = {
    "lru_cache": table,
    "dictionary": lambda size: CACHE.setdefault(size, torch.ones(size)),
    "global": in_global,
    "default": in_default,
    "closure": CLOSING,
    "slot": in_slot,
    "thread's": in_thread_local,
    "class": in_class,
    "context": in_context,
}


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("reads", [False, True])
def test_a_model_that_caches_runs_after_it_was_counted(cache, reads):
    def forward(model, x):
        y = model.layers[0](x) + CACHES[cache](8)
        return y * 2 if reads and y.sum().item() > 0 else y

    model = Call(forward)
    assert count(model, torch.rand(2, 8)).macs == ONE
    assert model(torch.rand(2, 8)).device.type == "cpu"
    witnesses(model, [torch.rand(2, 8)], ours=count(model, torch.rand(2, 8)))
    assert model(torch.rand(2, 8)).device.type == "cpu"


def test_a_global_tensor_that_is_written_to_keeps_its_value():
    assert count(Call(lambda m, x: (COUNTER.add_(1), m.layers[0](x))[1]), torch.zeros(2, 8)).macs == ONE
    assert COUNTER.item() == 0


def test_grad_mode_is_restored():
    model = Call(lambda m, x: (torch.set_grad_enabled(False), m.layers[0](x))[1])
    witnesses(model, [torch.zeros(2, 8)], ours=count(model, torch.zeros(2, 8)))
    assert torch.is_grad_enabled()


@dataclass
class Pair:
    x: torch.Tensor
    rest: list


class Box:
    def __init__(self, x):
        self.x, self.rest = x, []


@pytest.mark.parametrize("make", [lambda x: Pair(x, []), Box, lambda x: [Box(x)][0]])
def test_inputs_in_objects_are_copied(make):
    def forward(model, box):
        box.rest.append(box.x)
        return model.layers[0](box.x.mul_(2))

    given = make(torch.ones(2, 8))
    record = count(Call(forward), given)
    assert (record.macs, record.input) == (ONE, (2, 8))
    assert given.x.sum() == 16
    assert given.rest == []


# -- errors that the model swallows ------------------------------------------------------------------------------


def guarded(model, x):
    try:
        finite = bool(torch.isfinite(x).all())
    except Exception:
        finite = False
    return model.layers[1](model.layers[0](x)) if finite else x


def suppressed(model, x):
    with contextlib.suppress(Exception):
        return model.layers[1](model.layers[0](x)) if x.tolist() else x
    return x


def as_array(model, x):
    try:
        np.asarray(x)
    except TypeError:
        return x
    return model.layers[1](model.layers[0](x))


def counted_rows(model, x):
    try:
        rows = len(torch.nonzero(x == 0)) > 0
    except RuntimeError:
        rows = False
    return model.layers[1](model.layers[0](x)) if rows else x


@pytest.mark.parametrize("forward", [guarded, suppressed, as_array, counted_rows])
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_value_test_whose_error_is_swallowed_is_counted_on_values(forward, device):
    record = count(Call(forward), torch.zeros(2, 8, device=device))
    assert record.macs == 2 * ONE
    assert record.notes[0].startswith("counted on one path")
