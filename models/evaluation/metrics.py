"""What is measured on animations, over the face region of the head; lengths in mm.

``specificity_mm`` is the paper's (AnimateMe section 4.1): the mean distance of the vertices to the true
performance, per frame. It punishes honest variety (a perfect sampler scores about sqrt(2) times a perfect
mean), so roughness, jitter and diversity are measured beside it, each against what true performances have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..head import Head
from ..topology import graph_laplacian

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FaceRegion:
    """The skin vertices that the metrics look at, and the Laplacian of the surface they span."""

    vertices: NDArray[np.int64]  # (F,)
    laplacian: sp.csr_matrix  # (F, F)

    @classmethod
    def of(cls, head: Head) -> FaceRegion:
        """From the head's face mask. Raises ValueError when the mask leaves no triangle."""
        inside = head.face_mask[: head.skin_vertices] > 0.5
        triangles = head.skin_triangles[inside[head.skin_triangles].all(axis=1)]
        if not len(triangles):
            raise ValueError("the face mask covers no triangle")
        vertices, renumbered = np.unique(triangles, return_inverse=True)
        renumbered = renumbered.reshape(triangles.shape).astype(np.int32)
        return cls(vertices.astype(np.int64), graph_laplacian(renumbered, len(vertices)))

    def __call__(self, field: Floats) -> Floats:
        """(..., V, 3) on the skin -> (..., F, 3) on the region."""
        return field[..., self.vertices, :]


def specificity_mm(generated: Floats, truth: Floats) -> Floats:
    """(K,) mean Euclidean distance, mm, between deformations (K, F, 3)."""
    return np.linalg.norm(generated - truth, axis=2).mean(axis=1)


def motion(deformation: Floats) -> Floats:
    """(K,) mean squared length, mm^2, of a deformation (K, F, 3)."""
    return np.square(deformation).sum(axis=2).mean(axis=1)


def roughness(deformation: Floats, laplacian: sp.csr_matrix) -> float:
    """Mean squared length, mm^2, of the Laplacian of a deformation (K, F, 3): noise on the surface."""
    columns = deformation.transpose(1, 0, 2).reshape(deformation.shape[1], -1)
    return float(np.square(laplacian @ columns).mean() * 3)


def acceleration(deformation: Floats, frames: NDArray[np.integer]) -> float:
    """Mean squared second difference in time, mm^2 per frame^4, of a deformation (K, F, 3): jitter.

    frames (K,): the number of every frame; differences are taken where three follow each other. NaN
    when none do.
    """
    follows = frames[2:] - frames[:-2] == 2
    if not follows.any():
        return float("nan")
    second = deformation[2:] - 2 * deformation[1:-1] + deformation[:-2]
    return float(motion(second[follows]).mean())


def spread(samples: Floats) -> float:
    """Mean over vertices of the variance, mm^2, of samples (N, ..., F, 3); unbiased for any N > 1."""
    return float(samples.var(axis=0, ddof=1).sum(axis=-1).mean())


def root_ratio(measured: float, reference: float) -> float:
    """Ratio of two root mean squares, given as mean squares; NaN where there is nothing to compare with."""
    return float(np.sqrt(measured / reference)) if reference > 0 else float("nan")


def face_distances(faces: Floats, others: Floats) -> Floats:
    """(N, P) mean distance of corresponding vertices, mm, between faces (N, F, 3) and others (P, F, 3)."""
    return np.stack([np.linalg.norm(others - face, axis=2).mean(axis=1) for face in faces])


def frechet_distance(features: Floats, others: Floats) -> float:
    """Squared Fréchet distance between Gaussians fitted to features (N, F) and (P, F) (FID, Heusel 2017)."""
    means = [group.astype(np.float64).mean(axis=0) for group in (features, others)]
    one, other = (np.atleast_2d(np.cov(group.astype(np.float64).T)) for group in (features, others))
    root = _symmetric_root(one)
    # the trace of sqrt(one @ other), by a symmetric matrix of the same eigenvalues
    middle = _symmetric_root(root @ other @ root)
    shift = np.square(means[0] - means[1]).sum()
    return float(shift + np.trace(one) + np.trace(other) - 2 * np.trace(middle))


def _symmetric_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T, np.float64)
