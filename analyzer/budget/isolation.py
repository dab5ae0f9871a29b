"""Counting one's own models each in a process of its own, forked from this one.

What a model's code does to its process stays there: its imports, torch's defaults, what it prints, how it ends. A model
that ends the process is one that can't be counted, not a check that passed. Where there is no safe fork (anything but
Linux), models are counted in this process, with what they print kept off stdout.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from analyzer.budget.source import Place
from analyzer.errors import AnalyzerError, CountError, TargetError, UsageError
from analyzer.records import Frozen, Record
from analyzer.targets.loading import users_code
from analyzer.targets.resolving import ModuleTarget

_KINDS = {kind.__name__: kind for kind in (TargetError, CountError, UsageError)}


class ProcessOutcome(Frozen, frozen=True, kw_only=True):
    """What a process found out about a model: its record and where its modules are written, or why there is none."""

    record: Record | None = None
    places: dict[str, Place] = msgspec.field(default_factory=dict)
    error: tuple[str, str, str, str] | None = None
    defect: str | None = None


_decoder = msgspec.json.Decoder(ProcessOutcome)


def counted_apart(count: Callable[[], ProcessOutcome], target: ModuleTarget) -> ProcessOutcome:
    """The outcome of `count`, which runs the target's code. Raises its AnalyzerError; TargetError if it just ends."""
    if sys.platform != "linux":
        with users_code(target):
            return count()
    _import_what_is_shared()
    outcome = _decoder.decode(_forked(lambda: _guarded(count, target), target))
    if outcome.defect is not None:
        raise RuntimeError(outcome.defect)
    if outcome.error is not None:
        kind, what, where, fix = outcome.error
        raise _KINDS.get(kind, TargetError)(what, where=where, fix=fix)
    return outcome


def _import_what_is_shared() -> None:
    """So that no child imports it again: the counters, and torch's compiler, which the meta device's kernels import."""
    for name in ("torch._dynamo", "analyzer.tracing.trace"):
        importlib.import_module(name)


def _guarded(count: Callable[[], ProcessOutcome], target: ModuleTarget) -> ProcessOutcome:
    try:
        with users_code(target):
            return count()
    except AnalyzerError as error:
        kind = next((k.__name__ for k in type(error).__mro__ if k.__name__ in _KINDS), "TargetError")
        return ProcessOutcome(error=(kind, error.what, error.where, error.fix))
    except RecursionError:
        told = ("TargetError", "is nested too deep for Python to walk", target.name, "make it shallower")
        return ProcessOutcome(error=told)
    except Exception:
        return ProcessOutcome(defect=traceback.format_exc())


def _forked(work: Callable[[], ProcessOutcome], target: ModuleTarget) -> bytes:
    sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _be_a_child(work, write)
    os.close(write)
    try:
        with os.fdopen(read, "rb") as pipe:
            told = pipe.read()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if not told:
        raise _ended(target, os.waitstatus_to_exitcode(status))
    return told


def _be_a_child(work: Callable[[], ProcessOutcome], pipe: int) -> Any:
    """Does the work, tells it, and ends at once: nothing that the model left behind is waited for."""
    import torch

    code = 1
    try:
        os.dup2(2, 1)  # whatever writes to the descriptor itself spoils no data either
        sys.stdout = sys.stderr
        torch.set_num_threads(1)  # threads that the parent had are not here
        told = msgspec.json.encode(work())
        with os.fdopen(pipe, "wb") as file:
            file.write(told)
        code = 0
    except KeyboardInterrupt:
        code = 130
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _ended(target: ModuleTarget, code: int) -> BaseException:
    if code == 130 or code == -signal.SIGINT:
        return KeyboardInterrupt()
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return TargetError(
        f"the model's own code ended the process ({how})",
        where=target.name,
        fix="remove what ends it, or see if memory ran out",
    )
