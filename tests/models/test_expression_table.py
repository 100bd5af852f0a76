"""The expression table on the tiny model, and the parts it is made of."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.animate_me import SAMPLERS, AnimateMe
from models.corpus.cache import FrameCache, local_stages
from models.corpus.frames import preset
from models.denoiser import DenoiserConfig
from models.errors import InputError
from models.evaluation.expression_classifier import ExpressionClassifier, judge, train_classifier
from models.evaluation.expression_methods import Ours, Question
from models.evaluation.expression_plot import plot_specificity
from models.evaluation.expression_sequences import MotionBasis, Sequences
from models.evaluation.expressions import Table, evaluate_expressions
from models.evaluation.landmark_curves import (
    curves_of,
    exponential,
    karcher_mean,
    logarithm,
    square_root_velocity,
)
from models.evaluation.linear_3dmm import Linear3DMM
from models.evaluation.metrics import frechet_distance
from models.expression import LABELS as ALL_LABELS
from models.head import Head
from models.training.baselines import ExpressionTraining, train_expressions
from models.training.optimisation import Phase
from models.training.validated import Budget, fit_validated
from tests.models.conftest import TinyRun
from tests.models.tiny import tiny_corpus
from tests.models.tiny_truth import LABELS, TinyTruth

RANK = 8
LONG = 60.0
SETTINGS = ExpressionTraining(
    people=12,
    validation_people=4,
    labels=LABELS,
    rank=RANK,
    classifier=Budget(LONG, 150),
    lstm_mesh=Budget(LONG, 12),
    sparse_to_dense=Budget(LONG, 6),
    landmark_gan=Budget(LONG, 40),
    local=Phase(LONG, 20, batch=64),
    local_network=DenoiserConfig(
        modal_rank=16,
        modal_width=32,
        channels=(4, 4, 4, 4),
        identity_channels=(4, 4, 4, 4),
        context=16,
        identity_coefficients=6,
    ),
)


class Elsewhere(TinyTruth):
    """Other people than those of the test."""

    def coefficients(self, person: int) -> np.ndarray:
        return super().coefficients(person + 1000)


@pytest.fixture(scope="module")
def basis(head: Head) -> MotionBasis:
    return MotionBasis.fit(Elsewhere(head), range(12), LABELS, head, RANK, seed=0)


@pytest.fixture(scope="module")
def sequences(head: Head, basis: MotionBasis) -> Sequences:
    return Sequences.draw(Elsewhere(head), range(12), LABELS, head, basis)


def test_the_directions_of_motion_tell_the_motion(head: Head, basis: MotionBasis) -> None:
    motion = TinyTruth(head).request(3, LABELS[1], 0, 0).truth
    again = basis.decode(basis.encode(motion))
    assert np.linalg.norm(again - motion) < 0.05 * np.linalg.norm(motion)
    np.testing.assert_allclose(
        basis.encode(motion) @ basis.at(head.landmarks68),
        again[:, head.landmarks68].reshape(40, -1),
        atol=1e-3,
    )


def test_performances_are_kept_with_label_person_and_intensity(
    head: Head, basis: MotionBasis, sequences: Sequences, tmp_path: Path
) -> None:
    assert len(sequences) == 12 * len(LABELS)
    assert sequences.coordinates.shape == (48, 40, RANK)
    assert sequences.label[:5].tolist() == [0, 1, 2, 3, 0]
    assert sequences.person[:5].tolist() == [0, 0, 0, 0, 1]
    assert (sequences.intensity[:, 0] == 0).all()
    assert ((sequences.intensity[:, -1] > 0.59) & (sequences.intensity[:, -1] < 1.01)).all()
    sequences.save(tmp_path / "s.safetensors")
    again = Sequences.load(tmp_path / "s.safetensors")
    np.testing.assert_array_equal(again.coordinates, sequences.coordinates)


def test_the_judge_tells_labels_and_is_not_a_constant(
    head: Head, basis: MotionBasis, sequences: Sequences
) -> None:
    held = Sequences.draw(TinyTruth(head), range(5), LABELS, head, basis)
    network = ExpressionClassifier(RANK, len(LABELS))
    untrained = (judge(network.eval(), held.coordinates)[0] == held.label).mean()
    found = train_classifier(network.train(), basis, sequences, held, Budget(LONG, 200))
    told, features = judge(network, held.coordinates)
    assert found["steps"] <= 200
    assert (told == held.label).mean() > 0.9 > untrained
    assert features.shape == (20, 32)
    wrong = judge(network, held.coordinates[:, :1].repeat(40, axis=1))[0]  # nobody moves
    assert (wrong == held.label).mean() < 0.6


def test_the_linear_model_finds_the_expression_and_nothing_of_the_person(
    head: Head, basis: MotionBasis, sequences: Sequences
) -> None:
    method = Linear3DMM.fit(basis, sequences)
    request = TinyTruth(head).request(2, LABELS[0], 0, 0)
    question = Question.of(request, head, LABELS)
    (answer,) = method.answer(question, 1, 0)
    generic = np.einsum("ku,uvd->kvd", request.signal, head.expression_basis)
    assert np.linalg.norm(answer - generic) < 0.2 * np.linalg.norm(generic)
    other = replace(question, neutral=question.neutral * 1.3)
    np.testing.assert_array_equal(method.answer(other, 1, 0)[0], answer)
    half = question.with_apex(0.5 * float(question.intensity[-1]))
    np.testing.assert_allclose(half.signal, 0.5 * question.signal, rtol=1e-5)
    assert np.linalg.norm(method.answer(half, 1, 0)) < 0.7 * np.linalg.norm(answer)


def test_curves_come_back_from_the_sphere() -> None:
    torch.manual_seed(0)
    steps = torch.randn(20, 9, 4)
    curves = torch.cat([torch.zeros(20, 1, 4), steps.cumsum(1)], 1)
    unit, length = square_root_velocity(curves)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(20))
    torch.testing.assert_close(length, steps.norm(dim=2).sum(1))
    torch.testing.assert_close(curves_of(unit, length, 4), curves, atol=1e-4, rtol=1e-4)


def test_the_mean_of_the_sphere_is_where_logarithms_cancel() -> None:
    torch.manual_seed(1)
    points = torch.nn.functional.normalize(torch.randn(50, 6) + 3 * torch.eye(6)[0], dim=1)
    mean = karcher_mean(points)
    tangent = logarithm(mean, points)
    assert tangent.mean(0).norm() < 1e-3 < (points.mean(0) - mean).norm()
    torch.testing.assert_close(exponential(mean, tangent), points, atol=1e-5, rtol=1e-5)


def test_frechet_distance_of_gaussians_is_the_closed_form() -> None:
    random = np.random.default_rng(0)
    one = random.normal(0, 1, (200_000, 2)).astype(np.float32)
    other = (random.normal(0, 1, (200_000, 2)) * [2, 3] + [1, 0]).astype(np.float32)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(one, other) == pytest.approx(1 + (2 - 1) ** 2 + (3 - 1) ** 2, rel=0.02)


def test_training_ends_when_validation_does_and_keeps_the_best() -> None:
    network = torch.nn.Linear(1, 1)
    seen: list[float] = []

    def step(share: float) -> None:
        seen.append(share)
        with torch.no_grad():
            network.weight.fill_(float(len(seen)))

    found = fit_validated(network, step, lambda: abs(float(network.weight.detach()) - 100), Budget(60, 1000))
    assert found["ended"] == "validation stopped improving"
    assert float(network.weight.detach()) == 100  # validated every 25 steps
    assert found["steps"] == len(seen) == 100 + 12 * 25
    assert seen[0] == 0
    assert max(seen) < 1


def test_local_scaling_tells_progression_only() -> None:
    mixture = preset("surprise")
    stages = np.concatenate([np.zeros((1, 57)), np.outer([0.1, 0.2, 0.3, 0.4], mixture), np.ones((1, 57))])
    rows, local = local_stages(stages.astype(np.float32), np.array([-1, 5, 5, 5, 5, -1]))
    assert ALL_LABELS[5] == "surprise"
    assert rows.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(local, np.outer([0.25, 0.5, 0.75, 1.0], mixture), atol=1e-6)


def test_locally_scaled_frames_are_the_labelled_ones(head: Head, tmp_path: Path) -> None:
    tiny_corpus(tmp_path / "train", head, people=3, frames=60)
    meta = dict(np.load(tmp_path / "train" / "frames_0000.npz"))
    meta["label"] = np.where(np.arange(60) < 20, -1, 5)
    np.savez(tmp_path / "train" / "frames_0000.npz", **meta)
    everything = FrameCache.open(tmp_path / "train", head.neutral_vertices)
    local = FrameCache.open(tmp_path / "train", head.neutral_vertices, "local")
    assert (len(everything), len(local)) == (60, 40)
    np.testing.assert_array_equal(
        local.deformations(np.array([0, 39])), everything.deformations(np.array([20, 59]))
    )
    np.testing.assert_array_equal(local.person, everything.person[20:])
    assert np.linalg.norm(local.stages[3]) == pytest.approx(np.linalg.norm(preset("surprise")), rel=1e-5)


@pytest.fixture(scope="module")
def table(trained: TinyRun, head: Head, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("table")
    phases: list[str] = []

    def train() -> Any:
        return train_expressions(
            trained.checkpoint / "head",
            trained.folder / "corpus",
            Elsewhere(head),
            TinyTruth(head),
            work,
            SETTINGS,
            on_phase=phases.append,
        )

    steps = {name: replace(preset, steps=3) for name, preset in SAMPLERS.items()}
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("models.evaluation.expressions.SAMPLERS", steps)
    first = train()
    trained_once = len(phases)
    second = train()
    result = evaluate_expressions(
        trained.checkpoint,
        TinyTruth(head),
        TinyTruth(head),
        trained.folder / "corpus",
        second,
        Table(people=4, labels=LABELS, people_per_label=2, animations=2, reference_people=6),
        device="cpu",
        half="off",
    )
    monkeypatch.undo()
    kept = {"first": first, "second": second, "phases": phases, "trained_once": trained_once, "work": work}
    return {"result": json.loads(json.dumps(result)), **kept}


def test_what_is_trained_is_kept(table: dict[str, Any], trained: TinyRun, head: Head) -> None:
    assert table["trained_once"] == 8
    assert len(table["phases"]) == 8
    question = Question.of(TinyTruth(head).request(0, LABELS[2], 0, 0), head, LABELS)
    for name in ("lstm_mesh", "landmark_gan", "linear_3dmm"):
        first, second = (getattr(table[run], name).answer(question, 2, 5) for run in ("first", "second"))
        np.testing.assert_allclose(first, second, atol=1e-5)
    assert table["second"].report["lstm_mesh"]["steps"] == 12
    with pytest.raises(InputError, match="other settings"):
        train_expressions(
            trained.checkpoint / "head",
            trained.folder / "corpus",
            Elsewhere(head),
            TinyTruth(head),
            table["work"],
            replace(SETTINGS, rank=5),
        )


def test_the_table_has_all_rows_and_they_are_in_order(table: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in table["result"]["rows"]}
    assert set(rows) == {
        *("ground_truth", "another_performance", "linear_blendshape", "transferred_blendshape"),
        *("linear_3dmm", "lstm_mesh_decoder", "landmark_gan"),
        *("ours", "ours_extreme", "ours_local", "ours_varying"),
    }
    assert rows["ground_truth"]["specificity_mm"] == 0
    assert rows["ground_truth"]["acceleration_ratio"] == pytest.approx(1)
    assert rows["ground_truth"]["classification_accuracy"] > 0.8
    for name, row in rows.items():
        stochastic = name in {"landmark_gan", "another_performance"} or name.startswith("ours")
        assert row["animations"] == (16 if stochastic else 8)
        assert ("diversity_ratio" in row) == stochastic
        assert len(row["specificity_mm_per_frame"]) == 40
        assert row["best_of_n"] <= row["specificity_mm"]
        assert row["mean_of_n"] <= row["specificity_mm"] + 1e-4
    # told the strength, one is nearer than shouting or guessing
    assert rows["ours"]["specificity_mm"] < rows["ours_extreme"]["specificity_mm"]
    assert rows["another_performance"]["specificity_mm"] < rows["landmark_gan"]["specificity_mm"]
    assert rows["another_performance"]["fid"] < rows["lstm_mesh_decoder"]["fid"]
    assert table["result"]["settings"]["fid_floor_between_halves_of_the_truth"] > 0
    assert "ours_varying" not in table["result"]["settings"]["intensity_known"]


def test_variants_ask_for_the_intensity_that_their_name_says(model: AnimateMe, head: Head) -> None:
    question = Question.of(TinyTruth(head).request(1, LABELS[0], 0, 0), head, LABELS)
    preset = replace(SAMPLERS["default"], steps=3)
    full = question.with_apex(1.0)
    (wanted,) = Ours(model, preset).answer(full, 1, 4)
    (local,) = Ours(model, preset, (1.0, 1.0)).answer(question, 1, 4)
    np.testing.assert_allclose(local, wanted, atol=1e-4)
    varying = Ours(model, preset, (0.3, 1.1)).answer(question, 4, 4)
    apexes = np.linalg.norm(varying[:, -1], axis=(1, 2))
    assert apexes.max() > 1.15 * apexes.min()


def test_the_curve_is_drawn(table: dict[str, Any], tmp_path: Path) -> None:
    plot_specificity(table["result"]["rows"], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    plot_specificity(table["result"]["rows"], tmp_path / "curve.svg")
    drawn = (tmp_path / "curve.svg").read_text()
    assert drawn.count("<path") > 10
