"""Writing a library to its head: one shape key a shape, driven correctives, and a record of what is Dimple's.

Keys that exist get new coordinates in place, so their values, drivers and keyframes stay.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from . import mesh_reader, shape_key_writer
from .companion_writer import Following, check_companions, remove_from_companions, write_companion
from .head_job import back
from .mesh_reader import HeadError
from .recipe import RecipeError
from .session import Job

PROPERTY = "dimple_libraries"
"""Custom property of the head: one JSON text for each library, by the name of its set."""

REFERENCE = "Basis"
"""What the reference key is called when this add-on makes it."""


@dataclass(frozen=True)
class ShapeLibrary:
    """Shapes of a head, and what pairs of them lack, in its own units and axes."""

    names: tuple[str, ...]
    deformations: NDArray[np.float32]  # (N, V, 3)
    pairs: tuple[tuple[str, str], ...]
    correctives: NDArray[np.float32]  # (C, V, 3)


@dataclass(frozen=True)
class LibraryRecord:
    """Which keys of the head belong to a library. `correctives`: key name -> the two that drive it."""

    shape_set: str
    seed: int | None
    key_names: tuple[str, ...]
    correctives: Mapping[str, tuple[str, str]]


def library_of(job: Job) -> ShapeLibrary:
    """The result of a library job. Raises OSError, ValueError where its files are unusable."""
    assert job.done is not None
    linear = job.target.linear if job.target is not None else None
    return ShapeLibrary(
        names=tuple(job.done.info["names"]),
        deformations=back(np.array(job.array("deformations"), np.float32), linear),
        pairs=tuple((first, second) for first, second in job.done.info["pairs"]),
        correctives=back(np.array(job.array("correctives"), np.float32), linear),
    )


def read_libraries(head: bpy.types.Object) -> dict[str, LibraryRecord]:
    """The libraries on the head by their set, oldest first. Raises RecipeError where one is damaged."""
    texts = head[PROPERTY].to_dict() if PROPERTY in head else {}
    return {name: _from_json(name, text) for name, text in texts.items()}


def write_library(
    head: bpy.types.Object,
    library: ShapeLibrary,
    shape_set: str,
    seed: int | None,
    take_over: bool = False,
    followers: Sequence[Following] = (),
) -> LibraryRecord:
    """Put the shapes of `library` on `head` and say in a record which keys those are.

    New keys come after the existing ones, in the library's order and at value 0. `take_over`: also write to
    keys of the same names that are not Dimple's. `followers`: their shapes, then their correctives. Raises
    HeadError, RecipeError; nothing was written then.
    """
    libraries = read_libraries(head)
    record = libraries.get(shape_set, LibraryRecord(shape_set, seed, (), {}))
    _check(head, library, record, take_over)
    made = [*library.names, *library.pairs]
    library = _driven_by(library, {*library.names, *record.key_names} & {*library.names, *_taken(head)})
    regenerated = frozenset(library.names)
    stale = {
        name: pair
        for name, pair in record.correctives.items()
        if regenerated & set(pair) and pair not in library.pairs
    }
    kept = {name: pair for name, pair in record.correctives.items() if name not in stale}
    names = dict(
        zip(library.pairs, _corrective_names(library.pairs, kept, _taken(head) - stale.keys()), strict=True)
    )
    rows = [made.index(item) for item in (*library.names, *library.pairs)]
    followers = [following.only(rows) for following in followers]
    check_companions(head, followers, [*library.names, *names.values()], take_over)
    shape_key_writer.write_shape_keys(
        head, [*library.names, *names.values()], np.concatenate([library.deformations, library.correctives])
    )
    key = head.data.shape_keys
    remove_from_companions(head, stale)
    for name in stale:
        key.driver_remove(_value_path(name))
    shape_key_writer.remove_shape_keys(head, list(stale))
    for pair, name in names.items():
        _drive(key, name, pair)
    for following in followers:
        write_companion(head, following, [*library.names, *names.values()])
    key_names = tuple(dict.fromkeys((*record.key_names, *library.names)))
    record = LibraryRecord(
        shape_set, seed, key_names, {**kept, **{name: pair for pair, name in names.items()}}
    )
    head[PROPERTY] = {**_texts(head), shape_set: json.dumps(asdict(record), ensure_ascii=False)}
    return record


def remove_library(head: bpy.types.Object, shape_set: str) -> None:
    """Take a library's own keys, drivers and record off the head. Raises RecipeError, HeadError."""
    libraries = read_libraries(head)
    if shape_set not in libraries:
        raise RecipeError(f"There is no library “{shape_set}” on this head.")
    record, key = libraries[shape_set], head.data.shape_keys
    own = [*record.correctives, *record.key_names]
    if key is not None:
        present = [name for name in own if name in key.key_blocks]
        for name in present:
            if key.key_blocks[name].lock_shape:
                raise HeadError(f"The shape key “{name}” is locked: unlock it first.")
        remove_from_companions(head, present)
        for name in present:
            key.driver_remove(_value_path(name))
        shape_key_writer.remove_shape_keys(head, present)
    texts = _texts(head)
    del texts[shape_set]
    if texts:
        head[PROPERTY] = texts
    else:
        del head[PROPERTY]


