"""What the add-on offers by name is what the models know by that name."""

import json

import bpy
import pytest

from tests.blender import fake_worker
from tests.blender.extension import ROOT

expression = pytest.importorskip("models.expression")
head_module = pytest.importorskip("models.head")

CONFIG = ROOT / "models" / "checkpoints" / "animate-me" / "head" / "config.json"


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


def test_every_part_of_the_shipped_head_has_a_look(dimple):
    from dimple_under_test.addon.material_writer import LOOKS

    assert set(json.loads(CONFIG.read_text(encoding="utf-8"))["material_names"]) <= LOOKS.keys()


def test_the_shipped_head_is_recognised_from_its_config(dimple):
    from dimple_under_test.addon.preferences import checkpoint, checkpoint_folder

    dimple.preferences.checkpoint = ""
    known = dimple.session.recognition.known_heads(checkpoint_folder(checkpoint(bpy.context)))
    head = head_module.Head.load(CONFIG.parent)
    assert known.vertex_counts == (len(head.neutral_vertices), head.skin_vertices)
    assert known.fingerprint in head.fingerprints
    assert known.unit_names == expression.UNIT_NAMES
