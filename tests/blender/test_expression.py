"""Words, keyframed units, moments, takes, own presets: from the panel's settings to the request and back."""

import json

import bpy
import numpy as np
import pytest


@pytest.fixture
def settings(dimple, head):
    dimple.settings.apply_when_done = False
    dimple.settings.frames = 8
    return dimple.settings


@pytest.fixture
def signal(settings):
    return bpy.context.scene.dimple_signal


@pytest.fixture
def presets(monkeypatch, tmp_path):
    from dimple_under_test.addon import preset_files, preset_operators, signal_properties

    for module in (preset_files, preset_operators):
        monkeypatch.setattr(module, "presets_folder", lambda: tmp_path / "presets")
    del signal_properties
    return tmp_path / "presets"


def request_of(dimple, head):
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    return dimple.session.results[head.session_uid].request


def folder_of(dimple, head):
    from pathlib import Path

    return Path(dimple.session.results[head.session_uid].request.folder)


def keyframe(head, name, values):
    for frame, value in values.items():
        head[f"Dimple {name}"] = value
        head.keyframe_insert(f'["Dimple {name}"]', frame=frame)


class TestWords:
    def test_words_fill_the_units(self, dimple, settings):
        words = bpy.context.scene.dimple_words
        words.prompt = "jawOpen zzyzx"
        assert bpy.ops.dimple.express() == {"FINISHED"}
        assert settings.label == "none"
        assert settings.expressions() == ("jawOpen=0.500",)
        assert words.answer == "Not understood: zzyzx."

    def test_words_without_a_face_change_nothing(self, dimple, settings):
        words = bpy.context.scene.dimple_words
        words.prompt = "zzyzx"
        with pytest.raises(RuntimeError, match="no facial expression"):
            bpy.ops.dimple.express()
        assert settings.expressions() == ("happiness",)

    def test_no_words_are_refused(self, dimple, settings):
        assert not bpy.ops.dimple.express.poll()


class TestKeyframedUnits:
    def test_the_worker_gets_every_frame_of_the_curves(self, dimple, head, settings, signal):
        settings.label = "none"
        settings.units.add().name = "jawOpen"
        settings.start_frame = 5
        bpy.ops.dimple.add_curves()
        keyframe(head, "jawOpen", {5: 0.0, 12: 0.7})
        for fcurve in _fcurves(head):
            for point in fcurve.keyframe_points:
                point.interpolation = "LINEAR"
        head["Dimple intensity"] = 0.5
        bpy.context.scene.frame_set(3)
        signal.source = "CURVES"
        request = request_of(dimple, head)
        assert (request.curves, request.expressions, request.frames) == (("jawOpen",), (), 8)
        weights = np.load(folder_of(dimple, head) / "curves.npy")
        np.testing.assert_allclose(weights[:, 0], 0.5 * np.linspace(0.0, 0.7, 8), atol=1e-6)
        assert bpy.context.scene.frame_current == 3

    def test_properties_have_ranges_and_tooltips(self, dimple, head, settings):
        bpy.ops.dimple.add_curves()
        ui = head.id_properties_ui("Dimple happiness").as_dict()
        assert (ui["min"], ui["max"], ui["soft_max"]) == (0.0, 1.5, 1.0)
        assert "happiness" in ui["description"]

    def test_again_does_not_need_the_keyframes_any_more(self, dimple, head, settings, signal):
        bpy.ops.dimple.add_curves()
        keyframe(head, "happiness", {1: 0.0, 8: 1.0})
        signal.source = "CURVES"
        settings.apply_when_done = True
        request = request_of(dimple, head)
        drawn = np.array(dimple.session.results[head.session_uid].array("drawn_signal"))
        assert list(head["dimple_signals"].keys()) == ["keyframed"]
        bpy.ops.dimple.remove_curve(name="happiness")
        assert not [name for name in head.keys() if name.startswith("Dimple ")]  # noqa: SIM118
        assert not bpy.data.actions or not list(_fcurves(head))
        settings.apply_when_done = False
        assert bpy.ops.dimple.generate_again(recipe="keyframed") == {"FINISHED"}
        again = dimple.session.results[head.session_uid].request
        assert again.signal_digest == request.signal_digest
        np.testing.assert_array_equal(np.load(folder_of(dimple, head) / "expression_signal.npy"), drawn)
        bpy.ops.dimple.remove(recipe="keyframed")
        assert "dimple_signals" not in head

    def test_other_keyframes_are_another_animation(self, dimple, head, settings, signal):
        bpy.ops.dimple.add_curves()
        signal.source = "CURVES"
        head["Dimple happiness"] = 0.5
        first = request_of(dimple, head)
        head["Dimple happiness"] = 0.6
        assert request_of(dimple, head).signal_digest != first.signal_digest

    def test_a_driven_property_is_refused(self, dimple, head, settings, signal):
        bpy.ops.dimple.add_curves()
        head.driver_add('["Dimple happiness"]')
        signal.source = "CURVES"
        with pytest.raises(RuntimeError, match="bake its driver"):
            bpy.ops.dimple.generate()

    def test_without_curves_generate_says_what_to_do(self, dimple, head, settings, signal):
        signal.source = "CURVES"
        assert not bpy.ops.dimple.generate.poll()


