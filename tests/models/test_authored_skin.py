"""Authored skin through the same call as generated skin, and any head's skin on the Dimple head's UVs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.bound_head import BoundHead, bind_head
from models.errors import InputError
from models.expression import UNIT_NAMES, expression_signal
from models.head import Head
from models.registration.artist_head import ArtistHead, Mesh
from models.skin.authored_skin import AuthoredSkin, Painting
from models.skin.brdf_maps import BrdfMaps
from models.skin.head import SkinHead

FOLDER = Path(__file__).parents[2] / "models/checkpoints/animate-me/head"
SIZE = 128
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load(FOLDER)


@pytest.fixture(scope="module")
def painted(head: Head) -> AuthoredSkin:
    return AuthoredSkin(Painting.of(head, head.neutral_vertices / 1000, SIZE, 4))  # a head in metres


def test_the_skin_at_rest_is_the_painting(painted: AuthoredSkin, head: Head) -> None:
    signal = np.stack([np.zeros(len(UNIT_NAMES)), expression_signal(["disgust"], 1.0, "hold", 2)[0]])
    rest = painted.painting.images
    result = painted.generate(painted.painting.known, head.neutral_vertices / 1000, signal.astype(np.float32))
    np.testing.assert_allclose(result.albedo[0], rest["albedo"], atol=1e-3)
    np.testing.assert_allclose(0.5 * result.normal[0] + 0.5, rest["normal"], atol=1e-3)
    assert np.abs(result.albedo[1] - result.albedo[0]).max() > 0.05
    assert np.abs(result.normal[1] - result.normal[0]).max() > 0.08
    moved = 1000 * np.abs(result.vertices[1] - head.neutral_vertices[: head.skin_vertices] / 1000)
    assert 3.0 < moved.max() < 40.0, "in the head's own units"


def test_a_texture_keeps_its_colours_and_gets_the_paintings_change(painted: AuthoredSkin, head: Head) -> None:
    texture = np.full((SIZE, SIZE, 3), (0.3, 0.5, 0.7), np.float32)  # nobody's skin
    motion = head.expression_basis[[UNIT_NAMES.index("noseSneerLeft")]] / 1000
    signal = np.zeros((2, len(UNIT_NAMES)), np.float32)
    both = np.concatenate([0 * motion, motion])
    result = painted.generate(BrdfMaps(texture), head.neutral_vertices / 1000, signal, deformation=both)
    np.testing.assert_allclose(result.albedo[0], texture, atol=1e-3)
    changed = np.abs(result.albedo[1] - texture).max(axis=2)
    left = painted.painting.painter.atlas.layout.rasterise(head.neutral_vertices[: head.skin_vertices])[
        ..., 0
    ]
    assert changed[left > 5].max() > 0.02
    assert changed[left < -15].max() < 0.5 * changed[left > 5].max()


def test_it_follows_no_descriptions(painted: AuthoredSkin, head: Head) -> None:
    with pytest.raises(InputError, match="name an expression"):
        painted.generate(painted.painting.known, head.neutral_vertices, None)


# ------------------------------------------------------------------------------------------ other heads


def skin_head(head: Head, mesh: Mesh) -> SkinHead:
    return SkinHead(head, bind_head(head, ArtistHead(mesh)), mesh)


def test_a_renumbered_head_has_the_models_uvs_and_motion(head: Head) -> None:
    order = np.random.default_rng(0).permutation(len(head.neutral_vertices)).astype(np.int32)
    place = np.argsort(order).astype(np.int32)
    mesh = Mesh(head.neutral_vertices[order], place[head.triangles])
    own = SkinHead(head, BoundHead(head.neutral_vertices, len(order), 1.0, None, place), mesh)
    known, corners = own._model_corners(mesh.triangles)
    straight = skin_head(head, Mesh(head.neutral_vertices, head.triangles))
    known_too, corners_too = straight._model_corners(head.triangles)
    assert known.sum() == len(head.skin_triangles)
    np.testing.assert_array_equal(known, known_too)
    np.testing.assert_allclose(corners[known], corners_too[known], atol=1e-6)
    motion = head.expression_basis[UNIT_NAMES.index("jawOpen")]
    np.testing.assert_allclose(own.motions(motion[order])[0], motion, atol=1e-5)
    np.testing.assert_allclose(own.side[place], straight.side, atol=1e-5)


class FakeBinding:
    """A binding of the head's own skin, each vertex at its own place, in centimetres and turned."""

    def __init__(self, head: Head) -> None:
        from models.registration.pose import Pose
        from models.registration.transfer import Rule

        triangles = head.skin_triangles
        self.triangle = np.zeros(head.skin_vertices, np.int32)
        self.barycentric = np.zeros((head.skin_vertices, 3), np.float32)
        for corner in range(3):
            self.triangle[triangles[:, corner]] = np.arange(len(triangles))
        for vertex in range(head.skin_vertices):
            self.barycentric[vertex, np.flatnonzero(triangles[self.triangle[vertex]] == vertex)[0]] = 1.0
        self.rule = np.full(head.skin_vertices, Rule.SKIN)
        self.confidence = np.ones(head.skin_vertices, np.float32)
        turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        self.pose = Pose(0.1, turn, np.array([1.0, 2.0, 3.0]))


def test_a_bound_heads_motion_is_read_on_the_dimple_head(head: Head) -> None:
    binding = FakeBinding(head)
    skin = head.neutral_vertices[: head.skin_vertices]
    own = binding.pose.from_model(skin.astype(np.float64)).astype(np.float32)
    bound = BoundHead(head.neutral_vertices, len(own), 10.0, binding, None)  # type: ignore[arg-type]
    made = SkinHead(head, bound, Mesh(own, head.skin_triangles))
    motion = head.expression_basis[UNIT_NAMES.index("jawOpen"), : head.skin_vertices]
    in_own = (0.1 * motion @ binding.pose.rotation.T).astype(np.float32)
    found = made.motions(in_own)[0, : head.skin_vertices]
    assert np.linalg.norm(found - motion, axis=1).mean() < 0.1
    np.testing.assert_allclose(made.positions(skin), own, atol=1e-3)
    known, corners = made._model_corners(head.skin_triangles)
    assert known.mean() > 0.9, "only triangles at the seams are left out"
    straight, expected = skin_head(head, Mesh(head.neutral_vertices, head.triangles))._model_corners(
        head.skin_triangles
    )
    error = np.abs(corners - expected).max(axis=(1, 2))
    assert np.median(error[known & straight]) < 1e-6
    aside = np.abs(skin[:, 0]) > 10
    np.testing.assert_array_equal(made.side[aside] > 0.5, skin[aside, 0] > 0)
