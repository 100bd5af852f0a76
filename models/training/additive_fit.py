"""Fitting the additive model and the principal directions of motion to the corpus, in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor

from ..additive import LEAST_VARIANCE, AdditiveModel, person_features, powers
from ..corpus.cache import FrameCache
from ..expression import MIRROR_UNITS

_CHUNK = 512
_RIDGE = 1e-3
_SCALE_FLOOR = 0.25  # of the mean spread, so that still vertices are not blown up


@dataclass(frozen=True)
class Mirror:
    """Left-right reflection of the head: doubles the corpus and makes the model symmetric."""

    vertices: Tensor  # (V,) the vertex on the other side
    units: Tensor  # (M,)
    sign: Tensor  # (3,) x changes sign

    @classmethod
    def of(cls, mirror: NDArray[np.integer]) -> Mirror:
        """From the head's mirror table, restricted to its skin."""
        return cls(
            torch.from_numpy(mirror.astype(np.int64)), torch.tensor(MIRROR_UNITS), torch.tensor([-1.0, 1, 1])
        )

    def vectors(self, field: Tensor) -> Tensor:
        """Reflect (..., V, 3) deformations or offsets."""
        return field[..., self.vertices, :] * self.sign

    def stages(self, stage: Tensor) -> Tensor:
        """Reflect (..., M) expression stages."""
        return stage[..., self.units]


def fit_additive(
    cache: FrameCache, mirror: Mirror, rank: int, identity_modes: int, seed: int = 0, sample: int = 4000
) -> AdditiveModel:
    """Least-squares additive model over the cache, and ``rank`` principal directions of its motion.

    ``sample`` frames (and their mirror images) decide the directions and the spread of the residual;
    all frames decide the mean motion, balanced by the motion that a first fit without weights gives a unit.
    """
    vertices, units = cache.neutral_offsets.shape[1], cache.stages.shape[1]
    stages = torch.from_numpy(cache.stages)
    first = mean_motion_fit(cache, mirror, torch.ones(len(stages)))
    unit_size = first.unflatten(0, (3, units)).sum(0).square().mean(1)
    mean = mean_motion_fit(cache, mirror, balance((stages.square() @ unit_size).sqrt()))
    chosen = np.sort(np.random.default_rng(seed).choice(len(cache), min(sample, len(cache)), replace=False))

    square = torch.zeros(vertices)
    for stage, deformation in _mirrored(cache, mirror, chosen):
        residual = deformation - (powers(stage) @ mean).unflatten(1, (-1, 3))
        square += residual.square().mean(2).sum(0)
    spread = (square / (2 * len(chosen))).sqrt()
    model = AdditiveModel(vertices, units, rank, identity_modes)
    model.vertex_scale.copy_(spread.clamp_min(_SCALE_FLOOR * float(spread.square().mean().sqrt())))

    scaled_mean = (mean.unflatten(1, (-1, 3)) / model.vertex_scale[:, None]).flatten(1)
    at_full_weight = scaled_mean.unflatten(0, (3, units)).sum(0)
    model.unit_motion.copy_(at_full_weight.square().mean(1).sqrt().clamp_min(1e-3))
    rows: list[Tensor] = []
    weights: list[Tensor] = []
    for stage, deformation in _mirrored(cache, mirror, chosen):
        motion = (deformation / model.vertex_scale[:, None]).flatten(1)
        rows.append(motion - powers(stage) @ scaled_mean)
        weights.append(model.amplitude(stage).flatten())
    residuals, amplitude = torch.cat(rows), torch.cat(weights)
    relative_size = residuals.square().mean(1) / amplitude.square().clamp_min(1e-12)
    weight = frame_weight(amplitude)
    unit = (
        (weight * relative_size).sum() / weight.sum()
    ).sqrt()  # so that y has unit spread, as the noise has
    model.unit_motion.mul_(unit)
    amplitude = amplitude * unit
    # The mean motion itself must lie in the span of the directions: it joins the frames with the weight
    # of a good share of them.
    emphasis = float(residuals.norm()) / float(at_full_weight.norm())
    _, directions = _principal(torch.cat([residuals, emphasis * scaled_mean]), rank)
    model.basis.copy_(directions)
    model.coefficients.copy_(scaled_mean @ directions.t())
    return model


