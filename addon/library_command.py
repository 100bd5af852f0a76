"""`dimple library`: what it writes, and its options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge.protocol import LibraryRequest
from . import exporters
from .companion_writer import Following
from .library_properties import patterns
from .library_writer import ShapeLibrary, write_library
from .low_rank import low_rank
from .mesh_reader import HeadMesh


@dataclass(frozen=True)
class HeadLibrary:
    """A library with the head that it is made for."""

    mesh: HeadMesh
    shapes: ShapeLibrary
    mm_per_unit: float
    followers: Sequence[Following] = ()


def library_request(options: argparse.Namespace) -> LibraryRequest:
    """What the options ask for; a file is named by its absolute path, for the worker is elsewhere."""
    own = Path(options.set)
    return LibraryRequest(
        job="",
        folder="",
        checkpoint="",
        shape_set=str(own.resolve()) if own.is_file() else options.set,
        only=patterns(options.only),
        correctives="none" if options.no_correctives else "pairs",
        seed=options.seed,
        samples=options.samples,
    )


def write(
    library: HeadLibrary, head: bpy.types.Object, request: LibraryRequest, options: argparse.Namespace
) -> None:
    """Write the library to `--out`. Raises OSError, RuntimeError, HeadError, RecipeError."""
    if options.out.suffix.lower() == ".npz":
        write_npz(options.out, library, options.tolerance)
        return
    write_library(head, library.shapes, request.shape_set, request.seed, options.take_over, library.followers)
    WRITERS[options.out.suffix.lower()](options.out, head)


def write_npz(path: Path, library: HeadLibrary, tolerance_mm: float | None = None) -> None:
    """All arrays of the library, compressed. Raises OSError.

    neutral_vertices (V, 3), triangles (F, 3), names (N,), deformations (N, V, 3); corrective_pairs (C, 2)
    names of two shapes and corrective_deformations (C, V, 3) what both at 1 lack. With a tolerance the
    deformations are products of components (R, V, 3) with coefficients (N, R) and corrective_coefficients
    (C, R), at no vertex further off than largest_error_mm.
    """
    shapes = library.shapes
    arrays: dict[str, NDArray] = {
        "neutral_vertices": library.mesh.neutral_vertices,
        "triangles": library.mesh.triangles,
        "names": np.array(shapes.names),
        "corrective_pairs": np.array(shapes.pairs, dtype=str).reshape(-1, 2),
    }
    if tolerance_mm is None:
        arrays |= {"deformations": shapes.deformations, "corrective_deformations": shapes.correctives}
    else:
        everything = np.concatenate([shapes.deformations, shapes.correctives])
        fewest = low_rank(everything, tolerance_mm / library.mm_per_unit)
        arrays |= {
            "components": fewest.components,
            "coefficients": fewest.coefficients[: len(shapes.names)],
            "corrective_coefficients": fewest.coefficients[len(shapes.names) :],
            "largest_error_mm": np.float64(fewest.largest_error * library.mm_per_unit),
        }
    with exporters.replacing(path) as unfinished:
        np.savez_compressed(unfinished, **arrays)


WRITERS: Mapping[str, Callable[[Path, bpy.types.Object], None]] = {
    ".blend": exporters.write_blend,
    ".glb": exporters.write_glb,
}
OUTPUTS = (*WRITERS, ".npz")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of a library alone."""
    parser.add_argument(
        "--set",
        default="arkit",
        metavar="NAME|FILE",
        help="arkit, ict, facs56, metahuman, cc, visemes, or a JSON file of your own",
    )
    parser.add_argument("--only", default="", metavar="NAMES", help="shapes to make, as in “jawOpen,mouth*”")
    parser.add_argument("--samples", type=int, default=4, metavar="N", help="how many a shape is the mean of")
    parser.add_argument("--no-correctives", action="store_true", help="no shapes for pairs of shapes")
    parser.add_argument(
        "--take-over", action="store_true", help="write also to keys of these names that are on the head"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="MM",
        help="to .npz alone: fewest components that are nowhere further off than this",
    )
