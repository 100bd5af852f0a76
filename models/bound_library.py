"""A library of shapes carried from the head that it was sampled for to an artist's own mesh.

Skin is carried over as it is. What turns rigidly, eyes and jaw, and what keeps lips and lids from crossing do
not add up: so whole faces are carried, and shapes and correctives are their differences.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .bound_head import BoundHead
from .diffusion import OnStep
from .expression import MAX_WEIGHT, UNIT_NAMES
from .library import Library, SampledLibrary

Floats = NDArray[np.float32]


def carry_library(
    bound: BoundHead, sampled: SampledLibrary, on_step: OnStep | None = None
) -> dict[str, Library]:
    """The library of the artist's mesh, under the name "", and of every companion.

    ``sampled`` is of ``bound.neutral_vertices``. A corrective is what its two shapes lack there.
    """
    if bound.order is not None and bound.binding is None:
        own = sampled.library()
        return {"": _reordered(bound, own, on_step)}
    needed = list(dict.fromkeys([*sampled.names, *(name for pair in sampled.correctives for name in pair)]))
    based = [name for name in needed if name in sampled.bases]
    faces = [_apex(sampled, name) for name in needed]
    faces += [sampled.bases[name] for name in based]
    faces += [_both(sampled, pair) for pair in sampled.correctives]
    shapes, stages = (np.stack(items) for items in zip(*faces, strict=True))
    carried = bound.carry(shapes, stages, on_step=on_step)
    return {name: _taken_apart(sampled, needed, based, moved) for name, moved in carried.items()}


def _taken_apart(sampled: SampledLibrary, needed: list[str], based: list[str], moved: Floats) -> Library:
    """Shapes and correctives from the faces (K, V, 3) that `carry_library` has put together."""
    bases = dict(zip(based, moved[len(needed) :], strict=False))
    apexes = dict(zip(needed, moved, strict=False))
    shapes = {name: apex - bases[name] if name in bases else apex for name, apex in apexes.items()}
    both = moved[len(needed) + len(based) :]
    lacking = [
        face - shapes[first] - shapes[second]
        for face, (first, second) in zip(both, sampled.correctives, strict=True)
    ]
    return Library(
        sampled.names,
        np.stack([shapes[name] for name in sampled.names]),
        tuple(sampled.correctives),
        np.array(lacking, np.float32).reshape(-1, *moved.shape[1:]),
    )


def _apex(sampled: SampledLibrary, name: str) -> tuple[Floats, Floats]:
    """Deformation and stage of the face that has the shape on top of its base."""
    shape, stage = sampled.shapes[name], sampled.stages[name]
    if name not in sampled.bases:
        return shape, stage
    base, base_stage = sampled.bases[name]
    return base + shape, np.minimum(base_stage + stage, np.float32(MAX_WEIGHT))


def _both(sampled: SampledLibrary, pair: tuple[str, str]) -> tuple[Floats, Floats]:
    """Deformation and stage of the face that has both shapes of a pair at 1, and their corrective."""
    first, second = pair
    stage = np.minimum(sampled.stages[first] + sampled.stages[second], np.float32(MAX_WEIGHT))
    return sampled.shapes[first] + sampled.shapes[second] + sampled.correctives[pair], stage


def _reordered(bound: BoundHead, library: Library, on_step: OnStep | None) -> Library:
    """The library of a recognised head whose vertices may be numbered otherwise."""
    rest = np.zeros((len(library.deformations) + len(library.correctives), len(UNIT_NAMES)), np.float32)
    moved = bound.carry(np.concatenate([library.deformations, library.correctives]), rest, on_step=on_step)[
        ""
    ]
    count = len(library.names)
    return Library(library.names, moved[:count], library.pairs, moved[count:])
