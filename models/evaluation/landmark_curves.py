"""Motion of landmarks as points of a sphere: the square-root velocity function (Srivastava et al. 2011).

A curve b(t) is told by q(t) = b'(t) / sqrt(|b'(t)|). The squared norm of q is the curve's length, so curves
of one length lie on a sphere, where distances and means have closed forms: MO3DGAN generates there, in the
space tangent at the mean. Curves start at 0 (the neutral face); time runs in steps of 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

KARCHER_STEPS = 5
TINY = 1e-8


def square_root_velocity(curves: Tensor) -> tuple[Tensor, Tensor]:
    """Curves (N, K, D) -> unit vectors (N, (K - 1) D) and lengths (N,)."""
    velocity = curves[:, 1:] - curves[:, :-1]
    q = velocity / velocity.norm(dim=2, keepdim=True).clamp_min(TINY).sqrt()
    flat = q.flatten(1)
    norm = flat.norm(dim=1).clamp_min(TINY)
    return flat / norm[:, None], norm**2


def curves_of(unit: Tensor, length: Tensor, dimensions: int) -> Tensor:
    """The inverse of ``square_root_velocity``: (N, K, D), 0 at the first frame."""
    q = (length.sqrt()[:, None] * unit).unflatten(1, (-1, dimensions))
    velocity = q * q.norm(dim=2, keepdim=True)
    return torch.cat([torch.zeros_like(velocity[:, :1]), velocity.cumsum(dim=1)], dim=1)


def logarithm(mean: Tensor, points: Tensor) -> Tensor:
    """Tangent vectors (N, D) at ``mean`` (D,) that lead to points (N, D) of the sphere."""
    cosine = (points @ mean).clamp(-1, 1)
    angle = torch.acos(cosine)
    direction = points - cosine[:, None] * mean
    return direction * (angle / direction.norm(dim=1).clamp_min(TINY))[:, None]


def exponential(mean: Tensor, tangent: Tensor) -> Tensor:
    """The inverse of ``logarithm``."""
    tangent = tangent - (tangent @ mean)[:, None] * mean
    angle = tangent.norm(dim=1, keepdim=True)
    return angle.cos() * mean + angle.sin() * tangent / angle.clamp_min(TINY)


def karcher_mean(points: Tensor) -> Tensor:
    """(D,) the point of least mean squared distance to points (N, D) of the sphere."""
    mean = torch.nn.functional.normalize(points.mean(dim=0), dim=0)
    for _ in range(KARCHER_STEPS):
        mean = exponential(mean, logarithm(mean, points).mean(dim=0, keepdim=True))[0]
    return mean
