"""Libraries of shapes on a tiny head: names, halves, mirror images, correctives, a mouth that closes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.alignment import similarity_to
from models.animate_me import AnimateMe, Sampler
from models.denoiser import DenoiserConfig, SpiralDenoiser
from models.errors import InputError
from models.expression import ARKIT_UNITS, UNIT_INDEX
from models.head import Head
from models.library import (
    SMALLEST_CORRECTIVE,
    Library,
    base_stage,
    is_symmetric,
    make_library,
    reflected,
    tongue_out,
)
from models.library_contact import closed, with_contact
from models.library_cuts import Cuts
from models.library_file import shape_set
from models.library_sets import SHAPES, Shape, ShapeSet, chosen, corrected_pairs, half_of
from models.presets import FACS, VISEMES
from models.topology import mesh_hierarchy
from models.units import UNITS

from .tiny import tiny_head


@pytest.fixture(scope="module")
def head() -> Head:
    """The tiny head with a mouth: facing vertices above and below the front, and a jaw that parts them."""
    plain = tiny_head()
    vertices = plain.neutral_vertices
    front = vertices[:, 2] > 60
    upper = np.flatnonzero(front & (vertices[:, 1] > 1) & (vertices[:, 1] < 16) & (abs(vertices[:, 0]) < 25))
    lower = np.array([np.linalg.norm(vertices - vertices[u] * [1, -1, 1], axis=1).argmin() for u in upper])
    shapes = plain.expression_basis.copy()
    below = np.clip(-vertices[:, 1] / 40, 0, 1)[:, None]
    shapes[UNIT_INDEX["jawOpen"]] = below * [0, -25, 0]
    shapes[UNIT_INDEX["mouthClose"]] = below * [0, 20, 0]
    return replace(
        plain,
        lip_pairs=np.stack([upper, lower], axis=1).astype(np.int32),
        expression_q=np.round(shapes * 1000).astype(np.int16),
    )


@pytest.fixture(scope="module")
def model(head: Head) -> AnimateMe:
    """An untrained denoiser, so that its samples differ, on the head's own linear expressions."""
    torch.manual_seed(0)
    config = DenoiserConfig(
        identity_coefficients=len(head.identity_q),
        channels=(4, 8),
        identity_channels=(4, 8),
        context=16,
        modal_rank=57,
        modal_width=16,
    )
    denoiser = SpiralDenoiser(config, mesh_hierarchy(head.triangles, head.neutral_vertices, levels=2))
    shapes = head.expression_basis.reshape(57, -1)
    basis = np.linalg.qr(shapes.T)[0].T.astype(np.float32)
    denoiser.target.basis.copy_(torch.from_numpy(basis))
    denoiser.target.coefficients[:57].copy_(torch.from_numpy((shapes @ basis.T).astype(np.float32)))
    denoiser.target.unit_motion.fill_(2.0)
    # a residual that grows with the root of the squared weights: two shapes together are not their sum
    torch.nn.init.normal_(denoiser.modal.leave.bias, std=3.0)
    return AnimateMe(denoiser, head)


@pytest.fixture(scope="module")
def arkit(model: AnimateMe, head: Head) -> Library:
    return library(model, head.neutral_vertices, shape_set("arkit"), samples=2)


def library(
    model: AnimateMe, neutral: Any, shapes: ShapeSet, only: tuple[str, ...] = (), **options: Any
) -> Library:
    return make_library(model, neutral, shapes, chosen(shapes.shapes, only), **options)


def shapes_of(made: Library) -> dict[str, np.ndarray]:
    return dict(zip(made.names, made.deformations, strict=True))


def one_set(**mixtures: dict[str, float]) -> ShapeSet:
    shapes = tuple(Shape(name, mixture) for name, mixture in mixtures.items())
    return ShapeSet(shapes, corrected_pairs(shapes))


# ------------------------------------------------------------------------------------------------- the sets


def test_arkit_has_its_52_names_in_order():
    names = [shape.name for shape in SHAPES["arkit"]]
    assert names == [*ARKIT_UNITS, "tongueOut"]
    assert len(names) == 52


