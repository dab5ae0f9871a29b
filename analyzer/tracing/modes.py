"""Who reads a module's mode while a forward runs: where only layers do whose MACs and shapes don't depend on it, a
pass in training mode tells what one in evaluation mode would.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from analyzer.tracing.replacing import exchanged


def _code(function: Any) -> CodeType:
    code: CodeType = function.__code__
    return code


INDIFFERENT = {
    *(_code(kind.forward) for kind in (
        _BatchNorm, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
        nn.MultiheadAttention, nn.TransformerEncoder, nn.TransformerEncoderLayer,
    )),
    _code(_InstanceNorm._apply_instance_norm),
}  # fmt: skip
"""The code of torch that reads the mode and does the same products, of the same shapes, in both.

Of attention and its layers this holds where no fused path is open (`plain_kernels`).
"""


@dataclass(slots=True)
class Modes:
    """Whether a forward may go another way in the other mode."""

    matter: bool


@contextlib.contextmanager
def modes_seen(modules: Collection[nn.Module]) -> Iterator[Modes]:
    """Sees every reading and setting of `training` of any module."""
    kinds = {type(module) for module in modules}
    seen = Modes(any("train" in vars(module) for module in modules) or not all(map(_is_told, kinds)))

    here = threading.get_ident()

    def read(module: nn.Module) -> Any:
        if sys._getframe(1).f_code not in INDIFFERENT and threading.get_ident() == here:
            seen.matter = True
        try:
            return vars(module)["training"]
        except KeyError:
            raise AttributeError("training") from None

    def write(module: nn.Module, mode: Any) -> None:
        seen.matter |= threading.get_ident() == here
        vars(module)["training"] = mode

    with exchanged(nn.Module, "training", property(read, write)):
        yield seen


def _is_told(kind: type[nn.Module]) -> bool:
    """Whether reading a class's mode is seen, and changing it changes nothing else."""
    own = kind.train is nn.Module.train and kind.eval is nn.Module.eval
    plain = kind.__getattribute__ is object.__getattribute__
    return own and plain and not any(map(_names_it, kind.__mro__))


def _names_it(base: type) -> bool:
    """Whether a class has an attribute of that name, or code that asks for it by a string (`vars(self)["training"]`)
    and not as an attribute.
    """
    codes = [getattr(value, "__code__", None) for value in vars(base).values() if base is not nn.Module]
    asks = [code for code in codes if code is not None and "training" not in code.co_names]
    return "training" in vars(base) or any("training" in code.co_consts for code in asks)