def _fcurves(head):
    from dimple_under_test.addon.unit_curves import _fcurves as fcurves_of

    return fcurves_of(head) or ()


class TestMomentsAndTakes:
    def test_moments_are_told_in_words(self, dimple, head, settings, signal):
        signal.source = "MOMENTS"
        assert not bpy.ops.dimple.generate.poll()
        bpy.ops.dimple.add_moment()
        bpy.ops.dimple.add_moment()
        one, two = signal.moments
        one.expression, one.intensity = "happiness, jawOpen=0.5", 0.5
        two.expression, two.own_transition, two.transition = "neutral", True, 0.25
        request = request_of(dimple, head)
        assert request.moments == ("0.5:happiness=0.5,jawOpen=0.25", "1:@0.25")
        assert request.expressions == ()
        assert request.frames == 25  # the last moment is reached at 24 frames a second

    def test_moments_add_to_the_expression_when_asked(self, dimple, head, settings, signal):
        signal.source = "MOMENTS"
        bpy.ops.dimple.add_moment()
        signal.moments[0].expression = "jawOpen"
        signal.adds = True
        request = request_of(dimple, head)
        assert request.moments == ("0.5:jawOpen=1",)
        assert request.expressions == ("happiness",)
        settings.label = "none"  # nothing that could be added to
        assert not bpy.ops.dimple.generate.poll()

    def test_a_take_is_named_and_told_from_another(self, dimple, head, settings, signal, tmp_path):
        signal.source = "PERFORMANCE"
        assert not bpy.ops.dimple.generate.poll()
        take = tmp_path / "take 1.csv"
        take.write_text("Timecode\n")
        signal.performance, signal.performance_start, signal.whole_take = str(take), 1.5, False
        request = request_of(dimple, head)
        assert (request.performance, request.performance_start, request.frames) == (str(take), 1.5, 8)
        take.write_text("Timecode,JawOpen\n")
        assert request_of(dimple, head).signal_digest != request.signal_digest
        take.unlink()
        with pytest.raises(RuntimeError, match="cannot be read"):
            bpy.ops.dimple.generate()

    def test_sides_and_life_are_in_the_request(self, dimple, head, settings, signal):
        signal.left, signal.right, signal.micro_motion, signal.blinks = 0.5, 1.0, 0.25, 12.0
        request = request_of(dimple, head)
        assert (request.left, request.right) == (0.5, 1.0)
        assert (request.micro_motion, request.blinks) == (0.25, 12.0)


class TestPresets:
    def test_what_is_saved_can_be_loaded(self, dimple, settings, presets):
        settings.label = "none"
        unit = settings.units.add()
        unit.name, unit.weight = "jawOpen", 0.25
        assert bpy.ops.dimple.save_preset(name="Grandma", author="Ann", licence="CC0-1.0") == {"FINISHED"}
        assert json.loads((presets / "Grandma.json").read_text())["author"] == "Ann"
        settings.units.clear()
        settings.label = "anger"
        assert bpy.ops.dimple.load_preset(name="Grandma") == {"FINISHED"}
        assert settings.expressions() == ("jawOpen=0.250",)
        bpy.ops.dimple.delete_preset(name="Grandma")
        assert not list(presets.iterdir())

    def test_a_refused_name_is_a_sentence(self, dimple, settings, presets):
        with pytest.raises(RuntimeError, match="already"):
            bpy.ops.dimple.save_preset(name="taken")
        with pytest.raises(RuntimeError, match="no preset"):
            bpy.ops.dimple.load_preset(name="gone")

    def test_presets_that_are_named_go_with_the_request(self, dimple, head, settings, presets):
        bpy.ops.dimple.save_preset(name="Grandma")
        settings.label = "none"
        settings.units.add().name = "grandma=0.5"
        assert request_of(dimple, head).presets == {"Grandma": {"happiness": 1.0}}
