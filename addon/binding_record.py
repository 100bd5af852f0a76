"""What is known of how a head is bound, kept on the head as a custom property."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ..bridge.protocol import Request

if TYPE_CHECKING:
    from .session import Target

PROPERTY = "dimple_binding"
"""Custom property of the head: one JSON text."""


@dataclass(frozen=True)
class BindingRecord:
    """How a head was bound, and of which geometry that is true."""

    geometry: str
    checkpoint: str
    recognised: bool
    score: float
    warnings: tuple[str, ...]
    found_landmarks: Mapping[str, tuple[float, ...]]  # in the mesh's own space
    roles: Mapping[str, str]  # companion -> what it does, in words

    @property
    def text(self) -> str:
        """It in a few words."""
        return "Recognised" if self.recognised else f"Bound, {self.score:.0%} sure"


def record_of(request: Request, target: Target, info: Mapping[str, Any]) -> BindingRecord:
    """The record of a finished job."""
    to_own = np.eye(3) if target.linear is None else np.linalg.inv(target.linear.astype(np.float64))
    return BindingRecord(
        geometry=target.geometry,
        checkpoint=str(getattr(request, "checkpoint", "")),
        recognised=bool(info["recognised"]),
        score=float(info["score"]),
        warnings=tuple(map(str, info["warnings"])),
        found_landmarks={
            str(name): tuple((to_own @ place).tolist()) for name, place in info["found_landmarks"].items()
        },
        roles={str(name): str(role) for name, role in info["roles"].items()},
    )


def store_binding(head: bpy.types.Object, record: BindingRecord) -> None:
    """Keep the record on the head."""
    head[PROPERTY] = json.dumps(asdict(record), ensure_ascii=False)


def read_binding(head: bpy.types.Object) -> BindingRecord | None:
    """The record on the head; None when there is none that can be read: binding again repairs it."""
    try:
        values = json.loads(head[PROPERTY])
        return BindingRecord(**values | {"warnings": tuple(values["warnings"])})
    except (KeyError, TypeError, ValueError):
        return None


def remove_binding(head: bpy.types.Object) -> None:
    """Take the record off the head."""
    if PROPERTY in head:
        del head[PROPERTY]
