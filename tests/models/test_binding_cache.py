"""Bindings on disk: found again by all that decides them, made anew when damaged."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import bound_head
from models.binding import Binding
from models.bound_head import bind_head
from models.head import Head
from models.registration import cache as binding_cache
from models.registration.artist_head import ArtistHead, Mesh

HEAD = Path(__file__).resolve().parents[2] / "models" / "checkpoints" / "animate-me" / "head"


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load(HEAD)


@pytest.fixture(scope="module")
def binding(head: Head) -> Binding:
    """The head bound to itself, which takes no fitting."""
    mesh = Mesh(head.neutral_vertices, head.triangles)
    bound = bind_head(head, ArtistHead(mesh), always=True).binding
    assert bound is not None
    return bound


def test_the_key_is_all_that_decides_a_binding(head: Head):
    vertices, triangles = head.neutral_vertices, head.triangles
    nose = {"noseTip": np.zeros(3, np.float32)}
    other = replace(head, config={**head.config, "fingerprint": "another"})
    keys = [
        binding_cache.key(head, vertices, triangles, {}),
        binding_cache.key(head, vertices, triangles[:-1], {}),
        binding_cache.key(head, vertices + np.float32([0, 0, 1e-4]), triangles, {}),
        binding_cache.key(head, vertices, triangles, nose),
        binding_cache.key(head, vertices, triangles, {"noseTip": np.float32([0, 0, 1])}),
        binding_cache.key(head, vertices, triangles, {"chin": np.zeros(3, np.float32)}),
        binding_cache.key(other, vertices, triangles, {}),
    ]
    assert len(set(keys)) == len(keys)
    assert binding_cache.key(head, vertices.copy(), triangles.copy(), dict(nose)) == keys[3]


def test_what_was_stored_is_found(head: Head, binding: Binding, tmp_path: Path):
    folder = tmp_path / "new é"
    assert binding_cache.load(folder, "a", head) is None
    binding_cache.store(folder, "a", binding)
    found = binding_cache.load(folder, "a", head)
    assert found is not None
    np.testing.assert_array_equal(found.fitted_vertices, binding.fitted_vertices)
    np.testing.assert_array_equal(found.rule, binding.rule)
    assert binding_cache.load(folder, "b", head) is None
    assert [file.name for file in folder.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("damage", ["empty", "half", "text", "bytes", "a folder", "another head"])
def test_damage_is_as_good_as_nothing(head: Head, binding: Binding, tmp_path: Path, damage: str):
    binding_cache.store(tmp_path, "a", binding)
    path = tmp_path / "a.npz"
    content = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "half":
            path.write_bytes(content[: len(content) // 2])
        case "text":
            path.write_text("no binding")
        case "bytes":
            middle = len(content) // 3
            path.write_bytes(content[:middle] + bytes(200) + content[middle + 200 :])
        case "a folder":
            path.unlink()
            path.mkdir()
        case "another head":
            head = replace(head, config={**head.config, "fingerprint": "another"})
    assert binding_cache.load(tmp_path, "a", head) is None


def test_a_damaged_entry_is_made_anew(head: Head, binding: Binding, tmp_path: Path, monkeypatch):
    made: list[int] = []

    def counted(*_arguments: object, **_options: object) -> Binding:
        made.append(1)
        return binding

    monkeypatch.setattr(bound_head, "bind", counted)
    stranger = ArtistHead(Mesh(head.neutral_vertices, head.triangles[:-1]))
    for _ in range(2):
        bind_head(head, stranger, cache=tmp_path)
    assert len(made) == 1
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:1000])
    bind_head(head, stranger, cache=tmp_path)
    assert len(made) == 2
    bind_head(head, stranger, cache=tmp_path)
    assert len(made) == 2
    bind_head(head, stranger)
    assert len(made) == 3, "without a cache it is made every time"


def test_a_folder_that_cannot_be_written_is_no_error(binding: Binding, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    binding_cache.store(tmp_path / "file" / "bindings", "a", binding)


def test_the_oldest_entries_go(binding: Binding, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(binding_cache, "MOST_ENTRIES", 2)
    for age, name in enumerate("abc"):
        binding_cache.store(tmp_path, name, binding)
        os.utime(tmp_path / f"{name}.npz", (1000 + age, 1000 + age))
    binding_cache.store(tmp_path, "d", binding)
    assert sorted(file.stem for file in tmp_path.iterdir()) == ["c", "d"]
