"""The command `analyze`: one file a verb, loaded when it is called."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn

from analyzer.cli.base import INTERRUPTED, LazyGroup, run
from analyzer.cli.streams import keep_three_open
from analyzer.distribution import warn_of_clash
from analyzer.processes import end_in_order

COMMANDS = {
    "show": "One model's layers and what each costs.",
    "compare": "Models side by side: differences, ratios, and which layers carry them.",
    "sweep": "Build, count and measure every variant of some axes; write a report.",
    "search": "The exact Pareto front of millions of variants under constraints.",
    "explain": "Where the figures sit, what moves them, the mildest changes that meet a budget.",
    "fit": "The largest batch that a memory holds, and what to change to fit more.",
    "measure": "Throughput, latency and memory on this machine, with what they are worth.",
    "calibrate": "Fit this device's profile, which predicts the latency of every model.",
    "devices": "Devices whose latency can be predicted, with what that is worth.",
    "data": "Images to train on: what is damaged, odd, there twice, or in two parts at once.",
    "train": "Train networks on images; every epoch kept, gone on with to the bit.",
    "compress": "Make a network smaller, to a budget that the exact counter holds.",
    "export": "A network as weights, an exported program or ONNX, checked against it; int8.",
    "predict": "What a trained network says of images.",
    "results": "Rows that sweeps have kept: list, show, export, merge, prune.",
    "init": "Find your models, propose budgets, write the first lock file.",
    "check": "Hold your models to their budgets, in CI: what grew, where, who pays.",
    "lock": "Write what the models cost now, as the baseline of growth.",
    "history": "What the models cost, over the commits of the lock file.",
    "report": "An HTML report from results of earlier runs.",
    "doctor": "Versions, devices, and what would be measured where.",
}
"""Verbs and their one-line help, so that `analyze --help` loads none of them."""

cli = LazyGroup(COMMANDS)


def main(args: list[str] | None = None) -> NoReturn:
    """Runs the command and exits with its code."""
    keep_three_open()
    end_in_order()
    warn_of_clash()  # where the stranger's `__init__.py` stands in ours' place, nothing has said it yet
    code = run(cli, args)
    if code == INTERRUPTED:
        _end_at_once(code)
    sys.exit(code)


def _end_at_once(code: int) -> NoReturn:
    """Waits for no pool's work, and ends with the code: `python -m` would end by SIGINT in its place where that
    fell into an `exec`, as dataclasses and named tuples do it.
    """
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)
