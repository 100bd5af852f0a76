"""Signals that no request describes, kept on their head beside the recipe: keyframed units, captured takes.

With them Generate Again gives the same animation when the keyframes have moved or the file is gone.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge.protocol import AnimateRequest
from .recipe import RecipeError

PROPERTY = "dimple_signals"
"""Custom property of the head: by the name of a recipe, its signal (K, M) as text."""


def digest(content: bytes) -> str:
    """Tells one content from another in a recipe."""
    return hashlib.sha256(content).hexdigest()[:16]


def is_described(request: AnimateRequest) -> bool:
    """Whether the request alone says what is expressed."""
    return not (request.curves or request.performance)


def store_signal(head: bpy.types.Object, name: str, signal: NDArray[np.float32]) -> None:
    """Keep the signal (K, M) of the recipe `name`."""
    file = io.BytesIO()
    np.save(file, np.asarray(signal, np.float32), allow_pickle=False)
    text = base64.b85encode(zlib.compress(file.getvalue(), 9)).decode("ascii")
    head[PROPERTY] = {**_texts(head), name: text}


def read_signal(head: bpy.types.Object, name: str) -> NDArray[np.float32] | None:
    """The signal (K, M) of the recipe `name`, or None where none is kept. Raises RecipeError."""
    text = _texts(head).get(name)
    if text is None:
        return None
    try:
        return np.load(io.BytesIO(zlib.decompress(base64.b85decode(text))), allow_pickle=False)
    except (ValueError, TypeError, zlib.error, EOFError) as error:
        raise RecipeError(
            f"The signal of “{name}” on the head is damaged: remove it and generate anew."
        ) from error


def delete_signal(head: bpy.types.Object, name: str) -> None:
    """Take the signal of a recipe off the head, where there is one."""
    texts = _texts(head)
    if texts.pop(name, None) is None:
        return
    if texts:
        head[PROPERTY] = texts
    else:
        del head[PROPERTY]


def _texts(head: bpy.types.Object) -> dict[str, Any]:
    return head[PROPERTY].to_dict() if PROPERTY in head else {}
