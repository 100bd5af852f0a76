"""Pipes that never wait, on POSIX and on Windows.

The host's end of the bridge lives in Blender's main thread and may not block. POSIX has O_NONBLOCK; Windows'
anonymous pipes need calls of its kernel, since `os.set_blocking` knows them only from Python 3.12 on and
Blender 4.2 has 3.11.
"""

from __future__ import annotations

import os
import sys

CHUNK = 1 << 16

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _PIPE_NOWAIT = wintypes.DWORD(1)
    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)

    def _handle(fd: int) -> wintypes.HANDLE:
        return wintypes.HANDLE(msvcrt.get_osfhandle(fd))

    def set_nonblocking(fd: int) -> None:
        """Makes a pipe's end return at once. Raises OSError when `fd` is no pipe."""
        if not _kernel32.SetNamedPipeHandleState(_handle(fd), ctypes.byref(_PIPE_NOWAIT), None, None):
            raise ctypes.WinError(ctypes.get_last_error())

    def read_available(fd: int) -> bytes | None:
        """What lies in the pipe, at most CHUNK bytes, b"" for nothing; None when its other end is closed."""
        # The C library reports an empty PIPE_NOWAIT pipe as if it were broken, so look before reading.
        available = wintypes.DWORD()
        if not _kernel32.PeekNamedPipe(_handle(fd), None, 0, None, ctypes.byref(available), None):
            error = ctypes.WinError(ctypes.get_last_error())
            if isinstance(error, BrokenPipeError):
                return None
            raise error
        return os.read(fd, min(available.value, CHUNK)) if available.value else b""

    def write_available(fd: int, data: bytes) -> int:
        """Writes what the pipe takes now and says how much. Raises BrokenPipeError when it is closed."""
        written = wintypes.DWORD()
        if not _kernel32.WriteFile(_handle(fd), data, len(data), ctypes.byref(written), None):
            raise ctypes.WinError(ctypes.get_last_error())
        return written.value

else:

    def set_nonblocking(fd: int) -> None:
        """Makes a pipe's end return at once. Raises OSError when `fd` is no pipe."""
        os.set_blocking(fd, False)

    def read_available(fd: int) -> bytes | None:
        """What lies in the pipe, at most CHUNK bytes, b"" for nothing; None when its other end is closed."""
        try:
            return os.read(fd, CHUNK) or None
        except BlockingIOError:
            return b""

    def write_available(fd: int, data: bytes) -> int:
        """Writes what the pipe takes now and says how much. Raises BrokenPipeError when it is closed."""
        try:
            return os.write(fd, data)
        except BlockingIOError:
            return 0