def corrective_name(pair: tuple[str, str], taken: Collection[str]) -> str:
    """`first+second`, as FACS writes combinations; where that is too long, a shared prefix stands once."""
    first, second = pair
    if len(f"{first}+{second}".encode()) > shape_key_writer.NAME_BYTES:
        second = second.removeprefix(first.rpartition("_")[0] + "_")
    return shape_key_writer.unique_name(f"{first}+{second}", taken)


def _driven_by(library: ShapeLibrary, names: Collection[str]) -> ShapeLibrary:
    """The library with only those correctives whose two shapes are among `names`."""
    kept = [i for i, pair in enumerate(library.pairs) if set(pair) <= set(names)]
    return replace(
        library, pairs=tuple(library.pairs[i] for i in kept), correctives=library.correctives[kept]
    )


def _corrective_names(
    pairs: Sequence[tuple[str, str]], known: Mapping[str, tuple[str, str]], taken: Collection[str]
) -> list[str]:
    """The key of each pair: the one it has already, else a new one."""
    names = {pair: name for name, pair in known.items()}
    used = set(taken)
    for pair in pairs:
        if pair not in names:
            names[pair] = corrective_name(pair, used)
            used.add(names[pair])
    return [names[pair] for pair in pairs]


def _drive(key: bpy.types.Key, name: str, pair: tuple[str, str]) -> None:
    """Make the key `name` the product of two others; a driver that it has already stays."""
    path = _value_path(name)
    drivers = key.animation_data.drivers if key.animation_data is not None else None
    if drivers is not None and drivers.find(path) is not None:
        return
    driver = key.driver_add(path).driver
    driver.type = "SCRIPTED"
    for letter, source in zip("ab", pair, strict=True):
        variable = driver.variables.new()
        variable.name, variable.type = letter, "SINGLE_PROP"
        target = variable.targets[0]
        target.id_type, target.id, target.data_path = "KEY", key, _value_path(source)
    driver.expression = (
        "a * b"  # simple enough for Blender to evaluate without Python, hence without a prompt
    )


def _value_path(name: str) -> str:
    return f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'


def _check(head: bpy.types.Object, library: ShapeLibrary, record: LibraryRecord, take_over: bool) -> None:
    """Raises HeadError where writing would fail half-way or touch what is not Dimple's."""
    if (reason := mesh_reader.refusal(head)) is not None:
        raise HeadError(f"{reason}.")
    shape = (len(head.data.vertices), 3)
    if library.deformations.shape[1:] != shape or library.correctives.shape[1:] != shape:
        raise HeadError(f"The library is not made for “{head.name}”: generate again.")
    if not (np.isfinite(library.deformations).all() and np.isfinite(library.correctives).all()):
        raise HeadError("The worker's result is not finite: generate again.")
    key = head.data.shape_keys
    reference = key.reference_key.name if key is not None else REFERENCE
    if reference in library.names:
        raise HeadError(f"“{reference}” is the head's reference key: give the shape another name.")
    foreign = [name for name in library.names if name in _taken(head) and name not in record.key_names]
    if foreign and not take_over:
        raise HeadError(
            f"“{foreign[0]}”{_and_more(foreign)} is on “{head.name}” already and not of this library: "
            "rename the key, or choose to take such keys over."
        )


def _and_more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _taken(head: bpy.types.Object) -> set[str]:
    key = head.data.shape_keys
    return {block.name for block in key.key_blocks} if key is not None else set()


def _texts(head: bpy.types.Object) -> dict[str, str]:
    return head[PROPERTY].to_dict() if PROPERTY in head else {}


def _from_json(name: str, text: Any) -> LibraryRecord:
    try:
        values = json.loads(text)
        pairs = {key: (str(pair[0]), str(pair[1])) for key, pair in values["correctives"].items()}
        return LibraryRecord(
            **values | {"key_names": tuple(map(str, values["key_names"])), "correctives": pairs}
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise RecipeError(
            f"The record of the library “{name}” on the head is damaged ({error}): remove the head's custom "
            f"property “{PROPERTY}” and generate anew."
        ) from error
