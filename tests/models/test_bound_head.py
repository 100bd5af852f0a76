"""Heads in the Dimple head's own topology: recognised, put in order, animated as they are."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.binding import Binding
from models.bound_head import BoundHead, bind_head
from models.bound_library import carry_library
from models.errors import InputError
from models.expression import UNIT_NAMES
from models.library import SampledLibrary
from models.registration.artist_head import ArtistHead, Mesh
from models.registration.bound_companions import has_second_head
from models.registration.own_topology import head_order, is_split_of
from models.registration.transfer import Rule
from tests.models.binding_model import grid_head
from tests.models.tiny import tiny_head

HEAD = grid_head()
COUNT = len(HEAD.neutral_vertices)


def split(faces: np.ndarray, other_diagonal: np.ndarray) -> np.ndarray:
    """Triangles of quads, each cut along its first or its other diagonal."""
    first = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])
    second = np.concatenate([faces[:, [0, 1, 3]], faces[:, [1, 2, 3]]])
    return np.where(np.tile(other_diagonal, 2)[:, None], second, first).astype(np.int32)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_any_cut_order_and_corner_of_the_quads_is_the_same_head(seed: int) -> None:
    random = np.random.default_rng(seed)
    triangles = split(HEAD.faces, random.random(len(HEAD.faces)) < 0.5)
    rolled = np.array([np.roll(t, random.integers(3)) for t in random.permutation(triangles)], np.int32)
    assert is_split_of(rolled, HEAD.faces)
    order = head_order(HEAD, Mesh(HEAD.neutral_vertices, rolled))
    np.testing.assert_array_equal(order, np.arange(COUNT))


@pytest.mark.parametrize("spoiled", ["one less", "one twice", "another corner", "beyond", "negative"])
def test_other_connections_are_no_split(spoiled: str) -> None:
    triangles = HEAD.triangles.copy()
    match spoiled:
        case "one less":
            triangles = triangles[:-1]
        case "one twice":
            triangles[1] = triangles[0]
        case "another corner":
            triangles[4, 1] = COUNT - 1
        case "beyond":
            triangles[0, 0] = COUNT
        case "negative":
            triangles[0, 0] = -1
    assert not is_split_of(triangles, HEAD.faces)


def test_a_renumbered_head_moves_as_the_head_does() -> None:
    shuffled = np.random.default_rng(1).permutation(COUNT).astype(np.int32)  # head's vertex -> the mesh's
    vertices = np.empty_like(HEAD.neutral_vertices)
    vertices[shuffled] = 0.01 * HEAD.neutral_vertices
    bound = bind_head(HEAD, ArtistHead(Mesh(vertices, shuffled[HEAD.triangles])))
    np.testing.assert_allclose(bound.neutral_vertices, 0.01 * HEAD.neutral_vertices)
    assert bound.mm_per_unit == pytest.approx(100, rel=1e-4)
    assert bound.facts == {"mm_per_unit": bound.mm_per_unit, "recognised": True}
    moved = np.random.default_rng(2).normal(size=(40, COUNT, 3)).astype(np.float32)
    steps: list[tuple[int, int]] = []
    carried = bound.carry(moved, np.zeros((40, 57), np.float32), on_step=lambda *step: steps.append(step))
    np.testing.assert_array_equal(carried[""][:, shuffled], moved)
    assert steps == [(0, 40), (16, 40), (32, 40)]


def test_a_mirrored_head_is_taken_for_what_it_looks_like() -> None:
    """Turned inside out by a mirror and back by its winding, left and right change places."""
    mesh = Mesh(HEAD.neutral_vertices * np.float32([-1, 1, 1]), HEAD.triangles[:, ::-1])
    order = head_order(HEAD, mesh)
    assert order is not None
    skin = slice(HEAD.skin_vertices)
    np.testing.assert_array_equal(order[skin], HEAD.mirror[skin])


def test_a_checkpoint_without_eyes_and_teeth_binds_nothing_else() -> None:
    head = tiny_head()
    mesh = Mesh(head.neutral_vertices[:-1], head.triangles[(head.triangles < 641).all(axis=1)])
    with pytest.raises(InputError, match=r"641 vertices.* 642, has no eyes and teeth.*comes with Dimple"):
        bind_head(head, ArtistHead(mesh))
    whole = Mesh(head.neutral_vertices, head.triangles)
    assert bind_head(head, ArtistHead(whole)).order is not None
    with pytest.raises(InputError, match="no eyes and teeth"):
        bind_head(head, ArtistHead(whole), always=True)


def sampled_library() -> SampledLibrary:
    random = np.random.default_rng(3)

    def field() -> np.ndarray:
        return random.normal(size=(COUNT, 3)).astype(np.float32)

    stages = dict(zip("abc", np.eye(57, dtype=np.float32), strict=False))
    base = (field(), np.eye(57, dtype=np.float32)[9])
    return SampledLibrary(
        ("a", "b"), {name: field() for name in "abc"}, stages, {"b": base}, {("a", "c"): field()}
    )


def test_a_renumbered_head_gets_the_library_as_it_was_sampled() -> None:
    sampled = sampled_library()
    shuffled = np.random.default_rng(1).permutation(COUNT).astype(np.int32)
    bound = BoundHead(HEAD.neutral_vertices, COUNT, 1.0, None, shuffled)
    library = carry_library(bound, sampled)[""]
    assert (library.names, library.pairs) == (("a", "b"), (("a", "c"),))
    np.testing.assert_array_equal(library.deformations[:, shuffled], sampled.library().deformations)
    np.testing.assert_array_equal(library.correctives[:, shuffled], sampled.library().correctives)


def test_what_does_not_add_up_is_carried_as_whole_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A carrier that squares: shapes on a base and correctives must be differences of carried faces."""
    sampled = sampled_library()
    bound = replace(BoundHead(HEAD.neutral_vertices, COUNT, 1.0, None, None))
    told: list[np.ndarray] = []

    def squared(_bound: BoundHead, deformation: np.ndarray, stages: np.ndarray, **_options: object):
        told.append(stages)
        return {"": deformation**2, "eye": -(deformation**2)}

    monkeypatch.setattr(BoundHead, "carry", squared)
    carried = carry_library(bound, sampled)
    a, b, c = (sampled.shapes[name] for name in "abc")
    base, lacking = sampled.bases["b"][0], sampled.correctives["a", "c"]
    library = carried[""]
    np.testing.assert_allclose(library.deformations[0], a**2, atol=1e-5)
    np.testing.assert_allclose(library.deformations[1], (base + b) ** 2 - base**2, atol=1e-5)
    np.testing.assert_allclose(library.correctives[0], (a + c + lacking) ** 2 - a**2 - c**2, atol=1e-4)
    np.testing.assert_allclose(carried["eye"].deformations, -library.deformations, atol=1e-5)
    names = [[UNIT_NAMES[unit] for unit in np.flatnonzero(stage)] for stage in told[0]]
    first = list(UNIT_NAMES)
    assert names == [
        [first[0]],
        [first[1], first[9]],
        [first[2]],
        [first[9]],
        [first[0], first[2]],
    ]


@pytest.mark.parametrize(
    ("rest", "size", "told"),
    [
        ("still", 1.0, True),
        ("moving", 1.0, False),
        ("still", 0.2, False),
    ],
)
def test_a_second_head_that_stays_still_is_noticed(rest: str, size: float, told: bool) -> None:
    vertices = np.concatenate([HEAD.neutral_vertices, size * HEAD.neutral_vertices + 500]).astype(np.float32)
    skin = HEAD.skin_triangles
    rule = np.full(len(vertices), Rule.SKIN, np.int8)
    rule[COUNT:] = Rule.STILL if rest == "still" else Rule.FOLLOW
    binding = SimpleNamespace(rule=rule)
    mesh = Mesh(vertices, np.concatenate([skin, skin + COUNT]))
    assert has_second_head(cast(Binding, binding), mesh) is told
