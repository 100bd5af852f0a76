"""Non-rigid ICP: from the person the identity model can explain to the artist's own shape.

Amberg, Romdhani and Vetter (2007) in its displacement form: every vertex of the template is drawn to the
plane of the surface nearest in position and normal, while the squared Laplacian of the displacement keeps it
smooth; stiffness falls from step to step. Only the distance across the surface counts: pulling along it would
undo what the identity model knows about where things are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

from ..topology import graph_laplacian
from .fit import BOX_MARGIN, Target
from .surface import vertex_normals
from .template import Template

Doubles = NDArray[np.float64]

MEMBRANE = 0.002
"""Weight of the plain Laplacian beside the squared one: pins down what no data reach."""
LANDMARK_WEIGHT = 50.0


@dataclass(frozen=True)
class Stiffness:
    """First and last value of each geometric ramp, and the number of steps."""

    steps: int = 14
    alpha: tuple[float, float] = (300.0, 3.0)
    sigma: tuple[float, float] = (5.0, 2.0)  # mm, Geman-McClure
    normal_weight: tuple[float, float] = (10.0, 6.0)  # mm per unit of normal in the search of neighbours


def register(
    template: Template,
    shape: Doubles,
    target: Target,
    stiffness: Stiffness | None = None,
    *,
    on_round: Callable[[], None] | None = None,
) -> Doubles:
    """(Vs, 3) the template bent from ``shape`` (Vs, 3) onto the target, all in the target's frame, mm.

    Inner surfaces and the neck's rim have no data of their own: they follow smoothly.
    """
    plan = stiffness or Stiffness()
    laplacian = graph_laplacian(template.triangles, len(shape)).astype(np.float64)
    smooth = (laplacian.T @ laplacian + MEMBRANE * laplacian.T).tocsc()
    smooth = (smooth + smooth.T) / 2
    low, high = shape.min(axis=0) - BOX_MARGIN, shape.max(axis=0) + BOX_MARGIN
    inside = ((target.points > low) & (target.points < high)).all(axis=1)
    points, normals = target.points[inside], target.normals[inside]
    if len(points) < 50:
        return shape
    asked = np.flatnonzero(template.weight > 0)
    displacement = np.zeros_like(shape)
    tree, tree_weight = None, 0.0
    for step in range(plan.steps):
        if on_round is not None:
            on_round()
        progress = step / max(plan.steps - 1, 1)
        alpha, sigma, weight = (
            pair[0] * (pair[1] / pair[0]) ** progress for pair in (plan.alpha, plan.sigma, plan.normal_weight)
        )
        if tree is None or abs(tree_weight / weight - 1) > 0.15:
            tree, tree_weight = KDTree(np.hstack([points, weight * normals])), weight
        bent = shape + displacement
        normal = vertex_normals(bent, template.triangles)[asked]
        _, nearest = tree.query(np.hstack([bent[asked], tree_weight * normal]))
        gap = points[nearest] - bent[asked]
        across = np.einsum("ni,ni->n", gap, normals[nearest])
        agree = np.einsum("ni,ni->n", normal, normals[nearest])
        distance = np.linalg.norm(gap, axis=1)
        trust = (agree > 0.5) * (distance < 5 * sigma) / (1 + (distance / sigma) ** 2) ** 2
        data = np.zeros(len(shape))
        data[asked] = trust
        goal = np.zeros_like(shape)
        goal[asked] = displacement[asked] + across[:, None] * normals[nearest]
        for vertex, place in target.landmarks.items():
            data[vertex] = LANDMARK_WEIGHT
            goal[vertex] = place - shape[vertex]
        system = (sp.diags(data + 1e-9) + alpha * smooth).tocsc()
        solve = splu(
            system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        displacement = solve.solve(data[:, None] * goal)
    return shape + displacement
