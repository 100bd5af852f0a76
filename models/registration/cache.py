"""Bindings kept on disk, so that a head is bound once: one file for each geometry."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..binding import Binding
from ..errors import InputError
from ..head import Head

MOST_ENTRIES = 64
"""Bindings kept; the ones used longest ago go first."""


def key(
    head: Head,
    vertices: NDArray[np.float32],
    triangles: NDArray[np.int32],
    landmarks: Mapping[str, NDArray[np.floating]],
) -> str:
    """Names a binding by all that decides it: the mesh, the landmarks, the head and the code that binds."""
    content = hashlib.sha256(_code().encode())
    content.update(str(head.config.get("fingerprint", "")).encode())
    content.update(np.ascontiguousarray(vertices, "<f4").tobytes())
    content.update(np.ascontiguousarray(triangles, "<i4").tobytes())
    for name in sorted(landmarks):
        content.update(name.encode() + np.asarray(landmarks[name], "<f4").tobytes())
    return f"{len(vertices)}-{content.hexdigest()[:32]}"


def load(folder: Path, key: str, head: Head) -> Binding | None:
    """The binding of that key; None when there is none that can be read."""
    path = _path(folder, key)
    try:
        binding = Binding.load(path, head)
    except (InputError, BadZipFile, zlib.error):
        return None
    with suppress(OSError):
        os.utime(path)
    return binding


def store(folder: Path, key: str, binding: Binding) -> None:
    """Keep a binding. A folder that cannot be written only means that it will be made again."""
    path = _path(folder, key)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            binding.save(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        entries = sorted(folder.glob("*.npz"), key=lambda entry: entry.stat().st_mtime)
        for entry in entries[:-MOST_ENTRIES]:
            entry.unlink(missing_ok=True)


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.npz"


@cache
def _code() -> str:
    """Names the version of the binding's own source: another one may bind otherwise."""
    here = Path(__file__).parent
    sources = [here.parent / "binding.py", *sorted(here.glob("*.py"))]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
