"""A tiny skin cache: smooth maps of a few people whose relief and colour follow the strain of the mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.corpus.skin_cache import Records, write_people, write_settings, write_shard
from models.expression import UNIT_NAMES
from models.head import Head
from models.skin.surface_strain import RestMetric
from models.uv_maps import TILE, UVLayout

SIZE = 64


def tiny_skin(
    folder: Path, head: Head, people: int = 4, frames: int = 6, size: int = SIZE, split: str = "train"
) -> None:
    """Write one split. Record 0 of each person is the neutral; frames are single units of random strength."""
    random = np.random.default_rng(len(split))
    layout = UVLayout.of_head(head, size, TILE)
    write_settings(folder, layout, ("oil",), {"made_of": "the tests"})
    mean = head.neutral_vertices
    oil = random.uniform(0, 1, (people, 1)).astype(np.float32)
    weights = random.normal(0, 1, (people, len(head.identity_q)))
    offsets = np.einsum("pi,ivc->pvc", weights, head.identity_basis).astype(np.float32)
    write_people(folder / split, np.arange(people), oil, offsets)
    rows: dict[str, list[np.ndarray]] = {}
    for person in range(people):
        neutral = mean + offsets[person]
        metric = RestMetric.of(layout, neutral)
        tone = layout.rasterise(np.sin(mean * 0.05 + person))
        for frame in range(frames):
            stage = np.zeros(len(UNIT_NAMES), np.float32)
            if frame:
                stage[random.integers(4)] = random.uniform(0.3, 1)
            deformation = np.einsum("m,mvc->vc", stage, head.expression_basis) * (1 + 0.2 * oil[person])
            strain = metric.strain_map(neutral + deformation)
            squeezed = np.clip(1 - strain[..., 0], 0, 1)
            height = 0.2 * squeezed * np.sin(np.arange(size) * 0.8) + 0.02 * tone[..., 0]
            albedo = np.clip(0.5 + 0.1 * tone - 0.2 * squeezed[..., None], 0, 1)
            row = {
                "albedo": albedo,
                "specular": np.clip(0.4 + 0.1 * oil[person] - 0.2 * squeezed, 0, 1),
                "roughness": np.clip(0.5 - 0.1 * oil[person] + 0.1 * squeezed, 0, 1),
                "normal": 0.5 + 0.5 * metric.normal_map(neutral + deformation, height.astype(np.float32)),
                "height": height,
                "deformation": deformation,
                "person": np.array(person),
                "neutral": np.array(person * frames),
                "stage": stage,
                "intensity": stage.max(),
                "label": np.array(-1, np.int16),
                "kind": np.array(-1 if frame == 0 else 0, np.int16),
            }
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
    write_shard(folder / split, 0, Records(**{name: np.stack(values) for name, values in rows.items()}))
