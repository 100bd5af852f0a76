"""Fitting `ExpectedLatents` in closed form: ridge regressions whose sums run over the latents once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..corpus.latent_cache import LatentCache
from ..corpus.skin_cache import SkinCache
from ..exp_diff import ALBEDO, POSITION
from ..expected_maps import ExpectedLatents, creased, has_expectation, texture_features, texture_patches
from ..skin.gaussian_prior import GaussianPrior

RIDGE = 1e-3
"""Relative to the mean variance of a feature."""
AT_ONCE = 64
MEASURED = 4000
"""Records on which the spread and the principal directions of what is left are found."""
PEOPLE = 600
"""Of so many, texture and neutral maps are regressed on each other: what holds at every place of the face."""
DEPTH_RIDGE = 0.5
"""Relative to the number of people and the variance of a feature."""
SPREAD_FLOOR = 0.25
"""Of a channel's own spread: nowhere is the rest taken to be less than this."""


def fit_expected(
    skin: SkinCache, latents: LatentCache, maps: tuple[str, ...], features: int, seed: int = 0
) -> ExpectedLatents:
    """Mean, texture and strain terms and the spread of what they leave."""
    channels, size = latents.still.shape[0], latents.still.shape[1]
    expected = ExpectedLatents(maps, channels, size, features)
    neutrals = np.flatnonzero(skin.neutral == np.arange(len(skin)))
    _fit_rest(expected, skin, latents, neutrals)
    for everybody in (True, False) if features else (False,):  # first as if all creases were as deep
        if features:
            _fit_strain(expected, skin, latents, np.random.default_rng(seed))
        _fit_spread(expected, skin, latents, np.random.default_rng(seed + 1))
        if everybody:
            _fit_depth(expected, skin, latents, np.random.default_rng(seed + 2))
    return expected


def _fit_rest(expected: ExpectedLatents, skin: SkinCache, latents: LatentCache, neutrals: np.ndarray) -> None:
    channels = expected.channels
    total, texture = torch.zeros_like(expected.mean), torch.zeros_like(expected.texture_mean)
    for records in _batches(neutrals):
        total += latents.of_maps(expected.maps, records).sum(0)
        texture += torch.from_numpy(latents.texture[skin.person[records]]).float().sum(0)
    expected.mean.copy_(total / len(neutrals))
    expected.texture_mean.copy_(texture / len(neutrals))
    inputs = 9 * channels
    gram, cross = torch.zeros(inputs, inputs), torch.zeros(inputs, len(expected.mean))
    for records in _batches(neutrals[:PEOPLE]):
        centred = torch.from_numpy(latents.texture[skin.person[records]]).float() - expected.texture_mean
        patches = texture_patches(centred).flatten(0, 1)
        rest = (
            (latents.of_maps(expected.maps, records) - expected.mean).flatten(2).transpose(1, 2).flatten(0, 1)
        )
        gram += patches.T @ patches
        cross += patches.T @ rest
    solved = torch.linalg.solve(_ridged(gram), cross).T
    expected.from_texture.copy_(solved.reshape(expected.from_texture.shape))
    for index, name in enumerate(expected.maps):
        mine = slice(index * channels, (index + 1) * channels)
        if name == POSITION:
            expected.from_texture[mine] = 0
            expected.mean[mine] = torch.from_numpy(latents.still).float()
        if name == ALBEDO:  # at rest the albedo is the texture itself
            expected.from_texture[mine] = 0
            expected.from_texture[mine, :, 1, 1] = torch.eye(channels)
            expected.mean[mine] = expected.texture_mean


def _fit_strain(
    expected: ExpectedLatents, skin: SkinCache, latents: LatentCache, random: np.random.Generator
) -> None:
    """Per place, what the strain does to the latents of a person, who is compared with their own neutral."""
    places, whole, count = expected.size**2, len(expected.mean), expected.features
    gram, cross = torch.zeros(places, count, count), torch.zeros(places, count, whole)
    for records in _batches(random.permutation(skin.frames)):
        strain = _either_strain(latents, records, random, count).flatten(2).permute(2, 0, 1)
        change = latents.of_maps(expected.maps, records)
        change = change - latents.of_maps(expected.maps, skin.neutral[records])
        texture = torch.from_numpy(latents.texture[skin.person[records]]).float()
        change = (change / expected.depth(texture)).flatten(2).permute(2, 0, 1)
        gram += strain.transpose(1, 2) @ strain
        cross += strain.transpose(1, 2) @ change
    solved = torch.linalg.solve(_ridged(gram), cross)
    for index, name in enumerate(expected.maps):
        if name == POSITION:
            solved[:, :, index * expected.channels : (index + 1) * expected.channels] = 0
    expected.from_strain.copy_(solved)


