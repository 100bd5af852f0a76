"""The training cache: people, and random frames of their performances.

AnimateMe is trained per frame (section 3.2): a frame is a deformation and the expression stage it shows. The
stage is nominal, `intensity x progression x mixture`: what an observer asked for, not the weights that this
person's style made of it. The intensity of a labelled performance is the paper's extremeness (section 4.1):
the mean displacement at its apex relative to the label's, the same scale for everybody.

Layout: `corpus.json` with the settings and the intensity scale; for each split `people.safetensors`
(coefficients (P, 100), neutral (P, V, 3) as offsets from the mean, gains, seeds) and `frames_0000.npy` ...
(n, V, 3) float16 mm, to be memory-mapped, each with a `.npz` of stage, person, label and kind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from ..errors import InputError
from ..expression import LABELS, PAIRS, PRESETS, UNIT_INDEX, UNIT_NAMES
from .face_model import FaceModel
from .people import SPLIT_SEEDS, Person, draw_identity, make_person
from .performance import draw_frames, draw_performance

KINDS: tuple[str, ...] = ("label", "unit", "mixture", "take")
KIND_SHARES = (0.40, 0.25, 0.30, 0.05)
"""Labels, single units or pairs, random mixtures, and what a captured take moved together."""
AMPLITUDE = (0.3, 1.1)
"""Range of a labelled performance's strength; 1 is the preset."""
UNIT_WEIGHT = (0.15, 1.15)
MIXTURE_WEIGHT = (0.1, 1.0)
PAIRED_SHARE = 0.7
"""Share of drawn units whose other half moves with them."""
FRAMES_PER_PERFORMANCE = 4
"""Frames kept of a labelled performance, the apex among them."""
SETTINGS_NAME = "corpus.json"
PEOPLE_PER_SHARD = 25
MEASURING_PEOPLE, MEASURED_PERFORMANCES = 20, 10
"""Per label, on the first people of the training split."""
EXTREMENESS_PERCENTILE = 50.0

Scaling = Literal["global", "local"]


def preset(label: str) -> NDArray[np.float32]:
    """(57,) weights of a label at strength 1."""
    mixture = np.zeros(len(UNIT_NAMES), np.float32)
    for unit, weight in PRESETS[label].items():
        mixture[UNIT_INDEX[unit]] = weight
    return mixture


def extremeness(person: Person, deformation: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B,) mean displacement of the face, mm, of deformations (B, V, 3)."""
    return np.linalg.norm(deformation[:, person.model.face], axis=2).mean(1)


@dataclass(frozen=True)
class IntensityScale:
    """Global scaling of AnimateMe: the extremeness (mm) that counts as intensity 1, one for each label."""

    reference: Mapping[str, float]

    @staticmethod
    def measure(model: FaceModel, seed: int) -> IntensityScale:
        """The median over 200 full-strength performances of each label by people of the training split."""
        rng = np.random.default_rng([seed, 0])
        found: dict[str, list[NDArray[np.float32]]] = {label: [] for label in LABELS}
        for index in range(MEASURING_PEOPLE):
            person = make_person(SPLIT_SEEDS["train"] + index, model)
            for label in LABELS:
                apexes = [
                    draw_performance(preset(label), rng).weights[-1] for _ in range(MEASURED_PERFORMANCES)
                ]
                found[label].append(extremeness(person, person.deform(np.stack(apexes))))
        percentiles = {
            label: np.percentile(np.concatenate(x), EXTREMENESS_PERCENTILE) for label, x in found.items()
        }
        return IntensityScale({label: float(value) for label, value in percentiles.items()})

    @staticmethod
    def load(cache: Path) -> IntensityScale:
        """The scale that the cache in folder `cache` was built with."""
        return IntensityScale(json.loads((cache / SETTINGS_NAME).read_text(encoding="utf-8"))["extremeness"])


def sequence(
    person: Person,
    label: str,
    rng: np.random.Generator,
    scale: IntensityScale,
    scaling: Scaling = "global",
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A ground-truth performance of 40 frames, neutral to apex: deformation (40, V, 3) mm and
    expression_signal (40, 57).

    With `local` scaling every performance ends at intensity 1, however strong it was.
    """
    mixture = preset(label)
    performance = draw_performance(rng.uniform(*AMPLITUDE) * mixture, rng)
    deformation = person.deform(performance.weights)
    apex = float(extremeness(person, deformation[-1:])[0])
    intensity = apex / scale.reference[label] if scaling == "global" else 1.0
    return deformation, intensity * performance.progression[:, None] * mixture


