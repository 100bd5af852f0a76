"""People: who they are, and what the corpus promises of how they move."""

import numpy as np

from models.corpus.checks import check, draw_sheets
from models.corpus.people import (
    GAIN_GROUPS,
    SPLIT_SEEDS,
    AsymmetricWarp,
    draw_identity,
    generic_person,
    make_person,
    personal_gains,
)
from models.expression import PAIRS, UNIT_INDEX, UNIT_NAMES, expression_stage
from tests.models.corpus_model import face_model, needs_ict


def gains(seed, coefficients=None):
    return personal_gains(
        np.zeros(100) if coefficients is None else coefficients, np.random.default_rng(seed)
    )


def test_every_group_names_real_units_and_none_is_in_two() -> None:
    names = [unit for group in GAIN_GROUPS.values() for name in group for unit in PAIRS.get(name, (name,))]
    assert set(names) <= set(UNIT_NAMES)
    assert len(set(names)) == len(names)


def test_gains_stay_in_their_range_and_use_it() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([gains(seed, rng.standard_normal(100)) for seed in range(400)])
    assert drawn.min() > 0.7 * 0.9
    assert drawn.max() < 1.2 * 1.1
    jaw = drawn[:, UNIT_INDEX["jawOpen"]]
    assert jaw.std() > 0.08
    assert (drawn[:, UNIT_INDEX["eyeBlinkLeft"]] == 1.0).all()


def test_gains_follow_from_the_identity_in_part() -> None:
    rng = np.random.default_rng(0)
    coefficients = rng.standard_normal((2000, 100))
    jaw = np.array([gains(seed, row)[UNIT_INDEX["jawOpen"]] for seed, row in enumerate(coefficients)])
    fit = coefficients[:1000] @ np.linalg.lstsq(coefficients[1000:], jaw[1000:] - jaw.mean(), rcond=None)[0]
    explained = np.corrcoef(fit, jaw[:1000])[0, 1] ** 2
    assert 0.4 < explained < 0.7


def test_a_warp_is_smooth_and_differs_between_sides() -> None:
    warp = AsymmetricWarp(np.random.default_rng(4))
    points = np.random.default_rng(0).uniform(-80.0, 80.0, (300, 3)).astype(np.float32)
    moved = warp(points)
    assert 0.3 < np.linalg.norm(moved, axis=1).mean() < 4.0
    assert np.linalg.norm(warp(points + np.float32(1.0)) - moved, axis=1).max() < 0.3
    assert (
        np.linalg.norm(warp(points * np.float32([-1.0, 1.0, 1.0])) - moved * [-1.0, 1.0, 1.0], axis=1).mean()
        > 0.2
    )


def test_splits_can_hold_a_hundred_thousand_people_each() -> None:
    starts = sorted(SPLIT_SEEDS.values())
    assert min(np.diff(starts)) >= 100_000


@needs_ict
class TestPeople:
    def test_a_seed_is_a_person(self) -> None:
        model = face_model()
        first, again, other = (draw_identity(seed, model) for seed in (7, 7, 8))
        np.testing.assert_array_equal(first.neutral, again.neutral)
        np.testing.assert_array_equal(first.gains, again.gains)
        assert np.linalg.norm(first.neutral - other.neutral, axis=1).mean() > 1.0

    def test_no_weights_no_deformation(self) -> None:
        person = make_person(3, face_model())
        assert np.abs(person.deform(np.zeros((2, len(UNIT_NAMES))))).max() < 1e-4

    def test_a_frame_does_not_depend_on_its_batch(self) -> None:
        person = make_person(3, face_model())
        stages = np.stack([expression_stage([text]) for text in ("surprise", "eyeBlink", "disgust")])
        alone = np.concatenate([person.deform(stage[None]) for stage in stages])
        np.testing.assert_allclose(person.deform(stages), alone, atol=1e-4)

    def test_the_generic_face_opens_its_mouth_as_sculpted(self) -> None:
        model = face_model()
        deformation = generic_person(model).deform(expression_stage(["jawOpen"])[None])[0]
        error = np.linalg.norm(deformation - model.shapes[UNIT_INDEX["jawOpen"]], axis=1)
        assert error[model.face].max() < 0.5

    def test_motion_is_continuous(self) -> None:
        person = make_person(5, face_model())
        steps = np.linspace(0.0, 1.0, 101)[:, None]
        for texts in (
            ["jawOpen", "mouthClose"],
            ["eyeBlink", "eyeSquint", "eyeLookDown"],
            ["mouthPress", "mouthSmile"],
        ):
            path = person.deform(steps * expression_stage(texts))
            step = np.linalg.norm(np.diff(path, axis=0), axis=2).max(1)
            assert step.max() < 1.0, texts

    def test_the_corpus_keeps_its_promises(self) -> None:
        figures = check(face_model(), people=20, frames=1000)
        assert figures["lid_gap_blink_max"] < 0.3
        assert figures["lid_gap_blink_with_others_max"] < 0.3
        assert figures["lid_crossing_max"] < 0.05
        assert figures["lip_crossing_max"] < 0.2
        assert figures["lip_crossing_of_plain_sum_max"] > 5.0
        assert figures["jaw_off_arc_max"] < 0.3
        assert figures["jaw_chord_off_arc_max"] > 2.0
        assert 0.08 < figures["identity_effect"] < 0.3

    def test_pictures_are_drawn(self, tmp_path) -> None:
        pictures = draw_sheets(face_model(), tmp_path, people=1)
        assert {path.stem for path in pictures} >= {"faces", "eyes", "mouths", "mixtures"}
        assert all(path.stat().st_size > 10_000 for path in pictures)
