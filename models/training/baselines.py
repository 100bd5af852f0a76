"""Training the judge of the expression table and the methods that are compared: once, then kept.

Everything is trained on the same training people. What is complete is kept in a folder and loaded the next
time, so a run that was interrupted goes on with the first method that is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import nn

from ..animate_me import AnimateMe
from ..denoiser import DenoiserConfig
from ..errors import InputError
from ..evaluation.expression_classifier import ExpressionClassifier, train_classifier
from ..evaluation.expression_sequences import MotionBasis, Sequences
from ..evaluation.ground_truth import GroundTruth
from ..evaluation.landmark_gan import LandmarkGan, LandmarkGanMethod, train_landmark_gan
from ..evaluation.linear_3dmm import Linear3DMM
from ..evaluation.lstm_mesh import LstmMeshDecoder, train_lstm_mesh
from ..evaluation.sparse_to_dense import SparseToDense, train_sparse_to_dense
from ..expression import LABELS
from ..head import Head
from ..topology import mesh_hierarchy
from .animate_me import TrainingConfig, train_animate_me
from .optimisation import Phase
from .validated import VALIDATIONS, Budget

SETTINGS = "settings.json"
FITTED_PEOPLE = 60
"""People on whose performances the principal directions are found."""

OnPhase = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True)
class ExpressionTraining:
    """How much is trained. The defaults take two hours of one core, the baselines as long as our model."""

    people: int = 300
    validation_people: int = 60
    labels: Sequence[str] = LABELS
    rank: int = 96  # principal directions that performances are kept by
    seed: int = 0
    classifier: Budget = field(default_factory=lambda: Budget(3))
    lstm_mesh: Budget = field(default_factory=lambda: Budget(46))
    sparse_to_dense: Budget = field(default_factory=lambda: Budget(28))
    # a GAN gets worse before it gets better
    landmark_gan: Budget = field(default_factory=lambda: Budget(18, patience=VALIDATIONS))
    local: Phase = field(default_factory=lambda: Phase(8, batch=1024))
    local_joint: Phase = field(default_factory=lambda: Phase(0))
    local_network: DenoiserConfig = field(
        # spirals that are not trained need no width
        default_factory=lambda: DenoiserConfig(channels=(4, 4, 4, 4), identity_channels=(4, 4, 4, 4))
    )


@dataclass(frozen=True)
class TrainedExpressions:
    """The judge, the baselines and our network trained on progression alone."""

    basis: MotionBasis
    classifier: ExpressionClassifier
    linear_3dmm: Linear3DMM
    lstm_mesh: LstmMeshDecoder
    landmark_gan: LandmarkGanMethod
    local: AnimateMe
    report: dict[str, Any]  # what each one's training took and reached


def train_expressions(
    head_folder: Path,
    corpus: Path,
    train_truth: GroundTruth,
    validation_truth: GroundTruth,
    work: Path,
    settings: ExpressionTraining,
    *,
    device: str = "cpu",
    on_phase: OnPhase | None = None,
) -> TrainedExpressions:
    """Train what ``work`` does not hold yet. Raises InputError when it holds what other settings made."""
    head = Head.load(head_folder)
    kept = _Kept(work, settings, on_phase or (lambda _: None))
    basis = kept.basis(train_truth, head)
    train = kept.sequences("train", train_truth, settings.people, head, basis)
    validation = kept.sequences("validation", validation_truth, settings.validation_people, head, basis)
    hierarchy = mesh_hierarchy(head.skin_triangles, head.neutral_vertices[: head.skin_vertices])
    labels, landmarks, seed = len(settings.labels), len(head.landmarks68), settings.seed

    classifier = ExpressionClassifier(settings.rank, labels)
    kept.network(
        "classifier",
        classifier,
        lambda: train_classifier(classifier, basis, train, validation, settings.classifier, seed),
    )
    lstm_mesh = LstmMeshDecoder(hierarchy, labels)
    kept.network(
        "lstm_mesh",
        lstm_mesh,
        lambda: train_lstm_mesh(lstm_mesh, basis, train, validation, settings.lstm_mesh, seed),
    )
    dense = SparseToDense(hierarchy, landmarks)
    kept.network(
        "sparse_to_dense",
        dense,
        lambda: train_sparse_to_dense(dense, head, basis, train, validation, settings.sparse_to_dense, seed),
    )
    gan = LandmarkGan(labels, landmarks, train.coordinates.shape[1])
    kept.network(
        "landmark_gan",
        gan,
        lambda: train_landmark_gan(gan, head, basis, train, validation, settings.landmark_gan, seed),
    )
    return TrainedExpressions(
        basis,
        classifier,
        Linear3DMM.fit(basis, train),
        lstm_mesh,
        LandmarkGanMethod(gan, dense),
        kept.local(head_folder, corpus, device),
        kept.report | {"training_performances": len(train), "validation_performances": len(validation)},
    )


class _Kept:
    """The folder of what has been trained."""

    def __init__(self, work: Path, settings: ExpressionTraining, on_phase: OnPhase) -> None:
        self.work, self.settings, self.on_phase = work, settings, on_phase
        self.report: dict[str, Any] = {}
        work.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(asdict(settings)))
        path = work / SETTINGS
        if not path.is_file():
            path.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        if json.loads(path.read_text(encoding="utf-8")) != wanted:
            raise InputError(
                f"{work} holds baselines trained with other settings; delete that folder or choose another."
            )

    def basis(self, truth: GroundTruth, head: Head) -> MotionBasis:
        path, settings = self.work / "basis.safetensors", self.settings
        if not path.is_file():
            self.on_phase("principal directions")
            people = range(min(FITTED_PEOPLE, settings.people))
            basis = MotionBasis.fit(truth, people, settings.labels, head, settings.rank, settings.seed)
            save_arrays(dict(vars(basis)), path)
        return MotionBasis(**load_arrays(path))

    def sequences(
        self, split: str, truth: GroundTruth, people: int, head: Head, basis: MotionBasis
    ) -> Sequences:
        path = self.work / f"sequences_{split}.safetensors"
        if not path.is_file():
            self.on_phase(f"performances of the {split} people")
            labels = self.settings.labels
            Sequences.draw(truth, range(people), labels, head, basis, seed=self.settings.seed).save(path)
        return Sequences.load(path)

    def network(self, name: str, network: nn.Module, train: Callable[[], dict[str, Any]]) -> None:
        """Load the weights, or train and save them."""
        path, report = self.work / f"{name}.safetensors", self.work / f"{name}.json"
        if path.is_file():
            network.load_state_dict(load_file(path))
        else:
            self.on_phase(name.replace("_", " "))
            report.write_text(json.dumps(train(), indent=1) + "\n", encoding="utf-8")
            save_file(network.state_dict(), path)
        network.eval()
        self.report[name] = json.loads(report.read_text(encoding="utf-8"))

    def local(self, head_folder: Path, corpus: Path, device: str) -> AnimateMe:
        """Our network trained on progression alone: the paper's Ours-Local."""
        folder, settings = self.work / "ours-local", self.settings
        report = self.work / "ours_local.json"
        if not report.is_file():
            self.on_phase("ours, local scaling")
            rng_state = torch.get_rng_state()
            config = TrainingConfig(
                corpus.resolve(),
                head_folder,
                folder,
                seed=settings.seed,
                scaling="local",
                modal=settings.local,
                joint=settings.local_joint,
                network=settings.local_network,
            )
            result = train_animate_me(config)
            torch.set_rng_state(rng_state)
            found = {
                "minutes": settings.local.minutes + settings.local_joint.minutes,
                "steps": result["steps"],
                "loss": result["loss"],
            }
            report.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        self.report["ours_local"] = json.loads(report.read_text(encoding="utf-8"))
        return AnimateMe.from_checkpoint(folder, device)
