"""What a worker process owes the one that started it."""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK_S = 0.5


def as_worker() -> None:
    """Leaves Ctrl-C to the parent, and ends when the parent has ended, however that was.

    A pool's own workers would wait for work for ever once their parent is killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_outlive_nobody, args=(os.getppid(),), daemon=True).start()


def _outlive_nobody(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)
