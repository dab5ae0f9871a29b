"""One counter over the zoo, in a process of its own: `python counters.py COUNTER [ENTRY …]`, a JSON line an entry.

A line has `macs` (the counter's figure as multiply-accumulates) or `error`, `warned` (it said anything while it
counted) and `changed` (what of the model was not as before).
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from zoo_models import ENTRIES, Entry


def named_inputs(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All inputs by the names of forward's parameters."""
    return dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments)


def analyzer(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> float:
    from analyzer.tracing.trace import count_module

    record = count_module(model, args, kwargs, name="zoo")
    if record.uncounted or any("one path" in note or "convention" in note for note in record.notes):
        warnings.warn("noted", stacklevel=1)
    return record.macs or 0


def torch_counter(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(*args, **kwargs)
    return counter.get_total_flops() / 2


def torch_meta(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> float:
    model = model.to("meta")
    return torch_counter(model, [a.to("meta") for a in args], {k: a.to("meta") for k, a in kwargs.items()})


def torchinfo(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> float:
    import torchinfo

    return torchinfo.summary(model, input_data=args, device="cpu", verbose=0, **kwargs).total_mult_adds


def fvcore(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> float:
    from fvcore.nn import FlopCountAnalysis

    if kwargs:
        raise TypeError("takes no keyword inputs")
    return FlopCountAnalysis(model, tuple(args)).total()


def thop(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> float:
    from thop import profile

    if kwargs:
        raise TypeError("takes no keyword inputs")
    return profile(model, inputs=tuple(args), verbose=False)[0]


def ptflops(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> float:
    from ptflops import get_model_complexity_info

    inputs = named_inputs(model, args, kwargs)
    found = get_model_complexity_info(
        model, (1,), input_constructor=lambda _: inputs, as_strings=False, print_per_layer_stat=False
    )[0]
    if found is None:
        raise RuntimeError("returned None")
    return found


def calflops(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> float:
    from calflops import calculate_flops

    inputs = {"kwargs": named_inputs(model, args, kwargs)} if kwargs else {"args": args}
    return calculate_flops(model, **inputs, print_results=False, output_as_string=False)[1]


def torchprofile(model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> float:
    from torchprofile import profile_macs

    return profile_macs(model, tuple(args), kwargs or None)


COUNTERS: dict[str, Callable[..., float]] = {
    "analyzer": analyzer, "torch": torch_counter, "torch on meta": torch_meta, "torchinfo": torchinfo,
    "fvcore": fvcore, "thop": thop, "ptflops": ptflops, "calflops": calflops, "torchprofile": torchprofile,
}  # fmt: skip


def state(model: nn.Module) -> dict[str, Any]:
    """What a counter might leave changed."""
    tensors = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
    hooks = [len(v) for module in model.modules() for k, v in vars(module).items() if k.endswith("_hooks")]
    return {
        "state keys": list(tensors),
        "values": [tensor.tolist() for tensor in tensors.values() if tensor.numel() < 10_000],
        "mode": [module.training for module in model.modules()],
        "hooks": hooks,
        "attributes": [sorted(vars(module)) for module in model.modules()],
    }


def one(counter: str, entry: Entry) -> dict[str, Any]:
    """The line of one entry. The model is in training mode, as constructed, but for one that can't train."""
    torch.manual_seed(0)
    model = entry.build().train(entry.name != "ASPP")
    args, kwargs = entry.tensors()
    before, spoken = state(model), io.StringIO()
    handler = logging.StreamHandler(spoken)
    logging.getLogger().addHandler(handler)
    line: dict[str, Any] = {"name": entry.name}
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(spoken):
        warnings.simplefilter("always")
        try:
            line["macs"] = float(COUNTERS[counter](model, args, kwargs))
        except Exception as error:
            line["error"] = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:160]}"
    logging.getLogger().removeHandler(handler)
    ours = [w for w in caught if not issubclass(w.category, (DeprecationWarning, FutureWarning))]
    line["warned"] = bool(spoken.getvalue().strip() or ours)
    if counter != "torch on meta":  # which the reader moves there
        after = state(model)
        line["changed"] = [key for key in before if before[key] != after[key]]
    return line


def main() -> None:
    counter, names = sys.argv[1], sys.argv[2:]
    out, sys.stdout = sys.stdout, sys.stderr
    package = {"torch on meta": "torch"}.get(counter, counter)
    try:
        print(json.dumps({"version": version(package)}), file=out, flush=True)
    except PackageNotFoundError:
        print(json.dumps({"version": None}), file=out, flush=True)
    for name in names or ENTRIES:
        print(json.dumps({"starts": name}), file=out, flush=True)
        print(json.dumps(one(counter, ENTRIES[name])), file=out, flush=True)


if __name__ == "__main__":
    main()
