"""The appearance API on an untrained model: conditions, sampling, eq. 9, checkpoint, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.appearance import Appearance, AppearanceResult, directional_difference
from models.errors import CheckpointError, InputError
from models.expression import UNIT_NAMES
from models.guidance import guided
from models.head import Head
from models.skin.brdf_maps import BrdfMaps, from_images, to_images
from models.uv_maps import UVLayout
from tests.models.tiny import tiny_head
from tests.models.tiny_appearance import save_tiny_appearance, tiny_appearance, unwrapped

UNITS = len(UNIT_NAMES)


@pytest.fixture(scope="module")
def head() -> Head:
    return unwrapped(tiny_head())


@pytest.fixture(scope="module")
def model(head: Head) -> Appearance:
    return tiny_appearance(head)


@pytest.fixture(scope="module")
def albedo() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, (64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    rise = np.linspace(0, 1, 4, dtype=np.float32)[:, None]
    return rise * np.eye(UNITS, dtype=np.float32)[[20]]


def test_shapes_and_ranges(model: Appearance, head: Head, albedo: np.ndarray, signal: np.ndarray) -> None:
    result = model.generate(albedo, head.neutral_vertices, signal, steps=2)
    assert result.albedo.shape == (4, 64, 64, 3)
    assert result.specular.shape == result.roughness.shape == result.height.shape == (4, 64, 64)
    assert result.vertices.shape == (4, *head.neutral_vertices.shape)
    assert np.allclose(np.linalg.norm(result.normal, axis=3), 1, atol=1e-5)
    for name in ("albedo", "specular", "roughness", "height", "vertices"):
        assert np.isfinite(getattr(result, name)).all()
    assert result.rest.specular is not None
    assert result.rest.specular.shape == (64, 64)
    assert 0 <= result.albedo.min() <= result.albedo.max() <= 1


def test_rest_is_the_input(model: Appearance, head: Head, albedo: np.ndarray, signal: np.ndarray) -> None:
    known = BrdfMaps(albedo, roughness=albedo[..., 0], height=0.1 * albedo[..., 1])
    result = model.generate(known, head.neutral_vertices, signal, steps=2)
    assert np.allclose(result.albedo[0], albedo, atol=1e-4)
    assert np.allclose(result.roughness[0], known.roughness, atol=1e-4)
    assert np.allclose(result.height[0], known.height, atol=1e-4)
    assert np.allclose(result.vertices[0], head.neutral_vertices, atol=1e-3)
    assert np.abs(result.albedo[3] - albedo).max() > 1e-3


def test_the_window_is_what_the_model_sees(head: Head, signal: np.ndarray) -> None:
    whole, window = tiny_appearance(head), (0.25, 0.25, 0.75, 0.75)
    part = Appearance(
        whole.autoencoder, whole.denoiser, whole.expected, head, whole.prompts, whole.expected_motion, window
    )
    texture = np.zeros((128, 128, 3), np.float32)
    texture[32:96, 32:96] = np.random.default_rng(1).uniform(0.3, 0.7, (64, 64, 3))
    result = part.generate(texture, head.neutral_vertices, signal, steps=2)
    assert result.window == window
    assert np.allclose(result.rest.albedo, texture[32:96, 32:96], atol=1e-6)


def test_frames_do_not_know_each_other(
    model: Appearance, head: Head, albedo: np.ndarray, signal: np.ndarray
) -> None:
    def generate(
        stages: np.ndarray, seed: int = 3, chunk: int = 8, noise_scale: float = 1.0
    ) -> AppearanceResult:
        return model.generate(
            albedo,
            head.neutral_vertices,
            stages,
            seed=seed,
            steps=2,
            frames_per_chunk=chunk,
            noise_scale=noise_scale,
        )

    whole, chunked, backwards = generate(signal), generate(signal, chunk=1), generate(signal[::-1].copy())
    assert np.allclose(whole.height, chunked.height, atol=1e-4)
    assert np.allclose(whole.height, backwards.height[::-1], atol=1e-4)
    assert np.abs(whole.height - generate(signal, seed=4).height).max() > 1e-3
    without = generate(signal, noise_scale=0.0)
    assert np.array_equal(without.height, generate(signal, seed=4, noise_scale=0.0).height)


def test_units_and_axes_come_back(
    model: Appearance, head: Head, albedo: np.ndarray, signal: np.ndarray
) -> None:
    turn = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
    turned = head.neutral_vertices @ turn.T * 0.001 + 0.1
    here = model.generate(albedo, head.neutral_vertices, signal, steps=2)
    there = model.generate(albedo, turned, signal, steps=2)
    motion = np.abs(here.vertices - head.neutral_vertices).max()
    # an untrained network magnifies the rounding of the alignment
    assert np.allclose((there.vertices - 0.1) @ turn * 1000, here.vertices, atol=0.03 * motion)


def test_known_deformation_is_kept(
    model: Appearance, head: Head, albedo: np.ndarray, signal: np.ndarray
) -> None:
    motion = model.expected_motion(signal, head.neutral_vertices) * 1.5
    result = model.generate(albedo, head.neutral_vertices, signal, steps=2, deformation=motion)
    assert np.allclose(result.vertices, head.neutral_vertices + motion, atol=1e-3)
    linear = model.generate(albedo, head.neutral_vertices, signal, steps=2)
    assert np.abs(result.height[3] - linear.height[3]).max() > 1e-3


def test_guidance_of_one_is_the_conditional_model(model: Appearance, signal: np.ndarray) -> None:
    torch.manual_seed(0)
    shape = model.denoiser.config.shape
    strain = torch.rand(4, model.expected.features, *shape[1:])
    known, _ = model.conditions(
        np.full((64, 64, 3), 0.5, np.float32),
        model.head.neutral_vertices,
        signal,
        model.prompts.of_signal(signal),
        strain,
    )
    noisy, which = torch.randn(4, *shape), torch.arange(4)
    with torch.no_grad():
        told = model.denoiser(noisy, torch.full((4,), 500), known)
        untold = model.denoiser(noisy, torch.full((4,), 500), known.withheld())
        assert torch.allclose(guided(model.denoiser, known, 1.0)(noisy, 500, which), told, atol=1e-5)
        more = guided(model.denoiser, known, 2.0)(noisy, 500, which)
    assert torch.allclose(more, untold + 2 * (told - untold), atol=1e-5)
    assert (told - untold).abs().max() > 1e-3


def test_starts(model: Appearance, head: Head, albedo: np.ndarray, signal: np.ndarray) -> None:
    noise = model.generate(albedo, head.neutral_vertices, signal, steps=4)
    neutral = model.generate(albedo, head.neutral_vertices, signal, steps=4, start="neutral")
    model.generate(albedo, head.neutral_vertices, signal, start="neutral", noise_scale=0.0)
    assert np.abs(noise.height - neutral.height).max() > 1e-4
    with pytest.raises(InputError, match="noise, neutral"):
        model.generate(albedo, head.neutral_vertices, signal, start="anywhere")


def test_prompts(model: Appearance, head: Head, albedo: np.ndarray) -> None:
    smile = model.generate(albedo, head.neutral_vertices, None, prompt="a wide smile", steps=2)
    assert len(smile.albedo) == 1
    shares = np.linspace(0, 1, 3, dtype=np.float32)
    way = model.generate(
        albedo,
        head.neutral_vertices,
        None,
        prompt=("a wide smile", "jaw open"),
        shares=shares,
        steps=2,
    )
    assert np.allclose(way.vertices[0], smile.vertices[0], atol=0.2)
    assert np.abs(way.vertices[0] - way.vertices[2]).max() > 0.5


def test_directional_difference_by_hand(head: Head) -> None:
    layout = UVLayout.of_head(head, 64)
    moved = np.zeros((2, len(head.neutral_vertices), 3), np.float32)
    moved[0, :, 1], moved[1, :, 1] = 3.0, 1.25  # the frame, and what the model wrongly moves at rest
    maps = np.stack([layout.rasterise(v) for v in moved])
    assert np.allclose(directional_difference(layout, maps), [[0, 1.75, 0]], atol=1e-3)


def test_images_come_back() -> None:
    random = np.random.default_rng(0)
    for name, shape in {"albedo": (2, 8, 8, 3), "relief": (2, 8, 8), "position": (2, 8, 8, 3)}.items():
        values = random.normal(0.5, 0.2, shape).astype(np.float32)
        assert np.allclose(from_images(name, to_images(name, values)), values, atol=1e-6)


def test_checkpoint_round_trip(tmp_path: Path, head: Head, albedo: np.ndarray, signal: np.ndarray) -> None:
    save_tiny_appearance(tmp_path, head)
    model = Appearance.from_checkpoint(tmp_path, device="cpu")
    again = Appearance.from_checkpoint(tmp_path, device="cpu")
    first = model.generate(albedo, head.neutral_vertices, signal, steps=2)
    assert np.array_equal(first.height, again.generate(albedo, head.neutral_vertices, signal, steps=2).height)
    original = tiny_appearance(head).generate(albedo, head.neutral_vertices, signal, steps=2)
    assert np.allclose(first.albedo, original.albedo, atol=0.02)
    (tmp_path / "denoiser" / "diffusion_pytorch_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="damaged"):
        Appearance.from_checkpoint(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"neutral_maps": np.zeros((8, 16, 3), np.float32)}, "square"),
        ({"neutral_vertices": np.zeros((7, 3), np.float32)}, "7 vertices"),
        ({"signal": np.zeros((2, 5), np.float32)}, "57 weights"),
        ({"signal": None}, "describe one"),
    ],
)
def test_bad_input(model: Appearance, head: Head, albedo: np.ndarray, change: dict, words: str) -> None:
    arguments = {
        "neutral_maps": albedo,
        "neutral_vertices": head.neutral_vertices,
        "signal": np.zeros((1, UNITS), np.float32),
    }
    with pytest.raises(InputError, match=words):
        model.generate(**(arguments | change), steps=1)
