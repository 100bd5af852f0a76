"""The skin cache: neutral and expressive BRDF maps of many people, with the geometry they belong to.

What `python -m models corpus skin` and the readers of real data write, and what the autoencoder, ExpDiff and
AnimateMe's texture model are trained on. A record is one face: the person's neutral or one frame. Maps show
`window` of the head's UV tile at `size` texels (row 0 is the top, see `models.uv_maps`).

Folder: `skin.json` (size, window, what it was made of). For each split (train, validation, test)
`people.safetensors`: seed (P,), traits (P, K) as named in skin.json, neutral (P, V, 3) float16 mm, the rest
face as an offset from the mean head, aligned to it. Then shards, numbered 0000 ..., memory-mapped:

    albedo_0000.npy      (n, H, W, 3)  uint8   sRGB-coded
    specular_0000.npy    (n, H, W)     uint8   0..1
    roughness_0000.npy   (n, H, W)     uint8   0..1
    normal_0000.npy      (n, H, W, 2)  uint8   x and y of the tangent-space normal, +Y up; z follows
    height_0000.npy      (n, H, W)     int16   fine relief, 1 / HEIGHT_STEPS mm
    deformation_0000.npy (n, V, 3)     float16 mm, aligned; zero for a neutral; position maps come from it
    records_0000.npz     person (n,), neutral (n,) the record in this shard that is the person's neutral,
                         stage (n, 57), intensity (n,), label (n,) or -1, kind (n,) or -1 for a neutral

Reading::

    cache = SkinCache.open(Path("cache/skin"), "train", head)
    batch = cache.read(records)              # records (B,); every map float32, channels first
    rest = cache.read(cache.neutral[records])
    batch.position                           # (B, 3, H, W) displacement from the person's neutral, [-1, 1]
    batch.neutral_position                   # (B, 3, H, W) that neutral minus the mean head, [-1, 1]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from ..errors import InputError
from ..head import Head
from ..uv_maps import POSITION_SCALE, UVLayout

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

SETTINGS_NAME = "skin.json"
PEOPLE_NAME = "people.safetensors"
HEIGHT_STEPS = 10_000.0
"""Steps of a height map in one mm; int16 holds 3.2 mm either way."""
MAPS = ("albedo", "specular", "roughness", "normal", "height", "deformation")


@dataclass(frozen=True)
class Records:
    """n faces as they are stored; shapes in the module's docstring, maps float32 or already quantised."""

    albedo: NDArray[Any]
    specular: NDArray[Any]
    roughness: NDArray[Any]
    normal: NDArray[Any]
    height: NDArray[Any]
    deformation: NDArray[Any]
    person: Integers
    neutral: Integers
    stage: Floats
    intensity: Floats
    label: NDArray[np.int16]
    kind: NDArray[np.int16]


@dataclass(frozen=True)
class SkinBatch:
    """B faces, channels first."""

    position: Floats  # (B, 3, H, W) displacement from the neutral over POSITION_SCALE
    neutral_position: Floats  # (B, 3, H, W) the neutral minus the mean head over POSITION_SCALE
    albedo: Floats  # (B, 3, H, W) sRGB-coded, 0..1
    specular: Floats  # (B, 1, H, W) 0..1
    roughness: Floats  # (B, 1, H, W) 0..1
    normal: Floats  # (B, 3, H, W) tangent space coded 0..1, +Y up
    height: Floats  # (B, 1, H, W) mm


