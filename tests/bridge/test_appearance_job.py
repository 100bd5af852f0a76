"""The appearance job in a real worker: what it leaves, and what it refuses in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.client import Client
from bridge.new_folder import new_folder
from bridge.protocol import AUTHORED, AppearanceRequest, Cancelled, Done, Progress, decode
from bridge.worker import JobFailedError

from .conftest import last_of, poll_until
from .test_jobs import (
    client,  # noqa: F401  # fixture
    done,
    failed,
    leave_head,
    messages_of,
    new_name,
)

pytest.importorskip("torch")
from models.head import Head
from models.skin.textures import read_albedo, write_png
from models.uv_maps import uv_triangles

CHECKPOINT = "animate-me"
HEAD = Head.load(Path(__file__).parents[2] / "models" / "checkpoints" / CHECKPOINT / "head")
MAPS = ("albedo", "specular", "roughness", "normal")


@pytest.fixture
def request_(tmp_path: Path) -> AppearanceRequest:
    """A nose wrinkle on authored skin of the mean head, which lies in the job folder with its UVs."""
    folder = tmp_path / "job"
    folder.mkdir()
    leave_head(folder, HEAD.neutral_vertices, HEAD.triangles)
    uv = HEAD.uv[uv_triangles(HEAD.faces, HEAD.uv_faces, HEAD.triangles)]
    np.save(folder / "uv.npy", uv.reshape(-1, 2))
    skin = np.flatnonzero((HEAD.triangles < HEAD.skin_vertices).all(axis=1)).astype(np.int32)
    np.save(folder / "skin_triangles.npy", skin[:, None])
    return AppearanceRequest(
        job=new_name(),
        folder=str(folder),
        checkpoint=CHECKPOINT,
        skin=AUTHORED,
        subject="expression",
        expressions=("noseSneerLeft", "noseSneerRight"),
        intensity=1.0,
        key_names=(),
        sets=2,
        texture="",
        skin_seed=3,
        resolution=512,
        out=str(tmp_path / "out é" / "skin"),
    )


def test_maps_of_an_expression_lie_in_a_new_folder(client: Client, request_: AppearanceRequest) -> None:  # noqa: F811
    messages = messages_of(client, request_)
    last = messages[-1]
    assert isinstance(last, Done), last
    out = Path(request_.out)
    assert last.paths["folder"] == str(out)
    files = {str(path.relative_to(out)) for path in out.rglob("*.*")}
    maps = {f"{name}.png" for name in MAPS}
    assert files == {*maps, *(f"neutral/{name}" for name in maps), "position.npy", "recipe.json"}
    assert [entry["label"] for entry in last.info["sets"]] == ["neutral", "noseSneerLeft, noseSneerRight"]
    assert last.info["source"].startswith("Authored, not captured")
    change = read_albedo(out / "albedo.png") - read_albedo(out / "neutral" / "albedo.png")
    assert np.abs(change).max() > 0.05
    steps = [(m.step, m.steps) for m in messages if isinstance(m, Progress) and m.phase == "sample"]
    assert steps[-1] == (100, 100)
    pictures = [m.picture for m in messages if isinstance(m, Progress) and m.picture]
    assert len(pictures) == 1
    assert np.ptp(read_albedo(Path(pictures[0]))) > 0.3
    assert [path.name for path in out.parent.iterdir()] == ["skin"]


def test_cancelling_leaves_no_folder(client: Client, request_: AppearanceRequest) -> None:  # noqa: F811
    client.send(request_)
    poll_until(client, lambda m: isinstance(m, Progress) and m.phase == "sample")
    client.cancel(request_.job)
    assert isinstance(last_of(client, request_.job), Cancelled)
    assert list(Path(request_.out).parent.glob("*")) == []


def test_the_recipe_makes_the_skin_again_also_from_a_texture(
    client: Client,  # noqa: F811
    request_: AppearanceRequest,
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(0).uniform(0.3, 0.7, (512, 512, 3)).astype(np.float32)
    write_png(tmp_path / "mine.png", random)
    done(client, replace(request_, texture=str(tmp_path / "mine.png")))
    shown = read_albedo(Path(request_.out) / "neutral" / "albedo.png")
    np.testing.assert_allclose(shown, read_albedo(tmp_path / "mine.png"), atol=1.01 / 255)
    recipe = decode((Path(request_.out) / "recipe.json").read_bytes())
    assert isinstance(recipe, AppearanceRequest)
    again = replace(recipe, job=new_name(), folder=request_.folder, out=request_.out + " 2")
    done(client, again)
    for name in MAPS:
        first, second = (Path(out) / f"{name}.png" for out in (request_.out, again.out))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"texture": "/nowhere/skin.png"}, "is not there"),
        ({"resolution": 1000}, "512, 1024, 2048 or 4096"),
        ({"expressions": ("qwxz",)}, "no expression called “qwxz”"),
        ({"expressions": ()}, "no expression"),
        ({"skin": "nobody"}, "no readable skin checkpoint"),
        ({"subject": "keys"}, "missing or damaged"),
    ],
)
def test_what_cannot_be_done_is_told(
    client: Client,  # noqa: F811
    request_: AppearanceRequest,
    changes: dict[str, Any],
    sentence: str,
) -> None:
    failure = failed(client, replace(request_, **changes))
    assert sentence in failure.message
    assert not Path(request_.out).exists()


def test_overlapping_uvs_are_told(client: Client, request_: AppearanceRequest) -> None:  # noqa: F811
    uv = np.load(Path(request_.folder) / "uv.npy")
    uv[:, 0] = np.abs(uv[:, 0] - 0.5)
    np.save(Path(request_.folder) / "uv.npy", uv)
    assert "overlap" in failed(client, request_).message


def test_a_folder_with_something_in_it_is_left_alone(client: Client, request_: AppearanceRequest) -> None:  # noqa: F811
    out = Path(request_.out)
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("mine")
    assert "There is something in" in failed(client, request_).message
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


# ------------------------------------------------------------------------------------------ the new folder


def test_a_write_protected_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(JobFailedError, match="cannot be written"), new_folder(tmp_path / "file" / "skin", 10):
        pass
    if os.geteuid() != 0:  # nothing is protected from root
        tmp_path.chmod(0o500)
        with pytest.raises(JobFailedError, match="Permission denied"), new_folder(tmp_path / "skin", 10):
            pass
        tmp_path.chmod(0o700)


def test_too_small_a_disk_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(JobFailedError, match="is full"), new_folder(tmp_path / "skin", 1 << 60):
        raise AssertionError("the work began")
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bridge.new_folder import new_folder
from bridge.worker import JobFailedError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    with new_folder(Path(sys.argv[2]) / "skin", 10) as folder:
        (folder / "albedo.png").write_bytes(bytes(100_000))
except JobFailedError as error:
    print(error.kind, error.message)
"""


def test_a_disk_that_runs_full_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", FULL_DISK, root, str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.startswith("input The disk of")
    assert "is full" in output
    assert list(tmp_path.iterdir()) == []
