"""Objects that follow: eyes and teeth of the Dimple head taken off it must move as they did on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import parts
from models.bound_head import BoundHead, bind_head
from models.errors import InputError
from models.head import Head
from models.library import tongue_out
from models.registration.artist_head import ArtistHead, Mesh

HEAD = Path(__file__).resolve().parents[2] / "models" / "checkpoints" / "animate-me" / "head"
TURN = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
UNITS = 0.001


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load(HEAD)


def taken_off(head: Head, start: int, end: int) -> Mesh:
    """A part of the head as an object of its own, in metres and +Z up."""
    own = ((head.triangles >= start) & (head.triangles < end)).all(axis=1)
    return Mesh(
        UNITS * head.neutral_vertices[start:end] @ TURN.T, (head.triangles[own] - start).astype(np.int32)
    )


@pytest.fixture(scope="module")
def artist(head: Head) -> ArtistHead:
    companions = {name: taken_off(head, *span) for name, span in head.parts.items()}
    return ArtistHead(taken_off(head, 0, head.skin_vertices), companions=companions)


@pytest.fixture(scope="module")
def bound(head: Head, artist: ArtistHead) -> BoundHead:
    return bind_head(head, artist)


def test_what_they_are_is_found_out(bound: BoundHead):
    assert bound.facts["recognised"] is True
    assert bound.facts["roles"] == {
        "eye_left": "left eye",
        "eye_right": "right eye",
        "teeth_upper": "stays still",
        "teeth_lower": "goes with the jaw",
        "tongue": "tongue",
    }


def test_they_move_as_on_the_head(head: Head, bound: BoundHead):
    names = list(head.config["unit_names"])
    signal = np.zeros((20, len(names)), np.float32)
    signal[1, names.index("jawOpen")] = 1
    signal[2, [names.index("eyeLookUpLeft"), names.index("eyeLookInLeft")]] = 1
    signal[3:, names.index("jawLeft")] = np.linspace(0, 1, 17)
    skin = np.tensordot(signal, head.expression_basis[:, : head.skin_vertices], 1)
    whole = parts.follow(head, head.neutral_vertices, skin, signal)
    carried = bound.carry((UNITS * skin @ TURN.T).astype(np.float32), signal)
    np.testing.assert_allclose(carried[""], UNITS * skin @ TURN.T, atol=1e-7)
    for name, (start, end) in head.parts.items():
        expected = UNITS * whole[:, start:end] @ TURN.T
        np.testing.assert_allclose(carried[name], expected, atol=0.5 * UNITS, err_msg=name)
        assert not carried[name][0].any()
    assert np.abs(carried["eye_left"][2]).max() > 3 * UNITS
    assert np.abs(carried["teeth_lower"][1]).max() > 5 * UNITS


def test_the_tongue_comes_out_with_its_root_held_by_the_jaw(head: Head, bound: BoundHead):
    signal = np.zeros((3, len(head.expression_q)), np.float32)
    signal[1:, list(head.config["unit_names"]).index("jawOpen")] = [1, 0]
    skin = np.tensordot(signal, head.expression_basis[:, : head.skin_vertices], 1)
    whole = parts.follow(head, head.neutral_vertices, skin, signal)
    binding = bound.binding
    assert binding is not None
    out = tongue_out(head, head.neutral_vertices)
    moved = {
        put_out: binding.transfer_all(whole + put_out * out, signal, keep_contact=False) for put_out in (0, 1)
    }
    own = UNITS * out[slice(*head.parts["tongue"])] @ TURN.T
    assert np.abs(own).max() > 10 * UNITS
    for frame in range(3):  # at rest and with the jaw open
        difference = moved[1]["tongue"][frame] - moved[0]["tongue"][frame]
        np.testing.assert_allclose(difference, own, atol=0.5 * UNITS)
        np.testing.assert_allclose(moved[1]["teeth_lower"][frame], moved[0]["teeth_lower"][frame], atol=1e-7)
    assert not moved[0]["tongue"][0].any()


def test_one_tooth_alone_is_told_by_the_row_on_the_head(head: Head, artist: ArtistHead):
    """A whole head with all its teeth, and pieces of a second upper row as objects."""
    start, end = head.parts["teeth_upper"]
    row = taken_off(head, start, end)
    whole = Mesh(UNITS * head.neutral_vertices @ TURN.T, head.triangles)
    thirds = np.array_split(np.argsort(row.vertices[:, 0]), 3)
    pieces: dict[str, Mesh] = {}
    for index, chosen in enumerate(thirds):
        number = np.full(len(row.vertices), -1, np.int32)
        number[chosen] = np.arange(len(chosen))
        faces = number[row.triangles]
        pieces[f"tooth {index}"] = Mesh(row.vertices[chosen], faces[(faces >= 0).all(axis=1)])
    roles = bind_head(head, ArtistHead(whole, companions=pieces)).facts["roles"]
    assert set(roles.values()) == {"stays still"}


@pytest.mark.parametrize(
    ("part", "role"),
    [
        ("jaw", "goes with the jaw"),
        ("tongue", "tongue"),
        ("still", "stays still"),
        ("skin", "follows the skin"),
        ("eye", "left eye"),
    ],
)
def test_what_the_artist_says_counts(head: Head, artist: ArtistHead, part: str, role: str):
    told = replace(artist, companions={"eye_left": artist.companions["eye_left"]}, parts={"eye_left": part})
    bound = bind_head(head, told)
    assert bound.facts["roles"] == {"eye_left": role}
    signal = np.zeros((1, len(head.expression_q)), np.float32)
    signal[0, list(head.config["unit_names"]).index("eyeSquintLeft")] = 1
    skin = np.tensordot(signal, head.expression_basis[:, : head.skin_vertices], 1)
    moved = bound.carry((UNITS * skin @ TURN.T).astype(np.float32), signal)["eye_left"]
    assert (np.abs(moved).max() > 0.3 * UNITS) == (part == "skin")


def test_parts_of_no_face_are_refused(head: Head, artist: ArtistHead):
    with pytest.raises(InputError, match="is called “ear”: it is eye, jaw, tongue, skin, still"):
        bind_head(head, replace(artist, parts={"eye_left": "ear"}))
