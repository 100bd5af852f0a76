"""A Blender without anybody's settings, Dimple enabled in it, and a stand-in for the worker."""

import json
import os
import shutil
import stat
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.blender import fake_worker
from tests.blender.extension import PACKAGE, SCRATCH, raise_error

bpy = pytest.importorskip("bpy")
import addon_utils  # noqa: E402  # found only after bpy

EXIT_STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    shutil.rmtree(SCRATCH, ignore_errors=True)
    # Blender as a Python module may crash (4.2) or hang (4.5) in its own clean-up when Python ends.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(config.stash.get(EXIT_STATUS, 0))


@pytest.fixture(scope="session")
def worker_python(tmp_path_factory):
    """An executable that runs the stand-in whatever it is told to run."""
    path = tmp_path_factory.mktemp("worker é") / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{fake_worker.__file__}"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A folder that says of itself that it knows the stand-in's head."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "head").mkdir()
    config = {
        "name": "Test Head",
        "skin_vertices": fake_worker.SKIN,
        "parts": {"teeth": [fake_worker.SKIN, fake_worker.SIZE**2]},
        "fingerprint": fake_worker.known_fingerprint(),
        "unit_names": fake_worker.UNIT_NAMES,
    }
    (folder / "head" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def empty_file():
    """A file with an empty scene."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.fixture
def dimple(empty_file, worker_python, checkpoint):
    """Dimple enabled, with the stand-in as its worker; disabled again after the test."""
    addon_utils.enable(PACKAGE, default_set=True, handle_error=raise_error)
    from dimple_under_test.addon.session import session

    preferences = bpy.context.preferences.addons[PACKAGE].preferences
    preferences.worker_python = str(worker_python)
    preferences.checkpoint = str(checkpoint)
    yield SimpleNamespace(session=session, preferences=preferences, settings=bpy.context.scene.dimple)
    addon_utils.disable(PACKAGE, default_set=True, handle_error=raise_error)


@pytest.fixture
def head(dimple):
    """A head that the checkpoint knows, active and selected."""
    from dimple_under_test.addon.head_builder import HeadArrays, build_head

    built = build_head(HeadArrays(**fake_worker.head_arrays(), material_names=fake_worker.MATERIALS), "Ann")
    bpy.context.collection.objects.link(built)
    built.select_set(True)
    bpy.context.view_layer.objects.active = built
    return built


@pytest.fixture
def shape():
    """Reads what an object looks like at a frame, evaluated: (V, 3)."""

    def evaluated(target, frame):
        bpy.context.scene.frame_set(frame)
        mesh = target.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
        coordinates = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", coordinates)
        return coordinates.reshape(-1, 3)

    return evaluated
