"""Binding in a real worker, with the shipped checkpoint: one head full of faults, bound once for all jobs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.client import Client, worker_command
from bridge.protocol import (
    AnimateRequest,
    BindRequest,
    Cancelled,
    Done,
    Hello,
    LibraryRequest,
    Message,
    Progress,
)

from .conftest import Last, poll_until
from .test_jobs import failed, leave_head, messages_of, new_name

pytest.importorskip("torch")
fast_simplification = pytest.importorskip("fast_simplification")

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "models" / "checkpoints" / "animate-me"
pytestmark = pytest.mark.skipif(
    not (CHECKPOINT / "model_index.json").is_file(), reason="needs the shipped checkpoint"
)

TURN = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)  # model space -> +Z up, facing -Y
UNITS = 0.001  # metres
LOOSE = 50


@dataclass(frozen=True)
class Stranger:
    """A person in a topology of their own, in metres and +Z up: decimated, and nothing about it is clean.

    Half of the faces have vertices of their own (a seam), the crown has a hole, three faces stick out of
    edges that two others share, and loose vertices lie about, the last LOOSE of all.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    skin: NDArray[np.float32]  # (Vs, 3) the truth: the Dimple head in the person's shape
    eye: NDArray[np.float32]
    eye_triangles: NDArray[np.int32]


