"""Builds the skin cache from the people of the 4D corpus: faces and frames, each in their own skin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from ..alignment import similarity_to
from ..authored.skin import BrdfMaps, SkinPainter
from ..authored.skin_regions import SkinAtlas
from ..authored.skin_traits import SkinTraits, draw_skin
from ..errors import InputError
from ..expression import LABELS
from ..head import Head
from ..uv_maps import FACE_WINDOW, UVLayout
from .frames import PEOPLE_PER_SHARD, preset
from .skin_cache import Records, count_people, has_shard, write_people, write_settings, write_shard

Floats = NDArray[np.float32]

SETTING = {"skin": "authored", "version": 3}
"""Written into the cache: what its maps are, and which edition of the painter made them."""
STILL = 0.15
"""mm; added to a frame's mean motion when frames are chosen, so that quiet ones are not left out."""


@dataclass(frozen=True)
class CorpusPeople:
    """One split of the corpus of `models.corpus.frames`, person by person."""

    folder: Path
    seeds: NDArray[np.int64]  # (P,)
    offsets: NDArray[np.float16]  # (P, V, 3) neutral minus the mean, mm

    @classmethod
    def open(cls, corpus: Path, split: str, count: int) -> CorpusPeople:
        """The first ``count`` people. Raises InputError when the corpus does not have them."""
        path = corpus / split / "people.safetensors"
        people = load_file(path) if path.is_file() else {}
        found = len(people["seeds"]) if people else 0
        if found < count:
            raise InputError(
                f"{corpus / split} has {found} people, {count} are wanted. "
                "Build more with: python -m models corpus build"
            )
        return cls(corpus / split, people["seeds"][:count].astype(np.int64), people["neutral"][:count])

    def frames(self, person: int) -> tuple[Floats, Mapping[str, NDArray[Any]]]:
        """Deformations (n, V, 3), mm, their stage, label and kind. InputError where a shard is missing."""
        shard = self.folder / f"frames_{person // PEOPLE_PER_SHARD:04d}.npy"
        if not shard.is_file():
            raise InputError(f"{shard.name} of {self.folder} is not built yet: python -m models corpus build")
        with np.load(shard.with_suffix(".npz")) as table:
            rows = np.flatnonzero(table["person"] == person)
            columns = {name: table[name][rows] for name in ("stage", "label", "kind")}
        return np.load(shard, mmap_mode="r")[rows].astype(np.float32), columns


def build_skin(
    out: Path,
    corpus: Path,
    head: Head,
    people: Mapping[str, int],
    frames: int,
    size: int,
    seed: int = 0,
) -> Iterator[tuple[int, int]]:
    """Write the neutral and ``frames`` random frames of every person; yields (people done, people).

    People keep the split they have in the corpus. Shards that exist are kept, so an interrupted build goes
    on, and one with more people adds them. Raises InputError when ``out`` holds something else or the corpus
    lacks people.
    """
    layout = UVLayout.of_head(head, size, FACE_WINDOW)
    atlas = SkinAtlas.of(head, layout)
    mean = head.neutral_vertices[: head.skin_vertices]
    content = {"frames": frames, "seed": seed, **SETTING}
    write_settings(out, layout, SkinTraits.names(), content)
    done, total = 0, sum(people.values())
    for split, count in ((split, count) for split, count in people.items() if count):
        source = CorpusPeople.open(corpus, split, count)
        folder = out / split
        if count_people(folder) < count:
            traits = np.stack([draw_skin(int(s)).vector() for s in source.seeds])
            write_people(folder, source.seeds, traits, _aligned_offsets(mean, source.offsets))
        for start in range(0, count, PEOPLE_PER_SHARD):
            members = range(start, min(start + PEOPLE_PER_SHARD, count))
            number = start // PEOPLE_PER_SHARD
            if not has_shard(folder, number, len(members)):
                parts = [_painted(atlas, mean, source, member, frames, seed) for member in members]
                write_shard(folder, number, _joined(parts))
            done += len(members)
            yield done, total


def _painted(
    atlas: SkinAtlas, mean: Floats, source: CorpusPeople, person: int, frames: int, seed: int
) -> Records:
    """The neutral of one person, and some frames: more often those that move much."""
    who = int(source.seeds[person])
    rng = np.random.default_rng([seed, 6, who])
    deformation, columns = source.frames(person)
    motion = STILL + np.linalg.norm(deformation, axis=2).mean(axis=1)
    chosen = rng.choice(len(motion), min(frames, len(motion)), replace=False, p=motion / motion.sum())
    neutral = mean + source.offsets[person].astype(np.float32)
    painter = SkinPainter(atlas, neutral, draw_skin(who))
    maps = [painter.neutral(), *(painter.frame(neutral + deformation[row]) for row in chosen)]
    alignment = similarity_to(mean, neutral)
    moved = deformation[chosen] @ (alignment.scale * alignment.rotation).T.astype(np.float32)
    stage = np.concatenate([np.zeros((1, columns["stage"].shape[1])), columns["stage"][chosen]])
    label = np.append(-1, columns["label"][chosen]).astype(np.int16)
    return records(
        maps,
        deformation=np.concatenate([np.zeros_like(mean)[None], moved]),
        person=person,
        stage=stage.astype(np.float32),
        intensity=np.array(
            [_intensity(one, int(name)) for one, name in zip(stage, label, strict=True)], np.float32
        ),
        label=label,
        kind=np.append(-1, columns["kind"][chosen]).astype(np.int16),
    )


def records(
    maps: list[BrdfMaps],
    *,
    deformation: Floats,
    person: int,
    stage: Floats,
    intensity: Floats,
    label: NDArray[np.int16],
    kind: NDArray[np.int16],
) -> Records:
    """Records of one person whose first one is the neutral."""
    return Records(
        albedo=np.stack([one.albedo for one in maps]),
        specular=np.stack([one.specular[..., 0] for one in maps]),
        roughness=np.stack([one.roughness[..., 0] for one in maps]),
        normal=np.stack([one.normal for one in maps]),
        height=np.stack([one.height[..., 0] for one in maps]),
        deformation=deformation.astype(np.float16),
        person=np.full(len(maps), person, np.int64),
        neutral=np.zeros(len(maps), np.int64),
        stage=stage,
        intensity=intensity,
        label=label,
        kind=kind,
    )


def _joined(parts: list[Records]) -> Records:
    """Records of several people, in one shard."""
    starts = np.cumsum([0, *(len(part.person) for part in parts)])
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Records.__dataclass_fields__
        if name != "neutral"
    }
    neutral = np.concatenate([part.neutral + start for part, start in zip(parts, starts[:-1], strict=True)])
    return Records(**columns, neutral=neutral)


def _aligned_offsets(mean: Floats, offsets: NDArray[np.float16]) -> Floats:
    aligned = np.empty(offsets.shape, np.float32)
    for row, offset in enumerate(offsets):
        neutral = mean + offset.astype(np.float32)
        aligned[row] = similarity_to(mean, neutral).apply(neutral) - mean
    return aligned


def _intensity(stage: NDArray[np.floating], label: int) -> float:
    """How strong: for a label its share of the preset, else the strongest unit."""
    if label < 0:
        return float(stage.max())
    mixture = preset(LABELS[label])
    return float(stage @ mixture / (mixture @ mixture))
