"""The rows of ExpDiff's tables: everything that answers a request for dynamic skin.

All of them are given the shape and the albedo at rest and the expression stage. Some rows are also given the
other maps at rest, as an artist has them; their names say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..alignment import similarity_to
from ..animate_me_texture import AnimateMeTexture
from ..appearance import Appearance, AppearanceResult
from ..corpus.skin_cache import SkinCache
from ..errors import InputError
from ..head import Head
from ..skin.brdf_maps import BrdfMaps
from ..skin.checkpoint import INDEX_NAME
from ..upscale import CHANNELS, stack
from ..uv_maps import Window, crop
from .face_models import FaceModel, Faces, LinearFaceModel, SemanticFaceModel
from .ground_truth_appearance import SkinRequest

Floats = NDArray[np.float32]

ALL_MAPS = "_all_maps"
"""Ends the name of a row that is given all maps at rest."""
OURS = {"ours": 1.0, "ours_mean": 0.0}
"""Rows of ExpDiff, and how far the wrinkles are one person's own; without asking an artist gets the first."""
FITTED_PEOPLE, FITTED_EXPRESSIONS = 200, 3
"""Of the training split, on whom the face models are fitted."""


@dataclass(frozen=True)
class Answer:
    """What a method shows; maps in the window of the request, mm in the person's own space."""

    neutral: Tensor  # (8, S, S) the skin at rest that its changes are measured from
    maps: Tensor  # (K, 8, S, S)
    deformation: Floats | None  # (K, V, 3); None where a method knows of maps alone
    seconds: float = 0.0
    shown: tuple[str, ...] = tuple(CHANNELS)  # the maps that a method knows of


Row = Callable[[SkinRequest], Answer]


def truth(request: SkinRequest) -> Answer:
    """The request's own answer."""
    return Answer(request.neutral_maps, request.maps, request.deformation)


def modelled(model: FaceModel, head: Head) -> Row:
    """A face model, for which everybody is aligned to the mean head."""
    mean = head.neutral_vertices[: head.skin_vertices]

    def row(request: SkinRequest) -> Answer:
        started = time.perf_counter()
        similarity = similarity_to(mean, request.neutral)
        shape = torch.from_numpy(similarity.apply(request.neutral) - mean)
        albedo = request.neutral_maps[CHANNELS["albedo"]]
        neutral, maps, aligned = model(albedo, shape, torch.from_numpy(request.stages))
        deformation = similarity.invert_vectors(aligned.numpy())
        return Answer(neutral, _legal(maps), deformation, time.perf_counter() - started)

    return row


def static(model: LinearFaceModel, head: Head, *, all_maps: bool) -> Row:
    """Linear shapes under a texture that never changes."""
    linear = modelled(model, head)

    def row(request: SkinRequest) -> Answer:
        answer = linear(request)
        neutral = request.neutral_maps if all_maps else _with_albedo(answer.neutral, request)
        return replace(answer, neutral=neutral, maps=neutral.expand_as(answer.maps))

    return row


def wrinkle_maps(model: LinearFaceModel, head: Head) -> Row:
    """Linear shapes and linear changes of all maps, on the maps at rest: what rigs with wrinkle maps do."""
    linear = modelled(model, head)

    def row(request: SkinRequest) -> Answer:
        answer = linear(request)
        change = torch.tensordot(torch.from_numpy(request.stages), model.unit_maps, dims=1)
        maps = request.neutral_maps + change.view(-1, *request.neutral_maps.shape)
        return replace(answer, neutral=request.neutral_maps, maps=_legal(maps))

    return row


def generated(model: Appearance, *, all_maps: bool = False, seed: int = 0, **options: Any) -> Row:
    """ExpDiff; options go to ``generate``."""

    def row(request: SkinRequest) -> Answer:
        whole = on_tile(request, model.window)
        known = whole if all_maps else BrdfMaps(whole.albedo)
        # a last frame at rest: what the other frames are a change of
        stages = np.concatenate([request.stages, np.zeros_like(request.stages[:1])])
        started = time.perf_counter()
        result = model.generate(known, request.neutral, stages, seed=seed + request.person, **options)
        seconds = time.perf_counter() - started
        maps = stacked(result)
        return Answer(maps[-1], maps[:-1], result.vertices[:-1] - request.neutral, seconds)

    return row