def test_names_of_the_other_conventions():
    assert [shape.name for shape in SHAPES["ict"]] == [unit.ict for unit in UNITS]
    assert [shape.name for shape in SHAPES["facs56"]] == list(FACS)
    assert [shape.name for shape in SHAPES["visemes"]] == [f"viseme_{name}" for name in VISEMES]
    metahuman = {shape.name.removeprefix("CTRL_expressions_") for shape in SHAPES["metahuman"]}
    assert {"browRaiseInL", "mouthFunnelUR", "jawFwd", "eyeLookLeftR", "mouthCornerPullL"} <= metahuman
    creator = {shape.name for shape in SHAPES["cc"]}
    assert {"Brow_Raise_Inner_L", "Mouth_Pucker_Down_R", "Jaw_Open", "Eye_R_Look_L", "Tongue_Out"} <= creator


@pytest.mark.parametrize("name", SHAPES)
def test_every_set_has_unique_names_of_known_units(name: str):
    names = [shape.name for shape in SHAPES[name]]
    assert len(set(names)) == len(names)
    assert all(len(shape_name.encode()) <= 63 for shape_name in names)
    assert all(np.isfinite(shape.stage).all() for shape in SHAPES[name])


@pytest.mark.parametrize("name", ["metahuman", "cc", "ict"])
def test_a_convention_names_every_unit_that_arkit_has(name: str):
    units = {unit for shape in SHAPES[name] for unit in shape.mixture}
    assert {unit for units_ in ARKIT_UNITS.values() for unit in units_} <= units


@pytest.mark.parametrize("name", ["metahuman", "cc"])
def test_an_eye_looks_where_the_name_says(name: str):
    looks = {shape.name: set(shape.mixture) for shape in SHAPES[name]}
    left_eye_left = "CTRL_expressions_eyeLookLeftL" if name == "metahuman" else "Eye_L_Look_L"
    right_eye_left = "CTRL_expressions_eyeLookLeftR" if name == "metahuman" else "Eye_R_Look_L"
    assert looks[left_eye_left] == {"eyeLookOutLeft"}
    assert looks[right_eye_left] == {"eyeLookInRight"}


def test_halves_are_mirror_images_of_one_side_each():
    halves = half_of(SHAPES["arkit"])
    assert halves["mouthSmileLeft"] == "mouthSmileRight"
    assert not {"jawLeft", "mouthLeft", "browInnerUp", "jawOpen"} & halves.keys()
    assert half_of(SHAPES["facs56"])["L12"] == "R12"
    assert half_of(SHAPES["facs56"])["L61"] == "R62", "both eyes look outwards"


def test_correctives_are_asked_for_the_pairs_that_matter():
    pairs = {frozenset(pair) for pair in corrected_pairs(SHAPES["arkit"])}
    assert frozenset(("jawOpen", "mouthFunnel")) in pairs
    assert frozenset(("browInnerUp", "browDownLeft")) in pairs
    assert frozenset(("eyeBlinkLeft", "eyeSquintLeft")) in pairs
    assert frozenset(("eyeBlinkLeft", "eyeSquintRight")) not in pairs
    assert not any("mouthClose" in pair for pair in pairs)
    assert corrected_pairs(SHAPES["visemes"]) == ()


def test_patterns_choose_shapes():
    shapes = SHAPES["arkit"]
    assert chosen(shapes, ()) == {shape.name for shape in shapes}
    assert chosen(shapes, ("jawOpen", "eyeBlink*")) == {"jawOpen", "eyeBlinkLeft", "eyeBlinkRight"}
    with pytest.raises(InputError, match="No shape of this set is called “mouthSmlie”"):
        chosen(shapes, ("jawOpen", "mouthSmlie"))


# ------------------------------------------------------------------------------------------------ the shapes


def test_one_deformation_a_name_at_its_apex(arkit: Library, head: Head):
    assert arkit.names == tuple(shape.name for shape in SHAPES["arkit"])
    assert arkit.deformations.shape == (52, len(head.neutral_vertices), 3)
    assert np.isfinite(arkit.deformations).all()
    largest = dict(zip(arkit.names, np.abs(arkit.deformations).max(axis=(1, 2)), strict=True))
    assert largest.pop("tongueOut") == 0, "the tiny head has no tongue"
    assert min(largest.values()) > 0.5


