"""Which heads the checkpoint knows, read from the config.json of its head: no worker is needed for that."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from . import mesh_reader
from .binding_record import BindingRecord

HEAD_CONFIG = Path("head", "config.json")
GEOMETRY_SECONDS = 0.5
"""A panel is drawn many times a second, and reading 200,000 vertices takes milliseconds."""


@dataclass(frozen=True)
class KnownHeads:
    """What the checkpoint's head is: sizes of the whole head and of its skin alone, topology, units."""

    name: str
    vertex_counts: tuple[int, ...]
    fingerprint: str  # of the whole head as it was modelled, in quads
    unit_names: tuple[str, ...]


@dataclass(frozen=True)
class HeadState:
    """What can be said about a head now.

    A `settled` head is recognised, or bound without a doubt; one that is only `usable` is looked at by the
    worker when it is needed.
    """

    usable: bool
    settled: bool
    text: str
    warnings: tuple[str, ...] = ()


@dataclass
class Recognition:
    """Answers what the panel asks at every redraw, remembering what is slow to find out."""

    _known: dict[tuple[Path, int], KnownHeads] = field(default_factory=dict)
    _fingerprints: dict[tuple[int, int, int, int], str] = field(default_factory=dict)
    _geometries: dict[int, tuple[float, str]] = field(default_factory=dict)

    def known_heads(self, checkpoint: Path) -> KnownHeads | None:
        """What the checkpoint in this folder is made for; None when that cannot be read."""
        path = checkpoint / HEAD_CONFIG
        try:
            stamp = (path, path.stat().st_mtime_ns)
            if stamp not in self._known:
                self._known[stamp] = _known_heads(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return self._known[stamp]

    def state(
        self, head: bpy.types.Object, checkpoint: Path, bound: BindingRecord | None = None
    ) -> HeadState:
        """Whether the checkpoint knows this head, a mesh. `bound`: how it was bound last."""
        known = self.known_heads(checkpoint)
        if known is None:
            text = f"No usable checkpoint is in “{checkpoint}”: choose its folder in Dimple's preferences"
            return HeadState(False, False, text)
        found = len(head.data.vertices)
        if self.fingerprint(head) == known.fingerprint:
            return HeadState(True, True, f"Recognised: {known.name}, {found:,} vertices")
        if bound is not None and bound.geometry == self.geometry(head):
            return HeadState(True, not bound.warnings, bound.text, bound.warnings)
        if bound is not None:
            return HeadState(
                True, False, "The mesh has changed since it was bound: it is bound anew when needed"
            )
        if found in known.vertex_counts:
            text = f"{found:,} vertices like {known.name}, but other edges: Bind tells whether it is one"
            return HeadState(True, False, text)
        return HeadState(True, False, f"Not bound yet: Generate binds it to {known.name} by itself")

    def fingerprint(self, head: bpy.types.Object) -> str:
        """The head's topology, read again only when the mesh has other counts than before."""
        mesh = head.data
        stamp = (head.session_uid, len(mesh.vertices), len(mesh.edges), len(mesh.loops))
        if stamp not in self._fingerprints:
            self._fingerprints[stamp] = mesh_reader.read_fingerprint(mesh)
        return self._fingerprints[stamp]

    def geometry(self, head: bpy.types.Object) -> str:
        """The head's topology and shape, read again when it was not for a while."""
        now = time.monotonic()
        read, name = self._geometries.get(head.session_uid, (-GEOMETRY_SECONDS, ""))
        if now - read >= GEOMETRY_SECONDS:
            vertices = mesh_reader.read_neutral(head.data)
            name = mesh_reader.geometry_name(self.fingerprint(head), vertices)
            self._geometries[head.session_uid] = (now, name)
        return name

    def clear(self) -> None:
        """Forget the heads of the file."""
        self._fingerprints.clear()
        self._geometries.clear()


def _known_heads(config: dict[str, Any]) -> KnownHeads:
    whole = max(end for _, end in config["parts"].values())
    return KnownHeads(
        name=str(config["name"]),
        vertex_counts=tuple(dict.fromkeys([whole, int(config["skin_vertices"])])),
        fingerprint=str(config["fingerprint"]),
        unit_names=tuple(config["unit_names"]),
    )