def _fit_spread(
    expected: ExpectedLatents, skin: SkinCache, latents: LatentCache, random: np.random.Generator
) -> None:
    """Per place and channel: the squares of what a change has beside the expected one, regressed on how much
    the skin is creased there; and what the latents have besides."""
    squares, changed, crossed, crease, crease_square = (torch.zeros_like(expected.mean) for _ in range(5))
    records_read = np.sort(random.permutation(len(skin))[:MEASURED])
    for records in _batches(records_read):
        texture = torch.from_numpy(latents.texture[skin.person[records]]).float()
        strain = _either_strain(latents, records, random, expected.features)
        rest = latents.of_maps(expected.maps, records) - expected.mean_of(texture, strain)
        squares += rest.square().sum(0)
        if expected.crease_spread is not None:
            own = latents.of_maps(expected.maps, skin.neutral[records]) - expected.at_rest(texture)
            change = (rest - own).square()
            deep = expected.depth(texture).square() * creased(strain)
            changed += change.sum(0)
            crossed += (change * deep).sum(0)
            crease += deep.sum(0)
            crease_square += deep.square().sum(0)
    count = len(records_read)
    squares, changed, crossed, crease, crease_square = (
        total / count for total in (squares, changed, crossed, crease, crease_square)
    )
    varied = (crease_square - crease.square()).clamp_min(1e-9)
    slope = ((crossed - changed * crease) / varied).clamp_min(0)
    floor = SPREAD_FLOOR**2 * squares.mean((1, 2), keepdim=True)
    expected.spread.copy_((squares - slope * crease).maximum(floor).sqrt().clamp_min(1e-3))
    if expected.crease_spread is not None:
        expected.crease_spread.copy_(slope.sqrt())


def _fit_depth(
    expected: ExpectedLatents, skin: SkinCache, latents: LatentCache, random: np.random.Generator
) -> None:
    """How much more a person's maps change than is expected of everybody's, regressed on the texture."""
    assert expected.crease_spread is not None
    assert expected.depth_of_texture is not None
    maps, people = len(expected.maps), len(latents.texture)
    shown, wanted = torch.zeros(people, maps), torch.zeros(people, maps)
    for records in _batches(random.permutation(skin.frames)):
        person = torch.from_numpy(skin.person[records])
        texture = torch.from_numpy(latents.texture[person]).float()
        strain = _either_strain(latents, records, random, expected.features)
        change = latents.of_maps(expected.maps, records)
        change = change - latents.of_maps(expected.maps, skin.neutral[records])
        mean = expected.mean_of(texture, strain) - expected.at_rest(texture)
        likely = mean.square() + expected.crease_spread.square() * creased(strain)
        for total, energy in ((shown, change.square()), (wanted, likely)):
            total.index_add_(0, person, energy.unflatten(1, (maps, -1)).sum((2, 3, 4)))
    told_of = [index for index, name in enumerate(expected.maps) if has_expectation(name)]
    shown, wanted = shown[:, told_of], wanted[:, told_of]
    known = torch.nonzero(((shown > 0) & (wanted > 0)).all(1))[:, 0]
    if not len(known):
        return
    depth = 0.5 * (shown[known] / wanted[known]).log()
    texture = torch.from_numpy(latents.texture[known]).float()
    features = texture_features(texture - expected.texture_mean)[:, :-1]
    scale, middle = features.std(0).clamp_min(1e-6), features.mean(0)
    centred = (features - middle) / scale
    gram = centred.T @ centred + DEPTH_RIDGE * len(known) * torch.eye(centred.shape[1])
    slopes = torch.linalg.solve(gram, centred.T @ (depth - depth.mean(0))).T / scale
    # what all people have in common is told by the other terms
    expected.depth_of_texture[told_of] = torch.cat([slopes, -(slopes @ middle)[:, None]], dim=1)


def fit_directions(
    prior: GaussianPrior,
    expected: ExpectedLatents,
    skin: SkinCache,
    latents: LatentCache,
    random: np.random.Generator,
) -> None:
    """Principal directions of the whitened textures at every place, their variances, what is left beside."""
    covariance, count = torch.zeros(()), 0
    for records in _batches(random.permutation(len(skin))[:MEASURED]):
        texture = torch.from_numpy(latents.texture[skin.person[records]]).float()
        strain = _either_strain(latents, records, random, expected.features)
        values = latents.of_maps(expected.maps, records)
        places = prior.places(expected(texture, strain).whiten(values))
        covariance = covariance + places.transpose(1, 2) @ places
        count += len(records)
    variance, directions = torch.linalg.eigh(covariance / count)
    rank, channels = prior.directions.shape[1:]
    prior.directions.copy_(directions[:, :, -rank:].transpose(1, 2))
    prior.variance.copy_(variance[:, -rank:])
    beside = variance[:, : channels - rank].sum(1, keepdim=True) / max(channels - rank, 1)
    prior.left.copy_(beside.clamp_min(1e-3))


def _either_strain(
    latents: LatentCache, records: np.ndarray, random: np.random.Generator, features: int
) -> Tensor:
    name = "true_strain" if random.random() < 0.5 else "expected_strain"
    return latents.read(name, records)[:, :features]


def _ridged(gram: Tensor) -> Tensor:
    scale = gram.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-6)
    return gram + RIDGE * scale[..., None, None] * torch.eye(gram.shape[-1])


def _batches(records: np.ndarray) -> Iterator[np.ndarray]:
    yield from np.split(records, range(AT_ONCE, len(records), AT_ONCE))


def fit_standard(
    skin: SkinCache, latents: LatentCache, maps: tuple[str, ...], features: int
) -> ExpectedLatents:
    """The papers' own target: latents as they are, brought to zero mean and unit variance by channel."""
    channels, size = latents.still.shape[0], latents.still.shape[1]
    expected = ExpectedLatents(maps, channels, size, features)
    records = np.random.default_rng(0).permutation(len(skin))[:1500]
    values = latents.of_maps(maps, records)
    expected.mean.copy_(values.mean((0, 2, 3))[:, None, None].expand_as(expected.mean))
    expected.spread.copy_(values.std((0, 2, 3)).clamp_min(1e-3)[:, None, None].expand_as(expected.spread))
    return expected