def test_halves_add_up_to_the_whole(model: AnimateMe, head: Head):
    person = (
        head.neutral_vertices + 2 * head.identity_basis[0] + 0.5 * np.sin(head.neutral_vertices[:, [1]] / 9)
    )
    made = shapes_of(
        library(
            model,
            person.astype(np.float32),
            one_set(left={"mouthSmileLeft": 1}, right={"mouthSmileRight": 1}, both={"mouthSmile": 1}),
            samples=1,
        )
    )
    assert not is_symmetric(head, person)
    assert np.abs(made["left"] + made["right"] - made["both"]).max() < 1e-4
    assert np.abs(made["both"]).max() > 0.5


def test_the_pieces_of_the_lips_add_up_too(model: AnimateMe, head: Head):
    made = shapes_of(library(model, head.neutral_vertices, shape_set("metahuman"), ("*Funnel*",), samples=1))
    whole = shapes_of(library(model, head.neutral_vertices, shape_set("arkit"), ("mouthFunnel",), samples=1))
    assert len(made) == 4
    assert np.abs(sum(made.values()) - whole["mouthFunnel"]).max() < 1e-4
    lower = head.lip_pairs[:, 1]
    assert (
        np.abs(made["CTRL_expressions_mouthFunnelUL"][lower]).max()
        < 0.01 * np.abs(whole["mouthFunnel"]).max()
    )
    assert np.abs(made["CTRL_expressions_mouthFunnelUR"][head.neutral_vertices[:, 0] > 12.1]).max() == 0


def test_a_symmetric_head_gets_mirror_images(arkit: Library, head: Head):
    made = shapes_of(arkit)
    assert is_symmetric(head, head.neutral_vertices)
    for left in (name for name in made if name.endswith("Left")):
        right = made[left.removesuffix("Left") + "Right"]
        assert np.abs(right - reflected(head, made[left])).max() < 1e-4, left
    for name in ("jawOpen", "mouthClose", "mouthPucker", "browInnerUp"):
        assert np.abs(made[name] - reflected(head, made[name])).max() < 1e-4, name


def test_the_mouth_closes_over_an_open_jaw(arkit: Library, head: Head):
    made = shapes_of(arkit)
    upper, lower = head.lip_pairs.T

    def apart(deformation: np.ndarray) -> np.ndarray:
        moved = head.neutral_vertices + deformation
        return moved[lower] - moved[upper]

    rest = apart(np.zeros_like(made["jawOpen"]))
    assert np.abs(apart(made["jawOpen"]) - rest).max() > 3
    assert np.abs(apart(made["jawOpen"] + made["mouthClose"]) - rest).max() < 0.05
    half = 0.5 * (made["jawOpen"] + made["mouthClose"])
    assert np.abs(apart(half) - rest).max() < 0.05


def lips_closed(head: Head, deformation: np.ndarray, reach: float = 8.0) -> np.ndarray:
    upper, lower = head.lip_pairs.T
    rest = head.neutral_vertices[lower] - head.neutral_vertices[upper]
    return closed(head, head.neutral_vertices, deformation[None], head.lip_pairs, rest, 0.75, reach)[0]


def test_closing_lips_changes_nothing_where_they_meet_already(head: Head):
    assert np.abs(lips_closed(head, np.zeros_like(head.neutral_vertices))).max() < 1e-6


def test_closing_lips_leaves_the_rest_of_the_face_alone(head: Head):
    opened = head.expression_basis[UNIT_INDEX["jawOpen"]]
    added = lips_closed(head, opened) - opened
    lips = head.neutral_vertices[head.lip_pairs.ravel()]
    distance = np.linalg.norm(head.neutral_vertices[:, None] - lips, axis=2).min(axis=1)
    largest = np.abs(added).max()
    assert largest > 1
    assert np.abs(added[distance > 60]).max() < 0.02 * largest


