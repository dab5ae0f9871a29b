"""Code of a forward that runs outside of its traced call: results that are made when they are asked for, threads,
processes, numpy. It is brought into the call where that is possible, and named where it isn't.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import multiprocessing
import multiprocessing.pool
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from analyzer.errors import CountError
from analyzer.tracing.compiler import Watching
from analyzer.tracing.replacing import replaced

MOST_ITEMS = 10_000
"""Items that a lazy result may have before it is taken for an endless one."""


# -- results that are made when they are asked for --------------------------------------------------------------


def drained(result: Any) -> Any:
    """A forward's result with what is lazy in it made: generators, iterators, coroutines, futures."""
    return tree_map(_drained, result)


def _drained(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf
    if isinstance(leaf, Iterator):
        return [drained(item) for item in _few(leaf)]
    if isinstance(leaf, concurrent.futures.Future):
        return drained(leaf.result())
    if isinstance(leaf, torch._C.Future):
        return drained(leaf.wait())
    if isinstance(leaf, AsyncIterator):
        return drained(_awaited(_collected(leaf)))
    if isinstance(leaf, Awaitable):
        return drained(_awaited(_of(leaf)))
    return leaf


def _few(items: Iterator[Any]) -> Iterator[Any]:
    for position, item in enumerate(items):
        if position == MOST_ITEMS:
            raise CountError(f"the forward's result has no end: {MOST_ITEMS:,} items of it were made", fix="bound it")
        yield item


async def _of(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def _collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def _awaited(coroutine: Any) -> Any:
    """A coroutine's result; in this thread, where operators are seen."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    try:  # a loop runs here already (a notebook's): one that never waits needs none
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise CountError("the forward waits in a loop of its own, and one runs here", fix="count it outside of the loop")


def functions_in(leaves: list[Any]) -> list[str]:
    """Names of functions that a forward returns: what they would run isn't known."""
    return [
        getattr(leaf, "__qualname__", repr(leaf))
        for leaf in leaves
        if isinstance(leaf, (FunctionType, MethodType, functools.partial))
    ]


# -- threads and processes --------------------------------------------------------------------------------------


class _Notices(Watching):
    """Notices that a thread runs an operator at all."""

    def __init__(self, found: dict[str, None], name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found, self.name = found, name

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operator."""
        self.found[self.name] = None
        return func(*args, **(kwargs or {}))


def _run_at_once(task: Callable[..., Any], args: Any, kwargs: Any) -> concurrent.futures.Future[Any]:
    """A pool's task run in this thread."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()
    try:
        with torch.enable_grad():  # a thread has its own grad mode, which is on
            future.set_result(task(*args, **kwargs))
    except Exception as error:
        future.set_exception(error)
    return future


def _refused(*_: Any, **__: Any) -> Any:
    raise CountError(
        "the forward hands work to other processes or a multiprocessing pool, where operators can't be seen",
        fix="run it in the forward's own thread, or in a ThreadPoolExecutor, for the count",
    )


_REFUSED = (
    (concurrent.futures.ProcessPoolExecutor, "submit"),
    (multiprocessing.process.BaseProcess, "start"),
    *((multiprocessing.pool.Pool, verb) for verb in ("apply_async", "_map_async", "imap", "imap_unordered")),
)
"""Ways to other processes."""


@contextlib.contextmanager
def threads_seen() -> Iterator[dict[str, None]]:
    """Tasks of thread pools run in this thread, where they are seen; the names of other threads that run operators.

    Raises CountError at a process or a pool that hides its tasks.
    """
    found: dict[str, None] = {}
    started = threading.Thread.start

    def submit(_pool: Any, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return _run_at_once(task, args, kwargs)

    def start(thread: threading.Thread) -> None:
        run = thread.run

        def noticed() -> None:
            with _Notices(found, f"thread {thread.name}"):
                run()

        thread.run = noticed  # type: ignore[method-assign]
        started(thread)

    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(concurrent.futures.ThreadPoolExecutor, "submit", submit))
        stack.enter_context(replaced(threading.Thread, "start", start))
        for kind, name in _REFUSED:
            stack.enter_context(replaced(kind, name, _refused))
        yield found


# -- autocast ----------------------------------------------------------------------------------------------------


class AutocastError(Exception):
    """The forward turns autocast on, which passes tensors on meta by."""


@contextlib.contextmanager
def autocast_seen(entered: Callable[..., None]) -> Iterator[None]:
    """Calls `entered` with the device of each autocast that the forward enters, and whether it is `on`."""
    enter = torch.autocast.__enter__

    def entering(context: Any) -> Any:
        entered(context.device, on=context._enabled)
        return enter(context)  # type: ignore[no-untyped-call]

    with replaced(torch.autocast, "__enter__", entering):
        yield


# -- numpy -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def exports_seen(left: Callable[[Tensor, str], None], failed: Callable[[Exception], None]) -> Iterator[None]:
    """Calls `left` with a tensor and what it leaves torch for (`numpy`, `tolist`, `dlpack`).

    `failed` is called with the error where the tensor's having no values forbids it.
    """

    def watching(name: str, original: Any) -> Any:
        @functools.wraps(original)
        def watched(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            try:
                found = original(tensor, *args, **kwargs)
            except Exception as error:
                failed(error)
                raise
            left(tensor, name.strip("_"))
            return found

        return watched

    with contextlib.ExitStack() as stack:
        for name in ("numpy", "tolist", "__dlpack__"):
            stack.enter_context(replaced(Tensor, name, watching(name, getattr(Tensor, name))))
        yield
