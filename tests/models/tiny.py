"""A tiny head and corpus, made in a second: an icosphere with a few smooth expressions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from models.expression import MIRROR_UNITS, UNIT_NAMES
from models.head import Head

UNITS = len(UNIT_NAMES)


def icosphere(subdivisions: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric in x. Vertices (V, 3) float32 of radius 80, triangles (F, 3) int32."""
    g = (1 + 5**0.5) / 2
    v = [(-1, g, 0), (1, g, 0), (-1, -g, 0), (1, -g, 0), (0, -1, g), (0, 1, g), (0, -1, -g), (0, 1, -g)]
    v += [(g, 0, -1), (g, 0, 1), (-g, 0, -1), (-g, 0, 1)]
    f = [(0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4), (11, 10, 2)]
    f += [(10, 7, 6), (7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9), (4, 9, 5)]
    f += [(2, 4, 11), (6, 2, 10), (8, 6, 7), (9, 8, 1)]
    points = [np.array(p, float) for p in v]
    for _ in range(subdivisions):
        middle: dict[tuple[int, int], int] = {}

        def midpoint(a: int, b: int, middle: dict[tuple[int, int], int] = middle) -> int:
            key = (min(a, b), max(a, b))
            if key not in middle:
                middle[key] = len(points)
                points.append((points[a] + points[b]) / 2)
            return middle[key]

        f = [
            t
            for a, b, c in f
            for ab, bc, ca in [(midpoint(a, b), midpoint(b, c), midpoint(c, a))]
            for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))
        ]
    vertices = np.array(points)
    vertices *= 80 / np.linalg.norm(vertices, axis=1, keepdims=True)
    return vertices.astype(np.float32), np.array(f, np.int32)


def tiny_head() -> Head:
    """642 skin vertices, no parts, six identity modes; every unit a smooth bump."""
    vertices, triangles = icosphere()
    count = len(vertices)
    mirror = np.linalg.norm(vertices[:, None] - vertices[None] * [-1, 1, 1], axis=2).argmin(1)

    def reflected(field: np.ndarray) -> np.ndarray:
        return field[..., mirror, :] * [-1, 1, 1]

    random = np.random.default_rng(0)
    identity = np.stack([np.sin(vertices @ random.normal(0, 0.02, (3, 3))) * 3 for _ in range(6)])
    units = np.stack(
        [
            np.exp(-np.square(vertices - vertices[random.integers(count)]).sum(1) / 2000)[:, None]
            * random.normal(0, 6, 3)
            for _ in range(UNITS)
        ]
    )
    identity = (identity + reflected(identity)) / 2
    units = (units + reflected(units)[MIRROR_UNITS]) / 2
    faces = np.concatenate([triangles, -np.ones((len(triangles), 1), np.int32)], axis=1)
    none = np.zeros((0, 2), np.int32)
    return Head(
        config={
            "name": "tiny",
            "units": "mm",
            "skin_vertices": count,
            "parts": {},
            "material_names": ["skin"],
            "unit_names": list(UNIT_NAMES),
            "lid_edge_ring": 0,
            "lip_contact_rings": [0, 0],
            "licence": "made by the tests",
        },
        neutral_vertices=vertices,
        faces=faces,
        triangles=triangles,
        uv=np.zeros((count, 2), np.float32),
        uv_faces=faces.copy(),
        face_material=np.zeros(len(faces), np.int16),
        mirror=mirror.astype(np.int32),
        eye_rings=np.zeros((2, 1, 4), np.int32),
        lid_pairs=np.zeros((2, 0, 2), np.int32),
        mouth_rings=np.zeros((1, 4), np.int32),
        lip_pairs=none,
        identity_q=np.round(identity * 1000).astype(np.int16),
        identity_scale=np.full(6, 1e-3, np.float32),
        expression_q=np.round(units * 1000).astype(np.int16),
        expression_scale=np.full(UNITS, 1e-3, np.float32),
        face_mask=np.ones(count, np.float32),
        jaw_weight=np.zeros(count, np.float32),
        landmarks68=np.linspace(0, count - 1, 68).astype(np.int32),
    )


def tiny_corpus(folder: Path, head: Head, people: int = 12, frames: int = 600, seed: int = 0) -> None:
    """Write a training split: unit bumps scaled by the person and by a style nobody can see."""
    random = np.random.default_rng(seed)
    coefficients = random.normal(0, 1, (people, len(head.identity_q))).astype(np.float32)
    neutral = np.einsum("pi,ivd->pvd", coefficients, head.identity_basis)
    person = random.integers(people, size=frames)
    stage = np.zeros((frames, UNITS), np.float32)
    stage[np.arange(frames), random.integers(4, size=frames)] = random.uniform(0.2, 1, frames)
    gain = 1 + 0.3 * np.tanh(coefficients[person, 0]) + random.normal(0, 0.1, frames)
    deformation = np.einsum("fu,uvd->fvd", stage * gain[:, None], head.expression_basis)
    folder.mkdir(parents=True)
    save_file(
        {"coefficients": coefficients, "neutral": neutral.astype(np.float16)}, folder / "people.safetensors"
    )
    np.save(folder / "frames_0000.npy", deformation.astype(np.float16))
    np.savez(
        folder / "frames_0000.npz",
        stage=stage,
        person=person.astype(np.int32),
        label=np.zeros(frames, np.int32),
    )
