"""Measuring memory in this process, job after job: an allocator's figures need no fresh one, as times do."""

from __future__ import annotations

import gc

import torch

from analyzer.measuring.job import Answer, Job
from analyzer.measuring.worker import work


def in_this_process(job: Job) -> Answer:
    """A worker that leaves nothing allocated: cached blocks and cuBLAS's workspaces go, as where a process ends."""
    try:
        return work(job)
    finally:
        gc.collect()
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
