"""Finding and reading captured mesh sequences of a fixed topology on disk.

Two layouts are understood, at any depth of folders:

* CoMA's, one mesh per frame: `subject/expression/NNNNNN.ply`, or `.obj`; a name's last number is its frame.
* One file per sequence: `subject/expression.npz` with `vertices` (K, V, 3) and `triangles` (F, 3), or
  `subject/expression.npy` with the vertices alone.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import trimesh
from numpy.typing import NDArray

from ..errors import InputError

FRAME_SUFFIXES = (".ply", ".obj")
SEQUENCE_SUFFIXES = (".npz", ".npy")
LARGEST_GAP = 3
"""Missing frames in a row that interpolation may bridge."""


@dataclass(frozen=True)
class SequenceFiles:
    """Where one sequence lies: a folder with a mesh per frame, or one array file."""

    path: Path
    subject: str
    label: str


@dataclass(frozen=True)
class RawSequence:
    """A sequence as captured: `vertices` (K, V, 3) at `frame_numbers` (K,), in the file's unit and axes."""

    path: Path
    vertices: NDArray[np.float32]
    frame_numbers: NDArray[np.float64]
    triangles: NDArray[np.int32] | None  # (F, 3); an .npy file has none


def find_sequences(folder: Path, template: Path | None = None) -> list[SequenceFiles]:
    """All sequences below `folder`, sorted by subject and label.

    A sequence is labelled by its own name; its subject is the folder it lies in. The file `template` is no
    frame. Raises InputError when `folder` is missing or holds none.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    suffixes = FRAME_SUFFIXES + SEQUENCE_SUFFIXES
    files = [path for path in folder.resolve().rglob("*") if path.suffix.lower() in suffixes]
    if template is not None:
        files = [path for path in files if path != template.resolve()]
    found = {path.parent if path.suffix.lower() in FRAME_SUFFIXES else path for path in files}
    if not found:
        raise InputError(
            f"{folder} holds no sequences; expected subject/expression/000001.ply or subject/expression.npz."
        )
    sequences = [SequenceFiles(p, p.parent.name, p.name if p.is_dir() else p.stem) for p in found]
    return sorted(sequences, key=lambda s: (s.subject, s.label, s.path))


def read_sequence(files: SequenceFiles) -> RawSequence:
    """The frames of one sequence, in order.

    Raises InputError, naming the file, for damaged files, fewer than 2 frames, more than LARGEST_GAP missing
    frames in a row, a topology that changes and coordinates that are not finite.
    """
    sequence = _read_frames(files.path) if files.path.is_dir() else _read_array(files.path)
    if len(sequence.vertices) < 2:
        raise InputError(f"{files.path} has fewer than 2 frames; a sequence needs its way to an expression.")
    damaged = ~np.isfinite(sequence.vertices).all(axis=(1, 2))
    if damaged.any():
        number = sequence.frame_numbers[damaged.argmax()]
        raise InputError(
            f"Frame {number:.0f} of {files.path} has coordinates that are no numbers; repair it."
        )
    return sequence


def _read_frames(folder: Path) -> RawSequence:
    paths = _by_number(folder)
    numbers = np.array(list(paths), np.float64)
    gaps = np.diff(numbers) - 1
    if len(gaps) and gaps.max() > LARGEST_GAP:
        before = int(gaps.argmax())
        first, last = numbers[before] + 1, numbers[before + 1] - 1
        raise InputError(f"{folder} lacks the frames {first:.0f} to {last:.0f}; a sequence must be complete.")
    vertices: list[NDArray[np.float32]] = []
    triangles: NDArray[np.int32] | None = None
    for path in paths.values():
        frame, faces = read_mesh(path)
        if triangles is None:
            triangles = faces
        elif len(frame) != len(vertices[0]):
            raise InputError(f"{path} has {len(frame)} vertices, the frames before it {len(vertices[0])}.")
        elif not np.array_equal(faces, triangles):
            raise InputError(f"{path} joins its vertices to other triangles than the frames before it.")
        vertices.append(frame)
    return RawSequence(folder, np.array(vertices), numbers, triangles)


def _by_number(folder: Path) -> dict[int, Path]:
    """The meshes of a folder under their frame numbers, in their order."""
    numbered: dict[int, Path] = {}
    for path in folder.iterdir():
        if path.suffix.lower() not in FRAME_SUFFIXES:
            continue
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise InputError(f"{path} has no frame number in its name; expected something like 000001.ply.")
        other = numbered.setdefault(int(digits[-1]), path)
        if other != path:
            raise InputError(f"{path} and {other.name} are the same frame; remove one.")
    return dict(sorted(numbered.items()))


def read_mesh(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices (V, 3) and triangles (F, 3) of a PLY or OBJ file, in the file's order.

    Raises InputError when the file is damaged.
    """
    try:
        vertices, triangles = _read_obj(path) if path.suffix.lower() == ".obj" else _read_ply(path)
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise InputError(f"{path} cannot be read as a mesh; it may be damaged ({error}).") from error
    if len(triangles) == 0 or triangles.min() < 0 or triangles.max() >= len(vertices):
        raise InputError(f"{path} holds no complete mesh; it may be damaged.")
    return vertices, triangles


def _read_ply(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    mesh = trimesh.load_mesh(path, process=False)
    return mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32)


def _read_obj(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Positions alone, polygons cut into fans: a general reader splits the vertices at UV seams."""
    vertices: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in values[:3]])
        elif kind == "f":
            corners = [int(value.split("/")[0]) for value in values]
            first, *others = [c - 1 if c > 0 else len(vertices) + c for c in corners]
            triangles += [(first, second, third) for second, third in pairwise(others)]
    return np.array(vertices, np.float32).reshape(-1, 3), np.array(triangles, np.int32).reshape(-1, 3)


def _read_array(path: Path) -> RawSequence:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path} cannot be read as an array; it may be damaged ({error}).") from error
    triangles: NDArray[np.int32] | None = None
    if isinstance(loaded, np.ndarray):
        vertices = loaded
    else:
        with loaded:
            if "vertices" not in loaded.files:
                raise InputError(f"{path} has no array “vertices” (frames, vertices, 3).")
            vertices = loaded["vertices"]
            triangles = loaded["triangles"].astype(np.int32) if "triangles" in loaded.files else None
    if vertices.ndim != 3 or vertices.shape[2] != 3 or not np.issubdtype(vertices.dtype, np.floating):
        raise InputError(f"{path} must hold numbers of shape (frames, vertices, 3), not {vertices.shape}.")
    return RawSequence(
        path, vertices.astype(np.float32), np.arange(len(vertices), dtype=np.float64), triangles
    )
