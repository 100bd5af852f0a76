"""Binding of an artist's mannequin and of a person in another topology, against known truth."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from models.binding import Binding, bind
from models.errors import InputError
from models.head import Head
from models.registration import search as binding_search
from models.registration.contact import ContactKeeper
from models.registration.location import locate
from models.registration.surface import read_surface
from models.registration.template import template_of
from models.registration.transfer import Rule

ROOT = Path(__file__).resolve().parents[2]
HEAD = ROOT / "models" / "checkpoints" / "animate-me" / "head"
SHARED = Path(os.environ.get("DIMPLE_SHARED", ROOT.parent / "shared")) / "data"
MANNEQUIN = SHARED / "facecap-mannequin-head" / "head.npz"

pytestmark = pytest.mark.skipif(not MANNEQUIN.is_file(), reason="needs the shared mannequin head")


@dataclass(frozen=True)
class Mannequin:
    """The artist's head with eyes and teeth, bound once for all tests."""

    vertices: np.ndarray
    faces: np.ndarray
    names: list[str]
    deltas: np.ndarray
    binding: Binding
    heard: list[tuple[int, int]]  # what binding it told of its progress

    @property
    def skin(self) -> int:
        return self.deltas.shape[1]

    def shape(self, *units: str) -> np.ndarray:
        """(V, 3) our transfer of units at weight 1."""
        head = self.binding.head
        signal = np.isin(head.config["unit_names"], units).astype(np.float32)[None]
        deformation = np.tensordot(signal, head.expression_basis, 1)
        return self.binding.transfer(deformation, signal, keep_contact=False)[0]


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load(HEAD)


@pytest.fixture(scope="module")
def mannequin(head: Head) -> Mannequin:
    data = np.load(MANNEQUIN)
    inner = np.where(data["inner_faces"] >= 0, data["inner_faces"] + len(data["neutral"]), -1)
    vertices = np.concatenate([data["neutral"], data["inner_vertices"]])
    faces = np.concatenate([data["faces"], inner]).astype(np.int32)
    names = [str(name) for name in data["names"]]
    heard: list[tuple[int, int]] = []
    bound = bind(head, vertices, faces, on_step=lambda *step: heard.append(step))
    return Mannequin(vertices, faces, names, data["deltas"], bound, heard)


def test_pose_is_found_in_any_units_and_axes(head: Head, mannequin: Mannequin):
    turn = Rotation.from_euler("xyz", [90, 35, 170], degrees=True).as_matrix()
    moved = (0.003 * mannequin.vertices @ turn.T + [5, -2, 1]).astype(np.float32)
    found = locate(template_of(head), read_surface(moved, mannequin.faces), {}, 0, lambda: None)
    upright = mannequin.binding.pose
    angle = np.degrees(Rotation.from_matrix((turn @ upright.rotation).T @ found.pose.rotation).magnitude())
    assert angle < 2
    assert found.pose.scale / (0.003 * upright.scale) == pytest.approx(1, abs=0.03)
    assert found.certainty > 0.8


def test_progress_is_told_to_its_end(mannequin: Mannequin):
    done = [step for step, _ in mannequin.heard]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, mannequin.heard[0][1])
    assert len(done) > 20


def test_what_the_listener_raises_ends_binding(head: Head, mannequin: Mannequin):
    heard = []

    def stop(step: int, steps: int) -> None:
        heard.append(step)
        if step >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bind(head, mannequin.vertices, mannequin.faces, on_step=stop)
    assert heard == [0, 1, 2]


def test_a_shape_that_closes_an_open_mouth_keeps_its_form(mannequin: Mannequin):
    head = mannequin.binding.head
    signal = np.isin(head.config["unit_names"], "mouthClose").astype(np.float32)[None]
    ours = mannequin.binding.transfer(np.tensordot(signal, head.expression_basis, 1), signal)[0]
    theirs = mannequin.deltas[mannequin.names.index("mouthClose")]
    size = np.linalg.norm(theirs, axis=1)
    a, b = (field[: mannequin.skin][size > 0.05 * size.max()].ravel() for field in (ours, theirs))
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.75