def texture_of(model: AnimateMeTexture, *, seed: int = 0, **options: Any) -> Row:
    """AnimateMe's texture model: the albedo, and nothing else."""

    def row(request: SkinRequest) -> Answer:
        started = time.perf_counter()
        albedo = model.animate(
            on_tile(request, model.window).albedo, request.stages, seed + request.person, **options
        )
        seconds = time.perf_counter() - started
        maps = request.neutral_maps.repeat(len(albedo), 1, 1, 1)
        maps[:, CHANNELS["albedo"]] = torch.from_numpy(albedo).permute(0, 3, 1, 2)
        return Answer(request.neutral_maps, maps, None, seconds, ("albedo",))

    return row


def stacked(result: AppearanceResult) -> Tensor:
    """(K, 8, H, W) the maps of all frames."""
    return torch.stack(
        [
            stack(
                {
                    "albedo": result.albedo[frame],
                    "specular": result.specular[frame],
                    "roughness": result.roughness[frame],
                    "normal": 0.5 + 0.5 * result.normal[frame],
                }
            )
            for frame in range(len(result.albedo))
        ]
    )


def on_tile(request: SkinRequest, window: Window) -> BrdfMaps:
    """The maps at rest on the whole UV tile, as they come from an artist."""
    size = round(request.neutral_maps.shape[-1] / (window[2] - window[0]))
    images: Mapping[str, Floats] = {
        name: request.neutral_maps[channels].permute(1, 2, 0).numpy() for name, channels in CHANNELS.items()
    } | {"height": request.neutral_height[..., None]}
    tiles: dict[str, Floats] = {}
    for name, image in images.items():
        tiles[name] = np.full((size, size, image.shape[2]), image.mean((0, 1)), np.float32)
        crop(tiles[name], window)[:] = image
    return BrdfMaps(
        tiles["albedo"], tiles["specular"][..., 0], tiles["roughness"][..., 0], tiles["height"][..., 0]
    )


def all_rows(
    cache: SkinCache, head: Head, folders: Mapping[str, Path], device: str, steps: int = 4000
) -> tuple[dict[str, Row], dict[str, str]]:
    """Every row there is, by name, and notes on them: what was trained, what is left out and why.

    cache: painted skin of the training people, on which the face models are fitted. folders: checkpoints of
    the generative models by the name of their row. steps: of the semantic model's training. Raises
    InputError for a checkpoint that makes maps of another size.
    """
    faces = Faces.read(cache, FITTED_PEOPLE, FITTED_EXPRESSIONS)
    linear = LinearFaceModel.fit(faces)
    semantic = SemanticFaceModel.train(faces, steps)
    rows: dict[str, Row] = {
        "3dmm": modelled(linear, head),
        "semantic_vae": modelled(semantic, head),
        "static": static(linear, head, all_maps=False),
        "static" + ALL_MAPS: static(linear, head, all_maps=True),
        "wrinkle_maps" + ALL_MAPS: wrinkle_maps(linear, head),
    }
    notes = {
        "3dmm": f"fitted on {len(faces.neutral)} people, {len(faces.person)} frames",
        "semantic_vae": f"trained in this run, {semantic.minutes:.1f} minutes, on the same frames",
    }
    for name, folder in folders.items():
        if not (folder / INDEX_NAME).is_file():
            notes[name] = f"left out: there is no checkpoint in {folder}"
            continue
        texture = name == "animate_me_texture"
        model = (AnimateMeTexture if texture else Appearance).from_checkpoint(folder, device)
        if (model.size, model.window) != (cache.layout.size, cache.layout.window):
            raise InputError(f"{folder} makes maps of another size or place than the skin cache holds.")
        if isinstance(model, AnimateMeTexture):
            rows[name] = texture_of(model)
        elif name != "ours":  # what an ablation lacks would be lost among chance wrinkles
            rows[name] = generated(model, noise_scale=0.0)
        else:
            for shown, noise_scale in OURS.items():
                rows[shown] = generated(model, noise_scale=noise_scale)
                rows[shown + ALL_MAPS] = generated(model, noise_scale=noise_scale, all_maps=True)
    return rows, notes


def _with_albedo(neutral: Tensor, request: SkinRequest) -> Tensor:
    known = neutral.clone()
    known[CHANNELS["albedo"]] = request.neutral_maps[CHANNELS["albedo"]]
    return _legal(known[None])[0]


def _legal(maps: Tensor) -> Tensor:
    """Maps (K, 8, S, S) within 0..1, normals of unit length."""
    legal = maps.clamp(0, 1)
    normal = 2 * legal[:, CHANNELS["normal"]] - 1
    legal[:, CHANNELS["normal"]] = (normal / normal.norm(dim=1, keepdim=True).clamp_min(1e-6) + 1) / 2
    return legal
