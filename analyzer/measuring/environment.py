"""What machine and software a figure comes from."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.distribution import NAME, VERSION
from analyzer.errors import UsageError
from analyzer.git_calls import git
from analyzer.measurements import Environment
from analyzer.measuring.gpu import Readings

if TYPE_CHECKING:
    import torch


@lru_cache
def package_version(name: str = NAME) -> str:
    """The version of this package, installed or not, or of another that is installed, or `not installed`."""
    if name == NAME:
        return VERSION
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def pick_device(text: str = "auto") -> torch.device:
    """The device of `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; auto is CUDA where there is one, else the CPU.

    Raises UsageError where the device is not there.
    """
    import torch

    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(text)
    except RuntimeError:
        raise UsageError(
            f"unknown device {text!r}", where="--device", fix="use auto, cpu, cuda, cuda:1 or mps"
        ) from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise UsageError(
            f"{text} is not there", where="--device", fix="use --device cpu; `analyze doctor` lists devices"
        )
    return device


@lru_cache
def cpu_name() -> str:
    """The processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def has_bfloat16_units() -> bool:
    """Whether torch hands convolutions in bfloat16 to oneDNN here, which takes a processor with units for it."""
    import torch

    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@lru_cache
def commit() -> str | None:
    """The git commit of the current folder, `+` where it has changes; None outside a repository."""
    try:
        described = git(
            "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*", folder=Path.cwd(), seconds=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.decode("utf-8", "replace").strip() or None


def environment(device: torch.device) -> Environment:
    """The environment record of measurements on a device."""
    import torch

    on_cuda = device.type == "cuda"
    return Environment(
        device=str(device),
        device_name=torch.cuda.get_device_name(device) if on_cuda else cpu_name(),
        python=platform.python_version(),
        torch=str(torch.__version__),
        analyzer=package_version(),
        platform=f"{platform.system()} {platform.machine()}",
        threads=torch.get_num_threads(),
        cpu_count=os.cpu_count() or 1,
        cuda=torch.version.cuda if on_cuda else None,
        cudnn=torch.backends.cudnn.version() if on_cuda else None,  # type: ignore[no-untyped-call]
        driver=_driver() if on_cuda else None,
        commit=commit(),
        governor=governor(),
        processes_on_gpu=Readings(device).processes,
        environment_variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def like(device: str) -> Environment:
    """This machine's environment of a device that a profile names. Raises UsageError where it isn't there."""
    return environment(pick_device(device))


VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_AFFINITY", "GOMP_CPU_AFFINITY", "MALLOC_ARENA_MAX", "LD_PRELOAD",
    "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING",
    "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip
"""Variables that change times or memory."""


def governor() -> str | None:
    """The CPU's frequency governor (`performance`, `powersave`), where the system tells it."""
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def _driver() -> str | None:
    try:
        import pynvml

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception as error:  # NVML raises its own types, and is an extra
        return f"unknown ({type(error).__name__})"
