"""Several processes that train together, forked from the test: what torch needs long to import is there."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from analyzer.training.together import Together, joined

CPU = torch.device("cpu")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launched(work: Callable[[int], Any], processes: int = 2, waited_for: int | None = None) -> list[Any]:
    """What `work` gives in each of several processes that find what torchrun tells them; of the first ones alone where
    not all are to be waited for.
    """
    importlib.import_module("torch._dynamo")  # an optimizer's first step imports it: once here, not in each process
    fork, port = multiprocessing.get_context("fork"), free_port()
    started = []
    for rank in range(processes):
        ours, theirs = fork.Pipe(duplex=False)
        process = fork.Process(target=_run, args=(work, rank, processes, port, theirs), daemon=True)
        process.start()
        theirs.close()
        started.append((process, ours))
    found = []
    try:
        for _, pipe in started[:waited_for]:
            assert pipe.poll(60), "does not end"
            found.append(pipe.recv())
    finally:
        for process, _ in started:
            process.kill()
            process.join()
    broken = [each for each in found if isinstance(each, tuple) and each[:1] == ("raised",)]
    assert not broken, broken[0][1]
    return found


def _run(work: Callable[[int], Any], rank: int, processes: int, port: int, pipe: Connection) -> None:
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank),
        "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes),
    }  # fmt: skip
    try:
        pipe.send(work(rank))
    except BaseException:
        pipe.send(("raised", traceback.format_exc()))
    pipe.close()
    os._exit(0)


def together(work: Callable[[Together], Any], processes: int = 2, waited_for: int | None = None) -> list[Any]:
    """What `work` gives in each of several processes that have joined."""

    def met(rank: int) -> Any:
        with joined(CPU) as met:
            return work(met)

    return launched(met, processes, waited_for)