def test_no_deformation_moves_nothing_at_all(head: Head, mannequin: Mannequin):
    still = np.zeros((2, head.skin_vertices, 3), np.float32)
    moved = mannequin.binding.transfer(still, np.zeros((2, len(head.expression_q)), np.float32))
    assert not moved.any()


@pytest.mark.parametrize(
    ("arkit", "cosine"),
    [("jawOpen", 0.93), ("mouthSmileLeft", 0.93), ("browDownLeft", 0.9), ("mouthPucker", 0.92)],
)
def test_shapes_are_like_the_artists(mannequin: Mannequin, arkit: str, cosine: float):
    theirs = mannequin.deltas[mannequin.names.index(arkit)]
    ours = mannequin.shape(arkit)[: mannequin.skin]
    size = np.linalg.norm(theirs, axis=1)
    a, b = (field[size > 0.05 * size.max()].ravel() for field in (ours, theirs))
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > cosine


def test_left_is_the_characters_left(mannequin: Mannequin):
    smile = np.linalg.norm(mannequin.shape("mouthSmileLeft"), axis=1)
    assert mannequin.vertices[smile > 0.5 * smile.max(), 0].min() > 0


def test_eyes_turn_rigidly_about_their_middle(mannequin: Mannequin):
    rule = mannequin.binding.rule
    eye = rule == Rule.EYE_LEFT
    assert eye.sum() == 482
    assert (rule == Rule.EYE_RIGHT).sum() == 482
    rest = mannequin.vertices[eye]
    moved = rest + mannequin.shape("eyeLookUpLeft")[eye]
    np.testing.assert_allclose(
        np.linalg.norm(moved - moved[0], axis=1), np.linalg.norm(rest - rest[0], axis=1), atol=1e-3
    )
    front = rest[:, 2] > np.quantile(rest[:, 2], 0.9)
    assert (moved - rest)[front, 1].min() > 0.2  # cm upwards
    np.testing.assert_allclose(mannequin.shape("eyeLookUpRight")[eye], 0, atol=1e-6)


def test_lower_teeth_go_with_the_jaw_and_upper_ones_stay(mannequin: Mannequin):
    opened = mannequin.shape("jawOpen")
    rows = mannequin.vertices[:, 1], mannequin.binding.rule
    upper = np.arange(len(opened)) >= mannequin.skin
    upper &= ~np.isin(mannequin.binding.rule, (Rule.EYE_LEFT, Rule.EYE_RIGHT))
    assert not opened[upper].any()
    lower = rows[1] == Rule.JAW
    assert lower.sum() > 400
    assert opened[lower, 1].max() < -0.3
    rest, moved = mannequin.vertices[lower], mannequin.vertices[lower] + opened[lower]
    np.testing.assert_allclose(
        np.linalg.norm(moved - moved[0], axis=1), np.linalg.norm(rest - rest[0], axis=1), atol=1e-3
    )


def test_a_separate_eyeball_is_a_companion(mannequin: Mannequin):
    eye = np.flatnonzero(mannequin.binding.rule == Rule.EYE_LEFT)
    number = np.full(len(mannequin.vertices), -1)
    number[eye] = np.arange(len(eye))
    own = mannequin.faces[np.isin(mannequin.faces[:, 0], eye)]
    faces = np.where(own >= 0, number[own], -1).astype(np.int32)
    bound = mannequin.binding.with_companion("eye", mannequin.vertices[eye], faces)
    head = bound.head
    signal = np.isin(head.config["unit_names"], "eyeLookInLeft").astype(np.float32)[None]
    moved = bound.transfer_all(np.tensordot(signal, head.expression_basis, 1), signal)
    np.testing.assert_allclose(moved["eye"], moved[""][:, eye], atol=2e-3)