def test_lids_meet_in_a_full_blink_and_in_no_other_stage(head: Head):
    lids = np.stack([head.lip_pairs, head.lip_pairs])  # any facing vertices will do
    lidded = replace(head, lid_pairs=lids, lip_pairs=head.lip_pairs[:0])
    stages = np.zeros((3, 57), np.float32)
    stages[0, UNIT_INDEX["eyeBlinkLeft"]] = 1.0
    stages[1, UNIT_INDEX["eyeBlinkLeft"]] = 0.9
    stages[2, UNIT_INDEX["jawOpen"]] = 1.0
    short = np.random.default_rng(0).normal(0, 0.5, (3, *head.neutral_vertices.shape)).astype(np.float32)
    met = with_contact(lidded, head.neutral_vertices, short, stages)
    assert np.array_equal(met[1:], short[1:])
    moved = head.neutral_vertices + met[0]
    assert np.linalg.norm(moved[lids[0, :, 0]] - moved[lids[0, :, 1]], axis=1).max() < 0.05


def test_a_shape_with_mouth_close_is_a_change_of_the_open_jaw():
    stage = np.zeros(57, np.float32)
    stage[UNIT_INDEX["mouthClose"]] = 0.8
    base = base_stage(stage)
    assert base[UNIT_INDEX["jawOpen"]] == pytest.approx(0.8)
    assert np.count_nonzero(base) == 1
    stage[UNIT_INDEX["jawOpen"]] = 1.0
    assert not base_stage(stage).any()


def test_a_corrective_is_what_the_pair_lacks(model: AnimateMe, head: Head, arkit: Library):
    made = shapes_of(arkit)
    assert arkit.pairs
    assert arkit.correctives.shape == (len(arkit.pairs), *head.neutral_vertices.shape)
    assert np.linalg.norm(arkit.correctives, axis=2).max(axis=1).min() > SMALLEST_CORRECTIVE
    both = shapes_of(
        library(model, head.neutral_vertices, one_set(both={"jawOpen": 1, "mouthFunnel": 1}), samples=2)
    )["both"]
    lacking = both - made["jawOpen"] - made["mouthFunnel"]
    kept = dict(zip(arkit.pairs, arkit.correctives, strict=True))
    assert np.abs(kept["jawOpen", "mouthFunnel"] - lacking).max() < 1e-4


def test_a_pair_that_lacks_too_little_to_be_seen_gets_no_corrective(
    model: AnimateMe, head: Head, monkeypatch: pytest.MonkeyPatch
):
    shapes = one_set(open={"jawOpen": 1}, funnel={"mouthFunnel": 1}, pucker={"mouthPucker": 1})
    all_of_them = library(model, head.neutral_vertices, shapes, samples=1)
    assert len(all_of_them.pairs) == 3
    sizes = np.sort(np.linalg.norm(all_of_them.correctives, axis=2).max(axis=1))
    monkeypatch.setattr("models.library.SMALLEST_CORRECTIVE", float(sizes[0] + sizes[1]) / 2)
    assert len(library(model, head.neutral_vertices, shapes, samples=1).pairs) == 2


def test_correctives_can_be_left_out(model: AnimateMe, head: Head):
    made = library(model, head.neutral_vertices, shape_set("arkit"), correctives=False, samples=1)
    assert made.pairs == ()
    assert made.correctives.shape == (0, *head.neutral_vertices.shape)


def test_a_chosen_shape_does_not_depend_on_the_others(model: AnimateMe, head: Head, arkit: Library):
    only = library(model, head.neutral_vertices, shape_set("arkit"), ("mouthSmileLeft", "jawOpen"), samples=2)
    assert only.names == ("jawOpen", "mouthSmileLeft")
    for name, deformation in shapes_of(only).items():
        assert np.abs(deformation - shapes_of(arkit)[name]).max() < 1e-4
    assert set(only.pairs) == {pair for pair in arkit.pairs if {"jawOpen", "mouthSmileLeft"} & set(pair)}


