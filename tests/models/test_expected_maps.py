"""What is expected of a skin's latents: a noise for what an expression adds, depth by the texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.corpus.latent_cache import LatentCache
from models.exp_diff import MAPS
from models.expected_maps import ExpectedLatents, creased
from models.skin.surface_strain import CREASES, FEATURES
from models.training.expected_maps_fit import fit_expected

CHANNELS, SIZE = 2, 4
SHAPE = len(MAPS) * CHANNELS, SIZE, SIZE
RELIEF = slice(-CHANNELS, None)
STRAIN = torch.cat([torch.zeros(1, FEATURES, SIZE, SIZE), torch.full((1, FEATURES, SIZE, SIZE), 0.5)])


@dataclass(frozen=True)
class Skin:
    """What a fit reads of a skin cache."""

    person: NDArray[np.int64]
    neutral: NDArray[np.int64]

    @property
    def frames(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.neutral != np.arange(len(self)))

    def __len__(self) -> int:
        return len(self.person)


@pytest.fixture
def expected() -> ExpectedLatents:
    found = ExpectedLatents(MAPS, CHANNELS, SIZE, FEATURES)
    assert found.crease_spread is not None
    found.crease_spread.fill_(3.0)
    found.from_strain.fill_(0.1)
    return found


def test_what_an_expression_adds_keeps_its_spread_beside_the_rest(expected: ExpectedLatents) -> None:
    frames = expected(torch.zeros(2, CHANNELS, SIZE, SIZE), STRAIN)
    draws = torch.randn(4000, 2, *SHAPE, generator=torch.Generator().manual_seed(0))
    noises = torch.stack([frames.noise(resting, added) for resting, added in draws])
    assert torch.allclose(noises.std(0), torch.ones(2, *SHAPE), atol=0.06)
    assert torch.equal(noises[:, 0], draws[:, 0])  # at rest nothing is added
    rest, shown = frames.restore(noises).unbind(1)
    added = float((9 * creased(STRAIN)[1]).sqrt().mean())
    assert float((shown - rest).std(0).mean()) == pytest.approx(added, rel=0.05)


def test_depth_scales_what_creases_do_and_nothing_else(expected: ExpectedLatents) -> None:
    texture = torch.randn(2, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    as_all = expected(texture, STRAIN)
    assert expected.depth_of_texture is not None
    expected.depth_of_texture[-1, -1] = np.log(2.0)
    deep = expected(texture, STRAIN)
    change, deeper = (found.mean - expected.at_rest(texture) for found in (as_all, deep))
    assert torch.allclose(deeper[:, RELIEF], 2 * change[:, RELIEF])
    assert torch.allclose(deeper[:, :-CHANNELS], change[:, :-CHANNELS])
    assert torch.equal(deep.spread[0], as_all.spread[0])
    assert torch.allclose(deep.spread[1, RELIEF].square() - 1, 4 * (as_all.spread[1, RELIEF].square() - 1))
    expected.depth_of_texture[-1, -1] = 50.0  # a texture like none before
    assert float(expected.depth(texture).max()) < 3


def test_depth_and_spread_of_creases_are_learnt() -> None:
    """Everybody has other creases, deeper ones where the texture is brighter, and some noise at rest."""
    people, frames = 80, 6
    random = torch.Generator().manual_seed(2)
    bright = torch.rand(people, generator=random) - 0.5
    texture = bright[:, None, None, None] + 0.05 * torch.randn(people, CHANNELS, SIZE, SIZE, generator=random)
    person = torch.arange(people).repeat_interleave(frames + 1)
    strain = torch.rand(len(person), FEATURES, SIZE, SIZE, generator=random)
    strain[:, CREASES:] = 0
    neutral = torch.arange(people).repeat_interleave(frames + 1) * (frames + 1)
    strain[neutral.unique()] = 0
    creases = torch.randn(people, *SHAPE, generator=random)[person] * creased(strain).sqrt()
    change = torch.exp(1.2 * bright)[person, None, None, None] * creases
    latents = change + 0.3 * torch.randn(people, *SHAPE, generator=random)[person]
    latents[:, :CHANNELS] = 0
    latents[:, CHANNELS : 2 * CHANNELS] = (
        (texture[person] + change[:, CHANNELS : 2 * CHANNELS]).half().float()
    )
    skin: Any = Skin(person.numpy(), neutral.numpy())
    halves = [(part.half().numpy(),) for part in (latents, strain, strain)]
    nothing = torch.zeros(CHANNELS, SIZE, SIZE).half().numpy()
    starts = np.zeros(1, np.int64)
    cache = LatentCache(MAPS, *halves, starts, texture.half().numpy(), texture.half().numpy(), nothing)
    expected = fit_expected(skin, cache, MAPS, FEATURES)
    depth = expected.depth(texture)[:, -1, 0, 0].log()
    assert float(torch.corrcoef(torch.stack([depth, bright]))[0, 1]) > 0.95
    slope = float((depth * bright).mean() / bright.square().mean())
    assert slope == pytest.approx(1.2, abs=0.35)  # a ridge falls short of it
    assert torch.equal(expected.depth(texture)[:, 0], torch.ones(people, 1, 1))  # the geometry's
    found = expected(texture[person], strain)
    added = (found.spread * found.added).square()[skin.frames, 2 * CHANNELS :]
    true = change[skin.frames, 2 * CHANNELS :].square()
    assert float(added.mean() / true.mean()) == pytest.approx(1, abs=0.25)
    assert float(expected.spread[2 * CHANNELS :].mean()) == pytest.approx(0.3, abs=0.1)