@dataclass(frozen=True)
class Frames:
    """n frames of one person."""

    deformation: NDArray[np.float16]
    """(n, V, 3) mm."""
    stage: NDArray[np.float32]
    """(n, 57) nominal expression."""
    label: NDArray[np.int16]
    """(n,) index into LABELS, or -1."""
    kind: NDArray[np.int16]
    """(n,) index into KINDS."""


def random_frames(
    person: Person, count: int, rng: np.random.Generator, scale: IntensityScale, take: NDArray[np.float32]
) -> Frames:
    """`count` random frames of one person; without a `take` (N, 57) of captured weights, more mixtures."""
    performances = round(KIND_SHARES[0] * count / FRAMES_PER_PERFORMANCE)
    labelled = performances * FRAMES_PER_PERFORMANCE
    units = min(round(KIND_SHARES[1] * count), count - labelled)
    takes = min(round(KIND_SHARES[3] * count), count - labelled - units) if len(take) else 0
    kind = np.repeat(np.arange(4, dtype=np.int16), [labelled, units, count - labelled - units - takes, takes])
    label = np.full(count, -1, np.int16)
    weights, stage = np.zeros((2, count, len(UNIT_NAMES)), np.float32)

    label[:labelled] = np.repeat(rng.integers(len(LABELS), size=performances), FRAMES_PER_PERFORMANCE)
    for start in range(0, labelled, FRAMES_PER_PERFORMANCE):
        rows = slice(start, start + FRAMES_PER_PERFORMANCE)
        mixture = preset(LABELS[label[start]])
        performance = draw_performance(rng.uniform(*AMPLITUDE) * mixture, rng)
        last = len(performance.weights) - 1
        moments = np.append(rng.choice(last, FRAMES_PER_PERFORMANCE - 1, replace=False), last)
        weights[rows] = performance.weights[moments]
        stage[rows] = performance.progression[moments, None] * mixture
    for row in range(labelled, count):
        stage[row] = _mixture(KINDS[kind[row]], rng, take)
    weights[labelled:], progression = draw_frames(stage[labelled:], rng)
    stage[labelled:] *= progression[:, None]

    deformation = person.deform(weights)
    apexes = np.arange(FRAMES_PER_PERFORMANCE - 1, labelled, FRAMES_PER_PERFORMANCE)
    references = np.array([scale.reference[LABELS[index]] for index in label[apexes]], np.float32)
    intensity = extremeness(person, deformation[apexes]) / references
    stage[:labelled] *= np.repeat(intensity, FRAMES_PER_PERFORMANCE)[:, None]
    return Frames(deformation.astype(np.float16), stage, label, kind)


def random_mixture(rng: np.random.Generator) -> NDArray[np.float32]:
    """(57,) two to five units, most of them with their other half."""
    return _combined(rng, int(rng.integers(2, 6)), MIXTURE_WEIGHT)


def _mixture(kind: str, rng: np.random.Generator, take: NDArray[np.float32]) -> NDArray[np.float32]:
    """(57,) what a frame without a label is on its way to."""
    if kind == "take":
        return take[rng.integers(len(take))]
    return _combined(rng, 1, UNIT_WEIGHT) if kind == "unit" else random_mixture(rng)


def _combined(rng: np.random.Generator, units: int, weights: tuple[float, float]) -> NDArray[np.float32]:
    mixture = np.zeros(len(UNIT_NAMES), np.float32)
    for name in rng.choice(UNIT_NAMES, units, replace=False):
        weight = rng.uniform(*weights)
        stem = name.removesuffix("Left").removesuffix("Right")
        both = stem in PAIRS and rng.random() < PAIRED_SHARE
        for unit in PAIRS[stem] if both else (name,):
            mixture[UNIT_INDEX[unit]] = weight
    return mixture


