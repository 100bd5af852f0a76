"""Evaluating the upscaler on people it has never seen, beside plain enlargement, in one run.

Every method enlarges the same small maps, twice or four times, sharp or as blurred as a decoder leaves them.
Half of the rows know the neutral's maps in high resolution, as an artist's own are; they add the enlarged
change to them. So what a row is given is part of it.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ..corpus.skin_cache import SkinCache
from ..head import Head
from ..skin.upscaler_weights import load_upscaler
from ..upscale import CHANNELS, STACK, Upscaler, bicubic, resized, stack, unstack
from .comparison import OnRequest, figure
from .metrics_appearance import WRINKLES, pooled_psnr, pooled_wrinkles, psnr, wrinkle_moments
from .skin_stacks import face_texels, records_by_person, stacks

WRINKLE_WIDTH = 4.0
"""Texels of the small map: what is finer than this suffers from enlargement."""

Method = Callable[[Tensor, Tensor, Tensor | None, int], tuple[Tensor, Tensor]]
"""(neutral (8, s, s), expression, the true neutral (8, S, S) or None, S) -> neutral, expression (8, S, S)."""


@dataclass(frozen=True)
class Plan:
    """How much is evaluated."""

    people: int = 8
    expressions: int = 4
    factors: Sequence[int] = (2, 4)
    blurs: Sequence[float] = (0.0, 0.6)  # standard deviation, texels of the small map
    memory_at: int = 4096  # size of the run whose memory is measured; 0 for none


def evaluate_upscaler(
    checkpoints: Mapping[str, Path],
    skin: Path,
    head_folder: Path,
    plan: Plan,
    *,
    on_request: OnRequest | None = None,
) -> dict[str, Any]:
    """{"settings", "rows", "memory"}: a row for each method, factor, blur, and neutral known or not.

    checkpoints: folders of our own and files of Real-ESRGAN, by the name of their row. skin: a cache of
    painted skin at the high resolution. Raises CheckpointError and InputError.
    """
    head = Head.load(head_folder)
    cache = SkinCache.open(skin, "test", head)
    mask = face_texels(cache.layout, head)
    rest, frames = records_by_person(cache, plan.people, plan.expressions)
    neutrals, shown = stacks(cache, rest).float(), stacks(cache, frames).float()
    methods: dict[str, Method] = {"bicubic": _plain(bicubically), "lanczos": _plain(lanczos)}
    methods |= {name: _network(load_upscaler(path)) for name, path in checkpoints.items()}
    jobs = list(product(methods, plan.factors, plan.blurs, (False, True)))
    rows: list[dict[str, Any]] = []
    for number, (name, factor, blur, known) in enumerate(jobs):
        figures = [
            _figures(methods[name], neutral, expression, factor, blur, known, mask)
            for neutral, expressions in zip(neutrals, shown, strict=True)
            for expression in expressions
        ]
        rows.append(
            {"name": name, "factor": factor, "blur": blur, "neutral_known": known, "sets": len(figures)}
            | _pooled(figures)
        )
        if on_request is not None:
            on_request(number + 1, len(jobs))
    paths = {name: str(path) for name, path in checkpoints.items()}
    settings = {**asdict(plan), "size": cache.layout.size, "checkpoints": paths}
    memory = {name: memory_of(path, plan.memory_at) for name, path in checkpoints.items() if plan.memory_at}
    return {"settings": settings, "rows": rows, "memory": memory}


def _figures(
    method: Method, neutral: Tensor, expression: Tensor, factor: int, blur: float, known: bool, mask: Any
) -> dict[str, float]:
    size = neutral.shape[-1]
    started = time.perf_counter()
    own_neutral, enlarged = method(
        smaller(neutral, factor, blur), smaller(expression, factor, blur), neutral if known else None, size
    )
    seconds = time.perf_counter() - started
    made, true = unstack(enlarged), unstack(expression)
    quality = {f"psnr_{name}": psnr(made[name], true[name], mask) for name in CHANNELS}
    # what leaves the neutral is measured from the neutral that the same method gives
    change, true_change = (
        shown["normal"] - unstack(rest)["normal"] for shown, rest in ((made, own_neutral), (true, neutral))
    )
    moments = wrinkle_moments(change, true_change, mask, WRINKLE_WIDTH * factor)
    return quality | moments | {"seconds": seconds}


def _pooled(figures: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """One row's figures over all sets; ``psnr`` over all maps."""
    columns = {name: [row[name] for row in figures] for name in figures[0]}
    columns["psnr"] = [value for name in CHANNELS for value in columns[f"psnr_{name}"]]
    wrinkles = pooled_wrinkles(columns)
    pooled = {
        name: pooled_psnr(values) if name.startswith("psnr") else float(np.mean(values))
        for name, values in columns.items()
        if name not in WRINKLES
    }
    return {name: figure(value) for name, value in (pooled | wrinkles).items()}


def smaller(stacked: Tensor, factor: int, blur: float) -> Tensor:
    """(8, S, S) -> (8, S / factor, S / factor), averaged over areas and blurred by ``blur`` texels."""
    low = resized(stacked, stacked.shape[-1] // factor)
    return torch.from_numpy(gaussian_filter(low.numpy(), (0, blur, blur), mode="nearest")) if blur else low


def _plain(enlarge: Callable[[Tensor, int], Tensor]) -> Method:
    def method(neutral: Tensor, expression: Tensor, given: Tensor | None, size: int) -> tuple[Tensor, Tensor]:
        own = enlarge(neutral, size)
        high = own if given is None else given
        return high, (high + enlarge(expression, size) - own).clamp(0, 1)

    return method


def _network(upscaler: Upscaler) -> Method:
    def method(neutral: Tensor, expression: Tensor, given: Tensor | None, size: int) -> tuple[Tensor, Tensor]:
        pyramid = upscaler.neutral_pyramid(unstack(neutral), size, None if given is None else unstack(given))
        return pyramid[-1], stack(upscaler.upscale(unstack(expression), pyramid))

    return method


def bicubically(stacked: Tensor, size: int) -> Tensor:
    """(8, s, s) -> (8, size, size)."""
    return bicubic(stacked[None], size // stacked.shape[-1])[0]


def lanczos(stacked: Tensor, size: int) -> Tensor:
    """(8, s, s) -> (8, size, size) by Pillow."""
    layers = [
        Image.fromarray(layer).resize((size, size), Image.Resampling.LANCZOS) for layer in stacked.numpy()
    ]
    return torch.from_numpy(np.stack([np.asarray(layer) for layer in layers]))


def memory_of(path: Path, size: int) -> dict[str, float]:
    """Peak memory, MB, and seconds of one expression enlarged from 256 to ``size``, in its own process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run_once, path, size).result()


def run_once(path: Path, size: int) -> dict[str, float]:
    """As ``memory_of``, in this process."""
    upscaler = load_upscaler(path, "cpu")
    before = _peak_megabytes()
    maps = unstack(torch.full((STACK, 256, 256), 0.5))
    given = {"albedo": np.full((size, size, 3), 0.5, np.float32)}
    started = time.perf_counter()
    pyramid = upscaler.neutral_pyramid(maps, size, given)
    prepared = time.perf_counter()
    upscaler.upscale(maps, pyramid)
    return {
        "size": size,
        "peak_mb": round(_peak_megabytes()),
        "libraries_mb": round(before),
        "seconds_neutral": round(prepared - started, 3),
        "seconds_expression": round(time.perf_counter() - prepared, 3),
    }


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
