"""A corpus of captured 4D expressions: a user's copy of CoMA, or any sequences of one fixed topology.

The preprocessing of AnimateMe section 4.1: each sequence is cut from its neutral to its apex, brought to 40
frames, smoothed, expressed as deformations from its neutral, and given a signal that tells how far the
expression has come and how strong it is. `read_sequences(folder).save(out)` is what `python -m models corpus
read FOLDER --out OUT` does.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.ndimage import gaussian_filter1d

from ..errors import InputError
from ..expression import PRESETS, expression_stage
from .performance import FRAMES, extremeness, global_intensity, local_intensity
from .sequence_files import RawSequence, find_sequences, read_mesh, read_sequence

Scaling = Literal["global", "local"]
Split = Literal["train", "validation", "test"]

NEUTRAL_SHARE = 0.05
"""A face that is less than this share of the apex away from where the sequence starts is still neutral."""
SMOOTHING = 1.0
"""Sigma of the Gaussian over time, in captured frames."""
HEAD_MM = (100.0, 600.0)
"""What the diagonal of a head's bounding box may measure, in millimetres."""

LEAST_MOTION_MM = 0.05
"""Mean over the vertices; less is the noise of a capture."""

ARRAYS_NAME = "sequences.safetensors"
CONFIG_NAME = "sequences.json"


@dataclass(frozen=True)
class SequenceCorpus:
    """N sequences of K frames on one topology, in millimetres, in the axes of the files.

    `signal[n, k, labels.index(sequence_labels[n])]` is the intensity of sequence n at frame k; other labels
    are 0.
    """

    triangles: NDArray[np.int32]  # (F, 3)
    neutral_vertices: NDArray[np.float32]  # (N, V, 3)
    deformations: NDArray[np.float32]  # (N, K, V, 3), 0 at frame 0
    signal: NDArray[np.float32]  # (N, K, M)
    labels: tuple[str, ...]  # (M,)
    subjects: tuple[str, ...]  # (N,)
    sequence_labels: tuple[str, ...]  # (N,)
    splits: tuple[Split, ...]  # (N,); a subject lies in one split only

    def expression_signals(self) -> NDArray[np.float32]:
        """The signals over expression units instead of labels: (N, K, 57).

        Raises InputError when a label has no preset.
        """
        if unknown := sorted(set(self.labels) - set(PRESETS)):
            raise InputError(f"No mixture of expression units is known for {', '.join(unknown)}.")
        return self.signal @ np.array([expression_stage([label]) for label in self.labels])

    def save(self, folder: Path) -> None:
        """Write sequences.safetensors and sequences.json into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            "triangles": self.triangles,
            "neutral_vertices": self.neutral_vertices,
            "deformations": self.deformations,
            "signal": self.signal,
        }
        save_file(arrays, folder / ARRAYS_NAME)
        config = {
            "units": "mm",
            "labels": self.labels,
            "subjects": self.subjects,
            "sequence_labels": self.sequence_labels,
            "splits": self.splits,
        }
        (folder / CONFIG_NAME).write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises InputError when it is missing or damaged."""
        try:
            arrays = load_file(folder / ARRAYS_NAME)
            config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
            return cls(
                triangles=arrays["triangles"],
                neutral_vertices=arrays["neutral_vertices"],
                deformations=arrays["deformations"],
                signal=arrays["signal"],
                labels=tuple(config["labels"]),
                subjects=tuple(config["subjects"]),
                sequence_labels=tuple(config["sequence_labels"]),
                splits=tuple(config["splits"]),
            )
        except (OSError, SafetensorError, json.JSONDecodeError, KeyError) as error:
            raise InputError(
                f"{folder} holds no sequence corpus; read the sequences again ({error})."
            ) from error


def read_sequences(
    folder: Path,
    *,
    frames: int = FRAMES,
    scaling: Scaling = "global",
    template: Path | None = None,
    seed: int = 0,
    on_sequence: Callable[[int, int], None] | None = None,
) -> SequenceCorpus:
    """Read every sequence below `folder` (layouts: see sequence_files) into one corpus.

    The heads must be stabilised: a turning head reads as deformation. `template` is a PLY or OBJ of the
    topology, for folders whose files have no triangles. `scaling` chooses what the signal's peak is:
    "global" compares the sequences of a label with each other, "local" lets each reach 1. `seed` decides
    which subjects are held out. `on_sequence(done, all)` is called after each sequence. Raises InputError,
    naming the file: see read_sequence; different topologies; heads of implausible size.
    """
    found = find_sequences(folder, template)
    triangles = None if template is None else read_mesh(template)[1]
    neutrals: list[NDArray[np.float32]] = []
    deformations: list[NDArray[np.float32]] = []
    for done, files in enumerate(found, start=1):
        raw = in_millimetres(read_sequence(files))
        triangles = _same_topology(raw, triangles, neutrals)
        neutral, deformation = neutral_to_apex(raw, frames)
        neutrals.append(neutral)
        deformations.append(deformation)
        if on_sequence is not None:
            on_sequence(done, len(found))
    if triangles is None:
        raise InputError(f"No file in {folder} has triangles; name a template mesh (.ply or .obj) that has.")
    if triangles.max() >= len(neutrals[0]):
        raise InputError(
            f"The triangles join {triangles.max() + 1} vertices, a frame has {len(neutrals[0])}."
        )

    sequence_labels = tuple(files.label for files in found)
    subjects = tuple(files.subject for files in found)
    splits = split_subjects(subjects, seed)
    labels = tuple(sorted(set(sequence_labels)))
    return SequenceCorpus(
        triangles=triangles,
        neutral_vertices=np.array(neutrals),
        deformations=np.array(deformations),
        signal=_signal(deformations, sequence_labels, labels, scaling),
        labels=labels,
        subjects=subjects,
        sequence_labels=sequence_labels,
        splits=tuple(splits[subject] for subject in subjects),
    )


