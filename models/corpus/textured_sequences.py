"""Reader of textured mesh sequences as MimicMe gives them: a mesh and a UV texture for every frame.

Layout: `<subject>/<expression>/NNNNNN.obj` (or .ply) with `NNNNNN.png` (or .jpg) beside it, all meshes of
one topology. Such textures hold colour alone; reflectance and relief are authored to suit
(`skin_extension`), and the cache says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from ..authored.skin import BrdfMaps
from ..authored.skin_regions import SkinAtlas
from ..errors import InputError
from .performance import extremeness, local_intensity
from .sequence_files import RawSequence, SequenceFiles, find_sequences, read_sequence
from .sequences import split_subjects
from .skin_extension import MeasuredSkin
from .skin_subjects import Subject, stage_named
from .topology_map import TopologyMap, read_picture

PICTURES = (".png", ".jpg", ".jpeg")


def read_textured_sequences(
    folder: Path, topology: TopologyMap, atlas: SkinAtlas, frames: int = 8, seed: int = 0
) -> Iterator[Subject]:
    """Every subject's first frame as the neutral, and ``frames`` of each sequence, spread over it.

    Raises InputError as `sequence_files`, for a frame without texture and for another topology.
    """
    sequences = find_sequences(folder)
    splits = split_subjects([one.subject for one in sequences], seed)
    for number, (subject, found) in enumerate(groupby(sequences, key=lambda one: one.subject)):
        vertices: list[np.ndarray] = []
        stages: list[np.ndarray] = []
        maps: list[BrdfMaps] = []
        skin: MeasuredSkin | None = None
        for files in found:
            raw = read_sequence(files)
            moved = topology.skin(raw.vertices, str(files.path))
            progress = local_intensity(extremeness(moved - moved[0]))
            chosen = np.unique(np.rint(np.linspace(0, len(moved) - 1, frames + 1)).astype(int))
            if skin is None:
                albedo = topology.texture(read_picture(_picture(files, raw, 0)))
                skin = MeasuredSkin(atlas, moved[0], albedo, seed=10_000_000 + number)
                vertices, stages, maps = [moved[0]], [stage_named(files.label, 0.0)], [skin.neutral()]
            for frame in chosen[1:]:
                picture = topology.texture(read_picture(_picture(files, raw, int(frame))))
                maps.append(skin.frame(moved[frame], picture))
                vertices.append(moved[frame])
                stages.append(stage_named(files.label, float(progress[frame])))
        yield Subject(subject, splits[subject], np.stack(vertices), maps, np.stack(stages).astype(np.float32))


def _picture(files: SequenceFiles, raw: RawSequence, frame: int) -> Path:
    """The texture of a frame: the picture whose last number is the frame's."""
    number = int(raw.frame_numbers[frame])
    for path in sorted(files.path.iterdir()) if files.path.is_dir() else []:
        digits = "".join(c if c.isdigit() else " " for c in path.stem).split()
        if path.suffix.lower() in PICTURES and digits and int(digits[-1]) == number:
            return path
    raise InputError(f"{files.path} has no texture for frame {number}.")
