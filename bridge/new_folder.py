"""A new folder of results that is there only when it is complete, and never takes the place of another."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .job_folder import DISK_FULL
from .memory import MEBIBYTE
from .worker import JobFailedError


@contextmanager
def new_folder(path: Path, size: int) -> Generator[Path]:
    """A folder beside `path` to write about `size` bytes to; it becomes `path` if the block ends well.

    An empty folder `path` is taken for a new one. Raises JobFailedError("input") when there is one with
    something in it, when it cannot be written, or when its disk is or runs full; nothing is left then.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise JobFailedError("input", f"There is something in “{path}” already: choose a new folder.")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < size:
            raise _disk_full(path, free, size)
        unfinished.mkdir()
        yield unfinished
        if path.exists():
            path.rmdir()
        unfinished.rename(path)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise _disk_full(path, 0, size) from error
        reason = error.strerror or str(error)
        raise JobFailedError("input", f"The folder “{path}” cannot be written: {reason}.") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(unfinished)


def _disk_full(path: Path, free: int, size: int) -> JobFailedError:
    numbers = f"{size / MEBIBYTE:,.0f} MB may be needed, {free / MEBIBYTE:,.0f} MB are free"
    return JobFailedError(
        "input", f"The disk of “{path.parent}” is full ({numbers}): free some, or ask for a lower resolution."
    )
