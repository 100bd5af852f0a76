"""What the add-on offers by name is what the models know by that name."""

import pytest

expression = pytest.importorskip("models.expression")
head_module = pytest.importorskip("models.head")

from tests.blender import fake_worker  # noqa: E402


def identifiers(dimple, name):
    return [item.identifier for item in dimple.settings.bl_rna.properties[name].enum_items if item.identifier]


def test_every_label_is_known_and_every_known_label_is_offered(dimple):
    assert identifiers(dimple, "label") == ["none", *expression.LABELS]


def test_profiles(dimple):
    assert identifiers(dimple, "profile") == list(expression.PROFILES)


def test_units_are_written_as_the_models_read_them(dimple):
    unit = dimple.settings.units.add()
    unit.name, unit.weight = "jawOpen", 0.25
    stage = expression.expression_stage(dimple.settings.expressions())
    assert stage[expression.UNIT_NAMES.index("jawOpen")] == pytest.approx(0.25)


def test_the_topology_has_the_same_name_on_both_sides(head):
    from dimple_under_test.addon.mesh_reader import read_fingerprint

    edges = head_module.face_edges(fake_worker.head_arrays()["faces"])
    assert read_fingerprint(head.data) == head_module.fingerprint(len(head.data.vertices), edges)
