"""Evaluation on the tiny model: which rows there are, and that each figure means what it says."""

import json
from typing import Any

import numpy as np
import pytest

from models.animate_me import SAMPLERS, AnimateMe, Sampler
from models.evaluation.animate_me import MEAN_FRAMES, PAPER_FRAMES, Plan, evaluate_animate_me
from models.evaluation.comparison import Comparison, Cost
from models.evaluation.draws import Draws, network_evaluations
from models.evaluation.ground_truth import Request, at_moments, balanced_pairs
from models.evaluation.identity import evaluate_identity
from models.evaluation.late_start import compare_late_starts
from models.evaluation.metrics import FaceRegion
from models.head import Head
from tests.models.conftest import TinyRun
from tests.models.tiny_truth import LABELS, TinyTruth

SAMPLERS_FOR_TESTS = {
    "default": Sampler("ddim", 3, 1000),
    "full": Sampler("ddim", 3, 1000),
    "late": Sampler("ddim", 3, 700, "peak"),
    "paper": Sampler("ddpm", 20, 400),
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.evaluation.animate_me.SAMPLERS", SAMPLERS_FOR_TESTS)
    monkeypatch.setattr("models.evaluation.late_start.SAMPLERS", SAMPLERS_FOR_TESTS)


@pytest.fixture
def request_of_truth(head: Head) -> Request:
    return TinyTruth(head).request(1, LABELS[0], others=6, seed=0)


@pytest.mark.usefixtures("quick")
def test_evaluation_has_all_rows_and_is_json(trained: TinyRun, head: Head) -> None:
    plan = Plan(people=4, labels=LABELS[:2], people_per_label=2, others=4, seeds=3, paper_requests=1)
    seen: list[tuple[int, int]] = []
    result = evaluate_animate_me(
        trained.checkpoint,
        TinyTruth(head),
        trained.folder / "corpus",
        plan,
        device="cpu",
        half="off",
        on_request=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i, 4) for i in (1, 2, 3, 4)]
    rows: dict[str, dict[str, Any]] = {row["name"]: row for row in json.loads(json.dumps(result))["rows"]}
    assert set(rows) == {
        *(
            "zero",
            "linear_blendshape",
            "additive",
            "personal_additive",
            "deformation_transfer",
            "transferred_blendshape",
        ),
        *("true_mean", "true_other", "ours", "ours_mean3", "ours_full_chain", "ours_late"),
        *("ours_micro_motion", "ours_paper_sampler"),
    }
    for row in rows.values():
        assert row["specificity_mm"] == pytest.approx(np.mean(row["specificity_mm_per_frame"]), abs=2e-4)
    assert len(rows["ours"]["specificity_mm_per_frame"]) == 40
    assert rows["zero"]["laplacian_ratio"] == 0
    assert rows["ours_micro_motion"]["acceleration_ratio"] > rows["ours"]["acceleration_ratio"]
    assert rows["additive"]["residual_ratio"] == 0
    assert rows["ours_full_chain"]["residual_ratio"] == pytest.approx(1)
    assert rows["true_mean"]["specificity_mm"] < rows["true_other"]["specificity_mm"]
    assert rows["true_other"]["specificity_mm"] < rows["zero"]["specificity_mm"]
    assert rows["ours"]["network_evaluations"] == 120
    assert rows["ours_mean3"]["network_evaluations"] == 360
    assert rows["ours_mean3"]["seconds_per_40_frames"] > rows["ours"]["seconds_per_40_frames"] > 0
    assert rows["ours"]["diversity_ratio"] > 0
    assert "same_part_mm" not in rows["ours"]
    assert rows["ours_mean3"]["frames"] == list(MEAN_FRAMES)
    paper = rows["ours_paper_sampler"]
    assert (paper["requests"], paper["frames"]) == (1, list(PAPER_FRAMES))
    assert set(paper["same_part_mm"]) == {
        *("linear_blendshape", "additive", "personal_additive", "deformation_transfer", "true_mean", "ours")
    }


def test_a_part_is_compared_on_that_part_alone(request_of_truth: Request, head: Head) -> None:
    comparison = Comparison(FaceRegion.of(head))
    truth, nothing = request_of_truth.truth, np.zeros_like(request_of_truth.truth)
    millimetre = np.arange(40, dtype=np.float32)[:, None, None] * np.array([1, 0, 0], np.float32)
    everything = range(40)
    comparison.add("zero", 0, request_of_truth, nothing, nothing, everything)
    comparison.add("ours_full_chain", 0, request_of_truth, nothing, truth + millimetre, everything)
    comparison.add("ours_full_chain", 1, request_of_truth, nothing, truth, everything)
    comparison.add("some", 0, request_of_truth, nothing, truth[[10, 20]] + 2, [10, 20], Cost(1.5, 7))
    row = comparison.row("some", compared=["ours_full_chain"])
    assert row["specificity_mm"] == pytest.approx(12**0.5, abs=1e-3)
    assert row["same_part_mm"] == {"ours_full_chain": pytest.approx(15, abs=1e-3)}
    assert (row["seconds_per_40_frames"], row["network_evaluations"]) == (1.5, 7)
    assert (row["frames"], row["request_numbers"]) == ([10, 20], [0])
    whole = comparison.row("ours_full_chain", compared=["zero"])
    assert whole["specificity_mm"] == pytest.approx(39 / 4, abs=1e-3)


