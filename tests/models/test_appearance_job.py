"""A whole appearance job with an untrained but real model: files, sizes, the artist's own texture kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.appearance import Appearance
from models.bound_head import bind_head
from models.errors import InputError
from models.expression import UNIT_NAMES
from models.head import Head
from models.registration.artist_head import ArtistHead, Mesh
from models.skin.generated_skin import GeneratedSkin
from models.skin.head import SkinHead
from models.skin.job import SkinJob, SkinModel, check_resolution, without_spikes
from models.skin.plain_upscale import plain_upscaler
from models.skin.plan import Subject, plan_expression, plan_frames
from models.skin.textures import read_albedo
from models.skin.tile import resampled
from models.skin.uv import SkinLayouts
from models.upscale import DifferenceUpscaler, Upscaler, UpscalerConfig
from models.uv_maps import uv_triangles

from .tiny_appearance import tiny_appearance

WORDS = Path(__file__).parents[2] / "models/checkpoints/text"
FOLDER = Path(__file__).parents[2] / "models/checkpoints/animate-me/head"
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> Appearance:
    return tiny_appearance(Head.load(FOLDER))


def texture(size: int = 96) -> Floats:
    """Skin colour with detail that a model of 64 texels cannot know."""
    random = np.random.default_rng(0).uniform(-0.05, 0.05, (size, size, 3))
    return (np.array([0.7, 0.5, 0.4]) + random).astype(np.float32)


def skin_head(head: Head) -> SkinHead:
    mesh = Mesh(head.neutral_vertices, head.triangles)
    return SkinHead(head, bind_head(head, ArtistHead(mesh)), mesh)


def layouts(head: Head, quarter: bool = False) -> SkinLayouts:
    inner = (head.triangles < head.skin_vertices).all(axis=1)
    uv = head.uv[uv_triangles(head.faces, head.uv_faces, head.triangles)]
    if quarter:
        uv = np.stack([uv[..., 1], 1 - uv[..., 0]], axis=-1)
    return skin_head(head).layouts(uv.reshape(-1, 2), np.flatnonzero(inner))


def job(model: Appearance, own: SkinLayouts, albedo: Floats | None = None, resolution: int = 128) -> SkinJob:
    upscaler = Upscaler(DifferenceUpscaler(UpscalerConfig(width=8, depth=1)))
    albedo = texture() if albedo is None else albedo
    return SkinJob(model, upscaler, skin_head(model.head), own, albedo, resolution)


def shown_as(expression: str) -> tuple[Subject, ...]:
    return plan_expression([expression], 1.0, WORDS).subjects


def written(folder: Path, name: str) -> Floats:
    return read_albedo(folder / f"{name}.png")


def test_an_expression_writes_its_maps_and_those_at_rest(model: Appearance, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    plan = plan_expression(["happiness"], 1.0, WORDS)
    job(model, layouts(model.head), resolution=256).write(
        plan.subjects, tmp_path, lambda step, steps_: steps.append((step, steps_))
    )
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    maps = ["albedo.png", "normal.png", "roughness.png", "specular.png"]
    assert names == sorted([*maps, *(f"neutral/{name}" for name in maps), "position.npy"])
    for name in ("albedo", "specular", "roughness", "normal"):
        assert written(tmp_path, name).shape == (256, 256, 3)
    assert np.abs(written(tmp_path, "albedo") - written(tmp_path / "neutral", "albedo")).max() > 0.02
    counted = [step for step, _ in steps]
    assert counted == sorted(counted)
    assert counted[-1] == 100
    position = np.load(tmp_path / "position.npy")
    assert position.shape == (256, 256, 3)
    low, high = position.reshape(-1, 3).min(axis=0), position.reshape(-1, 3).max(axis=0)
    skin = model.head.neutral_vertices[: model.head.skin_vertices]
    assert (low > skin.min(axis=0) - 20).all()
    assert (high < skin.max(axis=0) + 20).all()


def test_wrinkles_are_of_the_person_that_the_seed_says(model: Appearance, tmp_path: Path) -> None:
    own, subjects = layouts(model.head), shown_as("anger")

    def normals(seed: int, personal: float) -> Floats:
        folder = tmp_path / f"{seed} {personal}"
        folder.mkdir()
        skin: SkinModel = GeneratedSkin(model, seed, personal)
        replace(job(model, own), model=skin).write(subjects, folder, lambda *_: None)
        return written(folder, "normal")

    first = normals(1, 1.0)
    assert not np.array_equal(first, normals(2, 1.0))
    assert np.array_equal(normals(1, 0.0), normals(2, 0.0))
    with pytest.raises(InputError, match="personal from 0 to 1"):
        GeneratedSkin(model, 0, 1.5)


@pytest.mark.parametrize("quarter", [False, True])
def test_the_artists_own_texture_is_what_the_skin_at_rest_shows(
    model: Appearance, tmp_path: Path, quarter: bool
) -> None:
    own = layouts(model.head, quarter)
    assert own.same != quarter
    albedo = texture(256)
    job(model, own, albedo, 256).write(
        plan_expression(["anger"], 1.0, WORDS).subjects, tmp_path, lambda *_: None
    )
    shown = written(tmp_path / "neutral", "albedo")
    np.testing.assert_allclose(shown, albedo, atol=1.01 / 255)
    fine = written(tmp_path, "albedo") - shown
    assert np.abs(fine).max() > 0.015
    assert np.abs(np.diff(fine, axis=0)).mean() < np.abs(np.diff(albedo, axis=0)).mean() / 2, "detail is kept"


def test_a_texture_of_odd_size_lies_where_its_uvs_say(model: Appearance) -> None:
    wide = np.zeros((10, 30, 3), np.float32)
    wide[:, 15:] = 0.5
    square = resampled(wide, 64)
    assert square[:, 36:].min() > 0.49
    assert square[:, :28].max() < 0.01
    skin = job(model, layouts(model.head), wide + 0.1)
    assert skin._known[0].albedo.shape == (128, 128, 3)


def test_a_sequence_is_numbered(model: Appearance, tmp_path: Path) -> None:
    unit = model.head.expression_basis[UNIT_NAMES.index("noseSneerLeft")]
    motion = np.linspace(0, 1, 6)[:, None, None] * unit
    plan = plan_frames(model.head, model.head.neutral_vertices, motion.astype(np.float32))
    seen: list[tuple[int, tuple[int, ...]]] = []
    job(model, layouts(model.head)).write(
        plan.subjects, tmp_path, lambda *_: None, lambda step, _, shown: seen.append((step, shown.shape))
    )
    assert [shape for _, shape in seen] == 2 * [(256, 256, 3)], "one picture for what is generated together"
    assert 0 < seen[0][0] < seen[1][0] < 100
    frames = [written(tmp_path, f"albedo_{number:04d}") for number in range(1, 7)]
    np.testing.assert_array_equal(frames[0], written(tmp_path / "neutral", "albedo"))
    changes = [float(np.abs(frame - frames[0]).mean()) for frame in frames]
    assert changes == sorted(changes)
    assert changes[-1] > 0.0
    assert not (tmp_path / "position.npy").exists()


def test_what_cannot_be_is_refused(model: Appearance) -> None:
    head = model.head
    with pytest.raises(InputError, match="black where the skin is"):
        _ = job(model, layouts(head), 0 * texture())._known
    with pytest.raises(InputError, match="512, 1024, 2048 or 4096"):
        check_resolution(700)
    uv = np.zeros((3 * len(head.triangles), 2), np.float32)
    worn = np.arange(3)
    with pytest.raises(InputError, match="do not fit its faces"):
        skin_head(head).layouts(uv[:-3], worn)
    with pytest.raises(InputError, match="wears this material"):
        skin_head(head).layouts(uv, worn[:0])
    eyes = np.flatnonzero((head.triangles >= head.skin_vertices).any(axis=1))
    with pytest.raises(InputError, match="wears this material"):
        skin_head(head).layouts(uv, eyes)
    with pytest.raises(InputError, match="does not fit its vertices"):
        skin_head(head).motions(head.neutral_vertices[1:])


def test_without_a_network_the_change_is_interpolated_over_the_texture(
    model: Appearance, tmp_path: Path
) -> None:
    own, albedo = layouts(model.head), texture(256)
    made = replace(job(model, own, albedo, 256), upscaler=plain_upscaler("cpu"))
    made.write(shown_as("anger"), tmp_path, lambda *_: None)
    change = written(tmp_path, "albedo") - albedo
    assert np.abs(change).max() > 0.015
    assert np.abs(np.diff(change, axis=0)).mean() < np.abs(np.diff(albedo, axis=0)).mean() / 4
    with pytest.raises(InputError, match="need an upscaler"):
        replace(made, upscaler=None).write(shown_as("anger"), tmp_path / "none", lambda *_: None)


def test_single_texels_that_stand_out_are_taken_from_the_normals() -> None:
    flat = np.broadcast_to(np.array([0.5, 0.5, 1.0], np.float32), (9, 9, 3)).copy()
    crease = flat.copy()
    crease[4] = (0.5, 0.75, 0.9)  # a row of them is a fold
    spiked = flat.copy()
    spiked[4, 4] = (0.05, 0.9, 0.4)
    np.testing.assert_array_equal(without_spikes(spiked), flat)
    np.testing.assert_array_equal(without_spikes(crease), crease)


def test_cancelling_ends_the_work(model: Appearance, tmp_path: Path) -> None:
    class CancelledError(Exception):
        pass

    def cancel(step: int, _steps: int) -> None:
        if step > 10:
            raise CancelledError

    with pytest.raises(CancelledError):
        job(model, layouts(model.head)).write(
            plan_expression(["fear"], 1.0, WORDS).subjects, tmp_path, cancel
        )
