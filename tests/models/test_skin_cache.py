"""The skin cache gives back what was written, to the precision it promises."""

from pathlib import Path

import numpy as np
import pytest

from models.commands.options import CHECKPOINT
from models.corpus.skin_cache import (
    Records,
    SkinCache,
    has_shard,
    write_people,
    write_settings,
    write_shard,
)
from models.errors import InputError
from models.head import Head
from models.uv_maps import FACE_WINDOW, POSITION_SCALE, UVLayout

SIZE = 16


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load(CHECKPOINT / "head")


def shard(rng: np.random.Generator, vertices: int, person: int) -> Records:
    """A neutral and two frames of one person."""
    slope = rng.uniform(-0.5, 0.5, (3, SIZE, SIZE, 2))
    normal = np.concatenate([slope, np.sqrt(1 - np.square(slope).sum(3, keepdims=True))], axis=3) / 2 + 0.5
    return Records(
        albedo=rng.random((3, SIZE, SIZE, 3)),
        specular=rng.random((3, SIZE, SIZE)),
        roughness=rng.random((3, SIZE, SIZE)),
        normal=normal,
        height=rng.uniform(-1, 1, (3, SIZE, SIZE)),
        deformation=rng.uniform(-20, 20, (3, vertices, 3)) * [[[0]], [[1]], [[1]]],
        person=np.full(3, person),
        neutral=np.zeros(3, np.int64),
        stage=rng.random((3, 57)).astype(np.float32),
        intensity=rng.random(3).astype(np.float32),
        label=np.full(3, -1, np.int16),
        kind=np.array([-1, 0, 1], np.int16),
    )


def test_round_trip(tmp_path: Path, head: Head):
    rng = np.random.default_rng(0)
    layout = UVLayout.of_head(head, SIZE, FACE_WINDOW)
    offsets = rng.uniform(-10, 10, (2, layout.vertex_count, 3))
    written = [shard(rng, layout.vertex_count, person) for person in (0, 1)]
    write_settings(tmp_path, layout, ("melanin", "age"), {"made_of": "test"})
    write_people(tmp_path / "train", np.array([7, 9]), np.array([[0.1, 0.2], [0.3, 0.4]]), offsets)
    for number, records in enumerate(written):
        assert not has_shard(tmp_path / "train", number, 1)
        write_shard(tmp_path / "train", number, records)
        assert has_shard(tmp_path / "train", number, 1)
        assert not has_shard(tmp_path / "train", number, 2)

    cache = SkinCache.open(tmp_path, "train", head)
    assert len(cache) == 6
    assert cache.neutral.tolist() == [0, 0, 0, 3, 3, 3]
    assert cache.frames.tolist() == [1, 2, 4, 5]
    assert cache.traits["age"] == pytest.approx([0.2, 0.4])
    batch = cache.read(np.array([4, 2]))
    for row, (number, record) in enumerate([(1, 1), (0, 2)]):
        truth = written[number]
        assert np.allclose(batch.albedo[row].transpose(1, 2, 0), truth.albedo[record], atol=0.003)
        assert np.allclose(batch.specular[row, 0], truth.specular[record], atol=0.003)
        assert np.allclose(batch.roughness[row, 0], truth.roughness[record], atol=0.003)
        assert np.allclose(batch.normal[row].transpose(1, 2, 0), truth.normal[record], atol=0.005)
        assert np.allclose(batch.height[row, 0], truth.height[record], atol=1e-4)
        moved = layout.rasterise(truth.deformation[record]) / POSITION_SCALE
        assert np.allclose(batch.position[row].transpose(1, 2, 0), moved, atol=1e-3)
        rest = layout.rasterise(offsets[number]) / POSITION_SCALE
        assert np.allclose(batch.neutral_position[row].transpose(1, 2, 0), rest, atol=1e-3)
    assert not cache.deformations(cache.neutral).any()


def test_refusals(tmp_path: Path, head: Head):
    with pytest.raises(InputError, match="corpus skin"):
        SkinCache.open(tmp_path, "train", head)
    layout = UVLayout.of_head(head, SIZE)
    write_settings(tmp_path, layout, (), {"seed": 1})
    write_settings(tmp_path, layout, (), {"seed": 1})
    with pytest.raises(InputError, match="other skin"):
        write_settings(tmp_path, layout, (), {"seed": 2})
