"""What the parts of the evaluation of binding have in common: the bench they work on, cases and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binding import Binding, bind
from ..corpus.ict import ICT
from ..head import Head
from ..registration.template import Template, template_of
from .binding_meshes import Layout, layouts, person

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Row = dict[str, Any]

TEST_SEED = 3_000_000
"""Seeds from here on are people that no corpus was made of."""
MOVING = 0.05
"""Share of the largest displacement from which a vertex counts as moving."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    posed: int = 100  # people whose pose is looked for, each in one disguise
    people: int = 20  # people with known truth, in each of four layouts
    units: int = 30  # expression units measured on them
    strangers: int = 40  # meshes without a face, and as many heads


@dataclass(frozen=True)
class Case:
    """One thing to measure; its row holds numbers alone."""

    name: str
    measure: Callable[[], Row]


@dataclass(frozen=True)
class Part:
    """Cases, and what they come to: rows whose names start with "" or "/"."""

    cases: Callable[[Bench], Iterator[Case]]
    summary: Callable[[Sequence[Row]], list[Row]]


@dataclass(frozen=True)
class Bench:
    """The head, the data to judge by, and what several parts need."""

    checkpoint: Path  # folder of the checkpoint whose shapes are carried over
    shared: Path  # folder with ict-facekit, facecap-mannequin-head and face-topologies
    plan: Plan = Plan()

    @cached_property
    def head(self) -> Head:
        """The Dimple head."""
        return Head.load(self.checkpoint / "head")

    @cached_property
    def template(self) -> Template:
        """The head as binding uses it."""
        return template_of(self.head)

    @cached_property
    def ict(self) -> ICT:
        """The model that people with known truth are made of."""
        return ICT.load(self.shared / "ict-facekit")

    @cached_property
    def layouts(self) -> Mapping[str, Layout]:
        """Topologies with known truth: own, decimated, remeshed."""
        return {layout.name: layout for layout in layouts(self.ict)}

    @cached_property
    def artist(self) -> Mapping[str, NDArray[Any]]:
        """The mannequin's arrays: neutral, faces, deltas, names and its eyes and teeth."""
        with np.load(self.shared / "facecap-mannequin-head" / "head.npz") as file:
            return dict(file)

    @cached_property
    def heads(self) -> Mapping[str, tuple[Floats, Ints]]:
        """The mannequin with eyes and teeth, CoMA's template and MediaPipe's mask: vertices and faces."""
        mannequin = self.artist
        inner = np.where(
            mannequin["inner_faces"] >= 0, mannequin["inner_faces"] + len(mannequin["neutral"]), -1
        )
        folder = self.shared / "face-topologies"
        return {
            "mannequin": (
                np.concatenate([mannequin["neutral"], mannequin["inner_vertices"]]),
                np.concatenate([mannequin["faces"], inner]).astype(np.int32),
            ),
            "CoMA": _read_obj(folder / "coma_template.obj"),
            "MediaPipe": _read_obj(folder / "mediapipe_canonical_face.obj"),
        }

    @cached_property
    def bound(self) -> Mapping[str, Binding]:
        """The shared heads, bound."""
        return {name: bind(self.head, *mesh) for name, mesh in self.heads.items()}

    def person(self, seed: int) -> Floats:
        """(26719, 3) the rest face of a test person, in ICT's own topology, mm."""
        return person(self.ict, TEST_SEED + seed)

    def laid(self, layout: str, rest: Floats) -> tuple[Floats, Ints]:
        """A person's vertices and triangles in a layout."""
        chosen = self.layouts[layout]
        return (chosen.carry @ rest).astype(np.float32), chosen.triangles


def mean_of(rows: Iterable[Row]) -> Row:
    """The mean of every number of rows alike."""
    some = list(rows)
    return {k: float(np.mean([row[k] for row in some])) for k in some[0] if k not in ("name", "cpu_s")}


def moving(shape: Floats, where: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """(V,) vertices that a deformation (V, 3) moves by more than 5 % of its largest displacement."""
    size = np.linalg.norm(shape, axis=1)
    inside = np.ones(len(size), bool) if where is None else where
    return (size > MOVING * size[inside].max()) & inside


def likeness(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Cosine between two deformations over the vertices that move in theirs, and ratio of their sizes."""
    some = moving(theirs)
    a, b = ours[some].ravel(), theirs[some].ravel()
    sizes = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return float(a @ b) / max(sizes[0] * sizes[1], 1e-12), sizes[0] / sizes[1]


def _read_obj(path: Path) -> tuple[Floats, Ints]:
    words = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    vertices = np.array([w[1:4] for w in words if w[:1] == ["v"]], np.float32)
    faces = [[int(corner.split("/")[0]) - 1 for corner in w[1:]] for w in words if w[:1] == ["f"]]
    return vertices, np.array(faces, np.int32)
