"""The denoiser on disk: config.json and one safetensors file, as in every diffusers folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .denoiser import DenoiserConfig, SpiralDenoiser
from .errors import CheckpointError
from .topology import Level, averaging_transform

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
EXACT_DIRECTIONS = 16
"""Leading principal directions kept in half precision. The others are many and carry little: they take a
byte a number, in steps of a 127th of their largest one, which displaces vertices by 0.01 mm on average."""
PACKED = ("target.basis", "target.identity_motion")
"""The largest tensors, (R, ...): a row for each principal direction."""


def save_denoiser(denoiser: SpiralDenoiser, folder: Path) -> None:
    """Write the weights in float16, with the mesh hierarchy that they belong to."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in denoiser.state_dict().items()
    }
    for name in PACKED:
        if name in tensors:
            tensors |= _packed(name, denoiser.state_dict()[name].float().cpu())
    for index, level in enumerate(denoiser.hierarchy):
        arrays: dict[str, NDArray[Any]] = {
            "vertices": level.vertices.astype(np.float16),  # only their number and rough place matter
            "triangles": _compact(level.triangles),
            "spirals": _compact(level.spirals),
        }
        if (up := level.up_transform) is not None:
            arrays |= {"up.data": up.data, "up.indices": _compact(up.indices), "up.indptr": up.indptr}
        tensors |= {
            _key(index, name): torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()
        }
    save_file(tensors, folder / WEIGHTS_NAME)
    config = {"_class_name": "SpiralDenoiser", **asdict(denoiser.config)}
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_denoiser(folder: Path) -> SpiralDenoiser:
    """The inverse of ``save_denoiser``. Raises CheckpointError for anything missing or damaged."""
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        config.pop("_class_name", None)
        tensors = load_file(folder / WEIGHTS_NAME)
        levels = [_level(tensors, index) for index in range(len(config["channels"]))]
        for name in PACKED:
            if f"{name}.rest" in tensors:
                tensors = _unpacked(name, tensors)
        denoiser = SpiralDenoiser(DenoiserConfig.from_dict(config), levels)
        denoiser.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("hierarchy.")})
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"The weights in {folder} are missing, damaged or no safetensors file. Install Dimple again."
        ) from error
    return denoiser


def _packed(name: str, rows: Tensor) -> dict[str, Tensor]:
    """Rows (R, ...) of the principal directions: leading ones in float16, others in int8 with a step each."""
    exact, rest = rows[:EXACT_DIRECTIONS], rows[EXACT_DIRECTIONS:]
    step = rest.abs().amax(dim=1) / 127
    whole = (rest / step[:, None].clamp_min(1e-12)).round().to(torch.int8)
    return {name: exact.half().contiguous(), f"{name}.rest": whole, f"{name}.step": step}


def _unpacked(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file with this one in one piece, as the network knows it."""
    found = dict(tensors)
    rest, step = found.pop(f"{name}.rest"), found.pop(f"{name}.step")
    found[name] = torch.cat([found[name].float(), step[:, None] * rest])
    return found


def _level(tensors: Mapping[str, Tensor], index: int) -> Level:
    def array(name: str) -> NDArray[Any]:
        return tensors[_key(index, name)].numpy()

    up = down = None
    vertices = array("vertices").astype(np.float32)
    if index:
        finer = len(tensors[_key(index - 1, "vertices")])
        content = (array("up.data"), array("up.indices").astype(np.int32), array("up.indptr"))
        up = sp.csr_matrix(content, shape=(finer, len(vertices)))
        down = averaging_transform(up)
    triangles, spirals = (array(name).astype(np.int32) for name in ("triangles", "spirals"))
    return Level(vertices, triangles, spirals, down, up)


def _key(level: int, name: str) -> str:
    return f"hierarchy.{level}.{name}"


def _compact(indices: NDArray[Any]) -> NDArray[Any]:
    """Indices in two bytes where they fit."""
    return indices.astype(np.int16 if indices.max() < 2**15 else np.int32)
