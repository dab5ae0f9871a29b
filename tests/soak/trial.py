"""What every trial of the soak has: its chance, a folder of its own, the environment of what it starts."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENT = {
    **os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "RAY_USAGE_STATS_ENABLED": "0",
}  # fmt: skip

Told = str | dict[str, float] | None
Trial = Callable[[random.Random, Path], Told]
"""Fails by raising; gives a word on what was tried, or the seconds of what it did, to be told with its kind."""
