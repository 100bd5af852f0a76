"""The folder of one job: arrays that the host left for it, arrays that it leaves for the host."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .memory import MEBIBYTE
from .worker import JobFailedError

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class JobFolder:
    """Reads and writes .npy files, never pickles. What fails is told in a JobFailedError."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def has(self, name: str) -> bool:
        """Whether the host left this array."""
        return self._file(name).exists()

    def read(self, name: str, columns: int | None = None) -> NDArray[Any]:
        """The (N, columns) numbers of an array, any columns where None. Raises JobFailedError("input")."""
        file = self._file(name)
        try:
            array = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise JobFailedError(
                "input", f"The job's file {file} is missing or damaged.", str(error)
            ) from error
        wide = array.ndim == 2 and columns in (None, array.shape[1])
        if not wide or array.dtype.kind not in "iuf":
            raise JobFailedError(
                "input",
                f"The job's file {file} holds something else than {columns} numbers in a row.",
                f"shape {array.shape}, type {array.dtype}",
            )
        return array

    def require_room(self, size: int) -> None:
        """Raises JobFailedError("setup") when `size` bytes cannot be written: better now than later."""
        try:
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise self._failure(error.strerror or str(error)) from error
        if not os.access(self.path, os.W_OK):
            raise self._failure("it is write-protected")
        if free < size:
            raise self._disk_full(size)

    def write(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
        """Saves arrays and returns their paths by name; a file has its name only when it is complete.

        Raises JobFailedError("setup") when the disk is full or the folder cannot be written.
        """
        return {name: str(self._write(name, array)) for name, array in arrays.items()}

    def _write(self, name: str, array: NDArray[Any]) -> Path:
        file = self._file(name)
        partial = file.with_suffix(".partial")
        try:
            with partial.open("wb") as stream:
                np.save(stream, array, allow_pickle=False)
            partial.replace(file)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            # numpy reports a short write as an OSError without a number
            if error.errno is None or error.errno in DISK_FULL:
                raise self._disk_full(array.nbytes) from error
            raise self._failure(error.strerror or str(error)) from error
        return file

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.npy"

    def _failure(self, reason: str) -> JobFailedError:
        return JobFailedError("setup", f"The results cannot be written to {self.path}: {reason}.")

    def _disk_full(self, size: int) -> JobFailedError:
        free = shutil.disk_usage(self.path).free
        needed, left = f"{size / MEBIBYTE:,.1f} MB needed", f"{free / MEBIBYTE:,.1f} MB free"
        return self._failure(f"its disk is full ({needed}, {left})")