def test_more_samples_leave_less_chance(model: AnimateMe, head: Head):
    shapes = one_set(open={"jawOpen": 1})
    seeds = [library(model, head.neutral_vertices, shapes, seed=s).deformations for s in range(6)]
    chance = np.std(seeds, axis=0).mean()
    assert chance > 0
    halves = [library(model, head.neutral_vertices, shapes, samples=n).deformations for n in (16, 32)]
    assert np.abs(halves[0] - halves[1]).mean() < chance
    again = library(model, head.neutral_vertices, shapes, seed=3).deformations
    assert np.array_equal(again, seeds[3])


def test_noises_come_in_pairs_of_opposite_sign(model: AnimateMe, head: Head, monkeypatch: pytest.MonkeyPatch):
    """With noise that moves every vertex alike and linearly, a pair leaves nothing of it."""

    def moved(skin: np.ndarray, stages: np.ndarray, seed: int, *, preset: Sampler, **_: Any) -> np.ndarray:
        noise = preset.noise_scale * np.random.default_rng(seed).normal(size=3)
        return np.broadcast_to(noise, (len(stages), *skin.shape)).astype(np.float32)

    monkeypatch.setattr(model, "animate_skin", moved)
    shapes = one_set(open={"browDownLeft": 1})
    left = [library(model, head.neutral_vertices, shapes, samples=n).deformations for n in (2, 4)]
    skin = slice(head.skin_vertices)
    assert np.abs(left[0][:, skin]).max() < 1e-5
    assert np.abs(left[1][:, skin]).max() < 1e-5


def test_a_head_in_other_units_and_axes(model: AnimateMe, head: Head, arkit: Library):
    turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32)
    moved = (0.01 * head.neutral_vertices @ turn.T + [5, 0, -2]).astype(np.float32)
    assert similarity_to(head.neutral_vertices, moved).scale == pytest.approx(100, rel=1e-4)
    made = shapes_of(library(model, moved, shape_set("arkit"), ("jawOpen",), samples=2))
    assert np.allclose(made["jawOpen"], 0.01 * shapes_of(arkit)["jawOpen"] @ turn.T, atol=2e-5)


def test_progress_counts_all_samples_as_one(model: AnimateMe, head: Head):
    seen: list[tuple[int, int]] = []
    library(
        model,
        head.neutral_vertices,
        one_set(open={"jawOpen": 1}),
        samples=3,
        on_step=lambda step, steps: seen.append((step, steps)),
    )
    assert seen == [(step, 3) for step in (1, 2, 3)]


def test_shares_of_a_head_add_up(head: Head):
    cuts = Cuts(head, head.neutral_vertices)
    total = sum(cuts.share(name) for name in ("UL", "UR", "DL", "DR"))
    assert np.allclose(total, 1, atol=1e-6)
    upper, lower = head.lip_pairs.T
    assert cuts.share("U")[upper].min() > 0.98
    assert cuts.share("U")[lower].max() < 0.02
    assert cuts.share("L")[head.neutral_vertices[:, 0] > 12.1].min() == 1


def test_the_tongue_comes_out_between_the_lips(head: Head):
    lips = head.neutral_vertices[head.lip_pairs.ravel()].mean(axis=0)
    tongue = lips + np.array([[0, -6, -50], [0, -6, -30], [0, -6, -10]])
    vertices = np.concatenate([head.neutral_vertices, tongue]).astype(np.float32)
    count = len(head.neutral_vertices)
    config = dict(head.config) | {"parts": {"tongue": [count, count + 3]}}
    moved = tongue_out(replace(head, config=config), vertices)
    assert np.abs(moved[:count]).max() == 0
    assert np.abs(moved[count]).max() == 0, "the root stays"
    assert (vertices + moved)[count + 2, 2] > lips[2] + 10
    assert tongue_out(head, head.neutral_vertices).any() == np.False_


# ------------------------------------------------------------------------------------------------- own files


