"""Face models that ExpDiff has to beat (section V-C): a linear 3DMM and a non-linear one.

Both are given what ExpDiff is given, the albedo and the shape at rest and the expression stage, and answer
with all maps and the deformation. The 3DMM (Blanz and Vetter, 1999) is linear in identity and in expression.
The other follows Semantic Deep Face Models (Chandran et al., 2020): two variational encoders, of identity and
of expression, and one joint decoder. It is small: it works on the coordinates of principal components.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from ..corpus.skin_cache import SkinCache
from ..principal import Components
from ..upscale import STACK
from .skin_stacks import records_by_person, stacks

STAGE_RIDGE = 1e-2
"""Of the regression on expression stages, relative to the mean diagonal."""


@dataclass(frozen=True)
class Faces:
    """P people at rest and N frames of them, aligned to the mean head; D = 8 S S."""

    neutral: Tensor  # (P, D) float16, stacks of maps
    shape: Tensor  # (P, 3 V) mm, from the mean head
    person: Tensor  # (N,)
    stage: Tensor  # (N, M)
    change: Tensor  # (N, D) float16, maps minus the neutral's
    deformation: Tensor  # (N, 3 V) mm

    @classmethod
    def read(cls, cache: SkinCache, people: int, expressions: int) -> Self:
        """The first people of a cache, with some frames of each. Raises InputError for an empty one."""
        rest, frames = records_by_person(cache, people, expressions)
        neutral = stacks(cache, rest).flatten(1)
        records = frames.ravel()
        person = torch.arange(len(rest)).repeat_interleave(frames.shape[1])
        change = torch.stack(
            [stacks(cache, records[i : i + 1])[0].flatten() - neutral[p] for i, p in enumerate(person)]
        )
        offsets = cache.neutral_offsets[cache.person[rest]].astype(np.float32)
        return cls(
            neutral,
            torch.from_numpy(offsets).flatten(1),
            person,
            torch.from_numpy(cache.stage[records]),
            change,
            torch.from_numpy(cache.deformations(records)).flatten(1),
        )


class FaceModel(Protocol):
    """What answers a request: who is it, and what do they show."""

    def __call__(self, albedo: Tensor, shape: Tensor, stages: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Neutral maps (8, S, S), maps (K, 8, S, S), deformations (K, V, 3) mm.

        albedo (3, S, S) and shape (V, 3) of the person at rest, stages (K, M).
        """
        ...


@dataclass(frozen=True)
class LinearFaceModel:
    """3DMM: maps at rest from principal components, and one change of maps and shape for each unit."""

    identity: Components  # of neutral maps (D,)
    unit_maps: Tensor  # (M, D)
    unit_shapes: Tensor  # (M, 3 V)

    @classmethod
    def fit(cls, faces: Faces, components: int = 80) -> Self:
        """Least squares, ridged."""
        stage = faces.stage
        gram = stage.T @ stage
        ridge = STAGE_RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
        solve = torch.linalg.solve(gram + ridge, stage.T)
        unit_maps = torch.zeros(len(gram), faces.change.shape[1])
        for weights, change in zip(solve.T, faces.change, strict=True):
            unit_maps.addr_(weights, change.float())
        return cls(Components.fit(faces.neutral, components), unit_maps, solve @ faces.deformation)

    def __call__(self, albedo: Tensor, shape: Tensor, stages: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As ``FaceModel``."""
        known = self.identity.from_part(albedo.flatten(), albedo.numel())
        neutral = self.identity.expand(known)
        maps = neutral + stages @ self.unit_maps
        side = albedo.shape[-1]
        deformation = (stages @ self.unit_shapes).unflatten(1, shape.shape)
        return neutral.view(STACK, side, side), maps.view(-1, STACK, side, side), deformation


class SemanticNetwork(nn.Module):
    """Identity and expression encoders to Gaussian codes, and the joint decoder, on coordinates."""

    def __init__(self, identity: int, units: int, outputs: int, width: int = 256, code: int = 32) -> None:
        super().__init__()
        self.identity, self.expression = _layers(identity, width, 2 * code), _layers(units, width, 2 * code)
        self.decoder = _layers(2 * code, 2 * width, outputs)

    def forward(self, identity: Tensor, stage: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, O), from the means of the codes unless training, and their divergence from N(0, 1)."""
        codes: list[Tensor] = []
        divergence = torch.zeros(())
        for encoded in (self.identity(identity), self.expression(stage)):
            mean, log_variance = encoded.chunk(2, dim=1)
            log_variance = log_variance.clamp(-10, 4)
            divergence = divergence + 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
            spread = (0.5 * log_variance).exp() * torch.randn_like(mean) if self.training else 0.0
            codes.append(mean + spread)
        return self.decoder(torch.cat(codes, dim=1)), divergence


@dataclass(frozen=True)
class SemanticFaceModel:
    """The non-linear face model: maps and shape decoded jointly from two codes."""

    maps: Components  # of neutral maps
    shapes: Components  # of neutral shapes
    map_changes: Components
    deformations: Components
    network: SemanticNetwork
    minutes: float  # that it took to fit and to train

    @classmethod
    def train(
        cls, faces: Faces, steps: int = 4000, components: int = 80, divergence: float = 1e-4, seed: int = 0
    ) -> Self:
        """Fit the components and train the network."""
        started = time.monotonic()
        torch.manual_seed(seed)
        maps, shapes = Components.fit(faces.neutral, components), Components.fit(faces.shape, components)
        map_changes = Components.fit(faces.change, 2 * components)
        deformations = Components.fit(faces.deformation, components)
        rest = torch.cat([maps.coordinates_of(faces.neutral), shapes.coordinates_of(faces.shape)], dim=1)
        spaces = (maps, map_changes, deformations)
        targets = torch.cat(
            [
                maps.coordinates_of(faces.neutral)[faces.person],
                map_changes.coordinates_of(faces.change),
                deformations.coordinates_of(faces.deformation),
            ],
            dim=1,
        )
        # a component counts as much as it moves texels or vertices
        weight = torch.cat([space.deviation / space.deviation.square().sum().sqrt() for space in spaces])
        network = SemanticNetwork(rest.shape[1], faces.stage.shape[1], targets.shape[1])
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 5e-5)
        for _ in range(steps):
            batch = torch.randint(len(targets), (128,))
            found, apart = network(rest[faces.person[batch]], faces.stage[batch])
            error = (weight * (found - targets[batch])).square().sum(dim=1).mean()
            loss = error + divergence * apart
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        minutes = (time.monotonic() - started) / 60
        return cls(maps, shapes, map_changes, deformations, network.eval(), minutes)

    @torch.no_grad()
    def __call__(self, albedo: Tensor, shape: Tensor, stages: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As ``FaceModel``."""
        known = self.maps.from_part(albedo.flatten(), albedo.numel())
        rest = torch.cat([known, self.shapes.coordinates(shape.flatten())])
        found, _ = self.network(rest.expand(len(stages), -1), stages)
        sizes = [len(space.deviation) for space in (self.maps, self.map_changes, self.deformations)]
        of_maps, of_changes, of_deformations = found.split(sizes, dim=1)
        side = albedo.shape[-1]
        neutral = self.maps.expand(of_maps)
        maps = neutral + self.map_changes.expand(of_changes)
        deformation = self.deformations.expand(of_deformations).unflatten(1, shape.shape)
        return neutral[0].view(STACK, side, side), maps.view(-1, STACK, side, side), deformation


def _layers(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs)
    )
