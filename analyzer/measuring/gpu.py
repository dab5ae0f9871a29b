"""What NVML says of a GPU while it is measured; nothing where there is no GPU, or NVML isn't installed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

THROTTLED = 0x08 | 0x20 | 0x40 | 0x80
"""NVML's reasons for lower clocks that distort a time: hardware or software slowdown, heat, power brake."""


class Readings:
    """Clock (MHz), temperature (degrees Celsius), throttling and other processes, at each `take`."""

    def __init__(self, device: torch.device) -> None:
        self.clock_mhz: list[int] = []
        self.celsius: list[int] = []
        self.throttled = False
        self.processes: int | None = None
        self._handle = handle(device)
        self.take()

    def take(self) -> None:
        """Reads once."""
        if self._handle is None:
            return
        import pynvml

        with contextlib.suppress(pynvml.NVMLError):
            self.clock_mhz.append(pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_SM))
            self.celsius.append(pynvml.nvmlDeviceGetTemperature(self._handle, pynvml.NVML_TEMPERATURE_GPU))
            self.throttled |= bool(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle) & THROTTLED)
            running = pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
            self.processes = len(running)


def free_bytes(device: str) -> int:
    """A CUDA device's free memory as NVML tells it, without a CUDA context of ours; else all that it has."""
    import torch

    device_handle = handle(torch.device(device))
    if device_handle is None:
        return int(torch.cuda.get_device_properties(device).total_memory)
    import pynvml

    return int(pynvml.nvmlDeviceGetMemoryInfo(device_handle).free)


def handle(device: torch.device) -> Any | None:
    """NVML's handle of a CUDA device, by its UUID: NVML doesn't follow CUDA_VISIBLE_DEVICES."""
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    import torch

    try:
        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        return pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
    except (pynvml.NVMLError, AttributeError):
        return None
