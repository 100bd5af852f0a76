"""Lids and lips in contact, on surfaces small enough to know the answer."""

import numpy as np
import pytest

from models.corpus.contact import LID_CLEARANCE, LID_FLOAT, LidContact, LipContact, SmoothSpread
from models.corpus.eyeballs import Eyeball
from tests.models.corpus_shapes import facing_pairs, lids, mouth

RADIUS = 15.0
COLUMNS = 40
PAIRS = facing_pairs(0, COLUMNS)
AHEAD = np.array([[0.0, 0.0, 1.0]], np.float32)
EYEBALL = Eyeball(np.zeros(3, np.float32), RADIUS)


@pytest.fixture(scope="module")
def eye():
    vertices, triangles = lids(RADIUS + 1.5, columns=COLUMNS)
    contact = LidContact(vertices, triangles, np.arange(COLUMNS), PAIRS, np.arange(len(vertices)))
    return vertices, contact


def solved(eye, deformation, blink):
    vertices, contact = eye
    deformation = deformation.copy()
    contact.solve(vertices, deformation, EYEBALL, AHEAD, np.array([blink], np.float32))
    return deformation


def half_closed(vertices, share):
    """The upper lid down and the lower lid up along chords, each by `share` of its height."""
    deformation = np.zeros((1, *vertices.shape), np.float32)
    margin = vertices[:COLUMNS]
    deformation[0, :COLUMNS, 1] = -share * margin[:, 1]
    return deformation


def test_lids_at_rest_stay_at_rest(eye) -> None:
    vertices, _ = eye
    assert np.abs(solved(eye, half_closed(vertices, 0.0), 0.0)).max() < 1e-5


@pytest.mark.parametrize("share", [0.0, 0.6, 1.4])
def test_a_full_blink_closes_whatever_the_shapes_left(eye, share) -> None:
    vertices, _ = eye
    closed = vertices + solved(eye, half_closed(vertices, share), 1.0)[0]
    apart = np.linalg.norm(closed[PAIRS[:, 0]] - closed[PAIRS[:, 1]], axis=1)
    assert apart.max() < 1e-4


def test_crossed_lids_are_parted_without_a_blink(eye) -> None:
    vertices, contact = eye
    crossing = half_closed(vertices, 1.3)
    assert contact.gaps(vertices + crossing).min() < -1.0
    assert contact.gaps(vertices + solved(eye, crossing, 0.0)).min() > -1e-4


def test_an_open_eye_is_not_closed(eye) -> None:
    vertices, contact = eye
    half = half_closed(vertices, 0.5)
    after = contact.gaps(vertices + solved(eye, half, 0.0))
    np.testing.assert_allclose(after, contact.gaps(vertices + half), rtol=0.1)


def test_skin_never_enters_the_eyeball_and_its_margin_does_not_float(eye) -> None:
    vertices, contact = eye
    pushed = half_closed(vertices, 0.5)
    pushed[:, :, 2] -= 4.0
    height = np.linalg.norm(vertices + solved(eye, pushed, 0.3)[0], axis=1)
    assert height[contact.covered].min() > RADIUS + LID_CLEARANCE - 1e-3
    pulled = half_closed(vertices, 0.5)
    pulled[:, :COLUMNS, 2] += 5.0
    height = np.linalg.norm(vertices + solved(eye, pulled, 0.0)[0], axis=1)
    assert height[:COLUMNS].max() < RADIUS + 1.5 + LID_FLOAT + 1e-3


def test_the_cornea_lifts_the_lid_it_passes_under(eye) -> None:
    vertices, contact = eye
    flat = half_closed(vertices, 1.0)
    flat[:, :, :] -= (1.2 / (RADIUS + 1.5)) * vertices
    above = []
    for gaze in (AHEAD, np.array([[0.0, -0.8, 0.6]], np.float32)):
        deformation = flat.copy()
        contact.solve(vertices, deformation, EYEBALL, gaze, np.ones(1, np.float32))
        above.append(np.linalg.norm((vertices + deformation[0])[PAIRS[8, 0]]))
    assert above[0] > above[1] + 0.5


def test_frames_of_a_batch_do_not_touch_each_other(eye) -> None:
    vertices, contact = eye
    batch = np.concatenate([half_closed(vertices, share) for share in (0.2, 1.3)])
    together = batch.copy()
    gaze, blink = np.repeat(AHEAD, 2, axis=0), np.array([0.0, 1.0], np.float32)
    contact.solve(vertices, together, EYEBALL, gaze, blink)
    np.testing.assert_allclose(together[1:], solved(eye, batch[1:], 1.0), atol=1e-5)


@pytest.fixture(scope="module")
def lips():
    vertices, triangles = mouth()
    pairs = np.concatenate([facing_pairs(ring, 36) for ring in (4, 5)])
    return vertices, LipContact(vertices, triangles, pairs)


def lower_lip_up(vertices, by):
    deformation = np.zeros((1, *vertices.shape), np.float32)
    deformation[0, vertices[:, 1] < 0.0, 1] = by
    return deformation


def test_lips_open_upwards(lips) -> None:
    vertices, contact = lips
    assert contact.opening[:, 1].min() > 0.9
    assert contact.gaps(vertices).min() > 0.0


def test_crossed_lips_meet_half_way(lips) -> None:
    vertices, contact = lips
    crossing = lower_lip_up(vertices, 4.0)
    assert contact.gaps(vertices + crossing).max() < -1.5
    parted = crossing.copy()
    contact.solve(vertices, parted, np.zeros(1, np.float32))
    assert np.abs(contact.gaps(vertices + parted)).max() < 1e-4
    up, down = contact.spread.handles[contact.upper], contact.spread.handles[contact.lower]
    np.testing.assert_allclose((parted - crossing)[0, up], -(parted - crossing)[0, down], atol=1e-5)


def test_lips_that_do_not_touch_are_left_alone(lips) -> None:
    vertices, contact = lips
    opening = lower_lip_up(vertices, -6.0)
    untouched = opening.copy()
    contact.solve(vertices, untouched, np.zeros(1, np.float32))
    np.testing.assert_array_equal(untouched, opening)


def test_closing_brings_open_lips_back_to_rest(lips) -> None:
    vertices, contact = lips
    closed = lower_lip_up(vertices, -6.0)
    contact.solve(vertices, closed, np.ones(1, np.float32))
    np.testing.assert_allclose(contact.gaps(vertices + closed)[0], contact.gaps(vertices), atol=1e-4)


def test_a_correction_spreads_smoothly_and_ends(lips) -> None:
    vertices, triangles = mouth(rings=30)
    handles = np.arange(15 * 36, 16 * 36)
    spread = SmoothSpread(vertices, triangles, handles, reach=6.0)
    deformation = np.zeros((1, *vertices.shape), np.float32)
    spread.apply(deformation, np.tile(np.float32([0.0, 1.0, 0.0]), (1, 36, 1)))
    by_ring = deformation[0, :, 1].reshape(30, 36)
    np.testing.assert_allclose(by_ring[15], 1.0, atol=1e-6)
    rings = by_ring.mean(1)
    assert (np.diff(rings[:16]) > -1e-2).all()
    assert rings[14] > 0.75
    distance = np.abs(vertices[:, 2] - vertices[handles[0], 2])
    assert np.abs(deformation[0, distance > 6.0]).max() == 0.0
