"""The shipped skin models: they load, leave a skin at rest alone, and crease it where it is compressed."""

from __future__ import annotations

import numpy as np
import pytest

from models.animate_me_texture import AnimateMeTexture
from models.appearance import Appearance
from models.expression import UNIT_NAMES
from tests.models.tiny_appearance import CHECKPOINTS

SIGNAL = np.zeros((2, len(UNIT_NAMES)), np.float32)
SIGNAL[1, [UNIT_NAMES.index(name) for name in UNIT_NAMES if name.startswith("brow") and "Up" in name]] = 1.0


@pytest.fixture(scope="module")
def skin() -> np.ndarray:
    return np.tile(np.array([0.76, 0.59, 0.51], np.float32), (512, 512, 1))


def test_raised_brows_crease_the_forehead(skin: np.ndarray) -> None:
    model = Appearance.from_checkpoint(CHECKPOINTS / "exp-diff", device="cpu")
    result = model.generate(skin, model.head.neutral_vertices, SIGNAL)
    assert result.height.shape == (2, 256, 256)
    assert np.allclose(result.albedo[0], skin[:256, :256], atol=1e-3)
    creases = np.abs(result.height[1] - result.height[0])
    creases[~model.layout.mask] = 0
    forehead, chin = creases[:90].mean(), creases[-60:].mean()
    assert creases.max() > 0.05
    assert forehead > 1.5 * chin


def test_the_texture_moves_with_the_expression(skin: np.ndarray) -> None:
    model = AnimateMeTexture.from_checkpoint(CHECKPOINTS / "animate-me-texture", device="cpu")
    frames = model.animate(skin, SIGNAL, 0)
    assert np.allclose(frames[0], skin[:256, :256], atol=1e-3)
    assert np.abs(frames[1] - frames[0]).max() > 0.01


def test_the_weights_are_small() -> None:
    folders = ("autoencoder", "exp-diff", "animate-me-texture")
    size = sum(f.stat().st_size for name in folders for f in (CHECKPOINTS / name).rglob("*.safetensors"))
    assert size < 50e6
