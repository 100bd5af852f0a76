"""`dimple appearance`: a folder of maps, or a sentence."""

import json

import numpy as np
import pytest

from tests.blender.fake_worker import write_png
from tests.blender.test_headless import error_sentence, obj_head, run  # noqa: F401  # fixtures


@pytest.fixture
def uv_head(tmp_path):
    """A file with the stand-in's head and its UVs."""
    from tests.blender import fake_worker

    arrays = fake_worker.head_arrays()
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in arrays["neutral_vertices"]]
    lines += [f"vt {u:.5f} {v:.5f}" for u, v in arrays["uv"]]
    faces = zip(arrays["faces"], arrays["uv_faces"], strict=True)
    lines += [
        "f " + " ".join(f"{i + 1}/{j + 1}" for i, j in zip(*pair, strict=True) if i >= 0) for pair in faces
    ]
    path = tmp_path / "head.obj"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_maps_of_a_file_with_a_texture(run, uv_head, tmp_path):  # noqa: F811
    write_png(tmp_path / "neutral.png", (200, 150, 120))
    out = tmp_path / "maps"
    options = ["--texture", tmp_path / "neutral.png", "--resolution", 2048, "--out", out]
    result = run("appearance", uv_head, "--expression", "nose wrinkle", *options)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in out.iterdir()} >= {
        f"{n}.png" for n in ("albedo", "specular", "roughness", "normal")
    }
    assert "2 sets of maps, 2048 x 2048" in result.stderr


def test_maps_of_a_new_person_with_authored_skin(run, tmp_path):  # noqa: F811
    out = tmp_path / "maps"
    result = run("appearance", "dimple:3", "--skin", 5, "--expression", "anger", "--out", out)
    assert result.returncode == 0, result.stderr
    assert (out / "neutral" / "albedo.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--skin", 1], "Say with --expression what the face does"),
        (["--expression", "anger"], "Give the neutral skin with --texture FILE"),
        (["--expression", "anger", "--skin", 1, "--texture", "x.png"], "either --texture or --skin"),
        (["--expression", "anger", "--texture", "nowhere.png"], "There is no texture"),
        (["--skin", 1, "--expression", "anger", "--personal", 3], "--personal is a share from 0 to 1"),
        (["--skin", 1, "--subject", "keys"], "has no shape keys that move it"),
        (["--skin", 1, "--expression", "refuse"], "black where the face is"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, uv_head, tmp_path, arguments, sentence):  # noqa: F811
    result = run("appearance", uv_head, *arguments, "--out", tmp_path / "maps")
    assert result.returncode == 2
    assert sentence in error_sentence(result)
    assert not (tmp_path / "maps").exists()


def test_a_head_without_uvs_is_refused(run, obj_head, tmp_path):  # noqa: F811
    result = run("appearance", obj_head, "--skin", 1, "--expression", "anger", "--out", tmp_path / "maps")
    assert result.returncode == 2
    assert "has no UV map" in error_sentence(result)


def test_nothing_is_overwritten(run, uv_head, tmp_path):  # noqa: F811
    out = tmp_path / "maps"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    result = run("appearance", uv_head, "--skin", 1, "--expression", "anger", "--out", out)
    assert result.returncode == 2
    assert "There is something in" in error_sentence(result)
    result = run("appearance", uv_head, "--skin", 1, "--expression", "anger", "--out", tmp_path / "a" / "b")
    assert "There is no folder" in error_sentence(result)


def test_arrays_fit_the_head(run, uv_head, tmp_path, monkeypatch):  # noqa: F811
    from tests.blender import fake_worker

    seen = {}
    monkeypatch.setattr(
        "dimple_under_test.addon.session.np.save", lambda path, array, **_: seen.update({path.stem: array})
    )
    run("appearance", uv_head, "--skin", 1, "--expression", "anger", "--out", tmp_path / "maps")
    uv, triangles = seen["uv"].reshape(-1, 3, 2), seen["triangles"]
    expected = fake_worker.head_arrays()["uv"]  # one UV a vertex
    np.testing.assert_allclose(uv, expected[triangles], atol=1e-4)
    assert json.dumps(seen["skin_triangles"].shape) == f"[{len(triangles)}, 1]"
