"""Reader of J-Reflectance, the captured expressions with BRDF textures of ExpDiff (section IV).

Layout: `train.json` and `test.json` name the people of each split; `<person>/<expression>/` holds
`shape.npy` (V, 3), `texture.png`, `diffuse.png`, `specular.png`, `roughness.png` and `normal.png`. The data
are given out after a review of the applicant and are not part of this project.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..authored.skin import BrdfMaps
from ..authored.skin_regions import SkinAtlas
from ..authored.skin_tension import RestSurface
from ..errors import InputError
from .skin_subjects import Subject, height_of, stage_named
from .topology_map import TopologyMap, read_picture

SPLITS = {"train": "train.json", "test": "test.json"}
FILES = ("shape.npy", "diffuse.png", "specular.png", "roughness.png", "normal.png")
NEUTRAL = "neutral"


def read_j_reflectance(
    folder: Path, topology: TopologyMap, atlas: SkinAtlas, neutral: str = NEUTRAL
) -> Iterator[Subject]:
    """Everybody's expressions, the neutral first. ``neutral`` is the name of its folder, in any case.

    Raises InputError for a missing list, person, neutral or map, and for a mesh of another topology.
    """
    for split, name in SPLITS.items():
        for person in _people(folder / name):
            found = sorted(path for path in (folder / person).glob("*/") if (path / FILES[0]).is_file())
            rest = [path for path in found if path.name.lower() == neutral.lower()]
            if not rest:
                raise InputError(f"{folder / person} has no expression called {neutral}.")
            faces = rest + [path for path in found if path not in rest]
            vertices = np.stack([topology.skin(_shape(path), str(path)) for path in faces])
            surface = RestSurface.of(atlas.texels, vertices[0])
            yield Subject(
                name=person,
                split=split,
                vertices=vertices,
                maps=[_maps(path, topology, surface) for path in faces],
                stage=np.stack([stage_named(path.name) * (path not in rest) for path in faces]),
            )


def _people(path: Path) -> list[str]:
    """Names in a list, or the keys of a table."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no list of people that can be read ({error}).") from error
    names = [str(name).split("/")[0] for name in found]
    return list(dict.fromkeys(names))


def _shape(folder: Path) -> np.ndarray:
    try:
        return np.load(folder / "shape.npy", allow_pickle=False).reshape(-1, 3)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'shape.npy'} cannot be read ({error}).") from error


def _maps(folder: Path, topology: TopologyMap, surface: RestSurface) -> BrdfMaps:
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise InputError(f"{folder} lacks {', '.join(missing)}.")
    normal = topology.normals(read_picture(folder / "normal.png"))
    return BrdfMaps(
        albedo=topology.texture(read_picture(folder / "diffuse.png")),
        specular=topology.texture(read_picture(folder / "specular.png"))[..., :1],
        roughness=topology.texture(read_picture(folder / "roughness.png"))[..., :1],
        normal=normal,
        height=height_of(topology, surface, normal),
    )