def neutral_to_apex(raw: RawSequence, frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The rise of a sequence to its most extreme frame: neutral (V, 3) and deformations (frames, V, 3).

    A sequence starts neutral. The apex is the frame furthest from the start; the rise to it begins after the
    last frame that is still neutral, so that of several attempts the strongest is taken. Frames are
    interpolated linearly between captured ones. Raises InputError when nothing moves.
    """
    smooth = gaussian_filter1d(raw.vertices, SMOOTHING, axis=0, mode="nearest")
    way = extremeness(smooth - smooth[0])
    apex = int(way.argmax())
    if way[apex] < LEAST_MOTION_MM:
        raise InputError(f"Nothing moves in {raw.path}; it has no expression to learn.")
    start = int(np.flatnonzero(way[:apex] <= NEUTRAL_SHARE * way[apex])[-1])
    while start > 0 and way[start - 1] < way[start]:  # down to the foot of the rise
        start -= 1
    moments = np.linspace(raw.frame_numbers[start], raw.frame_numbers[apex], frames)
    after = np.clip(np.searchsorted(raw.frame_numbers, moments), start + 1, apex)
    earlier, later = raw.frame_numbers[after - 1], raw.frame_numbers[after]
    share = ((moments - earlier) / (later - earlier))[:, None, None]
    vertices = (1.0 - share) * smooth[after - 1] + share * smooth[after]
    return smooth[start], (vertices - smooth[start]).astype(np.float32)


def in_millimetres(raw: RawSequence) -> RawSequence:
    """The sequence in millimetres; a head's size tells whether it was in millimetres, centimetres or metres.

    Raises InputError when it is as large as no head.
    """
    diagonal = float(np.linalg.norm(np.ptp(raw.vertices[0], axis=0)))
    for scale in (1.0, 10.0, 1000.0):
        if HEAD_MM[0] <= diagonal * scale <= HEAD_MM[1]:
            return replace(raw, vertices=raw.vertices * np.float32(scale))
    raise InputError(f"{raw.path} measures {diagonal:.3g}, no head in millimetres, centimetres or metres.")


def split_subjects(subjects: Sequence[str], seed: int) -> dict[str, Split]:
    """The split of each subject: a tenth validation, a tenth test, at least one each where there are
    three."""
    names = sorted(set(subjects))
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    held_out = max(1, round(len(names) / 10)) if len(names) >= 3 else 0
    split: dict[str, Split] = dict.fromkeys(names, "train")
    split |= dict.fromkeys(shuffled[:held_out], "validation")
    split |= dict.fromkeys(shuffled[held_out : 2 * held_out], "test")
    return split


def _same_topology(
    raw: RawSequence, triangles: NDArray[np.int32] | None, neutrals: Sequence[NDArray[np.float32]]
) -> NDArray[np.int32] | None:
    """The triangles known after this sequence. Raises InputError if it does not fit the ones before."""
    vertices = raw.vertices.shape[1]
    if neutrals and vertices != len(neutrals[0]):
        raise InputError(f"{raw.path} has {vertices} vertices, the sequences before it {len(neutrals[0])}.")
    if raw.triangles is None or triangles is None:
        return triangles if raw.triangles is None else raw.triangles
    if not np.array_equal(raw.triangles, triangles):
        raise InputError(f"{raw.path} joins its vertices to other triangles than those before it.")
    return triangles


def _signal(
    deformations: Sequence[NDArray[np.float32]],
    sequence_labels: Sequence[str],
    labels: Sequence[str],
    scaling: Scaling,
) -> NDArray[np.float32]:
    """(N, K, M): each sequence's intensity in the column of its label (AnimateMe section 4.1)."""
    curves = np.array([extremeness(d) for d in deformations])
    signal = np.zeros((*curves.shape, len(labels)), np.float32)
    for column, label in enumerate(labels):
        rows = np.flatnonzero([name == label for name in sequence_labels])
        if scaling == "global":
            signal[rows, :, column] = global_intensity(curves[rows])
        else:
            signal[rows, :, column] = [local_intensity(curve) for curve in curves[rows]]
    return signal
