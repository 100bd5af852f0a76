"""From the button to the keys with the real worker and the checkpoint that is shipped."""

import importlib.util
import sys

import bpy
import numpy as np
import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="this Python has no torch")


@pytest.fixture
def real(dimple):
    dimple.preferences.worker_python = sys.executable
    dimple.preferences.checkpoint = ""
    dimple.settings.frames = 4
    return dimple


def last_shape(head):
    return np.array([tuple(point.co) for point in head.data.shape_keys.key_blocks[-1].points])


def test_check_setup_finds_everything(real):
    assert bpy.ops.dimple.check_setup() == {"FINISHED"}
    info = real.session.check.done.info
    assert info["missing"] == info["problems"] == []
    assert info["checkpoint_name"]


def test_a_new_person_smiles_and_does_so_again(real):
    bpy.ops.dimple.add_head(seed=1)
    head = bpy.context.view_layer.objects.active
    neutral = np.array([tuple(vertex.co) for vertex in head.data.vertices])
    assert 0.15 < np.ptp(neutral[:, 2]) < 0.5  # metres: the size of a head
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    first = last_shape(head)
    moved_mm = 1000.0 * np.linalg.norm(first - neutral, axis=1)
    assert 3.0 < moved_mm.max() < 40.0
    head.data.shape_keys.key_blocks[-1].points[0].co.x += 1.0
    assert bpy.ops.dimple.generate_again() == {"FINISHED"}
    np.testing.assert_array_equal(last_shape(head), first)


def test_a_turned_and_enlarged_head_moves_alike(real):
    bpy.ops.dimple.add_head(seed=1)
    head = bpy.context.view_layer.objects.active
    neutral = np.array([tuple(vertex.co) for vertex in head.data.vertices], np.float32)
    bpy.ops.dimple.generate()
    moved = last_shape(head) - neutral
    bpy.ops.dimple.add_head(seed=1)
    other = bpy.context.view_layer.objects.active
    turned = np.ascontiguousarray(10.0 * neutral[:, [1, 2, 0]] + 3.0)
    other.data.vertices.foreach_set("co", turned.ravel())
    bpy.ops.dimple.generate()
    found = (last_shape(other) - turned) / 10.0
    np.testing.assert_allclose(found, moved[:, [1, 2, 0]], atol=5e-5)
