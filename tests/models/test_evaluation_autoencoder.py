"""What is measured of an autoencoder: more numbers keep more, and the figures are of the right things."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.autoencoder import MapAutoencoder
from models.corpus.skin_cache import SkinCache
from models.corpus.skin_images import some_images
from models.evaluation.autoencoder import KINDS, evaluate_autoencoder
from models.training.autoencoder import linear_code
from models.training.autoencoder_start import linear_start
from tests.models.tiny import tiny_head
from tests.models.tiny_appearance import unwrapped
from tests.models.tiny_skin_cache import tiny_skin


def test_the_table(tmp_path: Path) -> None:
    head = unwrapped(tiny_head())
    head.save(tmp_path / "head")
    for split in ("train", "test"):
        tiny_skin(tmp_path / "skin", head, people=3, frames=4, split=split)
    cache = SkinCache.open(tmp_path / "skin", "train", head)
    sample = some_images(cache, head, 12, KINDS, np.random.default_rng(0))
    model = MapAutoencoder.small(latent_channels=24, channels=64, groups=8)
    linear_start(model, linear_code(sample, 24, 8)[0])
    model.save(tmp_path / "vae")
    result = evaluate_autoencoder([tmp_path / "vae"], tmp_path / "head", tmp_path / "skin", records=6)
    assert result["records"] == 6
    codes = result["codes"]
    for kind in (*KINDS, "normal"):
        assert codes["linear f8 x 24"][f"psnr {kind}"] > codes["linear f8 x 4"][f"psnr {kind}"]
    for source in ("relief", "normals"):
        kept = [codes[f"linear f8 x {n}"][f"dynamic normals kept, from {source}"] for n in (4, 16, 24)]
        assert kept == sorted(kept)
        assert kept[-1] <= 1
    # untrained, Dimple's autoencoder is the linear code of as many numbers
    linear, own = codes["linear f8 x 24"], codes["vae"]
    assert own["psnr albedo"] == pytest.approx(linear["psnr albedo"], abs=2.0)