def test_saved_and_loaded_it_does_the_same(mannequin: Mannequin, tmp_path: Path):
    bound = mannequin.binding
    bound.save(tmp_path / "binding.npz")
    again = Binding.load(tmp_path / "binding.npz", bound.head)
    signal = np.eye(len(bound.head.expression_q), dtype=np.float32)[[14, 30]]
    shapes = bound.head.expression_basis[[14, 30]]
    np.testing.assert_array_equal(again.transfer(shapes, signal), bound.transfer(shapes, signal))
    assert (again.score, again.sentence) == (bound.score, bound.sentence)
    (tmp_path / "binding.npz").write_bytes(b"no binding")
    with pytest.raises(InputError, match="bind the head again"):
        Binding.load(tmp_path / "binding.npz", bound.head)


def test_a_person_in_another_topology_moves_as_in_truth(head: Head):
    from models.corpus.ict import ICT
    from models.evaluation.binding_meshes import layouts, person

    ict = ICT.load(SHARED / "ict-facekit")
    layout = layouts(ict)[1]
    vertices = (layout.carry @ person(ict, 3_000_001)).astype(np.float32)
    bound = bind(head, vertices, layout.triangles)
    names = ["jawOpen", "mouthSmileLeft", "eyeBlinkLeft", "mouthFunnel"]
    units = [list(head.config["unit_names"]).index(name) for name in names]
    ours = bound.transfer(
        head.expression_basis[units], np.eye(57, dtype=np.float32)[units], keep_contact=False
    )
    for unit, shape in zip(units, ours, strict=True):
        true = layout.carry @ ict.expressions[unit]
        moving = np.linalg.norm(true, axis=1) > 0.05 * np.linalg.norm(true, axis=1).max()
        error = np.sqrt(np.square(shape - true)[moving].sum(axis=1).mean())
        signal = np.sqrt(np.square(true)[moving].sum(axis=1).mean())
        assert error < 0.12 * signal


def test_crossed_lips_are_parted(head: Head, mannequin: Mannequin):
    unit = list(head.config["unit_names"]).index("mouthClose")
    skin = head.expression_basis[unit : unit + 1, : head.skin_vertices].copy()
    keeper = mannequin.binding._motion.contact
    before = keeper.depth(skin).min()
    keeper.part(skin)
    assert before < -3
    assert (keeper.depth(skin) < -0.3).sum() <= 4  # of 65 pairs; a vertex that faces several cannot suit all
    assert len(keeper.worn) > 40  # facing vertices of the mannequin's own


def test_lips_of_the_artists_mesh_are_parted_where_those_of_the_fitted_head_do_not_cross(
    head: Head, mannequin: Mannequin
):
    unit = list(head.config["unit_names"]).index("mouthRollLower")
    skin = head.expression_basis[unit : unit + 1, : head.skin_vertices].copy()
    fitted = mannequin.binding.neutral_vertices[: head.skin_vertices].astype(np.float64)
    keeper, blind = mannequin.binding._motion.contact, ContactKeeper(head, fitted)
    blind.part(skin)
    assert keeper.depth(skin)[0, keeper.worn].min() < -1
    keeper.part(skin)
    assert keeper.depth(skin)[0, keeper.worn].min() > -0.5


@pytest.fixture
def short_search(monkeypatch: pytest.MonkeyPatch):
    """What fails to be found fails sooner; the whole search does not find it either."""
    monkeypatch.setattr(binding_search, "PLANES", 1)
    monkeypatch.setattr(binding_search, "RANDOM_TURNS", 0)


@pytest.mark.usefixtures("short_search")
def test_an_egg_is_refused(head: Head):
    from models.evaluation.binding_meshes import nonsense

    kind, vertices, triangles = nonsense(1)
    assert kind == "egg"
    with pytest.raises(InputError, match="No face was found"):
        bind(head, vertices, triangles)


def test_bad_meshes_are_refused_in_words(head: Head, mannequin: Mannequin):
    broken = mannequin.vertices.copy()
    broken[7] = np.nan
    with pytest.raises(InputError, match="no finite place"):
        bind(head, broken, mannequin.faces)
    with pytest.raises(InputError, match="too few"):
        bind(head, mannequin.vertices, mannequin.faces[:5])
    with pytest.raises(InputError, match="no landmark called nose"):
        bind(head, mannequin.vertices, mannequin.faces, landmarks={"nose": np.zeros(3)})
