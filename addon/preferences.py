"""Add-on preferences: which Python runs the worker, on which device, with which checkpoint."""

import sys
from pathlib import Path
from types import SimpleNamespace

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty

from .session import EXTENSION_ROOT, WorkerSettings

PACKAGE = __package__.rpartition(".")[0]
"""Name of the extension's root package, `bl_ext.<repository>.dimple` in Blender."""

CHECKPOINTS = EXTENSION_ROOT / "models" / "checkpoints"
SHIPPED_CHECKPOINT = "animate-me"


class SetupError(RuntimeError):
    """The worker cannot be started as things are set. The message is one sentence for the artist."""


class DimplePreferences(bpy.types.AddonPreferences):
    """What belongs to this computer rather than to a file."""

    bl_idname = PACKAGE

    worker_python: StringProperty(
        name="Worker Python",
        description="Python 3.11 or newer with PyTorch, in an environment of its own, that runs the models. "
        "Empty: the .venv folder inside the extension, which developers have",
        subtype="FILE_PATH",
    )
    device: EnumProperty(
        name="Device",
        description="What computes",
        items=[
            ("auto", "Automatic", "The fastest device that PyTorch finds"),
            ("cpu", "CPU", "Works everywhere"),
            ("cuda", "NVIDIA GPU", "CUDA; needs a PyTorch built for it"),
            ("mps", "Apple GPU", "Metal, on Apple silicon"),
        ],
        default="auto",
    )
    half: EnumProperty(
        name="Half Precision",
        description="Compute with 16-bit numbers: less memory, and faster on most GPUs",
        items=[
            ("auto", "Automatic", "Where it does not change the result visibly"),
            ("on", "On", "Always"),
            ("off", "Off", "Never"),
        ],
        default="auto",
    )
    checkpoint: StringProperty(
        name="Checkpoint",
        description="Folder of the trained model. Empty: the one that comes with Dimple",
        subtype="DIR_PATH",
    )
    ready_timeout: FloatProperty(
        name="Start-up Limit",
        description="How long the worker may take to get ready; the first start after a reboot can be slow",
        default=120.0,
        min=5.0,
        max=3600.0,
        subtype="TIME_ABSOLUTE",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """The add-on's entry in Blender's preferences."""
        from .panels import draw_preferences

        draw_preferences(self.layout, context, self)


def get_preferences(context: bpy.types.Context) -> DimplePreferences | SimpleNamespace:
    """This add-on's preferences."""
    entry = context.preferences.addons.get(PACKAGE)
    if entry is not None:
        return entry.preferences
    # enabled for this session only (`blender --addons`): Blender keeps no entry then
    properties = DimplePreferences.bl_rna.properties
    return SimpleNamespace(**{name: properties[name].default for name in DimplePreferences.__annotations__})


def worker_python(preferences: DimplePreferences) -> Path | None:
    """The Python chosen, or that of the developer's environment; None when there is neither."""
    if preferences.worker_python:
        return Path(bpy.path.abspath(preferences.worker_python))
    own = EXTENSION_ROOT / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    return own if own.is_file() else None


def setup_refusal(context: bpy.types.Context) -> str | None:
    """Why no worker can be started, and the way out; None when one can be tried. Cheap."""
    python = worker_python(get_preferences(context))
    if python is None:
        return (
            "Dimple has no worker yet: choose a Python with PyTorch in its preferences and press Check Setup"
        )
    if not python.is_file():
        return f"No worker Python is at “{python}”: correct it in Dimple's preferences and press Check Setup"
    return None


def worker_settings(context: bpy.types.Context) -> WorkerSettings:
    """How to run the worker. Raises SetupError."""
    if (reason := setup_refusal(context)) is not None:
        raise SetupError(f"{reason}.")
    preferences = get_preferences(context)
    return WorkerSettings(
        python=str(worker_python(preferences)),
        device=preferences.device,
        half=preferences.half,
        ready_timeout=preferences.ready_timeout,
        log_file=log_file(),
    )


def checkpoint(context: bpy.types.Context) -> str:
    """The trained model as a request names it: a shipped one by its name, so that recipes can travel."""
    chosen = get_preferences(context).checkpoint
    return bpy.path.abspath(chosen) if chosen else SHIPPED_CHECKPOINT


def checkpoint_folder(name: str) -> Path:
    """The folder of a checkpoint as a request names it."""
    return CHECKPOINTS / name if name == SHIPPED_CHECKPOINT else Path(name)


def log_file() -> Path:
    """Where the worker writes what it has to say; the folder is made when it starts."""
    return _user_folder() / "worker.log"


def binding_cache() -> Path:
    """Where the worker keeps how heads are bound; it makes the folder."""
    return _user_folder() / "bindings"


def _user_folder() -> Path:
    """What outlives an update of the add-on lies here."""
    if PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(PACKAGE))
    return Path(bpy.utils.user_resource("DATAFILES")) / "dimple"
