"""Weights that others have published: files of nothing but tensors."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import CheckpointError


def network_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict of a .safetensors or .pth file, in the latter also below ``params_ema`` or ``params``.

    Raises CheckpointError for a file that is missing, damaged, or holds more than weights; no pickled code
    runs.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, SafetensorError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"The weights {path} cannot be read: the file is missing, damaged, or holds more than weights."
        ) from error
    for key in ("params_ema", "params"):
        if isinstance(content, Mapping) and key in content:
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} holds no weights of a network.")
    return dict(content)
