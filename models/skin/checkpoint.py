"""The checkpoint folder of a latent diffusion model: autoencoder, denoiser, expectation, scheduler."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ..autoencoder import SUBFOLDER, MapAutoencoder
from ..errors import CheckpointError
from ..exp_diff import LatentDenoiser, LatentDenoiserConfig
from ..expected_maps import ExpectedLatents
from ..expected_motion import ExpectedMotion, expected_motion
from ..head import Head
from ..prompts import PROMPTS, PromptEmbedder
from ..uv_maps import Window

INDEX_NAME = "model_index.json"
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
CONFIG_NAME = "config.json"
DENOISER, EXPECTED, SCHEDULER = "denoiser", "expected", "scheduler"


def save_appearance(
    folder: Path,
    name: str,
    autoencoder: MapAutoencoder,
    denoiser: LatentDenoiser,
    expected: ExpectedLatents,
    prompts: PromptEmbedder,
    schedule: Any,
    window: Window,
    notes: Mapping[str, str],
    elsewhere: Mapping[str, str],
) -> None:
    """Write a checkpoint folder. ``elsewhere`` names the folders, seen from it, of what is kept outside."""
    denoiser_config = {"_class_name": "LatentDenoiser", **asdict(denoiser.config)}
    _save(denoiser, folder / DENOISER, denoiser_config)
    sizes = {
        "_class_name": "ExpectedLatents",
        "maps": expected.maps,
        "channels": expected.channels,
        "size": expected.size,
        "features": expected.features,
    }
    _save(expected, folder / EXPECTED, sizes)
    schedule.save_pretrained(folder / SCHEDULER)
    if SUBFOLDER not in elsewhere:
        autoencoder.save(folder / SUBFOLDER)
    index = {
        "_class_name": name,
        DENOISER: ["models.exp_diff", "LatentDenoiser"],
        EXPECTED: ["models.expected_maps", "ExpectedLatents"],
        SCHEDULER: ["diffusers", "DDPMScheduler"],
        "prompts": prompts.kind,
        "window": window,
        SUBFOLDER: SUBFOLDER,
        **elsewhere,
        **notes,
    }
    (folder / INDEX_NAME).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def load_appearance(
    folder: Path, name: str
) -> tuple[MapAutoencoder, LatentDenoiser, ExpectedLatents, Head, PromptEmbedder, ExpectedMotion, Window]:
    """The inverse of `save_appearance`. Raises CheckpointError for anything missing or damaged."""
    try:
        index = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))
        found, home, words, vae = (index[key] for key in ("_class_name", "head", "words", SUBFOLDER))
        animate_me = folder / index["motion"] if "motion" in index else None
        embedder = PROMPTS[index.get("prompts", PromptEmbedder.kind)]
        u0, v0, u1, v1 = (float(value) for value in index["window"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"There is no readable skin checkpoint in {folder}. Choose its folder in the preferences."
        ) from error
    if found != name:
        raise CheckpointError(f"{folder} holds a {found} checkpoint, not {name}.")
    denoiser, expected = load_networks(folder)
    autoencoder = MapAutoencoder.from_folder(folder / vae)
    if autoencoder.latent_channels != denoiser.config.latent_channels:
        raise CheckpointError(f"The autoencoder and the denoiser in {folder} do not belong together.")
    prompts = embedder.load(folder / words)
    head = Head.load(folder / home)
    motion = expected_motion(head, animate_me)
    return autoencoder, denoiser, expected, head, prompts, motion, (u0, v0, u1, v1)


def load_networks(folder: Path) -> tuple[LatentDenoiser, ExpectedLatents]:
    """Denoiser and expectation of a checkpoint folder. Raises CheckpointError."""
    try:
        config, tensors = _load(folder / DENOISER)
        denoiser = LatentDenoiser(LatentDenoiserConfig.from_dict(config))
        denoiser.load_state_dict(tensors)
        sizes, tensors = _load(folder / EXPECTED)
        expected = ExpectedLatents(tuple(sizes["maps"]), sizes["channels"], sizes["size"], sizes["features"])
        expected.load_state_dict(tensors)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"The weights in {folder} are missing, damaged or no safetensors file. Install Dimple again."
        ) from error
    return denoiser, expected


def _save(network: nn.Module, folder: Path, config: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.half().contiguous().cpu() for key, value in network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_NAME)
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _load(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    config.pop("_class_name", None)
    return config, {key: value.float() for key, value in load_file(folder / WEIGHTS_NAME).items()}
