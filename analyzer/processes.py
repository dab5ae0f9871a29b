"""Processes that end: a worker with the one that started it, and whatever a worker left behind with the worker.

Linux tells a process of its parent's end, and hands a keeper the orphans of those it keeps. Everywhere a thread watches
a pipe whose other end the parent alone has.
What the help does not need is imported where it is used: the command begins here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

CLEARING_S = 7.0
"""The longest that a keeper takes to end what it keeps."""
KEEPER_S = CLEARING_S + 3
"""How long a keeper that is told to end is waited for: one that is killed leaves what is in another session behind."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name))


class Ended(NamedTuple):
    """What a kept process said, and how it ended: its exit code, -N for signal N, None where its time was up."""

    said: bytes
    words: bytes
    code: int | None


def end_in_order() -> None:
    """Has SIGTERM and SIGHUP end this process as Ctrl-C does, so that what is open is closed; ignored ones stay so."""
    for number in _ENDING[:-1]:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Has Ctrl-C and an order to end this process wait until what is inside is done: taking back what was made."""
    waiting: list[int] = []
    try:
        with _handled(waiting.append):
            yield
    finally:
        for number in waiting[:1]:
            signal.raise_signal(number)


@contextlib.contextmanager
def _handled(note: Callable[[int], None]) -> Iterator[None]:
    """Has an order to end this process be noted alone; one that is ignored stays so."""
    before = {}
    with contextlib.suppress(ValueError):  # not the main thread, which alone is interrupted
        for number in _ENDING:
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                before[number] = signal.signal(number, lambda number, _: note(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- ends with its parent --------------------------------------------------------------------------------------


def as_worker() -> None:
    """Leaves Ctrl-C to the parent, and ends when the parent has ended, however that was.

    A pool's own workers would wait for work for ever once their parent is killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in _ENDING[:2]:
        signal.signal(number, signal.SIG_DFL)
    end_with_parent()


def end_with_parent(life: int | None = None) -> None:
    """Has this process killed when its parent has ended: once a pipe ends, `life` or a pool's own to each worker."""
    import multiprocessing
    import threading

    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()

    def outlive_nobody() -> None:
        if life is not None:
            while os.read(life, 1):  # its parent writes nothing
                pass
        elif parent is not None:
            parent.join()
        os._exit(1)

    if life is not None or parent is not None:
        threading.Thread(target=outlive_nobody, daemon=True).start()


@contextlib.contextmanager
def lifeline() -> Iterator[int]:
    """The end to read of a pipe that ends with what is inside, or with this process."""
    life, held = os.pipe()
    try:
        yield life
    finally:
        os.close(life)
        os.close(held)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


# -- kept ------------------------------------------------------------------------------------------------------


def keep(parent: int, life: int | None = None) -> None:
    """Goes on in a child of this process, which from now on keeps it: ends with it, or when told to, or with `parent`,
    which started it, and ends all that the child left behind. Linux; elsewhere the process merely ends with its parent,
    as the pipe `life` does.
    """
    if sys.platform != "linux":
        end_with_parent(life)
        return
    if life is not None:
        os.close(life)
    with contextlib.suppress(PermissionError):  # that leads a session already
        os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_ENDING, signal.SIGCHLD))
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    me, kept = os.getpid(), os.fork()
    if kept:
        _end_like(_kept_to_its_end(kept, parent))
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != me:
        os._exit(1)
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_ENDING, signal.SIGCHLD))


def _kept_to_its_end(kept: int, parent: int) -> int:
    """The wait status of the kept child; that of a killed one where this process was told to end."""
    ended: dict[int, int] = {}
    while os.getppid() == parent and kept not in ended:
        if signal.sigwait((*_ENDING, signal.SIGCHLD)) != signal.SIGCHLD:
            break
        _reap(ended)
    end = time.monotonic() + CLEARING_S
    while _reap(ended) and time.monotonic() < end:
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    return ended.get(kept, int(signal.SIGKILL))


def _reap(ended: dict[int, int]) -> bool:
    """Takes the ends of the children that have ended, by process; false where none is left."""
    try:
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = found[1]
    except ChildProcessError:
        return False
    return True


def _children() -> Iterator[int]:
    from pathlib import Path

    me = str(os.getpid())
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if path.read_text(errors="replace").rpartition(")")[2].split()[1] == me:
                yield int(path.parent.name)


