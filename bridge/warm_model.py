"""A model that stays loaded between jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from .worker import Report

Model = TypeVar("Model")
Stamp = tuple[tuple[str, int, int], ...]


class WarmModel(Generic[Model]):
    """The checkpoint used last, loaded with ``load``, kept until another is asked for or its files change."""

    def __init__(self, load: Callable[[Path], Model]) -> None:
        self._load = load
        self._loaded: tuple[Path, Stamp, Model] | None = None

    def of(self, folder: Path, report: Report) -> Model:
        """The model of a checkpoint folder. Raises what ``load`` raises."""
        stamp = _stamp(folder)
        if self._loaded is None or self._loaded[:2] != (folder, stamp):
            report("load", 0, 1)
            self._loaded = None  # two models may not fit
            self._loaded = folder, stamp, self._load(folder)
            report("load", 1, 1)
        return self._loaded[2]


def _stamp(folder: Path) -> Stamp:
    """Names, sizes and times of the files of a checkpoint; no deeper, for it may be any folder."""
    files = sorted(file for file in (*folder.glob("*"), *folder.glob("*/*")) if file.is_file())
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
