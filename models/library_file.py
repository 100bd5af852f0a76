"""An artist's own shape set: a JSON file, its optional `correctives` naming pairs of shapes that get one.

{"format": 1, "shapes": {"smirk_L": {"mouthSmileLeft": 0.9, "mouthDimpleLeft": 0.5}, "open": {"jawOpen": 1}},
 "correctives": [["open", "smirk_L"]]}

Without `correctives` the pairs are chosen as for Dimple's own sets.
"""

import json
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from .errors import InputError
from .expression import MAX_WEIGHT, PAIRS, UNIT_INDEX
from .library_sets import SHAPES, Shape, ShapeSet, corrected_pairs
from .saved_presets import LONGEST_NAME
from .units import contradictions

FORMAT = 1
MOST_SHAPES = 1000


def shape_set(name: str) -> ShapeSet:
    """One of Dimple's sets by its name, or the one in a JSON file by its path.

    Raises InputError for a name that is neither, and for a file that is not sound.
    """
    if name in SHAPES:
        return ShapeSet(SHAPES[name], corrected_pairs(SHAPES[name]))
    path = Path(name)
    if not path.is_file():
        raise InputError(
            f"There is no shape set called “{name}”: choose {', '.join(SHAPES)}, or the path of a JSON file."
        )
    return read_shape_set(path)


def read_shape_set(path: Path) -> ShapeSet:
    """The set in a JSON file. Raises InputError where it is not sound, naming the file and the shape."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
    except _TwiceError as error:
        raise InputError(f"{path.name} has “{error}” twice: rename or remove one of them.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path.name} is no readable JSON file: correct it, see the manual for its form."
        ) from error
    if not isinstance(content, dict) or cast(Any, content).get("format") != FORMAT:
        raise InputError(
            f'{path.name} is no shape set of this version of Dimple: it needs "format": {FORMAT}.'
        )
    fields = cast("dict[str, Any]", content)
    if unknown := fields.keys() - {"format", "shapes", "correctives"}:
        raise InputError(f"{path.name} has an entry “{min(unknown)}”, which Dimple does not know: remove it.")
    shapes = fields.get("shapes")
    if not isinstance(shapes, dict) or not 0 < len(cast("dict[str, Any]", shapes)) <= MOST_SHAPES:
        raise InputError(f'{path.name} needs "shapes", from 1 to {MOST_SHAPES} names with their units.')
    entries = cast("dict[str, Any]", shapes)
    made = tuple(_shape(name, mixture, path.name) for name, mixture in entries.items())
    if "correctives" not in fields:
        return ShapeSet(made, corrected_pairs(made))
    return ShapeSet(made, tuple(_pairs(fields["correctives"], made, path.name)))


def _shape(name: str, mixture: Any, where: str) -> Shape:
    if not name.strip() or name != name.strip() or not name.isprintable():
        raise InputError(f"{where} has a shape called “{name}”: use a name without spaces around it.")
    if len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        raise InputError(
            f"{where} has a name that is too long, “{name[:20]}…”: Blender keeps {LONGEST_NAME} bytes of it."
        )
    if not isinstance(mixture, dict):
        raise InputError(f'{where} gives no unit weights for “{name}”: write for example {{"jawOpen": 1}}.')
    weights = cast("dict[str, Any]", mixture)
    for unit, weight in weights.items():
        if unit not in PAIRS and unit not in UNIT_INDEX:
            raise InputError(f"{where}: “{name}” has a unit called “{unit}”, which Dimple does not know.")
        number = isinstance(weight, int | float) and not isinstance(weight, bool) and isfinite(weight)
        if not number or not 0.0 <= weight <= MAX_WEIGHT:
            raise InputError(f"{where}: “{name}” gives {unit} the weight {weight}; use 0 to {MAX_WEIGHT}.")
    shape = Shape(name, MappingProxyType(weights))
    if shape.stage.max() > MAX_WEIGHT:
        raise InputError(f"{where}: “{name}” asks for a unit twice, more than {MAX_WEIGHT} in all.")
    if against := contradictions(shape.stage):
        first, second = against[0]
        raise InputError(
            f"{where}: “{name}” asks for {first} and {second} at once; they contradict each other."
        )
    return shape


def _pairs(value: Any, shapes: Sequence[Shape], where: str) -> Iterator[tuple[str, str]]:
    stages = {shape.name: shape.stage for shape in shapes}
    seen: set[frozenset[str]] = set()
    if not isinstance(value, list):
        raise InputError(f'{where} needs a list of pairs of shapes as "correctives".')
    for pair in cast("list[Any]", value):
        names = cast("list[Any]", pair) if isinstance(pair, list) else []
        if (
            len(names) != 2
            or any(not isinstance(n, str) or n not in stages for n in names)
            or names[0] == names[1]
        ):
            raise InputError(f"{where} has a corrective of {pair!r:.60}: name two of its own shapes.")
        first, second = names
        if frozenset(names) in seen:
            raise InputError(f"{where} has the corrective of “{first}” and “{second}” twice: remove one.")
        if against := contradictions(stages[first] + stages[second]):
            raise InputError(
                f"{where} has a corrective of “{first}” and “{second}”, "
                f"but {against[0][0]} and {against[0][1]} contradict each other."
            )
        seen.add(frozenset(names))
        yield first, second


class _TwiceError(ValueError):
    """A JSON object has a name twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise _TwiceError(name)
        result[name] = value
    return result
