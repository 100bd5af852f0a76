"""The artist's own presets, as files in Blender's user folder. The worker checks and writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import bpy

PACKAGE = __package__.rpartition(".")[0]


@dataclass(frozen=True)
class PresetFile:
    """A preset as its file says; `preview` is None without a picture."""

    name: str
    file: Path
    author: str
    licence: str
    preview: Path | None
    stage: Mapping[str, float]


def presets_folder() -> Path:
    """Where presets are kept; the folder need not be there yet."""
    if PACKAGE.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(PACKAGE, path="presets"))
    return Path(bpy.utils.user_resource("CONFIG", path="dimple/presets"))


def read_presets(folder: Path | None = None) -> dict[str, PresetFile]:
    """The presets of a folder, by name; what is no preset is passed over, and the worker says why."""
    folder = folder or presets_folder()
    try:
        return _read(folder, folder.stat().st_mtime_ns)
    except OSError:  # there is no folder before the first preset
        return {}


@lru_cache(maxsize=4)
def _read(folder: Path, _changed: int) -> dict[str, PresetFile]:
    """Read once for every change of the folder: the panel asks at every redraw."""
    found: dict[str, PresetFile] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            picture = folder / content["preview"] if content.get("preview") else None
            texts = [str(content.get(key, "")) for key in ("author", "licence")]
            stage = {str(unit): float(weight) for unit, weight in content["stage"].items()}
            found[str(content["name"])] = PresetFile(str(content["name"]), path, *texts, picture, stage)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))