def test_ratios_of_a_perfect_answer_are_one(request_of_truth: Request, head: Head) -> None:
    comparison = Comparison(FaceRegion.of(head))
    nothing = np.zeros_like(request_of_truth.truth)
    comparison.add("ours_full_chain", 0, request_of_truth, nothing, request_of_truth.truth, range(40))
    row = comparison.row("ours_full_chain")
    assert row["specificity_mm"] == 0
    for name in ("laplacian_ratio", "acceleration_ratio", "residual_ratio"):
        assert row[name] == pytest.approx(1)


@pytest.mark.parametrize("preset", SAMPLERS_FOR_TESTS.values(), ids=SAMPLERS_FOR_TESTS)
def test_a_part_of_the_frames_is_drawn_as_in_the_whole(
    model: AnimateMe, request_of_truth: Request, preset: Sampler
) -> None:
    whole = Draws(model, request_of_truth, seed=4).samples(preset, range(40), 1)
    part = Draws(model, request_of_truth, seed=4).samples(preset, [7, 30], 1)
    np.testing.assert_allclose(part, whole[:, [7, 30]], atol=1e-4)


def test_draws_are_made_once(model: AnimateMe, request_of_truth: Request) -> None:
    draws = Draws(model, request_of_truth, seed=4)
    preset = SAMPLERS_FOR_TESTS["default"]
    whole = draws.samples(preset, range(40), 1)
    timed = draws.cost(preset, 1)
    assert np.shares_memory(whole[0], whole)
    np.testing.assert_array_equal(draws.samples(preset, [3, 4], 1), whole[:, [3, 4]])
    assert draws.cost(preset, 1) == timed
    assert timed.evaluations == 120
    assert not np.allclose(draws.samples(preset, [39], 2)[1], whole[:, 39])


def test_evaluations_count_frames_times_steps(model: AnimateMe) -> None:
    assert network_evaluations(model, Sampler("ddim", 10, 1000), 40) == 400
    assert network_evaluations(model, Sampler("ddim", 10, 500), 40) == 10 + 39 * 5
    assert network_evaluations(model, SAMPLERS["paper"], 40) == 1000 + 39 * 401  # 400 itself included


@pytest.mark.usefixtures("quick")
def test_late_starts_are_compared_with_the_whole_chain(trained: TinyRun, head: Head) -> None:
    result = compare_late_starts(
        trained.checkpoint,
        TinyTruth(head),
        people=2,
        labels=LABELS[:2],
        late_starts=(400, 1000),
        seeds=2,
        others=4,
        device="cpu",
        half="off",
    )
    rows = {row["name"]: row for row in json.loads(json.dumps(result))["rows"]}
    assert set(rows) == {f"{t} from the {frame} frame" for t in (400, 1000) for frame in ("neutral", "peak")}
    for frame in ("neutral", "peak"):
        assert rows[f"1000 from the {frame} frame"]["residual_ratio"] == pytest.approx(1)
        assert rows[f"1000 from the {frame} frame"]["network_evaluations"] == 120
        assert rows[f"400 from the {frame} frame"]["network_evaluations"] < 120
    assert rows["400 from the neutral frame"]["residual_ratio"] != pytest.approx(1, abs=1e-3)


def test_identities_are_measured_against_the_training_people(trained: TinyRun) -> None:
    result = evaluate_identity(trained.checkpoint / "head", trained.folder / "corpus", people=20)
    rows = {row["name"]: row for row in json.loads(json.dumps(result))["rows"]}
    assert set(rows) == {"training_people", "new_people", "linear_prior"}
    for row in rows.values():
        assert 0.5 < row["nearest_training_mm"] < row["between_mm"]
        assert 0.1 < row["nearest_training_mm_smallest"] <= row["nearest_training_mm"]
    # new people are neither copies of the training people nor all alike
    assert rows["new_people"]["between_mm"] == pytest.approx(rows["training_people"]["between_mm"], rel=0.3)


def test_every_label_is_shown_by_as_many_people() -> None:
    pairs = balanced_pairs(12, [f"label {i}" for i in range(18)], 2)
    assert len(set(pairs)) == 36
    assert np.bincount([person for person, _ in pairs]).tolist() == [3] * 12
    assert len(set(balanced_pairs(5, ["a", "b"], 5))) == 10


def test_animations_are_read_between_their_frames() -> None:
    animation = np.arange(4, dtype=np.float32)[:, None] * [1.0, -2.0]
    found = at_moments(animation, np.array([0.0, 0.25, 2.5, 3.0]))
    np.testing.assert_allclose(found, [[0, 0], [0.25, -0.5], [2.5, -5], [3, -6]])
