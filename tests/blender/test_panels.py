"""Every panel, drawn in every situation on a layout that knows which properties and operators exist."""

from types import SimpleNamespace

import bpy
import pytest

from tests.blender.extension import PACKAGE


class Layout:
    """Stands in for UILayout, which exists only in a window; remembers the texts."""

    def __init__(self, texts=None):
        self.texts = [] if texts is None else texts
        self.scale_y = 1.0
        self.active = True

    def row(self, **_options):
        return Layout(self.texts)

    column = split = row

    def label(self, text="", icon="NONE"):
        known_icon(icon)
        self.texts.append(text)

    def prop(self, data, name, text=None, icon="NONE", **_options):
        known_icon(icon)
        if name.startswith("["):
            data.path_resolve(name)  # a custom property, which must be there
        self.texts.append(data.bl_rna.properties[name].name if text is None else text)

    def menu(self, name, text="", icon="NONE"):
        known_icon(icon)
        getattr(bpy.types, name).draw(SimpleNamespace(layout=self), None)

    def operator(self, name, text=None, icon="NONE", translate=True):
        known_icon(icon)
        category, _, function = name.partition(".")
        rna = getattr(getattr(bpy.ops, category), function).get_rna_type()
        self.texts.append(rna.name if text is None else text)
        return SimpleNamespace(**{item.identifier: None for item in rna.properties})

    def progress(self, factor, text, type):
        assert 0.0 <= factor <= 1.0
        self.texts.append(text)

    def separator(self):
        pass

    def template_list(self, list_name, _list_id, data, name, active_data, active_name, rows):
        assert hasattr(bpy.types, list_name)
        for item in getattr(data, name):
            getattr(bpy.types, list_name).draw_item(None, None, self, data, item, 0, active_data, active_name)


def known_icon(icon):
    assert icon in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items


@pytest.fixture
def drawn(dimple):
    """The texts of all panels, or of the preferences."""
    from dimple_under_test.addon.panels import draw_preferences

    def draw(what="panels", width=400):
        texts = []
        context = SimpleNamespace(
            scene=bpy.context.scene,
            preferences=SimpleNamespace(
                addons=bpy.context.preferences.addons, system=SimpleNamespace(ui_scale=1.0)
            ),
            active_object=bpy.context.view_layer.objects.active,
            region=SimpleNamespace(width=width),
        )
        if what == "preferences":
            draw_preferences(Layout(texts), context, context.preferences.addons[PACKAGE].preferences)
            return "\n".join(texts)
        for name in ("main", "outcome", "words", "units", "signal", "apply", "recipes", "advanced"):
            panel = getattr(bpy.types, f"DIMPLE_PT_{name}")
            if not hasattr(panel, "poll") or panel.poll(context):
                panel.draw(SimpleNamespace(layout=Layout(texts)), context)
        return "\n".join(texts)

    return draw


def test_without_a_worker_the_panel_shows_the_way(dimple, drawn):
    dimple.preferences.worker_python = "/nowhere/python"
    text = drawn(width=4000)
    assert "No worker Python is at “/nowhere/python”" in text
    assert "Open Preferences" in text


def test_without_a_head(dimple, drawn):
    assert "Select a head" in drawn()


def test_a_head_and_its_state(dimple, head, drawn):
    assert "Recognised: Test Head, 36 vertices" in drawn()
    head.data.vertices.add(1)
    assert "Not bound yet: Generate binds it to Test Head by itself" in drawn(width=4000)


def test_length_in_seconds_says_how_many_frames(dimple, head, drawn):
    dimple.settings.length_in, dimple.settings.seconds = "SECONDS", 2.0
    assert "48 frames at 24 a second" in drawn()


def test_units_and_the_bake_limit_are_shown(dimple, head, drawn):
    dimple.settings.units.add().name = "jawOpen"
    dimple.settings.bake = "LOW_RANK"
    text = drawn(width=4000)
    assert "+ jawOpen 1" in text
    assert "Error up to (mm)" in text


def test_a_running_job_shows_progress_and_cancel(dimple, head, drawn):
    from dimple_under_test.addon.operators import submit_animation

    submit_animation(bpy.context, dimple.settings.request(bpy.context.scene, dimple.preferences.checkpoint))
    text = drawn()
    assert "Starting the worker" in text
    assert "Generate\n" not in text
    assert "Starting the worker" in drawn("preferences")


def test_results_recipes_and_errors_are_shown(dimple, head, drawn):
    dimple.settings.seed = 12
    bpy.ops.dimple.generate()
    bpy.ops.dimple.apply(bake="LOW_RANK", tolerance_mm=0.1)
    text = drawn(width=4000)
    assert "Result of seed 12" in text
    assert "happiness: 40 keys, seed 12" in text
    assert "happiness.001: 3 keys, seed 12, 0.0" in text
    dimple.settings.units.add().name = "crash"
    with pytest.raises(RuntimeError):
        bpy.ops.dimple.generate()
    text = drawn(width=4000)
    assert "stopped unexpectedly" in text
    assert "Open Log" in text


def test_the_setup_is_listed(dimple, drawn):
    assert "Check Setup starts the worker" in drawn("preferences", width=4000)
    bpy.ops.dimple.check_setup()
    assert "torch 2.0" in drawn("preferences")
    dimple.preferences.checkpoint = "/nowhere"
    bpy.ops.dimple.check_setup()
    assert "There is no checkpoint." in drawn("preferences")


def test_everything_has_a_tooltip(dimple):
    for group in (dimple.settings, dimple.settings.units.add(), dimple.preferences):
        for item in group.bl_rna.properties:
            if item.identifier not in ("rna_type", "bl_idname", "units"):
                assert item.description, item.identifier
    for name in dir(bpy.ops.dimple):
        rna = getattr(bpy.ops.dimple, name).get_rna_type()
        assert rna.description, name
        assert all(item.description for item in rna.properties if item.identifier != "rna_type"), name


def test_long_sentences_are_wrapped(dimple, drawn):
    dimple.preferences.worker_python = "/nowhere/python"
    assert max(len(line) for line in drawn(width=250).splitlines()) < 45


def test_every_source_over_time_shows_what_it_needs(drawn, head):
    from dimple_under_test.addon.unit_curves import add_curves

    signal = bpy.context.scene.dimple_signal
    assert "Micro-Motion" in drawn()
    signal.source = "MOMENTS"
    bpy.ops.dimple.add_moment()
    assert "Expression" in drawn()
    signal.source = "CURVES"
    assert "to keyframe" in drawn(width=1000)
    add_curves(head, ["jawOpen"])
    assert "Intensity" in drawn()
    signal.source = "PERFORMANCE"
    assert "To the End" in drawn()


def test_the_answer_to_a_description_is_shown_until_it_is_changed(drawn, head):
    words = bpy.context.scene.dimple_words
    words.prompt = words.answered = "jawOpen zzyzx"
    words.answer = "Not understood: zzyzx."
    assert "Not understood: zzyzx." in drawn()
    words.prompt = "jawOpen"
    assert "Not understood" not in drawn()
