"""The training cache: what is in it, and that it can be interrupted and repeated."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from models.corpus import frames
from models.corpus.cache import FrameCache
from models.corpus.frames import (
    KIND_SHARES,
    KINDS,
    IntensityScale,
    build_cache,
    extremeness,
    preset,
    random_frames,
    random_mixture,
    sequence,
)
from models.corpus.people import make_person
from models.errors import InputError
from models.expression import LABELS, UNIT_NAMES
from tests.models.corpus_model import face_model, needs_ict

NO_TAKE = np.zeros((0, len(UNIT_NAMES)), np.float32)


def test_mixtures_hold_two_to_ten_units_and_both_halves_as_a_rule() -> None:
    rng = np.random.default_rng(0)
    mixtures = np.stack([random_mixture(rng) for _ in range(300)])
    active = (mixtures > 0.0).sum(1)
    assert active.min() >= 2
    assert active.max() <= 10
    assert mixtures.max() <= 1.0
    assert (active > 5).any()


@pytest.fixture(scope="module")
def scale():
    return IntensityScale(dict.fromkeys(LABELS, 3.0))


@needs_ict
class TestFrames:
    def test_kinds_have_their_shares(self, scale) -> None:
        take = np.full((5, len(UNIT_NAMES)), 0.1, np.float32)
        drawn = random_frames(make_person(1, face_model()), 40, np.random.default_rng(0), scale, take)
        shares = np.bincount(drawn.kind, minlength=len(KINDS)) / 40
        np.testing.assert_allclose(shares, KIND_SHARES, atol=0.01)
        assert ((drawn.label >= 0) == (drawn.kind == 0)).all()
        assert drawn.deformation.dtype == np.float16
        assert np.isfinite(drawn.deformation).all()

    def test_a_stage_is_its_label_times_what_can_be_seen_of_it(self, scale) -> None:
        drawn = random_frames(make_person(1, face_model()), 40, np.random.default_rng(0), scale, NO_TAKE)
        for row in np.nonzero(drawn.label >= 0)[0]:
            mixture = preset(LABELS[drawn.label[row]])
            strength = drawn.stage[row] @ mixture / (mixture @ mixture)
            np.testing.assert_allclose(drawn.stage[row], strength * mixture, atol=1e-6)

    def test_the_intensity_of_an_apex_is_its_extremeness(self, scale) -> None:
        person = make_person(2, face_model())
        deformation, signal = sequence(person, "surprise", np.random.default_rng(0), scale)
        assert deformation.shape == (40, len(person.neutral), 3)
        assert np.abs(deformation[0]).max() < 1e-3
        intensity = signal[-1].max() / preset("surprise").max()
        assert intensity == pytest.approx(extremeness(person, deformation[-1:])[0] / 3.0, rel=1e-4)
        _, local = sequence(person, "surprise", np.random.default_rng(0), scale, scaling="local")
        np.testing.assert_allclose(local[-1], preset("surprise"), atol=1e-5)

    def test_a_build_is_resumed_repeated_and_read(self, scale, tmp_path, monkeypatch) -> None:
        model = face_model()
        monkeypatch.setattr(IntensityScale, "measure", staticmethod(lambda model, seed: scale))
        monkeypatch.setattr(frames, "PEOPLE_PER_SHARD", 2)
        people = {"train": 3, "test": 1}
        shards = list(build_cache(tmp_path / "a", model, people, frames_per_person=8, seed=5))
        assert [path.relative_to(tmp_path / "a").as_posix() for path in shards] == [
            "train/frames_0000.npy",
            "train/frames_0001.npy",
            "test/frames_0000.npy",
        ]
        first = np.load(shards[0])
        assert first.shape == (16, len(model.mean), 3)

        shards[0].unlink()
        (resumed,) = build_cache(tmp_path / "a", model, people, frames_per_person=8, seed=5)
        np.testing.assert_array_equal(np.load(resumed), first)
        list(build_cache(tmp_path / "b", model, people, frames_per_person=8, seed=5, processes=2))
        np.testing.assert_array_equal(
            np.load(tmp_path / "b" / "train" / "frames_0001.npy"), np.load(shards[1])
        )

        cache = FrameCache.open(tmp_path / "a" / "train", model.mean)
        assert len(cache) == 24
        saved = load_file(tmp_path / "a" / "train" / "people.safetensors")
        assert not set(saved["seeds"]) & set(
            load_file(tmp_path / "a" / "test" / "people.safetensors")["seeds"]
        )
        person = make_person(int(saved["seeds"][0]), model)
        np.testing.assert_allclose(saved["neutral"][0], person.neutral - model.mean, atol=0.05)
        assert json.loads((tmp_path / "a" / "corpus.json").read_text())["seed"] == 5
        assert IntensityScale.load(tmp_path / "a") == scale

        with pytest.raises(InputError, match="another corpus"):
            list(build_cache(tmp_path / "a", model, people, frames_per_person=8, seed=6))

    def test_the_scale_is_about_the_strongest_performances(self, monkeypatch) -> None:
        monkeypatch.setattr(frames, "MEASURING_PEOPLE", 2)
        reference = IntensityScale.measure(face_model(), 0).reference
        assert set(reference) == set(LABELS)
        assert reference["mouth_extreme"] > reference["mouth_open"] > reference["eyebrow"] > 0.3
