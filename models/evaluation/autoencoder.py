"""What an autoencoder keeps of skin maps, beside linear codes of the same and of other sizes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..autoencoder import MapAutoencoder
from ..corpus.skin_cache import SkinCache
from ..corpus.skin_images import skin_images, some_images
from ..head import Head
from ..skin.brdf_maps import RELIEF_SCALE
from ..skin.surface_strain import RestMetric
from ..training.autoencoder import linear_code
from ..training.autoencoder_start import PatchComponents

KINDS = ("offset", "position", "albedo", "specular", "roughness", "relief")
LINEAR = {
    "linear f8 x 4": (8, 4),
    "linear f8 x 16": (8, 16),
    "linear f8 x 24": (8, 24),
    "linear f8 x 40": (8, 40),
    "linear f4 x 4": (4, 4),
}
"""Codes by principal components: fold and numbers kept of each fold x fold patch."""


def evaluate_autoencoder(
    folders: list[Path],
    head_folder: Path,
    corpus: Path,
    records: int = 60,
    split: str = "test",
    seed: int = 0,
) -> dict[str, Any]:
    """PSNR of each kind of map and the dynamic normal energy kept, on people never trained on.

    PSNR is over the whole range of the map (2 mm of relief, 128 and 16 mm of geometry). The dynamic normals
    are what an expression adds to the neutral's; kept is 1 - |error|^2 / |dynamic|^2, once from coded relief
    and once from coded normal maps, as in the paper. Linear codes are fitted on training people.
    """
    head = Head.load(head_folder)
    cache = SkinCache.open(corpus, split, head)
    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(cache.frames, min(records, len(cache.frames)), replace=False))
    images = skin_images(cache, head, chosen, (*KINDS, "normal"))
    neutral = skin_images(cache, head, cache.neutral[chosen], ("relief", "normal"))
    train = some_images(SkinCache.open(corpus, "train", head), head, records, (*KINDS, "normal"), random)
    shading = _Shading(cache, head, chosen)
    table: dict[str, Any] = {}
    for name, (fold, numbers) in LINEAR.items():
        shared, _ = linear_code({kind: train[kind] for kind in KINDS}, numbers, fold)
        own = PatchComponents.of(train["normal"], torch.ones(len(train["normal"])), fold)
        coded = {kind: shared.reconstruct(values, numbers, fold) for kind, values in images.items()}
        coded["normal"] = own.reconstruct(images["normal"], numbers, fold)
        at_rest = shared.reconstruct(neutral["relief"], numbers, fold)
        at_rest_normal = own.reconstruct(neutral["normal"], numbers, fold)
        table[name] = _row(images, neutral, coded, at_rest, at_rest_normal, shading)
    for folder in folders:
        model = MapAutoencoder.from_folder(folder)
        coded = {kind: model.decode(model.encode(values)) for kind, values in images.items()}
        rest = {kind: model.decode(model.encode(values)) for kind, values in neutral.items()}
        table[folder.name] = _row(images, neutral, coded, rest["relief"], rest["normal"], shading)
    return {"records": len(chosen), "split": split, "codes": table}


class _Shading:
    """Normals of relief images of chosen records and of their neutrals."""

    def __init__(self, cache: SkinCache, head: Head, records: NDArray[np.int64]) -> None:
        mean = head.neutral_vertices[: head.skin_vertices]
        self.neutrals = mean + cache.neutral_offsets[cache.person[records]].astype(np.float32)
        self.moved = self.neutrals + cache.deformations(records)
        self.rests = [RestMetric.of(cache.layout, neutral) for neutral in self.neutrals]
        self.mask = cache.layout.mask

    def dynamic(self, relief: Tensor, at_rest: Tensor) -> NDArray[np.float32]:
        """(B, N, 2) slopes of normals that the expression adds; relief images (B, 3, H, W)."""
        rows: list[NDArray[np.float32]] = []
        for index, rest in enumerate(self.rests):
            heights = [RELIEF_SCALE * image[index].mean(0).numpy() for image in (relief, at_rest)]
            moved = rest.normal_map(self.moved[index], heights[0])
            still = rest.normal_map(self.neutrals[index], heights[1])
            rows.append((moved - still)[self.mask][:, :2])
        return np.stack(rows)

    def shown(self, normal: Tensor, at_rest: Tensor) -> NDArray[np.float32]:
        """The same of normal images (B, 3, H, W) in [-1, 1]."""
        change = (normal - at_rest)[:, :2].permute(0, 2, 3, 1).numpy()
        return change[:, self.mask]


def _row(
    images: dict[str, Tensor],
    neutral: dict[str, Tensor],
    coded: dict[str, Tensor],
    coded_rest: Tensor,
    coded_rest_normal: Tensor,
    shading: _Shading,
) -> dict[str, float]:
    row = {f"psnr {kind}": _psnr(images[kind], coded[kind]) for kind in (*KINDS, "normal")}
    truth = shading.dynamic(images["relief"], neutral["relief"])
    found = shading.dynamic(coded["relief"], coded_rest)
    row["dynamic normals kept, from relief"] = _kept(truth, found)
    truth = shading.shown(images["normal"], neutral["normal"])
    found = shading.shown(coded["normal"], coded_rest_normal)
    row["dynamic normals kept, from normals"] = _kept(truth, found)
    return row


def _psnr(truth: Tensor, found: Tensor) -> float:
    return 10 * math.log10(4 / float((truth - found).square().mean()))


def _kept(truth: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    return 1 - float(np.square(found - truth).sum() / np.square(truth).sum())
