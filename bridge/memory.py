"""How much memory there is, how many frames fit into it, and what to do when they did not fit after all."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .worker import JobFailedError

T = TypeVar("T")

USABLE_SHARE = 0.5  # of the free memory; the rest is left to Blender and to what the estimate misses
LARGEST_CHUNK = 256  # frames; more at once is no faster
MEBIBYTE = 1 << 20
SIGNS_OF_FULL_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # MPS, CPU, cuBLAS


def free_memory(device: str) -> int:
    """Bytes that a computation on the torch device may still take."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.startswith("mps"):
        import torch

        return max(0, torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return free_ram()


def free_ram() -> int:
    """Bytes of main memory that a program can take without swapping."""
    if sys.platform == "win32":
        return _free_ram_of_windows()
    page = os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "darwin":
        return (
            os.sysconf("SC_PHYS_PAGES") * page // 2
        )  # macOS tells its free pages only to its own kernel calls
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):  # unlike SC_AVPHYS_PAGES it counts the file cache as free
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * page


def frames_that_fit(free: int, bytes_per_frame: int, frames: int) -> int:
    """How many of `frames` go through the network at once, at least one."""
    return max(1, min(frames, LARGEST_CHUNK, int(free * USABLE_SHARE) // bytes_per_frame))


def in_smaller_chunks(run: Callable[[int], T], frames_per_chunk: int, free: Callable[[], int]) -> T:
    """`run(frames_per_chunk)`, tried again with half as many frames whenever memory runs out.

    Raises JobFailedError("out_of_memory") when not even one frame fits.
    """
    tried: list[int] = []
    while True:
        tried.append(frames_per_chunk)
        try:
            return run(frames_per_chunk)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
        # Out of the handler the traceback is gone, and with it the tensors it held.
        release_memory()
        print(f"out of memory with {frames_per_chunk} frames at once: {reason}", file=sys.stderr)
        if frames_per_chunk == 1:
            sizes = ", ".join(map(str, tried))
            raise JobFailedError(
                "out_of_memory",
                f"Memory ran out even for a single frame; {free() // MEBIBYTE:,} MB are free.",
                f"tried {sizes} frames at once; {reason}",
            )
        frames_per_chunk //= 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, numpy or one of torch's allocators ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(sign in text for sign in SIGNS_OF_FULL_MEMORY)


def release_memory() -> None:
    """Gives back what torch's allocators keep for later, in a process that has loaded torch."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _free_ram_of_windows() -> int:
    if sys.platform != "win32":
        raise OSError("only Windows has GlobalMemoryStatusEx")
    import ctypes
    from ctypes import wintypes

    class MemoryStatus(ctypes.Structure):
        _fields_ = (
            ("dwLength", wintypes.DWORD),
            ("dwMemoryLoad", wintypes.DWORD),
            ("ullTotalPhys", ctypes.c_uint64),
            ("ullAvailPhys", ctypes.c_uint64),
            ("ullTotalPageFile", ctypes.c_uint64),
            ("ullAvailPageFile", ctypes.c_uint64),
            ("ullTotalVirtual", ctypes.c_uint64),
            ("ullAvailVirtual", ctypes.c_uint64),
            ("ullAvailExtendedVirtual", ctypes.c_uint64),
        )

    status = MemoryStatus(dwLength=ctypes.sizeof(MemoryStatus))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise ctypes.WinError()
    return int(status.ullAvailPhys)
