"""A library of shapes for one identity: what a rig's sliders need, sampled from the model.

All shapes are frames of one batch, each with a stage of its own. Without a seed a shape is the conditional
mean: the denoiser's estimate of the clean face from pure noise, E[y_0 | y_T], is that mean but for the trace
of the noise in it (alpha_bar is 4e-5 at T). Noises come in pairs of opposite sign (antithetic variates),
which take away all of the trace that is linear in them: two pairs are nearer to the mean than eight noises.

What sampling alone does not give a rig is added afterwards, in model space: halves that add up to the whole,
mirror images on a symmetric head, lids that meet in a blink, a `mouthClose` that closes the lips over the jaw
it is used with, and correctives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import parts
from .alignment import similarity_to
from .animate_me import AnimateMe, Sampler
from .diffusion import OnStep
from .expression import MAX_WEIGHT, MIRROR_UNITS, UNIT_NAMES
from .head import Head
from .library_contact import CLOSE, JAW, with_contact
from .library_cuts import Cuts
from .library_sets import Shape, ShapeSet, half_of
from .units import contradictions

Floats = NDArray[np.float32]

MEAN_SAMPLER = Sampler("ddim", 1, 1000)
"""One step from pure noise: the denoiser's estimate of the conditional mean."""
SAMPLES = 4
SMALLEST_CORRECTIVE = 0.3
"""mm; where no vertex of a corrective goes further it is left out."""
SYMMETRY = 0.1
"""mm; a head whose vertices are that close to their mirror images is symmetric."""
TONGUE_REACH = 18.0
"""mm that the tip of the tongue comes out between the lips."""


@dataclass(frozen=True)
class Library:
    """N shapes and C correctives of a head, in its own units and axes.

    A corrective is what the pair of shapes lacks where both are at 1; it is driven by their product.
    """

    names: tuple[str, ...]
    deformations: Floats  # (N, V, 3)
    pairs: tuple[tuple[str, str], ...]
    correctives: Floats  # (C, V, 3)


@dataclass(frozen=True)
class SampledLibrary:
    """What a library is put together from, in the units and axes of the head (V, 3) it was sampled for.

    ``shapes`` has also those that only correctives need; ``bases`` the deformation that a shape is a change
    of, and its stage, where that is not the neutral face.
    """

    names: tuple[str, ...]
    shapes: Mapping[str, Floats]  # (V, 3)
    stages: Mapping[str, Floats]  # (57,) what each shape adds to its base
    bases: Mapping[str, tuple[Floats, Floats]]  # (V, 3) and (57,)
    correctives: Mapping[tuple[str, str], Floats]  # (V, 3)

    def library(self) -> Library:
        """The library of that head."""
        vertices = next(iter(self.shapes.values())).shape
        lacking = np.array(list(self.correctives.values()), np.float32).reshape(-1, *vertices)
        chosen = np.stack([self.shapes[name] for name in self.names])
        return Library(self.names, chosen, tuple(self.correctives), lacking)


def make_library(
    model: AnimateMe,
    neutral_vertices: Floats,
    shapes: ShapeSet,
    chosen: Iterable[str],
    *,
    correctives: bool = True,
    seed: int | None = None,
    samples: int = SAMPLES,
    frames_per_chunk: int | None = None,
    on_step: OnStep | None = None,
) -> Library:
    """`sample_library` for a head in the Dimple head's own topology."""
    return sample_library(
        model,
        neutral_vertices,
        shapes,
        chosen,
        correctives=correctives,
        seed=seed,
        samples=samples,
        frames_per_chunk=frames_per_chunk,
        on_step=on_step,
    ).library()


