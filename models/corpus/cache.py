"""Reading the cached training frames that ``models.corpus.frames`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from ..alignment import similarity_to
from ..errors import InputError
from ..expression import LABELS
from .frames import FRAMES_PER_PERFORMANCE, Scaling, preset

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FrameCache:
    """Random frames of many people, seen as the model sees every head: aligned to the mean person."""

    stages: Floats  # (n, M) expression stage of every frame
    person: NDArray[np.int64]  # (n,) who
    neutral_offsets: Floats  # (P, V, 3) aligned neutral skin minus the mean, mm
    linear_maps: Floats  # (P, 3, 3) scale times rotation of each person's alignment
    shards: tuple[NDArray[np.float16], ...]  # memory-mapped (n_i, V, 3) deformations, mm
    starts: NDArray[np.int64]  # first frame of each shard
    rows: NDArray[np.int64]  # (n,) place of every frame in the shards

    @classmethod
    def open(cls, folder: Path, mean_skin: Floats, scaling: Scaling = "global") -> Self:
        """Open one split. mean_skin (V, 3), mm. Raises InputError when there is no cache in ``folder``.

        With ``local`` scaling (AnimateMe section 4.1) only labelled frames are seen, and their stage tells
        how far the performance has come, not how strong it is: every apex has intensity 1.
        """
        shard_files = sorted(folder.glob("frames_*.npy"))
        if not shard_files:
            raise InputError(
                f"{folder} holds no cached frames. Build them with: python -m models corpus build"
            )
        people = load_file(folder / "people.safetensors")
        meta = [np.load(path.with_suffix(".npz")) for path in shard_files]
        offsets = people["neutral"].astype(np.float32)
        maps = np.empty((len(offsets), 3, 3), np.float32)
        for index, offset in enumerate(offsets):
            similarity = similarity_to(mean_skin, mean_skin + offset)
            offsets[index] = similarity.apply(mean_skin + offset) - mean_skin
            maps[index] = similarity.scale * similarity.rotation
        shards = tuple(np.load(path, mmap_mode="r") for path in shard_files)
        starts = np.concatenate([[0], np.cumsum([len(shard) for shard in shards])[:-1]])
        stages = np.concatenate([m["stage"] for m in meta]).astype(np.float32)
        person = np.concatenate([m["person"] for m in meta]).astype(np.int64)
        rows = np.arange(len(stages))
        if scaling == "local":
            rows, stages = local_stages(stages, np.concatenate([m["label"] for m in meta]))
            person = person[rows]
        return cls(stages, person, offsets, maps, shards, starts.astype(np.int64), rows)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.stages)

    def deformations(self, frames: NDArray[np.integer[Any]]) -> Floats:
        """(B, V, 3) aligned deformations, mm, of the frames with these indices."""
        rows = self.rows[frames]
        shard = np.searchsorted(self.starts, rows, side="right") - 1
        raw = np.stack([self.shards[s][row - self.starts[s]] for s, row in zip(shard, rows, strict=True)])
        return raw.astype(np.float32) @ self.linear_maps[self.person[frames]].transpose(0, 2, 1)


def local_stages(stages: Floats, label: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], Floats]:
    """Which of the frames (n,) are labelled, and their stages with the apex of their performance at 1.

    Performances are kept as ``corpus.frames`` writes them: so many frames in a row, the apex last.
    """
    rows = np.nonzero(label >= 0)[0]
    apexes = rows.reshape(-1, FRAMES_PER_PERFORMANCE)[:, -1]
    full = np.linalg.norm([preset(LABELS[index]) for index in label[apexes]], axis=1)
    factor = full / np.linalg.norm(stages[apexes], axis=1)
    return rows, stages[rows] * np.repeat(factor, FRAMES_PER_PERFORMANCE)[:, None].astype(np.float32)
