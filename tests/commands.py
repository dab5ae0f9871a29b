"""The real command as a process of its own, without its imports: forked from a process that has them.

Half of a test's time would be `import torch`. The child has its own streams, folder, environment and exit code; what
depends on how a process starts (imports, signals, lost streams) is tested on processes started from nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]
SECONDS = 300
_AT_START = ("OMP_", "MKL_", "ONEDNN_", "ATEN_", "CUDA_", "LC_", "LANG", "LD_", "PYTHON")
"""Variables that are read as a process starts: a command that is given one is started from nothing."""


def run_command(*args: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m analyzer …` in a folder: what it printed, and its exit code."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    variables = {**os.environ, "PYTHONPATH": path, **environment}
    if any(name.startswith(_AT_START) for name in environment) or not hasattr(os, "fork"):
        return subprocess.run(
            [sys.executable, "-m", "analyzer", *args], cwd=cwd, env=variables, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
    request = json.dumps({"args": args, "cwd": str(cwd), "environment": variables}).encode()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as words, open(os.devnull, "rb") as nothing:
        socket.send_fds(_forks(), [request], [nothing.fileno(), out.fileno(), words.fileno()])
        code = int(_forks().recv(64))
        texts = [_text(file) for file in (out, words)]
    return subprocess.CompletedProcess(args, code, *texts)


def run_here(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command within this process, where torch is imported once for all tests."""
    from analyzer.cli import cli
    from analyzer.cli.base import run

    out, words = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(words):
        code = run(cli, list(args))
    return subprocess.CompletedProcess(args, code, out.getvalue(), words.getvalue())


def _text(file: object) -> str:
    file.seek(0)
    return file.read().decode("utf-8").replace("\r\n", "\n")


@functools.cache
def _forks() -> socket.socket:
    """The way to this process's server, which ends with it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(SECONDS)
    command = [sys.executable, __file__, str(its.fileno())]
    subprocess.Popen(command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    its.close()
    atexit.register(ours.close)
    return ours


def _serve(connection: socket.socket) -> None:
    sys.path.insert(0, str(ROOT))
    import pandas
    import torch

    from analyzer import analyze, cli

    del pandas, torch, analyze, cli
    while True:
        request, streams, _, _ = socket.recv_fds(connection, 2**20, 3)
        if not request:
            return
        child = os.fork()
        if child == 0:
            connection.close()
            _become(json.loads(request), streams)
        for stream in streams:
            os.close(stream)
        connection.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _become(request: dict[str, object], streams: list[int]) -> NoReturn:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["analyze", *request["args"]]
    sys.path[0] = request["cwd"]
    code = 1
    try:
        from analyzer.cli import main

        main(list(request["args"]))
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
