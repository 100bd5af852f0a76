"""The upscaler on disk: a folder of Dimple's own, or a file of Real-ESRGAN."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..animate_me import choose_device, has_fast_half
from ..errors import CheckpointError
from ..upscale import DifferenceUpscaler, Upscaler, UpscalerConfig
from .real_esrgan import load_real_esrgan

CONFIG_NAME, WEIGHTS_NAME = "config.json", "diffusion_pytorch_model.safetensors"


def load_upscaler(path: Path, device: str = "auto", half: str = "auto") -> Upscaler:
    """An upscaler from the folder of Dimple's own, or from a Real-ESRGAN file.

    half: "on" computes in bfloat16, "auto" does so where that is faster. Raises CheckpointError where there
    is no upscaler or it is damaged, InputError for a device that is not there.
    """
    device = choose_device(device)
    fast = half == "on" or (half == "auto" and has_fast_half(device))
    enlarge = load_network(path).to(device) if path.is_dir() else load_real_esrgan(path, device)
    return Upscaler(enlarge, device, fast)


def load_network(folder: Path) -> DifferenceUpscaler:
    """Dimple's own network. Raises CheckpointError for anything missing or damaged."""
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        network = DifferenceUpscaler(
            UpscalerConfig(**{field.name: config[field.name] for field in fields(UpscalerConfig)})
        )
        network.load_state_dict(load_file(folder / WEIGHTS_NAME))
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"The upscaler in {folder} is missing, damaged or no safetensors file. Install Dimple again."
        ) from error
    return network.eval()


def save_network(network: DifferenceUpscaler, folder: Path, notes: Mapping[str, str]) -> None:
    """Write config.json and the weights in float16; ``notes`` (data, licence) go into the former."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.half().contiguous().cpu() for name, value in network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_NAME)
    config = {"_class_name": type(network).__name__, **asdict(network.config), **notes}
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