def _end_like(status: int) -> NoReturn:
    """Ends as the kept child did, by the same signal or with the same code."""
    if os.WIFSIGNALED(status):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


# -- from the parent's side ------------------------------------------------------------------------------------


def forked(work: Callable[[], bytes], seconds: float) -> Ended:
    """What `work` gives in a kept copy of this process, whose stdout is stderr and whose stdin is empty. Linux."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    (told, tell), (life, alive) = os.pipe(), os.pipe()
    me, keeper = os.getpid(), os.fork()
    if keeper == 0:
        with _never_back():
            os.close(told)
            os.close(life)
            keep(me)
            os.close(alive)
            _say(work, tell)
    os.close(tell)
    os.close(alive)
    said: bytes | None = None
    try:
        said = _heard(told, life, seconds)
    finally:
        os.close(told)
        os.close(life)
        status = os.waitpid(keeper, 0)[1] if said is not None else _end(keeper)
    return Ended(said or b"", b"", None if said is None else os.waitstatus_to_exitcode(status))


@contextlib.contextmanager
def _never_back() -> Iterator[None]:
    """A copy of a process never goes on with what the process itself does."""
    try:
        yield
    finally:
        os._exit(70)


def _say(work: Callable[[], bytes], pipe: int) -> NoReturn:
    me, code = os.getpid(), 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # whatever writes to the descriptor itself spoils no data either
        sys.stdout = sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        said = work()
        if os.getpid() == me:  # not a copy that the work made of this process
            with os.fdopen(pipe, "wb") as file:
                file.write(said)
            code = 0
    finally:
        if os.getpid() == me:
            with contextlib.suppress(Exception):
                sys.stderr.flush()
        os._exit(code)  # at once: nothing that the work left behind is waited for


def _heard(told: int, life: int, seconds: float) -> bytes | None:
    """What is said until the keeper has ended; None where its time is up."""
    import selectors

    end, parts, over = time.monotonic() + seconds, [], False
    with selectors.DefaultSelector() as selector:
        selector.register(told, selectors.EVENT_READ)
        selector.register(life, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select(0 if over else max(end - time.monotonic(), 0))}
            if told in ready:
                parts.append(os.read(told, 2**16))
                if not parts[-1]:
                    selector.unregister(told)
            elif over:
                return b"".join(parts)
            elif not ready:
                return None
            over = over or life in ready


def _end(keeper: int) -> int:
    """Ends a keeper with what it keeps; its wait status."""
    end = time.monotonic() + KEEPER_S
    os.kill(keeper, signal.SIGTERM)
    while (ended := os.waitpid(keeper, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(keeper, signal.SIGKILL)
            os.kill(keeper, signal.SIGKILL)
        time.sleep(0.005)
    return ended[1]


def run(
    command: Sequence[str],
    said: bytes,
    *,
    seconds: float,
    variables: Mapping[str, str],
    descriptors: Sequence[int] = (),
) -> Ended:
    """Runs a command that keeps itself (see `keep`; its last words are this process and a pipe), told `said`.

    All that it started is ended at its end.
    """
    import subprocess

    with contextlib.ExitStack() as stack:
        lives = [stack.enter_context(lifeline())] if os.name == "posix" else []  # elsewhere none can be handed on
        line = [*command, *map(str, (os.getpid(), *lives))]
        process = stack.enter_context(subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables,
            pass_fds=(*descriptors, *lives), start_new_session=True,
        ))  # fmt: skip
        try:
            out, words = process.communicate(said, timeout=seconds)
        except subprocess.TimeoutExpired:
            return Ended(b"", b"", None)
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(KEEPER_S)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        return Ended(out, words, process.returncode)


class Asked:
    """Whether this process was told to end, while it finishes what it is at."""

    def __init__(self) -> None:
        self.to_end = False

    def again(self, number: int) -> None:
        """Notes an order to end; the second one ends at once."""
        if self.to_end:
            signal.default_int_handler(number, None)
        self.to_end = True


@contextlib.contextmanager
def finishing() -> Iterator[Asked]:
    """Has Ctrl-C and an order to end this process be noted, for what is inside to end when it has kept its work."""
    asked = Asked()
    with _handled(asked.again):
        yield asked