def fit_identity_motion(
    model: AdditiveModel,
    stages: Tensor,
    coefficients: Tensor,
    coordinates: Tensor,
    weight: Tensor,
    ridge: float = 0.03,
) -> None:
    """What can be expected of a person: ridge regression of the residual on weights times coefficients.

    stages (n, M), coefficients (n, I or more), coordinates (n, R) of y, weight (n,). Also sets how people
    spread round that: ``residual_std`` and ``unit_spread``.
    """
    size = model.identity_motion.shape[1]
    coefficients = coefficients[:, : model.identity_modes]
    gram, moments = torch.zeros(size, size), torch.zeros(size, coordinates.shape[1])
    amplitude = model.amplitude(stages).flatten()
    balanced = balance(amplitude)
    for rows in torch.arange(len(stages)).split(8192):
        features = person_features(stages[rows], coefficients[rows])
        weighted = (balanced[rows, None] * features).t()
        gram += weighted @ features
        moments += weighted @ (amplitude[rows, None] * coordinates[rows])
    penalty = ridge * float(gram.diagonal().mean()) * torch.eye(size)
    model.identity_motion.copy_(torch.linalg.solve(gram + penalty, moments).t())
    square = torch.empty_like(coordinates)
    for rows in torch.arange(len(stages)).split(8192):
        square[rows] = (coordinates[rows] - model.expected(stages[rows], coefficients[rows])).square()
    model.residual_std.copy_(((weight @ square) / weight.sum()).sqrt())
    model.unit_spread.copy_(fit_unit_variance(model.shares(stages), square, weight).sqrt())


def fit_unit_variance(shares: Tensor, square: Tensor, weight: Tensor, rounds: int = 2) -> Tensor:
    """(M, R) non-negative variances whose sums by ``shares`` (n, M) come nearest to ``square`` (n, R).

    A square strays from its expectation by as much as that is, so errors count relative to the variance
    that the round before found; weight (n,).
    """
    least = LEAST_VARIANCE * (weight @ square) / weight.sum()
    variances = torch.empty(shares.shape[1], square.shape[1])
    for direction in range(square.shape[1]):
        own = square[:, direction]
        expected = own.mean().expand_as(own)
        for _ in range(rounds):
            root = weight.sqrt() / expected
            rows = root[:, None] * shares
            gram, moments = (rows.t() @ rows).double(), (rows.t() @ (root * own)).double()
            # a root of the normal equations is a problem of M rows instead of n; units may move together only
            values, vectors = torch.linalg.eigh(gram)
            scale = values.clamp_min(1e-6 * float(values[-1])).sqrt()
            solved, _ = nnls((scale[:, None] * vectors.t()).numpy(), (vectors.t() @ moments / scale).numpy())
            variances[:, direction] = torch.from_numpy(solved)
            expected = (shares @ variances[:, direction]).clamp_min(float(least[direction]))
    return variances


def frame_weight(amplitude: Tensor) -> Tensor:
    """Weight of a frame (B,) in every loss: the relative residual of a barely moving face is noise."""
    square = amplitude.square()
    return square / (square + float(amplitude.median()) ** 2 / 4)


def balance(size: Tensor) -> Tensor:
    """Weight of a frame (B,) in the closed-form fits, of its size of motion: a smile that moves the whole
    face must not decide what a brow alone does."""
    weight = 1 / (size + float(size.median()) / 2)
    return weight / weight.mean()


def mean_motion_fit(cache: FrameCache, mirror: Mirror, weight: Tensor) -> Tensor:
    """(3M, 3V) least-squares coefficients of e, e^2, e^3, mm, where every frame has a weight (n,)."""
    units = cache.stages.shape[1]
    gram = torch.zeros(3 * units, 3 * units)
    moments = torch.zeros(3 * units, 3 * cache.neutral_offsets.shape[1])
    everything = _mirrored(cache, mirror, np.arange(len(cache)))
    chunks = (chunk for chunk in weight.split(_CHUNK) for _ in range(2))
    for share, (stage, deformation) in zip(chunks, everything, strict=True):
        features = powers(stage)
        weighted = (share[:, None] * features).t()
        gram += weighted @ features
        moments += weighted @ deformation.flatten(1)
    ridge = _RIDGE * float(gram.diagonal().mean()) * torch.eye(len(gram))
    return torch.linalg.solve(gram + ridge, moments)


def _principal(rows: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Singular values (rank,) and orthonormal right singular vectors (rank, D)."""
    torch.manual_seed(0)
    _, singular, v = torch.svd_lowrank(rows, q=rank + 16, niter=2)
    return singular[:rank], v[:, :rank].t().contiguous()


def _mirrored(
    cache: FrameCache, mirror: Mirror, frames: NDArray[np.integer]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks (stage (B, M), deformation (B, V, 3)), each followed by its mirror image."""
    for start in range(0, len(frames), _CHUNK):
        chunk = frames[start : start + _CHUNK]
        stage = torch.from_numpy(cache.stages[chunk])
        deformation = torch.from_numpy(cache.deformations(chunk))
        yield stage, deformation
        yield mirror.stages(stage), mirror.vectors(deformation)
