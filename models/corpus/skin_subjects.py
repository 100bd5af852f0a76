"""Real people into the skin cache: what the readers of captured data have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..alignment import similarity_to
from ..authored.skin import BrdfMaps
from ..authored.skin_tension import RestSurface
from ..errors import InputError
from ..expression import UNIT_NAMES, parse_expression
from ..head import Head
from .skin_build import records
from .skin_cache import count_people, write_people, write_settings, write_shard
from .topology_map import TopologyMap

Floats = NDArray[np.float32]

SLOWEST = 24.0
"""Waves of relief longer than this, in texels, belong to the mesh and are left out of height maps."""


@dataclass(frozen=True)
class Subject:
    """One captured person on the Dimple head, in model space; the first face is the neutral."""

    name: str
    split: str  # train, validation or test
    vertices: Floats  # (n, Vs, 3) mm
    maps: list[BrdfMaps]  # n
    stage: Floats  # (n, 57); zero where the expression has a name that no unit bears


def write_subjects(
    out: Path, head: Head, topology: TopologyMap, subjects: Iterable[Subject], content: Mapping[str, Any]
) -> Iterator[str]:
    """Write one shard for every subject; yields their names. ``content`` says what the maps are.

    Raises InputError when ``out`` holds something else already.
    """
    mean = head.neutral_vertices[: head.skin_vertices]
    write_settings(out, topology.layout, ("subject",), content)
    if any(count_people(out / split) for split in ("train", "validation", "test")):
        raise InputError(f"{out} holds people already; delete that folder or choose another one.")
    offsets: dict[str, list[Floats]] = {}
    for number, subject in enumerate(subjects):
        known = offsets.setdefault(subject.split, [])
        neutral = subject.vertices[0]
        alignment = similarity_to(mean, neutral)
        turn = (alignment.scale * alignment.rotation).T.astype(np.float32)
        one = records(
            subject.maps,
            deformation=(subject.vertices - neutral) @ turn,
            person=len(known),
            stage=subject.stage,
            intensity=subject.stage.max(axis=1),
            label=np.full(len(subject.maps), -1, np.int16),
            kind=np.where(np.arange(len(subject.maps)) == 0, -1, 1).astype(np.int16),
        )
        known.append(alignment.apply(neutral) - mean)
        folder = out / subject.split
        write_shard(folder, len(known) - 1, one)
        numbers = np.arange(len(known))
        write_people(folder, numbers, np.full((len(known), 1), number, np.float32), np.stack(known))
        yield subject.name


def stage_named(name: str, weight: float = 1.0) -> Floats:
    """(57,) the stage of an expression by its name; zero for names that are neither units nor labels."""
    try:
        return weight * parse_expression(name)
    except InputError:
        return np.zeros(len(UNIT_NAMES), np.float32)


def height_of(topology: TopologyMap, rest: RestSurface, normal: Floats) -> Floats:
    """(H, W, 1) mm of fine relief whose tangent-space normals, coded 0..1, are ``normal`` (H, W, 3).

    The slopes are integrated in the Fourier domain (Frankot and Chellappa 1988); long waves are left out.
    """
    size, mask = topology.layout.size, topology.layout.mask
    vector = normal[mask] * 2.0 - 1.0
    slope = -vector[:, :2] / np.maximum(vector[:, 2:], 0.05)
    a, b1, b2 = rest.metric.T / size
    across, down = np.zeros((2, size, size), np.float32)
    across[mask] = slope[:, 0] * a
    down[mask] = -(slope[:, 0] * b1 + slope[:, 1] * b2)
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    # the slopes are those of central differences
    wx, wy = 1j * np.sin(2 * np.pi * fx), 1j * np.sin(2 * np.pi * fy)
    power = np.abs(wx) ** 2 + np.abs(wy) ** 2
    spectrum = np.conj(wx) * np.fft.rfft2(across) + np.conj(wy) * np.fft.rfft2(down)
    kept = (np.hypot(fx, fy) > 1.0 / SLOWEST) & (power > 1e-3)
    height = np.fft.irfft2(np.where(kept, spectrum / np.maximum(power, 1e-3), 0.0), s=(size, size))
    return (height * mask)[..., None].astype(np.float32)
