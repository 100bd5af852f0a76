"""Prompt -> embedding: one function over any text encoder that is kept as a folder.

Known are CLIP's text encoder (Radford et al., 2021), alone or within a whole CLIP, with its projection or
without as in Stable Diffusion, and sentence encoders, whose token states are pooled as their folder says. A
folder is one of the Hugging Face kind, or of the diffusers kind with `text_encoder` and `tokenizer` apart.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPTextModel, CLIPTextModelWithProjection

from .errors import CheckpointError

CLIP = ("clip", "clip_text_model")


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder with its tokenizer. `pooling` is projection, eos, mean, cls or max."""

    model: nn.Module
    tokenizer: Any
    pooling: str
    dimension: int
    longest: int

    def tokens(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` (N, L), cut off after the encoder's `longest` tokens."""
        return self.tokenizer(
            list(prompts), padding=True, truncation=True, max_length=self.longest, return_tensors="pt"
        )

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """The embeddings (N, dimension) of `prompts`, float32, on the encoder's device."""
        with torch.inference_mode():
            return self.pooled(self.tokens(prompts)).float()

    def pooled(self, tokens: dict[str, Tensor]) -> Tensor:
        """The embeddings (N, dimension) of tokens (N, L), with gradients."""
        device = next(self.model.parameters()).device
        ids, mask = tokens["input_ids"].to(device), tokens["attention_mask"].to(device)
        output = self.model(input_ids=ids, attention_mask=mask)
        if self.pooling == "projection":
            return output.text_embeds
        if self.pooling == "eos":
            return output.pooler_output
        states = output.last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        seen = mask[..., None].to(states.dtype)
        if self.pooling == "max":
            return states.masked_fill(seen == 0.0, -torch.inf).amax(dim=1)
        return (states * seen).sum(dim=1) / seen.sum(dim=1)


def load_text_encoder(folder: Path, device: str = "cpu") -> TextEncoder:
    """Load the text encoder of a folder; nothing is downloaded and no pickle is read.

    Raises CheckpointError where there is no encoder, where files are missing or damaged, and where its
    weights are not kept as safetensors.
    """
    model_folder = folder / "text_encoder" if (folder / "text_encoder").is_dir() else folder
    tokenizer_folder = folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder
    if not (model_folder / "config.json").is_file():
        raise CheckpointError(
            f"There is no text encoder in {folder}; choose a folder that has a config.json."
        )
    try:
        config: Any = AutoConfig.from_pretrained(model_folder, local_files_only=True)
        kind, pooling = _kind(config, model_folder)
        model: Any = kind.from_pretrained(
            model_folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"The text encoder in {folder} cannot be loaded: {error}") from error
    text: Any = getattr(config, "text_config", config)
    dimension = text.projection_dim if pooling == "projection" else text.hidden_size
    longest = min(int(text.max_position_embeddings), int(tokenizer.model_max_length))
    return TextEncoder(model.to(device).eval(), tokenizer, pooling, dimension, longest)


def _kind(config: Any, folder: Path) -> tuple[Any, str]:
    """The class that loads the folder, and how it is pooled."""
    if config.model_type in CLIP:
        plain = (config.architectures or [""])[0] == "CLIPTextModel"
        return (CLIPTextModel, "eos") if plain else (CLIPTextModelWithProjection, "projection")
    pooling_file = folder / "1_Pooling" / "config.json"  # where sentence-transformers keeps it
    modes: dict[str, Any] = json.loads(pooling_file.read_text()) if pooling_file.is_file() else {}
    for mode, key in (("cls", "pooling_mode_cls_token"), ("max", "pooling_mode_max_tokens")):
        if modes.get(key):
            return AutoModel, mode
    return AutoModel, "mean"