def sample_library(
    model: AnimateMe,
    neutral_vertices: Floats,
    shapes: ShapeSet,
    chosen: Iterable[str],
    *,
    correctives: bool = True,
    seed: int | None = None,
    samples: int = SAMPLES,
    frames_per_chunk: int | None = None,
    on_step: OnStep | None = None,
) -> SampledLibrary:
    """The `chosen` shapes of a set, and the correctives of every pair with a chosen shape in it.

    neutral_vertices (V, 3): the whole head or its skin alone, as for `AnimateMe.animate`. seed None: the mean
    of `samples` noises, each second one the opposite of the one before; else one sample. A shape does not
    depend on which others are chosen.
    """
    head = model.head
    skin = head.skin_vertices
    neutral = np.asarray(neutral_vertices, np.float32)
    similarity = similarity_to(head.neutral_vertices[:skin], neutral[:skin])
    aligned = similarity.apply(neutral)
    wanted = frozenset(chosen)
    pairs = [pair for pair in shapes.pairs if correctives and not wanted.isdisjoint(pair)]
    builder = _Builder(head, aligned, shapes.shapes, pairs, wanted)
    stages = builder.stages
    sampler = MEAN_SAMPLER if seed is None else model.sampler("default")
    seeds = [turn // 2 for turn in range(samples)] if seed is None else [seed]
    total = np.zeros((len(stages), skin, 3), np.float32)
    for turn, noise in enumerate(seeds):
        opposite = seed is None and turn % 2 == 1
        total += model.animate_skin(
            aligned[:skin],
            stages,
            noise,
            preset=replace(sampler, noise_scale=-sampler.noise_scale) if opposite else sampler,
            frames_per_chunk=frames_per_chunk,
            on_step=_continued(on_step, turn, len(seeds)),
        )
    whole = parts.follow(head, aligned, total / np.float32(len(seeds)), stages)
    made = builder.made(whole)
    names = tuple(shape.name for shape in shapes.shapes if shape.name in wanted)
    kept = builder.correctives(made)
    return SampledLibrary(
        names,
        {name: similarity.invert_vectors(shape) for name, shape in made.items()},
        builder.shape_stages,
        {name: (similarity.invert_vectors(shape), stage) for name, (shape, stage) in builder.bases().items()},
        {pair: similarity.invert_vectors(shape) for pair, shape in kept.items()},
    )


class _Builder:
    """Knows which stages a library needs, and puts the shapes together from what was sampled there."""

    def __init__(
        self,
        head: Head,
        aligned: Floats,
        shapes: Sequence[Shape],
        pairs: Sequence[tuple[str, str]],
        chosen: frozenset[str],
    ) -> None:
        self._head, self._aligned, self._cuts = head, aligned, Cuts(head, aligned)
        self._symmetric = is_symmetric(head, aligned)
        # the other half of a chosen shape, and the other shape of a corrective, are sampled with it
        halves = half_of(shapes)
        needed = chosen.union(*pairs)
        self._halves = {a: b for a, b in halves.items() if needed & {a, b}}
        needed = needed.union(self._halves, self._halves.values())
        self._shapes = {shape.name: shape for shape in shapes if shape.name in needed}
        self._pairs = [pair for pair in pairs if not contradictions(self._both(pair))]
        self._rows: dict[bytes, int] = {}
        self._stages: list[Floats] = []
        for stage in self._needed_stages():
            self._add(stage)
        if self._symmetric:
            for stage in list(self._stages):
                self._add(stage[MIRROR_UNITS])
        self._sampled = np.zeros((0, 0, 3), np.float32)

    @property
    def stages(self) -> Floats:
        """(K, 57) every stage that has to be sampled, once."""
        return np.array(self._stages, np.float32).reshape(-1, len(UNIT_NAMES))

    def made(self, sampled: Floats) -> dict[str, Floats]:
        """name -> deformation (V, 3) mm, from the deformations (K, V, 3) mm of the head at `stages`."""
        meeting = with_contact(self._head, self._aligned, sampled, self.stages)
        self._sampled = self._mirrored(meeting) if self._symmetric else meeting
        made = {name: self._apex(shape) for name, shape in self._shapes.items()}
        lacking = {
            pair: self._at(self._both(pair)) - made[pair[0]] - made[pair[1]] for pair in self._halves.items()
        }
        for (left, right), rest in lacking.items():
            # on its own side a half stays as it is; what it does to the other side makes up the difference
            made[left] = made[left] + self._cuts.share("R") * rest
            made[right] = made[right] + self._cuts.share("L") * rest
        return made

    @property
    def shape_stages(self) -> dict[str, Floats]:
        """name -> stage (57,)."""
        return {name: shape.stage for name, shape in self._shapes.items()}

    def bases(self) -> dict[str, tuple[Floats, Floats]]:
        """name -> deformation (V, 3) mm and stage (57,) of the face that a shape changes, if not neutral."""
        stages = {name: base_stage(shape.stage) for name, shape in self._shapes.items()}
        return {name: (self._at(stage), stage) for name, stage in stages.items() if stage.any()}

    def correctives(self, made: Mapping[str, Floats]) -> dict[tuple[str, str], Floats]:
        """pair -> what it lacks (V, 3) mm, where that is enough to be seen."""
        lacking = {pair: self._at(self._both(pair)) - made[pair[0]] - made[pair[1]] for pair in self._pairs}
        return {
            pair: rest
            for pair, rest in lacking.items()
            if np.linalg.norm(rest, axis=1).max() > SMALLEST_CORRECTIVE
        }

    def _needed_stages(self) -> Iterable[Floats]:
        for shape in self._shapes.values():
            base = base_stage(shape.stage)
            yield from (base, base + shape.stage)
        for pair in (*self._halves.items(), *self._pairs):
            yield self._both(pair)

    def _both(self, pair: tuple[str, str]) -> Floats:
        first, second = (self._shapes[name].stage for name in pair)
        return np.minimum(first + second, np.float32(MAX_WEIGHT))

    def _add(self, stage: Floats) -> None:
        if stage.tobytes() not in self._rows:
            self._rows[stage.tobytes()] = len(self._stages)
            self._stages.append(stage)

    def _at(self, stage: Floats) -> Floats:
        return self._sampled[self._rows[stage.tobytes()]]

    def _apex(self, shape: Shape) -> Floats:
        stage = shape.stage
        base = base_stage(stage)
        deformation = self._at(base + stage) - self._at(base)
        if shape.tongue_out:
            deformation = deformation + tongue_out(self._head, self._aligned)
        return deformation * self._cuts.share(shape.share) if shape.share else deformation

    def _mirrored(self, sampled: Floats) -> Floats:
        """Every sample's mean with the mirror image of its mirror stage's."""
        twin = [self._rows[stage[MIRROR_UNITS].tobytes()] for stage in self._stages]
        return (sampled + reflected(self._head, sampled[twin])) / 2


def base_stage(stage: Floats) -> Floats:
    """The stage (57,) that a shape is a change of: neutral, or the open jaw that a `mouthClose` closes."""
    base = np.zeros_like(stage)
    base[JAW] = max(0.0, float(stage[CLOSE] - stage[JAW]))
    return base


def is_symmetric(head: Head, aligned: Floats) -> bool:
    """Whether a head (V, 3), or skin alone, in model space is its own mirror image."""
    offset = aligned - reflected(head, aligned)
    return bool(np.linalg.norm(offset, axis=1).max() < SYMMETRY)


def reflected(head: Head, vectors: Floats) -> Floats:
    """Points or displacements (..., V, 3) in model space seen in a mirror, on the mirrored vertices."""
    return vectors[..., head.mirror[: vectors.shape[-2]], :] * np.array([-1, 1, 1], np.float32)


def tongue_out(head: Head, aligned: Floats) -> Floats:
    """(V, 3) mm: the tongue stretched out between the lips, its root staying; nothing without a tongue."""
    deformation = np.zeros_like(aligned)
    start, end = head.parts.get("tongue", (0, 0))
    if start == end or end > len(aligned):
        return deformation
    depth = aligned[start:end, 2]
    along = (depth - depth.min()) / np.ptp(depth)
    lips = aligned[head.lip_pairs.ravel()].mean(axis=0) if head.lip_pairs.size else aligned[start:end].max(0)
    reach = lips[2] + TONGUE_REACH - depth.max()
    deformation[start:end, 2] = along**2 * max(0.0, float(reach))
    rise = (
        lips[1] - aligned[start:end, 1][depth > depth.max() - 5.0].mean()
    )  # the tip goes where the lips part
    deformation[start:end, 1] = along**2 * rise
    return deformation


def _continued(on_step: OnStep | None, turn: int, turns: int) -> OnStep | None:
    """Counts the steps of several samplings as those of one."""
    return on_step and (lambda step, steps: on_step(turn * steps + step, turns * steps))