@pytest.fixture(scope="module")
def stranger() -> Stranger:
    from models.head import Head

    head = Head.load(CHECKPOINT / "head")
    coefficients = np.random.default_rng(4).normal(0, 0.8, len(head.identity_q)).astype(np.float32)
    person = head.neutral_vertices + np.tensordot(coefficients, head.identity_basis, 1)
    skin = person[: head.skin_vertices]
    vertices, triangles = fast_simplification.simplify(skin, head.skin_triangles, target_count=5000)
    count = len(vertices)
    triangles = np.where((vertices[triangles].mean(axis=1)[:, 0] > 0)[:, None], triangles + count, triangles)
    vertices = np.concatenate([vertices, vertices])
    middle = vertices[triangles].mean(axis=1)
    triangles = triangles[middle[:, 1] < np.quantile(vertices[:, 1], 0.97)]
    behind = triangles[vertices[triangles].mean(axis=1)[:, 2] < np.quantile(vertices[:, 2], 0.2)][:3]
    fins = np.stack([behind[:, 0], behind[:, 1], len(vertices) + np.arange(3)], axis=1)
    tips = vertices[behind].mean(axis=1) - [0, 0, 20]
    loose = np.random.default_rng(0).normal(0, 300, (LOOSE, 3))
    start, end = head.parts["eye_left"]
    eye_triangles = head.triangles[((head.triangles >= start) & (head.triangles < end)).all(axis=1)] - start

    def placed(points: NDArray[Any]) -> NDArray[np.float32]:
        return (UNITS * points @ TURN.T + [0, 0, 1.6]).astype(np.float32)

    return Stranger(
        placed(np.concatenate([vertices, tips, loose])),
        np.concatenate([triangles, fins]).astype(np.int32),
        placed(skin),
        placed(person[start:end]),
        eye_triangles,
    )


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    client = Client(
        worker_command(sys.executable, ROOT),
        hello=Hello(device="cpu", half="off"),
        environment={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    client.start()
    yield client
    client.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, stranger: Stranger) -> Path:
    folder = tmp_path_factory.mktemp("job")
    leave_head(folder, stranger.vertices, stranger.triangles)
    np.save(folder / "companion_0_vertices.npy", stranger.eye)
    np.save(folder / "companion_0_triangles.npy", stranger.eye_triangles)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache é") / "bindings"


@pytest.fixture(scope="module")
def binding(client: Client, folder: Path, cache: Path) -> tuple[list[Message], Done]:
    """The one real binding of this file."""
    request = BindRequest("bind", str(folder), "animate-me", companions=("Eye",), cache=str(cache))
    messages = messages_of(client, request)
    last = messages[-1]
    assert isinstance(last, Done), last
    return messages, last


def bind_steps(messages: list[Message]) -> set[int]:
    return {m.step for m in messages if isinstance(m, Progress) and m.phase == "bind"}


def test_a_head_full_of_faults_is_bound(binding: tuple[list[Message], Done], stranger: Stranger) -> None:
    messages, result = binding
    assert result.info["recognised"] is False
    assert result.info["score"] > 0.9
    assert result.info["warnings"] == []
    assert result.info["mm_per_unit"] == pytest.approx(1 / UNITS, rel=0.05)
    assert result.info["roles"] == {"Eye": "left eye"}
    arrays = {name: np.load(path) for name, path in result.paths.items()}
    count = len(stranger.vertices)
    assert arrays["triangle"].shape == arrays["confidence"].shape == arrays["rule"].shape == (count,)
    np.testing.assert_allclose(arrays["barycentric"].sum(axis=1), 1, atol=1e-5)
    off = np.linalg.norm(arrays["fitted_vertices"][: len(stranger.skin)] - stranger.skin, axis=1)
    assert np.median(off) < 1.0 * UNITS
    assert (arrays["confidence"][:-LOOSE] > 0.3).mean() > 0.35, "of the half of the vertices that faces have"
    assert arrays["fitted_faces"].max() < len(stranger.skin)
    nose = np.array(result.info["found_landmarks"]["noseTip"])
    assert np.linalg.norm(nose - stranger.skin[stranger.skin[:, 1].argmin()]) < 8 * UNITS
    assert len(bind_steps(messages)) >= 5
    phases = list(dict.fromkeys(m.phase for m in messages if isinstance(m, Progress)))
    assert phases == ["load", "bind", "write"]


def animation(folder: Path, cache: Path, expression: str, **changes: Any) -> AnimateRequest:
    request = AnimateRequest(
        new_name(), str(folder), "animate-me", (expression,), 1.0, "ease", 3, 24.0, seed=1, cache=str(cache)
    )
    return replace(request, **changes)


def test_an_animation_uses_the_cache_and_moves_the_artists_own_mesh(
    client: Client, binding: tuple[list[Message], Done], folder: Path, cache: Path, stranger: Stranger
) -> None:
    assert [file.suffix for file in cache.iterdir()] == [".npz"]
    messages = messages_of(client, animation(folder, cache, "jawOpen"))
    last = messages[-1]
    assert isinstance(last, Done), last
    assert bind_steps(messages) == {0}, "it was not bound again"
    moved = np.load(last.paths["deformations"])
    assert moved.shape == (3, len(stranger.vertices), 3)
    assert not moved[0].any()
    assert not moved[:, -LOOSE:].any(), "loose vertices stay where they are"
    chin = np.linalg.norm(stranger.vertices - last.info["found_landmarks"]["chin"], axis=1) < 10 * UNITS
    assert moved[-1, chin, 2].mean() < -8 * UNITS, "+Z is up"
    crown = stranger.vertices[:, 2] > np.quantile(stranger.skin[:, 2], 0.9)
    crown[-LOOSE:] = False
    assert np.abs(moved[:, crown]).max() < 2 * UNITS


def test_an_eye_of_its_own_turns(
    client: Client, binding: tuple[list[Message], Done], folder: Path, cache: Path, stranger: Stranger
) -> None:
    request = animation(folder, cache, "eyeLookUp", companions=("Eye",))
    last = messages_of(client, request)[-1]
    assert isinstance(last, Done), last
    moved = np.load(last.paths["companion_0_deformations"])[-1]
    front = stranger.eye[:, 1] < np.quantile(stranger.eye[:, 1], 0.1)
    assert moved[front, 2].min() > 2 * UNITS
    rest, turned = (np.linalg.norm(eye - eye[0], axis=1) for eye in (stranger.eye, stranger.eye + moved))
    np.testing.assert_allclose(turned, rest, atol=1e-6)


def test_a_library_of_any_head(
    client: Client, binding: tuple[list[Message], Done], folder: Path, cache: Path, stranger: Stranger
) -> None:
    only = ("jawOpen", "mouthClose", "mouthPucker", "eyeLookUpLeft")
    request = LibraryRequest(new_name(), str(folder), "animate-me", "arkit", only, samples=1)
    request = replace(request, companions=("Eye",), cache=str(cache))
    messages = messages_of(client, request)
    last = messages[-1]
    assert isinstance(last, Done), last
    assert bind_steps(messages) == {0}
    shapes = dict(zip(last.info["names"], np.load(last.paths["deformations"]), strict=True))
    assert set(shapes) == set(only)
    assert ["jawOpen", "mouthPucker"] in last.info["pairs"]
    assert np.load(last.paths["correctives"]).shape == (len(last.info["pairs"]), len(stranger.vertices), 3)
    lower_lip = np.linalg.norm(stranger.vertices - mouth(last.info), axis=1) < 14 * UNITS
    closing = (shapes["jawOpen"] + shapes["mouthClose"])[lower_lip, 2]
    assert closing.min() > 0.4 * shapes["jawOpen"][lower_lip, 2].min(), "it takes back what the jaw opens"
    eye = dict(zip(last.info["names"], np.load(last.paths["companion_0_deformations"]), strict=True))
    assert np.abs(eye["eyeLookUpLeft"]).max() > 2 * UNITS
    np.testing.assert_allclose(eye["jawOpen"], 0, atol=1e-9)


def mouth(info: dict[str, Any]) -> NDArray[np.float64]:
    places = info["found_landmarks"]
    return np.mean([places["mouthLeft"], places["mouthRight"]], axis=0)


def test_binding_can_be_cancelled(client: Client, folder: Path) -> None:
    client.send(BindRequest("long", str(folder), "animate-me"))
    poll_until(client, lambda m: isinstance(m, Progress) and m.phase == "bind" and m.step >= 1)
    client.cancel("long")
    asked = time.monotonic()
    messages = poll_until(client, lambda m: isinstance(m, Last) and m.job == "long")
    assert isinstance(messages[-1], Cancelled)
    assert time.monotonic() - asked < 60


@pytest.mark.parametrize(
    ("landmarks", "said"),
    [
        ({"nose": (0.0, 0.0, 0.0)}, "no landmark called nose"),
        ({"chin": (0.0, 0.0)}, "landmark chin has no place"),
    ],
)
def test_landmarks_that_cannot_be_used(
    client: Client, folder: Path, landmarks: dict[str, tuple[float, ...]], said: str
) -> None:
    failure = failed(client, BindRequest(new_name(), str(folder), "animate-me", landmarks))
    assert (failure.kind, said in failure.message) == ("input", True), failure.message


def test_a_cube_has_no_face(client: Client, tmp_path: Path) -> None:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [half for a, b, c, d in sides for half in ((a, b, c), (a, c, d))]
    leave_head(tmp_path, corners, np.array(triangles))
    failure = failed(client, BindRequest(new_name(), str(tmp_path), "animate-me"))
    assert (failure.kind, "too few to show a face" in failure.message) == ("input", True), failure.message


def test_the_dimple_head_needs_no_binding_but_gets_one_when_asked(client: Client, tmp_path: Path) -> None:
    from models.head import Head

    head = Head.load(CHECKPOINT / "head")
    leave_head(tmp_path, head.neutral_vertices @ TURN.T, head.triangles)
    messages = messages_of(client, BindRequest(new_name(), str(tmp_path), "animate-me"))
    last = messages[-1]
    assert isinstance(last, Done), last
    assert (last.info["recognised"], last.info["score"]) == (True, 1.0)
    assert bind_steps(messages) == {0}
    fitted = np.load(last.paths["fitted_vertices"])
    np.testing.assert_allclose(fitted, head.neutral_vertices @ TURN.T, atol=1e-3)
    triangle, barycentric = np.load(last.paths["triangle"]), np.load(last.paths["barycentric"])
    skin = slice(head.skin_vertices)
    places = np.einsum("vk,vkd->vd", barycentric[skin], fitted[head.skin_triangles[triangle[skin]]])
    np.testing.assert_allclose(places, fitted[skin], atol=1e-5)
