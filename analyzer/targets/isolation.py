"""Running one's own models each in a process of its own, forked from this one.

What a model's code does to its process stays there: its imports, torch's defaults, what it prints, what it starts, how
it ends. A model that ends the process is one that can't be counted, not a command that succeeded. Where there is no
safe fork (anything but Linux), models run in this process, with what they print kept off stdout.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from analyzer import processes
from analyzer.errors import AnalyzerError, CountError, TargetError, UsageError, words_of
from analyzer.structs import Frozen
from analyzer.targets.resolving import ModuleTarget

T = TypeVar("T")
SECONDS = 600.0
"""The longest that a model may take, where nothing else is said."""
_KINDS = {kind.__name__: kind for kind in (TargetError, CountError, UsageError)}


class _Answer(Frozen, frozen=True, kw_only=True):
    """What came out, or an AnalyzerError's kind and parts; whether torch's compiler was imported for it."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: tuple[str, str, str, str] | None = None
    compiler: bool = False


def isolated(work: Callable[[], T], kind: type[T], target: ModuleTarget, *, seconds: float = SECONDS) -> T:
    """What `work`, which runs the target's code, gives; of a type that msgspec reads.

    Raises its AnalyzerError, TargetError where it raises anything else, just ends, or takes over `seconds`.
    """
    if sys.platform != "linux":
        with users_code(target):
            return work()
    _import_what_is_shared()
    ended = processes.forked(lambda: _guarded(work, target), seconds)
    if ended.code != 0 or not ended.said:
        raise _ended(target, ended.code, seconds)
    try:
        answer = msgspec.json.decode(ended.said, type=_Answer)
        if answer.compiler:
            _shared[_COMPILER] = None
        if answer.error is None:
            return msgspec.json.decode(answer.result, type=kind)
    except msgspec.MsgspecError:
        raise _ended(target, 0, seconds) from None  # its code wrote to where the answer goes
    name, what, where, fix = answer.error
    raise _KINDS.get(name, TargetError)(what, where=where, fix=fix)


@contextlib.contextmanager
def users_code(target: ModuleTarget) -> Iterator[None]:
    """Runs a user's code: what it prints goes to stderr, beside our data; where it exits, a TargetError says so."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SystemExit as error:
        raise TargetError(
            f"the model's own code exits the program (code {error.code})", where=target.name, fix="remove that call"
        ) from error
    except (KeyboardInterrupt, Exception):
        raise
    except BaseException as error:  # pytest's skip, asyncio's cancellation: nothing that we wait for
        what = f"the model's own code raises {words_of(error)}"
        raise TargetError(what, where=target.name, fix="make it import and construct on its own first") from error


_COMPILER = "torch._dynamo"
_shared: dict[str, None] = {"analyzer.tracing.trace": None}
"""What children would each import: the counters, and torch's compiler where the code of one asked for it."""


def _import_what_is_shared() -> None:
    for name in _shared:
        importlib.import_module(name)


def _guarded(work: Callable[[], T], target: ModuleTarget) -> bytes:
    import torch

    torch.set_num_threads(1)  # threads that the parent had are not here
    try:
        with users_code(target):
            result = msgspec.Raw(msgspec.json.encode(work()))
            answer = _Answer(result=result, compiler=_COMPILER in sys.modules)
    except AnalyzerError as error:
        kind = next((k.__name__ for k in type(error).__mro__ if k.__name__ in _KINDS), "TargetError")
        answer = _Answer(error=(kind, error.what, error.where, error.fix))
    except RecursionError:
        told = ("TargetError", "is nested too deep for Python to walk", target.name, "make it shallower")
        answer = _Answer(error=told)
    except BaseException as error:  # whatever a model does, it is one that can't be counted
        if os.environ.get("ANALYZER_DEBUG"):
            traceback.print_exc()
        fix = "see whether its own code raises that: --debug shows where; report it if it does not"
        answer = _Answer(error=("TargetError", f"counting it ended in {words_of(error)}", target.name, fix))
    return msgspec.json.encode(answer)


def _ended(target: ModuleTarget, code: int | None, seconds: float) -> TargetError:
    if code is None:
        return TargetError(
            f"took over {seconds:g} s, and was ended with all that it started", where=target.name,
            fix="see what it waits for, or give more time: --timeout",
        )  # fmt: skip
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return TargetError(
        f"the model's own code ended the process ({how})", where=target.name,
        fix="remove what ends it, or see if memory ran out",
    )  # fmt: skip
