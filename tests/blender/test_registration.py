"""Enabling and disabling leave Blender as it was."""

import os
import subprocess
from pathlib import Path

import addon_utils
import bpy
import pytest

from tests.blender.extension import PACKAGE, raise_error


def traces():
    """Everything in Blender that could be left behind."""
    handlers = {
        name: [function.__module__ for function in value]
        for name in dir(bpy.app.handlers)
        if isinstance(value := getattr(bpy.app.handlers, name), list)
    }
    return {
        "classes": {name for name in dir(bpy.types) if "dimple" in name.lower()},
        "operators": dir(bpy.ops.dimple),
        "scene": hasattr(bpy.types.Scene, "dimple"),
        "menu": len(bpy.types.VIEW3D_MT_mesh_add._dyn_ui_initialize()),
        "handlers": handlers,
        "addons": set(bpy.context.preferences.addons.keys()),
        "keymaps": {keymap.name for keymap in bpy.context.window_manager.keyconfigs.addon.keymaps}
        if bpy.context.window_manager.keyconfigs.addon
        else set(),
    }


def children():
    """Command lines of this process's workers."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(maxsplit=1) for line in listed.splitlines()]
    return [args for parent, args in rows if parent == str(os.getpid()) and "fake_worker.py" in args]


def test_enabling_twice_leaves_nothing_behind(empty_file):
    before = traces()
    for _ in range(2):
        addon_utils.enable(PACKAGE, default_set=True, handle_error=raise_error)
        during = traces()
        assert during["scene"]
        assert "generate" in during["operators"]
        assert during["menu"] == before["menu"] + 1
        addon_utils.disable(PACKAGE, default_set=True, handle_error=raise_error)
        assert traces() == before


def test_disabling_ends_the_worker_and_removes_its_files(dimple, head):
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    folder = dimple.session.results[head.session_uid].request.folder
    assert len(children()) == 1
    addon_utils.disable(PACKAGE, default_set=True, handle_error=raise_error)

    assert children() == []
    assert not Path(folder).exists()
    assert dimple.session.current is None
    assert dimple.session.results == {}


def test_a_failure_half_way_takes_back_what_was_registered(empty_file, monkeypatch):
    from dimple_under_test.addon import registration

    before = traces()
    monkeypatch.setattr(registration, "CLASSES", (*registration.CLASSES[:5], object))
    with pytest.raises(RuntimeError, match="register_class"):
        registration.register_all()
    assert traces() == before


def test_works_when_enabled_for_this_session_only(empty_file):
    addon_utils.enable(PACKAGE, default_set=False, handle_error=raise_error)
    assert not bpy.ops.dimple.generate.poll()
    assert bpy.context.scene.dimple.frames == 40
    addon_utils.disable(PACKAGE, default_set=False, handle_error=raise_error)
