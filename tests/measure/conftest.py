"""The made-up measurements of the sweeps' tests are used here too; and a worker that starts no process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import torch

from analyzer.measuring import worker
from analyzer.measuring.job import Answer, Job

sys.path.insert(0, str(Path(__file__).parents[1] / "sweep"))


@pytest.fixture
def here() -> Iterator[Callable[[Job], Answer]]:
    """Does a job as a worker's process does, by what is written to it, in this one."""
    threads = torch.get_num_threads()
    yield lambda job: worker.work(msgspec.json.decode(msgspec.json.encode(job), type=Job))
    torch.set_num_threads(threads)
