"""An untrained appearance model, real in every part but its size: the API to build on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.appearance import Appearance
from models.autoencoder import MapAutoencoder
from models.exp_diff import MAPS, LatentDenoiser, LatentDenoiserConfig
from models.expected_maps import ExpectedLatents
from models.expected_motion import LinearMotion
from models.head import Head
from models.prompts import PromptEmbedder
from models.skin.surface_strain import FEATURES
from models.uv_maps import TILE

CHECKPOINTS = Path(__file__).parents[2] / "models" / "checkpoints"
LATENTS, SIZE = 4, 8


def unwrapped(head: Head) -> Head:
    """The tiny head, a sphere, with UVs: its front and its back side by side, with a seam between."""
    vertices = head.neutral_vertices
    flat = vertices[:, :2] / (8 * np.abs(vertices).max()) * 1.9
    uv = np.concatenate([flat * [1, 2] + [0.25, 0.5], flat * [-1, 2] + [0.75, 0.5]]).astype(np.float32)
    behind = vertices[head.triangles].mean(axis=1)[:, 2] < 0
    corners = np.where(behind[:, None] & (head.faces >= 0), head.faces + len(vertices), head.faces)
    return replace(head, uv=uv, uv_faces=corners.astype(np.int32))


def tiny_appearance(head: Head, size: int = SIZE, seed: int = 0) -> Appearance:
    """Maps of 8 size x 8 size texels; everything that starts at zero is made to do something."""
    torch.manual_seed(seed)
    config = LatentDenoiserConfig(
        latent_channels=LATENTS,
        latent_size=size,
        guide_channels=LATENTS + FEATURES,
        channels=(8, 16),
        condition=16,
        context=16,
        place_channels=2,
    )
    denoiser = LatentDenoiser(config)
    expected = ExpectedLatents(MAPS, LATENTS, size, FEATURES)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.02)
        expected.from_strain.normal_(0, 0.02)
        expected.spread.fill_(0.05)
    autoencoder = MapAutoencoder.small(latent_channels=LATENTS, channels=16, groups=2)
    return Appearance(
        autoencoder,
        denoiser,
        expected,
        head,
        PromptEmbedder.load(CHECKPOINTS / "text"),
        LinearMotion(head),
        TILE,
    )


def save_tiny_appearance(folder: Path, head: Head) -> None:
    """Write it as a checkpoint folder."""
    head.save(folder / "head")
    words = str(CHECKPOINTS / "text")
    tiny_appearance(head).save(folder, {"data": "none"}, {"head": "head", "words": words})