def write(folder: Path, content: Any) -> str:
    path = folder / "own é.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def test_an_own_set_is_read(tmp_path: Path):
    content = {
        "format": 1,
        "shapes": {"smirk": {"mouthSmileLeft": 0.9}, "open": {"jawOpen": 1}, "rest": {}},
        "correctives": [["open", "smirk"]],
    }
    read = shape_set(write(tmp_path, content))
    assert [shape.name for shape in read.shapes] == ["smirk", "open", "rest"]
    assert read.pairs == (("open", "smirk"),)
    assert read.shapes[0].stage[UNIT_INDEX["mouthSmileLeft"]] == pytest.approx(0.9)


def test_without_correctives_an_own_set_gets_dimples(tmp_path: Path):
    shapes = {"a": {"jawOpen": 1}, "b": {"mouthFunnel": 1}, "c": {"mouthFunnel": 0.2}}
    assert shape_set(write(tmp_path, {"format": 1, "shapes": shapes})).pairs == (("a", "b"),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"format": 1, "shapes": {"a": {"jawOpen": 1}, "a": {"jawOpen": 0.5}}}', "has “a” twice"),
        ({"shapes": {"n" * 64: {"jawOpen": 1}}}, "too long"),
        ({"shapes": {"ü" * 32: {"jawOpen": 1}}}, "too long"),
        ({"shapes": {"a": {"jawLeft": 1, "jawRight": 1}}}, "jawLeft and jawRight at once"),
        ({"shapes": {"a": {"eyeBlink": 1, "eyeWideLeft": 1}}}, "contradict each other"),
        ({"shapes": {"a": {"jawOpne": 1}}}, "a unit called “jawOpne”"),
        ({"shapes": {"a": {"jawOpen": 3}}}, "the weight 3"),
        ({"shapes": {"a": {"jawOpen": "wide"}}}, "the weight wide"),
        ({"shapes": {"a": {"jawOpen": True}}}, "the weight True"),
        ('{"format": 1, "shapes": {"a": {"jawOpen": NaN}}}', "the weight nan"),
        ({"shapes": {"a": {"mouthSmile": 1, "mouthSmileLeft": 1}}}, "asks for a unit twice"),
        ({"shapes": {"a": ["jawOpen"]}}, "no unit weights for “a”"),
        ({"shapes": {" ": {"jawOpen": 1}}}, "without spaces"),
        ({"shapes": {"a\nb": {"jawOpen": 1}}}, "without spaces"),
        ({"shapes": {}}, "from 1 to 1000 names"),
        ({"shapes": {f"s{i}": {} for i in range(1001)}}, "from 1 to 1000 names"),
        ({"shapes": ["a"]}, "from 1 to 1000 names"),
        ({"shapes": {"a": {}}, "extra": 1}, "an entry “extra”"),
        ({"shapes": {"a": {}}, "correctives": {"a": "b"}}, "a list of pairs"),
        ({"shapes": {"a": {}}, "correctives": [["a", "b"]]}, "two of its own shapes"),
        ({"shapes": {"a": {}}, "correctives": [["a", "a"]]}, "two of its own shapes"),
        ({"shapes": {"a": {}, "b": {}}, "correctives": [["a", "b"], ["b", "a"]]}, "twice"),
        (
            {"shapes": {"a": {"jawLeft": 1}, "b": {"jawRight": 1}}, "correctives": [["a", "b"]]},
            "contradict each other",
        ),
        ({"format": 2, "shapes": {"a": {}}}, "no shape set of this version"),
        ("[1]", "no shape set of this version"),
        ("no JSON at all", "no readable JSON"),
        ("[" * 100_000, "no readable JSON"),
    ],
)  # fmt: skip
def test_an_own_set_that_is_not_sound(tmp_path: Path, content: Any, said: str):
    path = write(tmp_path, {"format": 1} | content if isinstance(content, dict) else content)
    with pytest.raises(InputError) as caught:
        shape_set(path)
    assert said in str(caught.value)
    assert "own é.json" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_set_that_does_not_exist(tmp_path: Path):
    with pytest.raises(InputError, match="no shape set called “arkitt”: choose arkit, ict, facs56"):
        shape_set("arkitt")
    with pytest.raises(InputError, match="no shape set called"):
        shape_set(str(tmp_path))
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no readable JSON"):
        shape_set(str(binary))
