"""The autoencoder: its linear start, training, and any Stable Diffusion VAE in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from models.autoencoder import MapAutoencoder
from models.corpus.skin_cache import SkinCache
from models.corpus.skin_images import skin_images
from models.errors import CheckpointError, InputError
from models.head import Head
from models.training.autoencoder import AutoencoderTraining, train_autoencoder
from models.training.autoencoder_start import PatchComponents, linear_start
from models.training.optimisation import Phase
from tests.models.tiny import tiny_head
from tests.models.tiny_appearance import unwrapped
from tests.models.tiny_skin_cache import tiny_skin

KINDS = ("offset", "position", "albedo", "specular", "roughness", "relief")


@pytest.fixture(scope="module")
def head() -> Head:
    return unwrapped(tiny_head())


@pytest.fixture(scope="module")
def skin(tmp_path_factory: pytest.TempPathFactory, head: Head) -> Path:
    folder = tmp_path_factory.mktemp("skin")
    tiny_skin(folder / "skin", head)
    head.save(folder / "head")
    return folder


@pytest.fixture(scope="module")
def images(skin: Path, head: Head) -> torch.Tensor:
    cache = SkinCache.open(skin / "skin", "train", head)
    return torch.cat(list(skin_images(cache, head, np.arange(0, 24, 3), KINDS).values()))


def test_the_start_is_the_linear_code(images: torch.Tensor) -> None:
    components = PatchComponents.of(images, torch.ones(len(images)), 8)
    model = MapAutoencoder.small(latent_channels=8, channels=64, groups=8)
    linear_start(model, components)
    latents = model.encode(images)
    assert latents.shape == (len(images), 8, 8, 8)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(8), atol=0.05)
    linear = components.reconstruct(images, 8, 8)
    error = (model.decode(latents) - images).square().mean()
    assert error < 1.1 * (linear - images).square().mean()
    with pytest.raises(ValueError, match="components"):
        linear_start(MapAutoencoder.small(latent_channels=16, channels=16, groups=4), components)


def test_components_are_the_best_linear_code(images: torch.Tensor) -> None:
    components = PatchComponents.of(images, torch.ones(len(images)), 4)
    best = (components.reconstruct(images, 6, 4) - images).square().mean()
    turned = torch.linalg.qr(components.directions.T + 0.1 * torch.randn(48, 48))[0].T
    other = replace(components, directions=turned).reconstruct(images, 6, 4)
    assert best < (other - images).square().mean()
    assert torch.allclose(components.reconstruct(images, 48, 4), images, atol=1e-4)


def test_training_betters_the_start_and_resumes(skin: Path, tmp_path: Path) -> None:
    config = AutoencoderTraining(
        corpus=skin / "skin",
        head=skin / "head",
        output=tmp_path / "vae",
        latent_channels=4,
        channels=32,
        groups=4,
        crop=32,
        phase=Phase(60, steps=40, batch=12, learning_rate=1e-3),
    )
    plan = train_autoencoder(config, dry_run=True)
    assert plan["records"] == 24
    assert not config.output.exists()
    result = train_autoencoder(config)
    assert result["steps"] == 40
    # 1 is the linear code's error; the relief's slopes add to it at the start
    head = Head.load(skin / "head")
    cache = SkinCache.open(skin / "skin", "train", head)
    model = MapAutoencoder.from_folder(config.output)
    for kind, values in skin_images(cache, head, np.arange(24), ("albedo", "relief")).items():
        linear = PatchComponents.of(values, torch.ones(24), 8).reconstruct(values, 4, 8)
        rest = (model.decode(model.encode(values)) - values).square().mean()
        assert rest < 8 * (linear - values).square().mean() + 1e-4, kind
    again = train_autoencoder(replace(config, phase=replace(config.phase, steps=44)))
    assert again["steps"] == 44


def test_a_stable_diffusion_vae_takes_its_place(tmp_path: Path, images: torch.Tensor) -> None:
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        scaling_factor=0.18215,
    )
    vae.save_pretrained(tmp_path / "sd" / "vae")
    for folder in (tmp_path / "sd", tmp_path / "sd" / "vae"):
        model = MapAutoencoder.from_folder(folder)
        assert (model.fold, model.factor, model.latent_channels) == (1, 8, 4)
        latents = model.encode(images[:2])
        assert latents.shape == (2, 4, 8, 8)
        with torch.no_grad():
            wanted = 0.18215 * vae.encode(images[:2]).latent_dist.mode()
        assert torch.allclose(latents, wanted, atol=1e-5)
        assert model.decode(latents).shape == (2, 3, 64, 64)


def test_folders_that_hold_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no autoencoder"):
        MapAutoencoder.from_folder(tmp_path)
    MapAutoencoder.small(4, 16, groups=2).save(tmp_path / "vae")
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        MapAutoencoder.from_folder(tmp_path)
    (tmp_path / "bad.toml").write_text("corpus = 3", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be used"):
        AutoencoderTraining.read(tmp_path / "bad.toml")
