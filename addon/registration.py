"""What Dimple adds to Blender. Every addition brings its own removal, so that nothing can be left behind."""

from __future__ import annotations

import atexit
from contextlib import ExitStack

import bpy
from bpy.app.handlers import persistent

from . import (
    binding_operators,
    binding_panel,
    binding_properties,
    companion_operators,
    landmark_operators,
    landmark_overlay,
    library_operators,
    library_panel,
    library_properties,
    operators,
    panel_operators,
    panels,
    preferences,
    preset_operators,
    properties,
    signal_operators,
    signal_panel,
    signal_properties,
    skin_operators,
    skin_panel,
    skin_properties,
    words_panel,
)
from .session import session

CLASSES = (
    preferences.DimplePreferences,
    properties.DimpleUnit,
    properties.DimpleSettings,
    library_properties.DimpleLibrarySettings,
    binding_properties.DimpleBindingSettings,
    signal_properties.DimpleMoment,
    signal_properties.DimpleSignalSettings,
    words_panel.DimpleWords,
    skin_properties.DimpleSkinSettings,
    operators.DIMPLE_OT_generate,
    operators.DIMPLE_OT_generate_again,
    operators.DIMPLE_OT_cancel,
    operators.DIMPLE_OT_apply,
    panel_operators.DIMPLE_OT_remove,
    operators.DIMPLE_OT_add_head,
    operators.DIMPLE_OT_check_setup,
    panel_operators.DIMPLE_OT_add_unit,
    panel_operators.DIMPLE_OT_remove_unit,
    panel_operators.DIMPLE_OT_open_log,
    panel_operators.DIMPLE_OT_open_preferences,
    library_operators.DIMPLE_OT_generate_library,
    library_operators.DIMPLE_OT_remove_library,
    binding_operators.DIMPLE_OT_bind,
    binding_operators.DIMPLE_OT_unbind,
    binding_operators.DIMPLE_OT_show_fit,
    binding_operators.DIMPLE_OT_show_confidence,
    landmark_operators.DIMPLE_OT_set_landmark,
    landmark_operators.DIMPLE_OT_remove_landmark,
    companion_operators.DIMPLE_OT_find_companions,
    companion_operators.DIMPLE_OT_add_companions,
    companion_operators.DIMPLE_OT_remove_companion,
    words_panel.DIMPLE_OT_express,
    signal_operators.DIMPLE_OT_add_moment,
    signal_operators.DIMPLE_OT_remove_moment,
    signal_operators.DIMPLE_OT_add_curves,
    signal_operators.DIMPLE_OT_remove_curve,
    preset_operators.DIMPLE_OT_load_preset,
    preset_operators.DIMPLE_OT_save_preset,
    preset_operators.DIMPLE_OT_delete_preset,
    preset_operators.DIMPLE_MT_presets,
    skin_operators.DIMPLE_OT_generate_skin,
    skin_operators.DIMPLE_OT_generate_skin_again,
    skin_operators.DIMPLE_OT_remove_skin,
    skin_operators.DIMPLE_OT_open_skin_folder,
    panels.DIMPLE_UL_units,
    panels.DIMPLE_PT_main,
    panels.DIMPLE_PT_outcome,
    binding_panel.DIMPLE_UL_companions,
    binding_panel.DIMPLE_PT_binding,
    binding_panel.DIMPLE_PT_landmarks,
    binding_panel.DIMPLE_PT_companions,
    words_panel.DIMPLE_PT_words,
    panels.DIMPLE_PT_units,
    signal_panel.DIMPLE_UL_moments,
    signal_panel.DIMPLE_PT_signal,
    panels.DIMPLE_PT_apply,
    panels.DIMPLE_PT_recipes,
    library_panel.DIMPLE_PT_library,
    skin_panel.DIMPLE_PT_skin,
    panels.DIMPLE_PT_advanced,
)


def register_all() -> None:
    """Add it; where one addition fails, those before it are undone."""
    with ExitStack() as stack:
        for registered in CLASSES:
            bpy.utils.register_class(registered)
            stack.callback(bpy.utils.unregister_class, registered)
        bpy.types.Scene.dimple = bpy.props.PointerProperty(type=properties.DimpleSettings)
        stack.callback(delattr, bpy.types.Scene, "dimple")
        library_settings = bpy.props.PointerProperty(type=library_properties.DimpleLibrarySettings)
        bpy.types.Scene.dimple_library = library_settings
        stack.callback(delattr, bpy.types.Scene, "dimple_library")
        bpy.types.Scene.dimple_binding = bpy.props.PointerProperty(
            type=binding_properties.DimpleBindingSettings
        )
        stack.callback(delattr, bpy.types.Scene, "dimple_binding")
        stack.enter_context(binding_properties.head_properties())
        marks = bpy.types.SpaceView3D.draw_handler_add(
            landmark_overlay.draw_landmarks, (), "WINDOW", "POST_PIXEL"
        )
        stack.callback(bpy.types.SpaceView3D.draw_handler_remove, marks, "WINDOW")
        bpy.types.Scene.dimple_signal = bpy.props.PointerProperty(type=signal_properties.DimpleSignalSettings)
        stack.callback(delattr, bpy.types.Scene, "dimple_signal")
        bpy.types.Scene.dimple_words = bpy.props.PointerProperty(type=words_panel.DimpleWords)
        stack.callback(delattr, bpy.types.Scene, "dimple_words")
        skin_settings = bpy.props.PointerProperty(type=skin_properties.DimpleSkinSettings)
        bpy.types.Scene.dimple_skin = skin_settings
        stack.callback(delattr, bpy.types.Scene, "dimple_skin")
        bpy.types.VIEW3D_MT_mesh_add.append(panels.draw_add_menu)
        stack.callback(bpy.types.VIEW3D_MT_mesh_add.remove, panels.draw_add_menu)
        bpy.app.handlers.load_pre.append(_forget)
        stack.callback(bpy.app.handlers.load_pre.remove, _forget)
        command = bpy.utils.register_cli_command("dimple", _command)
        stack.callback(bpy.utils.unregister_cli_command, command)
        atexit.register(session.close)  # the bpy module does not unregister add-ons when Python ends
        stack.callback(atexit.unregister, session.close)
        stack.callback(session.close)
        session.registered = stack.pop_all()


@persistent
def _forget(*_arguments: object) -> None:
    session.forget()


def _command(arguments: list[str]) -> int:
    """`blender --command dimple ...`; needs nothing of the window's parts."""
    from . import command_line

    return command_line.main(arguments)
