"""Baselines on the tiny corpus, where the best blendshape and the additive model are known."""

from pathlib import Path

import numpy as np
import pytest

from models.animate_me import AnimateMe
from models.corpus.cache import FrameCache
from models.errors import InputError
from models.evaluation.baselines import Baselines, class_mean, generic_transfer, intensity_along
from models.expression import UNIT_INDEX, UNIT_NAMES, parse_expression
from models.head import Head
from tests.models.conftest import TinyRun
from tests.models.tiny_truth import LABELS, TinyTruth


@pytest.fixture(scope="module")
def cache(trained: TinyRun, head: Head) -> FrameCache:
    return FrameCache.open(trained.folder / "corpus" / "train", head.neutral_vertices)


@pytest.fixture(scope="module")
def baselines(model: AnimateMe, cache: FrameCache) -> Baselines:
    return Baselines.fit(model, cache, LABELS)


def size(deformation: np.ndarray) -> float:
    return float(np.linalg.norm(deformation, axis=-1).mean())


def test_intensity_is_the_share_of_the_mixture() -> None:
    mixture = parse_expression("happiness")
    other = parse_expression("jawOpen")
    stages = np.stack([0.3 * mixture, 0.3 * mixture + 0.1 * other, 0 * mixture])
    intensity, shown = intensity_along(stages, mixture)
    np.testing.assert_allclose(intensity, [0.3, 0.3, 0], atol=1e-6)
    assert shown.tolist() == [True, False, False]


def test_the_class_mean_is_the_best_blendshape(cache: FrameCache) -> None:
    label = LABELS[2]
    blendshape = class_mean(cache, label)
    shown = np.nonzero(cache.stages[:, UNIT_INDEX[label]] > 0)[0]
    weights, frames = cache.stages[shown, UNIT_INDEX[label]], cache.deformations(shown)

    def error(scale: float) -> float:
        return float(np.square(frames - scale * weights[:, None, None] * blendshape).sum())

    assert error(1.0) < min(error(0.97), error(1.03))
    best = np.linalg.lstsq(weights[:, None], frames.reshape(len(frames), -1), rcond=None)[0]
    np.testing.assert_allclose(blendshape.ravel(), best[0], atol=1e-4)


def test_a_label_that_nobody_shows_is_refused(cache: FrameCache) -> None:
    with pytest.raises(InputError, match="anger"):
        class_mean(cache, "anger")


def test_units_transferred_to_the_mean_person_are_the_units(head: Head) -> None:
    found = generic_transfer(head)(head.neutral_vertices)
    np.testing.assert_allclose(found, head.expression_basis, atol=2e-3)


def test_further_shapes_are_carried_behind_the_units(head: Head) -> None:
    shape = 0.5 * head.expression_basis[3]
    found = generic_transfer(head, [shape])(head.neutral_vertices)
    assert len(found) == len(UNIT_NAMES) + 1
    np.testing.assert_allclose(found[-1], shape, atol=2e-3)


def test_transfer_follows_a_bigger_head(head: Head) -> None:
    bigger = generic_transfer(head)(1.5 * head.neutral_vertices)
    assert size(bigger) == pytest.approx(1.5 * size(head.expression_basis), rel=0.15)


def test_every_baseline_answers_at_its_strength(baselines: Baselines, head: Head) -> None:
    requests = [TinyTruth(head).request(person, LABELS[1], others=1, seed=0) for person in range(8)]
    answers = [baselines.predict(request.label, request.neutral, request.signal) for request in requests]
    apex = np.mean([size(request.truth[-1]) for request in requests])
    for name in (
        "linear_blendshape",
        "additive",
        "personal_additive",
        "deformation_transfer",
        "transferred_blendshape",
    ):
        for request, answer in zip(requests, answers, strict=True):
            assert answer[name].shape == request.truth.shape
            assert size(answer[name][0]) == pytest.approx(0, abs=1e-4)
        assert np.mean([size(answer[name][-1]) for answer in answers]) == pytest.approx(apex, rel=0.3)
        error = [size(a[name][-1] - r.truth[-1]) for a, r in zip(answers, requests, strict=True)]
        assert np.mean(error) < 0.45 * apex
    for answer in answers:
        assert set(answer) == {
            *(
                "zero",
                "linear_blendshape",
                "additive",
                "personal_additive",
                "deformation_transfer",
                "transferred_blendshape",
            )
        }
        assert size(answer["zero"]) == 0


def test_blind_baselines_turn_with_the_head(baselines: Baselines, head: Head) -> None:
    request = TinyTruth(head).request(3, LABELS[0], others=1, seed=0)
    turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32)
    upright = baselines.predict(request.label, request.neutral, request.signal)
    turned = baselines.predict(request.label, 0.01 * request.neutral @ turn + 7, request.signal)
    for name in ("linear_blendshape", "additive"):
        np.testing.assert_allclose(100 * turned[name], upright[name] @ turn, atol=1e-2)


def test_missing_corpus_is_explained(tmp_path: Path, head: Head) -> None:
    with pytest.raises(InputError, match="corpus build"):
        FrameCache.open(tmp_path, head.neutral_vertices)
