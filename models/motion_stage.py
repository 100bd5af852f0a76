"""Which expression stage a motion shows: the units whose linear sum comes closest to it.

An artist moves the face with shape keys of any origin. The skin model wants to know the stage; the mixture of
the head's units, none of them negative, that explains the motion best in least squares, tells it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from .expression import MAX_WEIGHT
from .head import Head

Floats = NDArray[np.float32]

RIDGE = 1e-4
"""Of the mean unit's own size: which of two units that do the same is taken does not hang on rounding."""


def stages_of_motion(head: Head, motion: Floats) -> Floats:
    """(K, M) stages of motions (K, V, 3) of the head's skin, mm in model space. No motion, no stage."""
    units = head.expression_basis[:, : head.skin_vertices].reshape(len(head.expression_basis), -1)
    basis = units.astype(np.float64)
    gram = basis @ basis.T
    gram += RIDGE * float(np.trace(gram)) / len(gram) * np.eye(len(gram))
    upper = np.linalg.cholesky(gram).T  # nnls(upper, .) has the same minimum as the whole, much larger system
    targets = motion[:, : head.skin_vertices].reshape(len(motion), -1).astype(np.float64) @ basis.T
    right = solve_triangular(upper, targets.T, trans=1)
    stages = np.stack([nnls(upper, column)[0] for column in right.T])
    return stages.clip(0.0, MAX_WEIGHT).astype(np.float32)