@dataclass(frozen=True, eq=False)
class SkinCache:
    """One split of a skin cache."""

    layout: UVLayout
    traits: Mapping[str, Floats]  # (P,) each
    seed: Integers  # (P,)
    neutral_offsets: NDArray[np.float16]  # (P, V, 3) mm
    person: Integers  # (n,) who
    neutral: Integers  # (n,) the record of their neutral
    stage: Floats  # (n, 57)
    intensity: Floats  # (n,)
    label: NDArray[np.int16]  # (n,)
    kind: NDArray[np.int16]  # (n,)
    shards: tuple[Mapping[str, NDArray[Any]], ...]
    starts: Integers

    @classmethod
    def open(cls, folder: Path, split: str, head: Head) -> Self:
        """Open a split of the cache in ``folder``. Raises InputError when it is not there."""
        tables = sorted((folder / split).glob("records_*.npz"))
        if not (folder / SETTINGS_NAME).is_file() or not tables:
            raise InputError(
                f"{folder / split} holds no skin. Build it with: python -m models corpus skin --out {folder}"
            )
        settings = json.loads((folder / SETTINGS_NAME).read_text(encoding="utf-8"))
        layout = UVLayout.of_head(head, settings["size"], tuple(settings["window"]))
        people = load_file(folder / split / PEOPLE_NAME)
        rows: dict[str, list[NDArray[Any]]] = {}
        starts = [0]
        for table in tables:
            with np.load(table) as found:
                columns = {name: found[name] for name in found.files}
            columns["neutral"] = columns["neutral"] + starts[-1]
            starts.append(starts[-1] + len(columns["person"]))
            for name, column in columns.items():
                rows.setdefault(name, []).append(column)
        joined = {name: np.concatenate(columns) for name, columns in rows.items()}
        return cls(
            layout=layout,
            traits=dict(zip(settings["traits"], people["traits"].T, strict=True)),
            seed=people["seed"],
            neutral_offsets=people["neutral"],
            person=joined["person"].astype(np.int64),
            neutral=joined["neutral"].astype(np.int64),
            stage=joined["stage"].astype(np.float32),
            intensity=joined["intensity"].astype(np.float32),
            label=joined["label"],
            kind=joined["kind"],
            shards=tuple(
                {name: np.load(_shard(table.parent, name, table.stem[-4:]), mmap_mode="r") for name in MAPS}
                for table in tables
            ),
            starts=np.array(starts[:-1], np.int64),
        )

    def __len__(self) -> int:
        """Number of records."""
        return len(self.person)

    @property
    def frames(self) -> Integers:
        """Records that are not somebody's neutral."""
        return np.flatnonzero(self.neutral != np.arange(len(self)))

    def limited(self, shards: int) -> SkinCache:
        """The first ``shards`` shards alone."""
        if shards >= len(self.shards):
            return self
        end = int(self.starts[shards])
        rows = {
            name: getattr(self, name)[:end]
            for name in ("person", "neutral", "stage", "intensity", "label", "kind")
        }
        return replace(self, shards=self.shards[:shards], starts=self.starts[:shards], **rows)

    def deformations(self, records: Integers) -> Floats:
        """(B, V, 3) mm, aligned."""
        return self._stored("deformation", records).astype(np.float32)

    def read(self, records: Integers) -> SkinBatch:
        """The maps of records (B,)."""
        offsets = self.neutral_offsets[self.person[records]].astype(np.float32)
        return SkinBatch(
            position=self._positions(self.deformations(records)),
            neutral_position=self._positions(offsets),
            albedo=_first(self.maps("albedo", records)),
            specular=self.maps("specular", records)[:, None],
            roughness=self.maps("roughness", records)[:, None],
            normal=_first(self.maps("normal", records)),
            height=self.maps("height", records)[:, None],
        )

    def maps(self, name: str, records: Integers) -> Floats:
        """One kind of map of records (B,): (B, H, W, 3) albedo and normal, (B, H, W) the others."""
        stored = self._stored(name, records)
        if name == "height":
            return stored / np.float32(HEIGHT_STEPS)
        if name != "normal":
            return stored / np.float32(255.0)
        slope = stored.astype(np.float32) * (2.0 / 255.0) - 1.0
        z = np.sqrt(np.maximum(1.0 - np.square(slope).sum(axis=3, keepdims=True), 0.0))
        return np.concatenate([slope, z], axis=3) * np.float32(0.5) + np.float32(0.5)

    def _positions(self, displacements: Floats) -> Floats:
        batch, vertices = displacements.shape[:2]
        columns = displacements.transpose(1, 0, 2).reshape(vertices, -1)
        image = self.layout.rasterise(columns).reshape(self.layout.size, self.layout.size, batch, 3)
        return np.clip(image.transpose(2, 3, 0, 1) / POSITION_SCALE, -1.0, 1.0)

    def _stored(self, name: str, records: Integers) -> NDArray[Any]:
        shard = np.searchsorted(self.starts, records, side="right") - 1
        return np.stack(
            [self.shards[s][name][r - self.starts[s]] for s, r in zip(shard, records, strict=True)]
        )


def write_people(folder: Path, seed: Integers, traits: Floats, neutral_offsets: NDArray[np.floating]) -> None:
    """Write people.safetensors of a split: seeds (P,), traits (P, K), offsets from the mean (P, V, 3) mm."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "seed": seed.astype(np.int64),
        "traits": traits.astype(np.float32),
        "neutral": neutral_offsets.astype(np.float16),
    }
    save_file(arrays, folder / PEOPLE_NAME)


def write_settings(
    folder: Path, layout: UVLayout, traits: tuple[str, ...], content: Mapping[str, Any]
) -> None:
    """Begin a cache, or go on with one. Raises InputError when ``folder`` holds a cache of something else."""
    settings = {"size": layout.size, "window": list(layout.window), "traits": list(traits), **content}
    path = folder / SETTINGS_NAME
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    if json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(settings)):
        raise InputError(f"{folder} holds other skin; delete that folder or choose another one.")


def count_people(folder: Path) -> int:
    """How many people the split in ``folder`` knows; 0 when it is new."""
    path = folder / PEOPLE_NAME
    return len(load_file(path)["seed"]) if path.is_file() else 0


def has_shard(folder: Path, number: int, people: int) -> bool:
    """Whether shard ``number`` of the split in ``folder`` is complete, its table being written last, and
    holds that many people."""
    table = folder / f"records_{number:04d}.npz"
    if not table.is_file():
        return False
    with np.load(table) as found:
        return len(np.unique(found["person"])) >= people


def write_shard(folder: Path, number: int, records: Records) -> None:
    """Quantise and write one shard."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {
        "albedo": _bytes(records.albedo),
        "specular": _bytes(records.specular),
        "roughness": _bytes(records.roughness),
        "normal": _bytes(records.normal[..., :2]),
        "height": _steps(records.height),
        "deformation": records.deformation.astype(np.float16),
    }
    for name, array in stored.items():
        np.save(_shard(folder, name, f"{number:04d}"), array)
    table = folder / f"records_{number:04d}.npz"
    unfinished = table.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez(
            file,
            person=records.person,
            neutral=records.neutral,
            stage=records.stage,
            intensity=records.intensity,
            label=records.label,
            kind=records.kind,
        )
    unfinished.rename(table)


def _shard(folder: Path, name: str, number: str) -> Path:
    return folder / f"{name}_{number}.npy"


def _bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def _steps(height: NDArray[Any]) -> NDArray[np.int16]:
    if height.dtype == np.int16:
        return height
    return np.rint(np.clip(height * HEIGHT_STEPS, -32767, 32767)).astype(np.int16)


def _first(images: Floats) -> Floats:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
