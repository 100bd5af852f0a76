"""The artist's own presets: one JSON file each in a folder of the user, beside an optional preview picture.

{"format": 1, "name": "Grandma's smile", "author": "...", "licence": "...", "preview": "smile.png",
 "stage": {"mouthSmile": 0.8, "eyeSquint": 0.3}}
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import quote

from .errors import InputError
from .expression import MAX_WEIGHT, PAIRS, UNIT_INDEX
from .presets import EXPRESSIONS, FACS, VISEMES, Mixtures

FORMAT = 1
LONGEST_NAME = 63
"""Bytes of UTF-8: what Blender keeps of a shape key's name."""


@dataclass(frozen=True)
class SavedPreset:
    """A mixture of units and pairs under a name. `preview` is a picture's file name in the same folder."""

    name: str
    author: str
    licence: str
    preview: str
    stage: Mapping[str, float]


def save_preset(folder: Path, preset: SavedPreset, *, replace: bool = False) -> Path:
    """Write `preset` into `folder`, which is made if need be, and return its file.

    Raises InputError, and writes nothing, where the preset is not sound, its name is taken by a preset of
    Dimple's or, unless `replace`, by a saved one.
    """
    _check(preset, "This preset")
    path = folder / f"{quote(preset.name, safe=' ')}.json"
    if not replace:
        taken = {saved.name.lower() for saved in load_presets(folder)} if folder.is_dir() else set[str]()
        if preset.name.lower() in taken:
            raise InputError(
                f"There is a preset called “{preset.name}” already; replace it or rename this one."
            )
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"format": FORMAT, **asdict(preset), "stage": dict(preset.stage)}
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(path)
    return path


def load_presets(folder: Path) -> tuple[SavedPreset, ...]:
    """Every preset of a folder, by name. Raises InputError for one that is not sound, naming its file."""
    presets: dict[str, tuple[SavedPreset, Path]] = {}
    for path in sorted(folder.glob("*.json")):
        preset = _read(path)
        if preset.name.lower() in presets:
            other = presets[preset.name.lower()][1]
            raise InputError(
                f"{path.name} and {other.name} are both called “{preset.name}”; rename one of them."
            )
        presets[preset.name.lower()] = (preset, path)
    return tuple(preset for _, (preset, _) in sorted(presets.items()))


def as_mixtures(presets: tuple[SavedPreset, ...]) -> Mixtures:
    """What `presets.preset_stage` looks names up in."""
    return MappingProxyType({preset.name: preset.stage for preset in presets})


def _read(path: Path) -> SavedPreset:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # neither JSON nor UTF-8
        raise InputError(f"{path.name} is damaged and holds no preset; delete it or save it anew.") from error
    if not isinstance(content, dict) or cast(Any, content).get("format") != FORMAT:
        raise InputError(f"{path.name} is not a preset of this version of Dimple; move it out of the folder.")
    fields: dict[str, Any] = {**content}
    stage = fields.get("stage")
    texts = [fields.get(key, "") for key in ("name", "author", "licence", "preview")]
    if not isinstance(stage, dict) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{path.name} lacks a name or a stage of unit weights; save the preset anew.")
    preset = SavedPreset(*texts, stage=MappingProxyType(cast("dict[str, Any]", stage)))
    _check(preset, path.name)
    return preset


def _check(preset: SavedPreset, where: str) -> None:
    name = preset.name
    if not name.strip() or name != name.strip() or "=" in name or "," in name or not name.isprintable():
        raise InputError(f"{where} needs a name without “=”, commas and spaces around it, not “{name}”.")
    if len(name.encode()) > LONGEST_NAME:
        raise InputError(f"{where} has a name that is too long, “{name[:20]}…”; use at most 63 bytes.")
    if name.lower() in {own.lower() for own in (*EXPRESSIONS, *FACS, *VISEMES, *PAIRS, *UNIT_INDEX)}:
        raise InputError(f"{where} is called “{name}”, which Dimple has itself; choose another name.")
    if preset.preview and Path(preset.preview).name != preset.preview:
        raise InputError(f"{where} must have its preview picture in the preset folder, not {preset.preview}.")
    weights: Mapping[str, Any] = preset.stage  # as written, which need not be numbers
    for unit, weight in weights.items():
        if unit not in PAIRS and unit not in UNIT_INDEX:
            raise InputError(f"{where} has a unit called “{unit}”, which Dimple does not know.")
        if not isinstance(weight, int | float) or not isfinite(weight) or not 0.0 <= weight <= MAX_WEIGHT:
            raise InputError(f"{where} gives {unit} the weight {weight}; use 0 to {MAX_WEIGHT}.")
