"""Which heads the checkpoint knows, read from the config.json of its head: no worker is needed for that."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from . import mesh_reader

HEAD_CONFIG = Path("head", "config.json")


@dataclass(frozen=True)
class KnownHeads:
    """What the checkpoint's head is: sizes of the whole head and of its skin alone, topology, units."""

    name: str
    vertex_counts: tuple[int, ...]
    fingerprint: str  # of the whole head as it was modelled, in quads
    unit_names: tuple[str, ...]


@dataclass(frozen=True)
class HeadState:
    """What can be said about a head before the worker has seen it.

    A head that is `usable` but not `recognised` has the right number of vertices and edges of its own, as a
    head with its quads cut has, or one without eyes and teeth: the worker decides.
    """

    usable: bool
    recognised: bool
    text: str


@dataclass
class Recognition:
    """Answers what the panel asks at every redraw, remembering what is slow to find out."""

    _known: dict[tuple[Path, int], KnownHeads] = field(default_factory=dict)
    _fingerprints: dict[tuple[int, int, int, int], str] = field(default_factory=dict)

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

    def state(self, head: bpy.types.Object, checkpoint: Path) -> HeadState:
        """Whether the checkpoint knows this head. The object must be a mesh."""
        known = self.known_heads(checkpoint)
        if known is None:
            text = f"No usable checkpoint is in “{checkpoint}”: choose its folder in Dimple's preferences"
            return HeadState(False, False, text)
        found = len(head.data.vertices)
        if found not in known.vertex_counts:
            expected = " or ".join(f"{count:,}" for count in known.vertex_counts)
            return HeadState(False, False, f"Wrong topology: {found:,} vertices, {known.name} has {expected}")
        if self.fingerprint(head) != known.fingerprint:
            text = f"{found:,} vertices like {known.name}, but other edges: Generate tells whether it fits"
            return HeadState(True, False, text)
        return HeadState(True, True, f"Recognised: {known.name}, {found:,} vertices")

    def fingerprint(self, head: bpy.types.Object) -> str:
        """The head's topology, read again only when the mesh has other counts than before."""
        mesh = head.data
        stamp = (head.session_uid, len(mesh.vertices), len(mesh.edges), len(mesh.loops))
        if stamp not in self._fingerprints:
            self._fingerprints[stamp] = mesh_reader.read_fingerprint(mesh)
        return self._fingerprints[stamp]

    def clear(self) -> None:
        """Forget the heads of the file."""
        self._fingerprints.clear()


def _known_heads(config: dict[str, Any]) -> KnownHeads:
    whole = max(end for _, end in config["parts"].values())
    return KnownHeads(
        name=str(config["name"]),
        vertex_counts=tuple(dict.fromkeys([whole, int(config["skin_vertices"])])),
        fingerprint=str(config["fingerprint"]),
        unit_names=tuple(config["unit_names"]),
    )
