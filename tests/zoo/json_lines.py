"""JSON lines of a process that may end, or stall."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def with_package(**more: str) -> dict[str, str]:
    """Ours, with this checkout's package."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}


def json_lines(
    command: list[str], timeout: float, *, environ: dict[str, str], first: Callable[[], None] | None = None
) -> Iterator[dict[str, Any] | None]:
    """As they come; None where the next one takes too long. `first` is what the process does before its command.

    It is ended with the iteration.
    """
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ, preexec_fn=first
    )
    assert process.stdout is not None
    stream, lines = process.stdout, queue.Queue[str | None]()

    def read() -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        while (line := lines.get(timeout=timeout)) is not None:
            yield json.loads(line)
    except queue.Empty:
        yield None
    finally:
        process.kill()
        process.wait()
