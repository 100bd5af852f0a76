"""Reader of FFHQ-UV: normalised neutral UV textures of many people, extended to expressions.

Layout: `<folder>/**/NNNNNN.png` in one UV map (HIFI3D++), optionally `NNNNNN.obj` or `NNNNNN.npy` (V, 3)
beside it with that person's neutral; without one, the mean head stands in. ExpDiff's FFHQ-BRDFExp (section
IV-C) aligns such textures, adds pores and reflectance maps by skin tone and synthesises expressions; here
the authored painter does the last two (`skin_extension`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..authored.skin_regions import SkinAtlas
from ..errors import InputError
from ..expression import UNIT_NAMES
from ..head import Head
from .frames import random_mixture
from .sequence_files import read_mesh
from .sequences import split_subjects
from .skin_extension import MeasuredSkin
from .skin_subjects import Subject
from .topology_map import TopologyMap, read_picture

SINGLE_SHARE = 0.5
"""Share of synthesised expressions that are a single unit at its apex."""


def read_ffhq_uv(
    folder: Path, head: Head, topology: TopologyMap, atlas: SkinAtlas, expressions: int = 6, seed: int = 0
) -> Iterator[Subject]:
    """Everybody's neutral and ``expressions`` synthesised ones.

    Raises InputError when there is no texture, or a mesh of another topology beside one.
    """
    pictures = sorted(folder.rglob("*.png"))
    if not pictures:
        raise InputError(f"{folder} holds no textures; expected pictures such as 000001.png.")
    splits = split_subjects([path.stem for path in pictures], seed)
    basis = head.expression_basis[:, : head.skin_vertices]
    for number, path in enumerate(pictures):
        rng = np.random.default_rng([seed, 8, number])
        neutral = _neutral(path, head, topology)
        albedo = topology.texture(read_picture(path))
        skin = MeasuredSkin(atlas, neutral, albedo, seed=20_000_000 + number)
        stages = [np.zeros(len(UNIT_NAMES), np.float32), *(_stage(rng) for _ in range(expressions))]
        vertices = neutral + np.tensordot(np.stack(stages), basis, 1)
        yield Subject(
            name=path.stem,
            split=splits[path.stem],
            vertices=vertices.astype(np.float32),
            maps=[skin.neutral(), *(skin.frame(face) for face in vertices[1:])],
            stage=np.stack(stages),
        )


def _stage(rng: np.random.Generator) -> NDArray[np.float32]:
    if rng.random() > SINGLE_SHARE:
        return random_mixture(rng)
    return np.eye(len(UNIT_NAMES), dtype=np.float32)[rng.integers(len(UNIT_NAMES))]


def _neutral(picture: Path, head: Head, topology: TopologyMap) -> NDArray[np.float32]:
    shape = picture.with_suffix(".npy")
    mesh = picture.with_suffix(".obj")
    if shape.is_file():
        vertices = np.load(shape, allow_pickle=False).reshape(-1, 3)
    elif mesh.is_file():
        vertices, _ = read_mesh(mesh)
    else:
        return head.neutral_vertices[: head.skin_vertices]
    return topology.skin(vertices, picture.stem)