def build_cache(
    out: Path,
    model: FaceModel,
    people: Mapping[str, int],
    frames_per_person: int,
    seed: int = 0,
    processes: int = 1,
    take: NDArray[np.float32] | None = None,
) -> Iterator[Path]:
    """Write the splits named in `people` (split -> number of people) below `out`; yields every shard when it
    is complete.

    Shards that exist are kept, so an interrupted build goes on where it stopped. The same arguments give the
    same frames, whatever the number of processes. `take` (..., 57): captured weights to mix in.
    Raises InputError when `out` holds a cache of other arguments or of another head.
    """
    take = np.zeros((0, len(UNIT_NAMES)), np.float32) if take is None else take.reshape(-1, len(UNIT_NAMES))
    content = hashlib.sha256(model.mean.tobytes() + model.shapes.tobytes() + take.tobytes()).hexdigest()
    settings = {
        "people": dict(people),
        "frames_per_person": frames_per_person,
        "seed": seed,
        "content": content,
    }
    out.mkdir(parents=True, exist_ok=True)
    if not (out / SETTINGS_NAME).is_file():
        measured = {"extremeness": dict(IntensityScale.measure(model, seed).reference)}
        (out / SETTINGS_NAME).write_text(json.dumps(settings | measured, indent=1) + "\n", encoding="utf-8")
    found = json.loads((out / SETTINGS_NAME).read_text(encoding="utf-8"))
    if any(found[name] != value for name, value in settings.items()):
        raise InputError(f"{out} holds frames of another corpus; delete that folder or choose another one.")
    scale = IntensityScale.load(out)
    for split, count in people.items():
        folder = out / split
        folder.mkdir(exist_ok=True)
        seeds = SPLIT_SEEDS[split] + np.arange(count)
        if not (folder / "people.safetensors").is_file():
            _write_people(folder / "people.safetensors", model, seeds)
        starts = [s for s in range(0, count, PEOPLE_PER_SHARD) if not _shard(folder, s).is_file()]
        write = partial(_write_shard, folder, model, seeds, frames_per_person, seed, scale, take)
        if processes == 1:
            yield from map(write, starts)
        else:
            with ProcessPoolExecutor(processes) as pool:
                yield from pool.map(write, starts)


def _shard(folder: Path, start: int) -> Path:
    return folder / f"frames_{start // PEOPLE_PER_SHARD:04d}.npy"


def _write_people(path: Path, model: FaceModel, seeds: NDArray[np.int64]) -> None:
    identities = [draw_identity(int(seed), model) for seed in seeds]
    arrays = {
        "coefficients": np.stack([identity.coefficients for identity in identities]),
        "neutral": np.stack([(identity.neutral - model.mean).astype(np.float16) for identity in identities]),
        "gains": np.stack([identity.gains for identity in identities]),
        "seeds": seeds,
    }
    save_file(arrays, path)


def _write_shard(
    folder: Path,
    model: FaceModel,
    seeds: NDArray[np.int64],
    frames_per_person: int,
    seed: int,
    scale: IntensityScale,
    take: NDArray[np.float32],
    start: int,
) -> Path:
    """Frames of the people from `start` on; the array appears last and whole."""
    members = range(start, min(start + PEOPLE_PER_SHARD, len(seeds)))
    parts: list[Frames] = []
    for member in members:
        rng = np.random.default_rng([seed, 1, int(seeds[member])])
        parts.append(
            random_frames(make_person(int(seeds[member]), model), frames_per_person, rng, scale, take)
        )
    path = _shard(folder, start)
    np.savez(
        path.with_suffix(".npz"),
        stage=np.concatenate([part.stage for part in parts]),
        person=np.repeat(np.array(members, np.int32), frames_per_person),
        label=np.concatenate([part.label for part in parts]),
        kind=np.concatenate([part.kind for part in parts]),
    )
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.save(file, np.concatenate([part.deformation for part in parts]))
    unfinished.rename(path)
    return path
