"""A tiny skin cache: an unwrapped dome whose normals and colours follow a few bumps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from models.corpus.skin_cache import Records, write_people, write_settings, write_shard
from models.expression import UNIT_NAMES
from models.head import Head
from models.uv_maps import UVLayout
from tests.models.tiny import tiny_head

SIZE = 32
FRAMES = 3
"""Of each person, beside the neutral."""


def unwrapped_head() -> Head:
    """The tiny head with the front of its ball unwrapped: u and v run along x and y."""
    head = tiny_head()
    front = (head.neutral_vertices[head.triangles, 2] > 10).all(axis=1)
    triangles = head.triangles[front]
    faces = np.concatenate([triangles, -np.ones((len(triangles), 1), np.int32)], axis=1)
    uv = 0.5 + 0.45 * head.neutral_vertices[:, :2] / 80
    return replace(head, triangles=triangles, faces=faces, uv=uv.astype(np.float32), uv_faces=faces.copy())


def paint(head: Head, layout: UVLayout, tone: float, deformation: np.ndarray) -> dict[str, np.ndarray]:
    """Maps of frames with deformations (n, V, 3): what moves creases, and turns red."""
    lift = np.stack([layout.rasterise(frame)[..., 2] for frame in deformation])
    stripes = np.sin(np.arange(layout.size) * 1.3)
    normal = np.zeros((*lift.shape, 2), np.float32)
    normal[..., 0] = np.clip(0.05 * lift * stripes, -0.5, 0.5) + 0.05 * np.cos(stripes * 7)
    grey = np.clip(0.5 + 0.02 * lift, 0, 1)
    albedo = np.clip(np.stack([tone + 0.02 * lift, 0.6 * tone + 0 * lift, 0.5 * tone + 0 * lift], -1), 0, 1)
    return {
        "albedo": albedo,
        "specular": grey,
        "roughness": 1 - grey,
        "normal": 0.5 + 0.5 * normal,
        "height": 0.01 * lift * stripes,
    }


def tiny_skin(folder: Path, head: Head, splits: dict[str, int], size: int = SIZE) -> None:
    """Write people of each split, each neutral and in ``FRAMES`` expressions."""
    layout = UVLayout.of_head(head, size)
    write_settings(folder, layout, ("tone",), {"data": "made by the tests"})
    for number, (split, people) in enumerate(splits.items()):
        random = np.random.default_rng([11, number])
        skin = head.skin_vertices
        coefficients = random.normal(0, 1, (people, len(head.identity_q))).astype(np.float32)
        offsets = np.einsum("pi,ivd->pvd", coefficients, head.identity_basis[:, :skin])
        tone = random.uniform(0.4, 0.8, people)
        write_people(folder / split, np.arange(people), tone[:, None], offsets)
        each = 1 + FRAMES
        person = np.repeat(np.arange(people), each)
        stage = np.zeros((len(person), len(UNIT_NAMES)), np.float32)
        shown = np.arange(len(person)) % each > 0
        seen = np.unique(layout.triangles)
        front = np.square(head.expression_basis[:, seen, 2]).sum(axis=1).argsort()[::-1]
        units = front[np.arange(len(person)) % each]  # everybody shows the same few units
        stage[shown, units[shown]] = random.uniform(0.5, 1, shown.sum())
        gain = 1 + 0.2 * np.tanh(coefficients[person, 0])
        deformation = np.einsum("fu,uvd->fvd", gain[:, None] * stage, head.expression_basis[:, :skin])
        maps = [paint(head, layout, tone[p], deformation[person == p]) for p in range(people)]
        write_shard(
            folder / split,
            0,
            Records(
                **{name: np.concatenate([of_one[name] for of_one in maps]) for name in maps[0]},
                deformation=deformation,
                person=person,
                neutral=person * each,
                stage=stage,
                intensity=stage.max(axis=1),
                label=np.full(len(person), -1, np.int16),
                kind=np.where(shown, 1, -1).astype(np.int16),
            ),
        )
