"""Training the latent models on a tiny skin: expectation, denoiser, resume, checkpoint, both models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.animate_me_texture import AnimateMeTexture
from models.appearance import Appearance
from models.autoencoder import MapAutoencoder
from models.corpus.latent_cache import LatentCache, build_latents
from models.corpus.skin_cache import SkinCache
from models.corpus.skin_images import some_images
from models.errors import CheckpointError, InputError
from models.exp_diff import MAPS
from models.expected_motion import LinearMotion
from models.head import Head
from models.skin.surface_strain import FEATURES
from models.training.autoencoder import linear_code
from models.training.autoencoder_start import linear_start
from models.training.expected_maps_fit import fit_expected, fit_standard
from models.training.latents import EXP_DIFF, TEXTURE, LatentTraining, train_latents
from tests.models.tiny import tiny_head
from tests.models.tiny_appearance import CHECKPOINTS, unwrapped
from tests.models.tiny_skin_cache import tiny_skin

CONFIG = """
corpus = "skin"
latents = "latents"
autoencoder = "vae"
head = "head"
words = "{words}"
output = "{output}"
target = "{target}"
[phase]
minutes = 60
steps = {steps}
batch = 8
learning_rate = 2e-3
[network]
channels = [8, 16]
condition = 16
context = 16
place_channels = 4
prior_rank = 6
"""


@pytest.fixture(scope="module")
def head() -> Head:
    return unwrapped(tiny_head())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, head: Head) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    tiny_skin(folder / "skin", head, people=6, frames=8)
    head.save(folder / "head")
    cache = SkinCache.open(folder / "skin", "train", head)
    kinds = ("offset", "position", "albedo", "specular", "roughness", "relief")
    sample = some_images(cache, head, 32, kinds, np.random.default_rng(0))
    model = MapAutoencoder.small(latent_channels=6, channels=32, groups=4)
    linear_start(model, linear_code(sample, 6, 8)[0])
    model.save(folder / "vae")
    return folder


def config(
    folder: Path, model: str, steps: int, target: str = "residual", output: str = "out"
) -> LatentTraining:
    path = folder / f"{output}.toml"
    words = CHECKPOINTS / "text"
    path.write_text(CONFIG.format(words=words, output=output, steps=steps, target=target), encoding="utf-8")
    return LatentTraining.read(path, model)


@pytest.fixture(scope="module")
def trained(folder: Path) -> LatentTraining:
    run = config(folder, EXP_DIFF, 60)
    train_latents(run)
    return run


def test_what_is_expected_is_better_than_the_neutral(folder: Path, head: Head) -> None:
    skin = SkinCache.open(folder / "skin", "train", head)
    vae = MapAutoencoder.from_folder(folder / "vae")
    list(build_latents(folder / "latents" / "train", skin, vae, head, LinearMotion(head), MAPS))
    latents = LatentCache.open(folder / "latents" / "train")
    assert len(latents) == len(skin)
    expected = fit_expected(skin, latents, MAPS, FEATURES)
    records = skin.frames
    texture = torch.from_numpy(latents.texture[skin.person[records]]).float()
    found = expected(texture, latents.read("true_strain", records))
    wanted = latents.read("latents", records)
    at_rest = latents.read("latents", skin.neutral[records])
    change, true_change = found.mean - expected.at_rest(texture), wanted - at_rest
    for index, name in enumerate(MAPS[1:], start=1):
        mine = slice(6 * index, 6 * index + 6)
        error = (change - true_change)[:, mine].square().mean()
        assert error <= 0.6 * true_change[:, mine].square().mean(), name
    assert not change[:, :6].any()  # the geometry's latents are departures already
    assert torch.allclose(found.restore(found.whiten(wanted)), wanted, atol=1e-4)
    rest = expected(texture, torch.zeros_like(latents.read("true_strain", records)))
    assert torch.allclose(rest.mean[:, 6:12], texture, atol=1e-3)
    assert (found.spread >= rest.spread).all()
    assert (found.spread > 1.05 * rest.spread).any()  # where the skin is compressed, people differ more
    with pytest.raises(InputError, match="another autoencoder"):
        list(build_latents(folder / "latents" / "train", skin, vae, head, LinearMotion(head), MAPS[1:]))


def test_raw_targets_are_standardised(folder: Path, head: Head, trained: LatentTraining) -> None:
    skin = SkinCache.open(folder / "skin", "train", head)
    latents = LatentCache.open(folder / "latents" / "train")
    standard = fit_standard(skin, latents, MAPS, 0)
    values = latents.read("latents", np.arange(len(skin)))
    nothing = torch.zeros(len(values), 0, *values.shape[2:])
    texture = torch.from_numpy(latents.texture[skin.person]).float()
    whitened = standard(texture, nothing).whiten(values)
    assert torch.allclose(whitened.mean((0, 2, 3)), torch.zeros(30), atol=1e-2)
    spread = whitened.std((0, 2, 3))
    varied = values.std((0, 2, 3)) > 1e-3
    assert varied.sum() > 20
    assert torch.allclose(spread[varied], torch.ones(int(varied.sum())), atol=1e-2)


def test_training_learns_and_resumes(folder: Path, trained: LatentTraining) -> None:
    log = (trained.output / "log.jsonl").read_text(encoding="utf-8")
    assert '"done": true' in log
    more = replace(trained, phase=replace(trained.phase, steps=64))
    assert train_latents(more)["steps"] == 64
    plan = train_latents(replace(trained, output=folder / "nowhere"), dry_run=True)
    assert plan["records"] == 48
    assert not (folder / "nowhere").exists()


def test_the_checkpoint_generates(head: Head, folder: Path, trained: LatentTraining) -> None:
    model = Appearance.from_checkpoint(trained.output, device="cpu")
    skin = SkinCache.open(folder / "skin", "train", head)
    frame = int(skin.frames[3])
    neutral = skin.neutral[[frame]]
    albedo = skin.maps("albedo", neutral)[0]
    person = head.neutral_vertices + skin.neutral_offsets[skin.person[frame]].astype(np.float32)
    result = model.generate(albedo, person, skin.stage[[frame]], steps=4)
    wanted = skin.maps("albedo", np.array([frame]))
    assert np.square(result.albedo - wanted).mean() < np.square(albedo - wanted).mean()
    with pytest.raises(CheckpointError, match="not AnimateMeTexture"):
        AnimateMeTexture.from_checkpoint(trained.output, device="cpu")


@pytest.mark.parametrize("target", ["residual", "raw"])
def test_the_texture_model_trains_and_animates(head: Head, folder: Path, target: str) -> None:
    run = config(folder, TEXTURE, 8, target, f"texture-{target}")
    assert run.network.maps == ("albedo",)
    assert not run.network.stage_in_condition
    train_latents(run)
    model = AnimateMeTexture.from_checkpoint(run.output, device="cpu")
    skin = SkinCache.open(folder / "skin", "train", head)
    albedo = skin.maps("albedo", skin.neutral[:1])[0]
    signal = np.linspace(0, 1, 3, dtype=np.float32)[:, None] * skin.stage[[1]]
    frames = model.animate(albedo, signal, 0, steps=3)
    assert frames.shape == (3, *albedo.shape)
    assert np.allclose(frames[0], albedo, atol=1e-3)
    alone = model.animate(albedo, signal, 0, steps=3, frames_per_chunk=1)
    assert np.allclose(frames, alone, atol=1e-4)
    late = model.animate(albedo, signal, 0, steps=6, late_start=400, scheduler="ddim")
    assert np.allclose(late[0], albedo, atol=1e-3)


def test_normal_maps_in_place_of_the_relief(head: Head, folder: Path) -> None:
    """The paper's own maps: P, A, S, R, N."""
    run = config(folder, EXP_DIFF, 4, output="normals")
    maps = (*MAPS[:-1], "normal")
    run = replace(run, latents=folder / "normal-latents", network=replace(run.network, maps=maps))
    train_latents(run)
    model = Appearance.from_checkpoint(run.output, device="cpu")
    skin = SkinCache.open(folder / "skin", "train", head)
    albedo = skin.maps("albedo", skin.neutral[:1])[0]
    result = model.generate(albedo, head.neutral_vertices, skin.stage[[1]], steps=2)
    assert np.allclose(np.linalg.norm(result.normal, axis=3), 1, atol=1e-5)
    assert result.normal[..., 2].mean() > 0.9
    assert not result.height.any()


def test_bad_configurations(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "c.toml").write_text("corpus = 3", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be used"):
        LatentTraining.read(tmp_path / "c.toml", EXP_DIFF)
    with pytest.raises(InputError, match="residual or raw"):
        config(folder, EXP_DIFF, 1, "noise", "bad")
