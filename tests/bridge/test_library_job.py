"""The library job in a real worker: what it leaves, and what it refuses in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.client import Client
from bridge.protocol import Cancelled, Done, LibraryRequest, Progress

from .conftest import Last, poll_until
from .test_jobs import (
    HEAD,
    checkpoint,  # noqa: F401  # fixtures
    client,  # noqa: F401
    done,
    failed,
    leave_head,
    messages_of,
    new_name,
)

pytest.importorskip("torch")

VERTICES = len(HEAD.neutral_vertices)


@pytest.fixture
def request_(tmp_path: Path, checkpoint: Path) -> LibraryRequest:  # noqa: F811
    """Three of ARKit's shapes for the mean head, which lies in the job folder."""
    leave_head(tmp_path, HEAD.neutral_vertices, HEAD.triangles)
    only = ("jawOpen", "mouthSmile*")
    return LibraryRequest(new_name(), str(tmp_path), str(checkpoint), "arkit", only, samples=2)


def test_a_library_is_written_beside_its_head(client: Client, request_: LibraryRequest) -> None:  # noqa: F811
    messages = messages_of(client, request_)
    last = messages[-1]
    assert isinstance(last, Done), last
    assert last.info["names"] == ["jawOpen", "mouthSmileLeft", "mouthSmileRight"]
    assert len(last.info["order"]) == 52
    shapes = np.load(last.paths["deformations"])
    assert shapes.shape == (3, VERTICES, 3)
    assert shapes.dtype == np.float32
    assert np.abs(shapes).max(axis=(1, 2)).min() > 0.5
    assert np.load(last.paths["correctives"]).shape == (len(last.info["pairs"]), VERTICES, 3)
    assert last.info["mm_per_unit"] == pytest.approx(1.0, abs=1e-4)
    steps = [(m.step, m.steps) for m in messages if isinstance(m, Progress) and m.phase == "sample"]
    assert steps == [(step, len(steps)) for step in range(1, len(steps) + 1)]
    assert {m.phase for m in messages if isinstance(m, Progress)} >= {"bind", "sample", "carry", "write"}


def test_an_own_file_is_a_set_too(
    client: Client,  # noqa: F811
    request_: LibraryRequest,
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine é.json"
    path.write_text(
        json.dumps({"format": 1, "shapes": {"open": {"jawOpen": 1}, "rest": {}}}), encoding="utf-8"
    )
    result = done(client, replace(request_, shape_set=str(path), only=()))
    assert result.info["names"] == ["open", "rest"]
    shapes = np.load(result.paths["deformations"])
    assert np.abs(shapes[0]).max() > 0.5
    assert np.abs(shapes[1]).max() == 0


def test_a_seed_makes_one_sample_of_it(client: Client, request_: LibraryRequest) -> None:  # noqa: F811
    def shapes(**changes: Any) -> np.ndarray:
        result = done(client, replace(request_, job=new_name(), **changes))
        assert result.seed == (changes["seed"] or 0)
        return np.load(result.paths["deformations"])

    assert np.array_equal(shapes(seed=4), shapes(seed=4))
    assert not np.array_equal(shapes(seed=4), shapes(seed=5))
    assert not np.array_equal(shapes(seed=4), shapes(seed=None))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape_set": "arkitt"}, "no shape set called “arkitt”: choose arkit, ict"),
        ({"shape_set": ""}, "no shape set called"),
        ({"only": ("mouthSmlie",)}, "called “mouthSmlie”"),
        ({"samples": 0}, "mean of 1 to 1,000 samples"),
        ({"samples": 1001}, "mean of 1 to 1,000 samples"),
        ({"correctives": "some"}, "correctives for pairs or none"),
    ],
)
def test_settings_that_cannot_be_used(
    client: Client,  # noqa: F811
    request_: LibraryRequest,
    change: dict[str, Any],
    said: str,
) -> None:
    failure = failed(client, replace(request_, **change))
    assert (failure.kind, said in failure.message) == ("input", True), failure.message
    assert not (Path(request_.folder) / "deformations.npy").exists()


def test_a_damaged_file_and_an_unknown_head(
    client: Client,  # noqa: F811
    request_: LibraryRequest,
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"format": 1, "shapes": {"a": {"jawOpen": 1}, "a": {}}}', encoding="utf-8")
    failure = failed(client, replace(request_, shape_set=str(path), only=()))
    assert (failure.kind, "mine.json has “a” twice" in failure.message) == ("input", True), failure.message
    leave_head(tmp_path, HEAD.neutral_vertices[:-1], HEAD.triangles[(HEAD.triangles < VERTICES - 1).all(1)])
    failure = failed(client, replace(request_, job=new_name()))
    assert (failure.kind, "641 vertices" in failure.message) == ("input", True), failure.message


def test_a_library_can_be_cancelled(client: Client, request_: LibraryRequest) -> None:  # noqa: F811
    client.send(replace(request_, job="long", only=(), samples=1000))
    poll_until(client, lambda m: isinstance(m, Progress) and m.phase == "sample" and m.step >= 2)
    client.cancel("long")
    messages = poll_until(client, lambda m: isinstance(m, Last) and m.job == "long")
    assert isinstance(messages[-1], Cancelled)
    assert isinstance(messages_of(client, replace(request_, job=new_name()))[-1], Done)
