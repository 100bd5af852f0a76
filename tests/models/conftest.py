"""A tiny model, trained once for all tests of the models: 642 vertices, a few seconds of an idle core."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from models.animate_me import AnimateMe
from models.head import Head
from models.topology import Level, mesh_hierarchy
from models.training.animate_me import TrainingConfig, train_animate_me
from tests.models.tiny import tiny_corpus, tiny_head

CONFIG = """
corpus = "corpus"
head = "head"
output = "out"
frames_per_person = 4
[modal]
minutes = 60
steps = {modal_steps}
batch = 256
[joint]
minutes = 60
steps = {joint_steps}
batch = 8
[network]
modal_rank = 16
modal_width = 64
channels = [8, 16, 16, 16]
identity_channels = [4, 8, 8, 8]
context = 32
identity_coefficients = 6
"""


@dataclass(frozen=True)
class TinyRun:
    """A folder with a tiny head, its corpus, a training configuration and what came of it."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "out"


def prepare(folder: Path, modal_steps: int, joint_steps: int) -> TinyRun:
    """A run that is ready to be trained."""
    head = tiny_head()
    head.save(folder / "head")
    tiny_corpus(folder / "corpus" / "train", head)
    run = TinyRun(folder)
    run.config.write_text(CONFIG.format(modal_steps=modal_steps, joint_steps=joint_steps), encoding="utf-8")
    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    run = prepare(tmp_path_factory.mktemp("trained"), modal_steps=800, joint_steps=20)
    train_animate_me(TrainingConfig.read(run.config))
    return run


@pytest.fixture(scope="session")
def model(trained: TinyRun) -> AnimateMe:
    return AnimateMe.from_checkpoint(trained.checkpoint, device="cpu", half="off")


@pytest.fixture(scope="session")
def head() -> Head:
    return tiny_head()


@pytest.fixture(scope="session")
def hierarchy(head: Head) -> list[Level]:
    return mesh_hierarchy(head.skin_triangles, head.neutral_vertices)
