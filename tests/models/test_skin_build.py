"""The skin cache is built from a corpus, person by person, and goes on where it stopped."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from models.__main__ import app
from models.authored.skin_traits import SkinTraits, draw_skin
from models.commands.options import CHECKPOINT
from models.corpus.skin_build import build_skin
from models.corpus.skin_cache import SkinCache
from models.errors import InputError
from models.expression import UNIT_NAMES
from models.head import Head

PEOPLE, FRAMES = 3, 4


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load(CHECKPOINT / "head")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, head: Head) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "train").mkdir()
    rng = np.random.default_rng(0)
    stage = np.eye(len(UNIT_NAMES), dtype=np.float32)[rng.integers(2, 57, PEOPLE * FRAMES)]
    skin = head.skin_vertices
    deformation = np.tensordot(stage, head.expression_basis[:, :skin], 1)
    offsets = np.tensordot(rng.standard_normal((PEOPLE, 4)), head.identity_basis[:4, :skin], 1)
    people = {
        "seeds": np.arange(1_000_000, 1_000_000 + PEOPLE),
        "neutral": offsets.astype(np.float16),
    }
    save_file(people, folder / "train" / "people.safetensors")
    np.save(folder / "train" / "frames_0000.npy", deformation.astype(np.float16))
    np.savez(
        folder / "train" / "frames_0000.npz",
        stage=stage,
        person=np.repeat(np.arange(PEOPLE), FRAMES),
        label=np.full(PEOPLE * FRAMES, -1, np.int16),
        kind=np.ones(PEOPLE * FRAMES, np.int16),
    )
    return folder


def test_build_and_resume(tmp_path: Path, corpus: Path, head: Head):
    arguments = (corpus, head, {"train": PEOPLE, "validation": 0}, 2, 64)
    assert list(build_skin(tmp_path, corpus, head, {"train": 1}, 2, 64)) == [(1, 1)]
    assert len(SkinCache.open(tmp_path, "train", head)) == 3
    assert list(build_skin(tmp_path, *arguments)) == [(3, 3)]  # two more
    cache = SkinCache.open(tmp_path, "train", head)
    assert len(cache) == PEOPLE * 3
    assert cache.frames.tolist() == [1, 2, 4, 5, 7, 8]
    assert cache.stage[cache.neutral].sum() == 0
    assert (cache.intensity[cache.frames] == 1).all()
    assert cache.traits["melanin"] == pytest.approx([draw_skin(1_000_000 + k).melanin for k in range(PEOPLE)])
    assert set(cache.traits) == set(SkinTraits.names())
    frame = cache.read(cache.frames)
    rest = cache.read(cache.neutral[cache.frames])
    assert np.abs(frame.position).max() > 0.01
    assert np.abs(frame.neutral_position - rest.neutral_position).max() == 0
    assert np.abs(frame.albedo - rest.albedo).mean() > 1e-4
    assert np.abs(frame.normal - rest.normal).mean() > 1e-4

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "train").iterdir()}
    assert list(build_skin(tmp_path, *arguments)) == [(3, 3)]
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "train").iterdir()}
    with pytest.raises(InputError, match="other skin"):
        list(build_skin(tmp_path, corpus, head, {"train": PEOPLE}, 3, 64))


def test_a_corpus_that_is_too_small_is_refused(tmp_path: Path, corpus: Path, head: Head):
    with pytest.raises(InputError, match="3 people, 9 are wanted"):
        list(build_skin(tmp_path, corpus, head, {"train": 9}, 2, 32))
    with pytest.raises(InputError, match="0 people"):
        list(build_skin(tmp_path / "b", corpus, head, {"test": 1}, 2, 32))


def test_the_command(tmp_path: Path, corpus: Path, head: Head):
    arguments = ["corpus", "skin", "--corpus", str(corpus), "--out", str(tmp_path), "--people", "1"]
    result = CliRunner().invoke(app, [*arguments, "--held-out", "0", "--frames", "1", "--size", "32"])
    assert result.exit_code == 0, result.output
    assert len(SkinCache.open(tmp_path, "train", head)) == 2
