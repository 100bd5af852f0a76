"""The skin cache as latents: computed once, so that diffusion trains on nothing else.

A folder a split, in shards as large as the skin cache's: latents of every record's maps (n, S * C, h, w),
crease features of the expected and of the true motion (n, F, h, w), and of every person the latents of the
neutral texture and geometry. All float16.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..autoencoder import MapAutoencoder
from ..errors import InputError
from ..exp_diff import POSITION
from ..expected_motion import ExpectedMotion
from ..head import Head
from ..skin.brdf_maps import to_images
from ..skin.surface_strain import STRAIN_TEXELS, RestMetric, crease_features
from ..uv_maps import UVLayout
from .skin_cache import SkinCache
from .skin_images import rasterised, skin_images

Halves = NDArray[np.float16]
Integers = NDArray[np.int64]

SETTINGS_NAME = "latents.json"
ARRAYS = ("latents", "expected_strain", "true_strain")
AT_ONCE = 16
"""Records encoded together."""


@dataclass(frozen=True)
class LatentCache:
    """One split. Record r of a `SkinCache` is record r here."""

    maps: tuple[str, ...]
    latents: tuple[Halves, ...]
    expected_strain: tuple[Halves, ...]
    true_strain: tuple[Halves, ...]
    starts: Integers
    texture: Halves  # (P, C, h, w)
    offset: Halves  # (P, C, h, w)
    still: Halves  # (C, h, w) latent of a geometry that departs from nothing

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Raises InputError when there is none."""
        shards = sorted(folder.glob("latents_*.npy"))
        if not shards or not (folder / "people.npz").is_file():
            raise InputError(f"{folder} holds no latents of skin; they are made when training begins.")
        parts: dict[str, Any] = {
            name: tuple(np.load(folder / f"{name}_{path.stem[-4:]}.npy", mmap_mode="r") for path in shards)
            for name in ARRAYS
        }
        with np.load(folder / "people.npz") as people:
            arrays = {name: people[name] for name in ("texture", "offset", "still")}
        starts = np.cumsum([0, *(len(part) for part in parts["latents"])])[:-1]
        settings = json.loads((folder / SETTINGS_NAME).read_text(encoding="utf-8"))
        return cls(tuple(settings["maps"]), **parts, starts=starts.astype(np.int64), **arrays)

    def __len__(self) -> int:
        """Number of records."""
        return sum(len(part) for part in self.latents)

    def of_maps(self, maps: tuple[str, ...], records: Integers) -> Tensor:
        """Latents (B, S * C, h, w) of some of the maps."""
        every = self.read("latents", records).unflatten(1, (len(self.maps), -1))
        return every[:, [self.maps.index(name) for name in maps]].flatten(1, 2)

    def read(self, name: str, records: Integers) -> Tensor:
        """(B, ...) float32 of ``latents``, ``expected_strain`` or ``true_strain``."""
        parts: tuple[Halves, ...] = getattr(self, name)
        shard = np.searchsorted(self.starts, records, side="right") - 1
        rows = [parts[s][r - self.starts[s]] for s, r in zip(shard, records, strict=True)]
        return torch.from_numpy(np.stack(rows)).float()


def build_latents(
    folder: Path,
    cache: SkinCache,
    autoencoder: MapAutoencoder,
    head: Head,
    motion: ExpectedMotion,
    maps: tuple[str, ...],
) -> Iterator[tuple[int, int]]:
    """Write the latents of a split; yields (records done, records). Shards that exist are kept.

    Raises InputError when ``folder`` holds latents of other maps or another autoencoder.
    """
    size = cache.layout.size // autoencoder.factor
    content = {"maps": list(maps), "size": size, "autoencoder": _fingerprint(autoencoder)}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS_NAME
    if not path.is_file():
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")
    if json.loads(path.read_text(encoding="utf-8")) != content:
        raise InputError(f"{folder} holds latents of another autoencoder; delete that folder.")
    _write_people(folder, cache, autoencoder, head)
    layout = UVLayout.of_head(head, STRAIN_TEXELS * size, cache.layout.window)
    mean = head.neutral_vertices[: head.skin_vertices]
    ends = [*cache.starts[1:], len(cache)]
    for number, (start, end) in enumerate(zip(cache.starts, ends, strict=True)):
        if not (folder / f"latents_{number:04d}.npy").is_file():
            parts: dict[str, list[NDArray[np.floating]]] = {name: [] for name in ARRAYS}
            for first in range(start, end, AT_ONCE):
                records = np.arange(first, min(first + AT_ONCE, end))
                expected = np.empty((len(records), len(mean), 3), np.float32)
                true = cache.deformations(records)
                for who in np.unique(cache.person[records]):
                    mine = np.flatnonzero(cache.person[records] == who)
                    neutral = mean + cache.neutral_offsets[who].astype(np.float32)
                    expected[mine] = motion(cache.stage[records[mine]], neutral)
                    rest = RestMetric.of(layout, neutral)
                    for row in mine:
                        for name, moved in (("expected_strain", expected), ("true_strain", true)):
                            features = crease_features(rest.strain_map(neutral + moved[row]), size)
                            parts[name].append(features[None])
                departures = to_images(POSITION, rasterised(cache, true - expected))
                images = skin_images(cache, head, records, tuple(n for n in maps if n != POSITION))
                images[POSITION] = departures
                latents = torch.cat([autoencoder.encode(images[name]) for name in maps], dim=1)
                parts["latents"].append(latents.numpy())
            for name in reversed(ARRAYS):  # the latents last: they say that a shard is complete
                unfinished = folder / f"{name}_{number:04d}.part.npy"
                np.save(unfinished, np.concatenate(parts[name]).astype(np.float16))
                unfinished.rename(folder / f"{name}_{number:04d}.npy")
        yield end, len(cache)


def _write_people(folder: Path, cache: SkinCache, autoencoder: MapAutoencoder, head: Head) -> None:
    if (folder / "people.npz").is_file():
        return
    neutrals = np.flatnonzero(cache.neutral == np.arange(len(cache)))
    neutrals = neutrals[np.argsort(cache.person[neutrals])]
    codes: dict[str, list[NDArray[np.floating]]] = {"albedo": [], "offset": []}
    for start in range(0, len(neutrals), AT_ONCE):
        images = skin_images(cache, head, neutrals[start : start + AT_ONCE], ("albedo", "offset"))
        for name, values in images.items():
            codes[name].append(autoencoder.encode(values).numpy())
    texture, offset = (np.concatenate(codes[name]).astype(np.float16) for name in ("albedo", "offset"))
    nothing = torch.zeros(1, 3, cache.layout.size, cache.layout.size)
    still = autoencoder.encode(nothing)[0].numpy().astype(np.float16)
    np.savez(folder / "people.npz", texture=texture, offset=offset, still=still)


def _fingerprint(autoencoder: MapAutoencoder) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(autoencoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
