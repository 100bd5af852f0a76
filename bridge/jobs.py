"""What the worker can do: check itself, make heads, bind, animate. Only this file imports `models`."""

from __future__ import annotations

import platform
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.alignment import similarity_to
from models.animate_me import AnimateMe, choose_device
from models.appearance import Appearance
from models.bound_head import BoundHead, bind_head
from models.bound_library import carry_library
from models.diffusion import TRAIN_TIMESTEPS
from models.drawn_signal import Drawing, draw_signal
from models.errors import CheckpointError, InputError
from models.expression import UNIT_NAMES
from models.head import Head
from models.library import SampledLibrary, sample_library
from models.library_file import shape_set
from models.library_sets import chosen
from models.micro_motion import bring_to_life
from models.presets import preset_stage
from models.registration.artist_head import ArtistHead, Mesh
from models.saved_presets import SavedPreset, save_preset
from models.signal import remarks
from models.skin.authored_skin import AuthoredSkin, Painting
from models.skin.generated_skin import GeneratedSkin
from models.skin.head import SkinHead
from models.skin.job import (
    LARGEST_PAINTING,
    SkinJob,
    SkinModel,
    bytes_on_disk,
    check_resolution,
    needs_upscaler,
)
from models.skin.plain_upscale import plain_upscaler
from models.skin.plan import Plan, plan_expression, plan_frames, plan_keys
from models.skin.textures import albedo_of_texels, read_albedo, write_png
from models.skin.upscaler_weights import load_upscaler
from models.units import merged_pairs

from .head_check import check_head
from .job_folder import JobFolder
from .memory import LARGEST_CHUNK, MEBIBYTE, frames_that_fit, free_memory, free_ram, in_smaller_chunks
from .new_folder import new_folder
from .protocol import (
    AUTHORED,
    CORRECTIVES,
    DEVICES,
    HALVES,
    PROTOCOL_VERSION,
    AnimateRequest,
    AppearanceRequest,
    BindRequest,
    Check,
    ExpressRequest,
    HeadRequest,
    Hello,
    LibraryRequest,
    Ready,
    Request,
    SavePresetRequest,
    encode,
)
from .requirements import versions
from .warm_model import WarmModel
from .worker import JobFailedError, Report, Result

Floats = NDArray[np.float32]
HeadJobRequest = BindRequest | AnimateRequest | LibraryRequest | AppearanceRequest

UPSCALER, WORDS = "upscaler", "text"
SHIPPED_CHECKPOINTS = Path(__file__).resolve().parent.parent / "models" / "checkpoints"
BYTES_PER_VERTEX = 2048  # of a frame on its way through the network; 540 were measured on a CPU
MOST_SAMPLES = 1000
COPIES = (
    4  # of the whole animation that are in main memory at once: noisy, clean, with eyes and teeth, written
)


class DimpleJobs:
    """The jobs on one device. The checkpoint used last stays loaded until its files change.

    Raises JobFailedError("setup") when the device or the precision is unknown or not there.
    """

    def __init__(self, hello: Hello) -> None:
        if hello.device not in DEVICES or hello.half not in HALVES:
            raise JobFailedError(
                "setup", f"There is no device “{hello.device}” with half precision “{hello.half}”."
            )
        try:
            self._device = choose_device(hello.device)
        except InputError as error:
            raise JobFailedError("setup", str(error), f"torch {torch.__version__}") from error
        self._half = hello.half
        self._animate_me = WarmModel(partial(AnimateMe.from_checkpoint, device=self._device, half=self._half))
        self._exp_diff = WarmModel(partial(Appearance.from_checkpoint, device=self._device, half=self._half))

    def ready(self) -> Ready:
        """The answer to `hello`."""
        return Ready(
            protocol_version=PROTOCOL_VERSION,
            python=platform.python_version(),
            torch=torch.__version__,
            device=self._device,
            device_name=device_name(self._device),
            memory_free_mb=free_memory(self._device) // MEBIBYTE,
            checkpoints=tuple(
                sorted(index.parent.name for index in SHIPPED_CHECKPOINTS.glob("*/model_index.json"))
            ),
        )

    def run(self, request: Request, report: Report) -> Result:
        """Does one job; whatever the models refuse becomes a JobFailedError."""
        try:
            match request:
                case Check():
                    return self._check(request, report)
                case HeadRequest():
                    return self._new_head(request, report)
                case BindRequest():
                    return self._bind(request, report)
                case AnimateRequest():
                    return self._animate(request, report)
                case LibraryRequest():
                    return self._library(request, report)
                case ExpressRequest():
                    return _express(request, report)
                case SavePresetRequest():
                    return _save_preset(request)
                case AppearanceRequest():
                    return self._appearance(request, report)
        except InputError as error:
            raise JobFailedError("input", str(error)) from error
        except CheckpointError as error:
            raise JobFailedError("checkpoint", str(error), str(error.__cause__ or "")) from error

    def _check(self, request: Check, report: Report) -> Result:
        facts: dict[str, Any] = {
            "missing": [],
            "problems": [],
            "versions": versions(),
            "device": self._device,
            "device_name": device_name(self._device),
            "memory_free_mb": free_memory(self._device) // MEBIBYTE,
        }
        try:
            torch.ones(1, device=self._device).cpu().numpy()
        except RuntimeError as error:  # a torch built for another numpy, or a device that refuses
            facts["problems"].append(f"torch does not work here: {error}")
            return Result(info=facts)
        try:
            facts |= head_facts(self._model(request.checkpoint, report).head)
        except CheckpointError as error:
            facts["problems"].append(str(error))
        return Result(info=facts)

    def _new_head(self, request: HeadRequest, report: Report) -> Result:
        folder = JobFolder(request.folder)
        model = self._model(request.checkpoint, report)
        head = model.head
        report("sample", 0, 1)
        arrays: dict[str, NDArray[Any]] = {
            "neutral_vertices": model.new_person(request.seed),
            "faces": head.faces,
            "triangles": head.triangles,
            "uv": head.uv,
            "uv_faces": head.uv_faces,
            "face_material": head.face_material,
        }
        report("write", 0, 1)
        paths = folder.write(arrays)
        parts = {name: list(vertices) for name, vertices in head.parts.items()}
        facts = head_facts(head) | {"material_names": list(head.config["material_names"]), "parts": parts}
        return Result(paths, request.seed, facts)

    def _bind(self, request: BindRequest, report: Report) -> Result:
        folder, artist = _head_in(request)
        model = self._model(request.checkpoint, report)
        bound = _bound_head(model, artist, request, report, always=True)
        binding, head = bound.binding, model.head
        assert binding is not None
        report("write", 0, 1)
        outside = head.face_material == list(head.config["material_names"]).index("skin")
        paths = folder.write(
            {
                "triangle": binding.triangle,
                "barycentric": binding.barycentric,
                "confidence": binding.confidence,
                "rule": binding.rule,
                "fitted_vertices": binding.fitted_vertices,
                "fitted_faces": head.faces[outside],
            }
        )
        return Result(paths, 0, head_facts(head) | bound.facts)

    def _animate(self, request: AnimateRequest, report: Report) -> Result:
        folder, artist = _head_in(request)
        _check_sampling(request)
        if not request.performance:
            _check_length(request.frames, artist)
        drawn, said = _drawn(request, folder)
        signal = bring_to_life(
            drawn, request.frame_rate, request.seed, micro_motion=request.micro_motion, blinks=request.blinks
        )
        _check_length(len(signal), artist)
        folder.require_room(len(signal) * _size(artist))
        model = self._model(request.checkpoint, report)
        bound = _bound_head(model, artist, request, report)
        neutral = bound.neutral_vertices

        def sample(frames_per_chunk: int) -> Floats:
            return model.animate(
                neutral,
                signal,
                request.seed,
                sampler=request.sampler,
                late_start=request.late_start,
                steps=request.steps,
                frames_per_chunk=frames_per_chunk,
                on_step=partial(report, "sample"),
            )

        free = partial(free_memory, self._device)
        chunk = frames_that_fit(free(), BYTES_PER_VERTEX * len(neutral), len(signal))
        deformations = in_smaller_chunks(sample, chunk, free)
        _check_finite(deformations)
        carried = bound.carry(deformations, signal, on_step=partial(report, "carry"))
        report("write", 0, 1)
        names = _array_names("deformations", request.companions)
        moved = {names[name]: frames for name, frames in carried.items()}
        paths = folder.write(moved | {"signal": signal, "drawn_signal": drawn})
        facts = {
            "checkpoint_name": model.head.config["name"],
            "unit_names": list(UNIT_NAMES),
            "identity_residual_mm": _identity_residual(model, neutral),
            "frame_rate": request.frame_rate,
            "remarks": list(said),
        }
        return Result(paths, request.seed, facts | bound.facts)

    def _library(self, request: LibraryRequest, report: Report) -> Result:
        folder, artist = _head_in(request)
        if not 1 <= request.samples <= MOST_SAMPLES or request.correctives not in CORRECTIVES:
            raise InputError(
                f"A library is the mean of 1 to {MOST_SAMPLES:,} samples, with correctives for pairs or none."
            )
        shapes = shape_set(request.shape_set)
        names = chosen(shapes.shapes, request.only)
        _check_length(2 * (len(shapes.shapes) + len(shapes.pairs)), artist)
        model = self._model(request.checkpoint, report)
        bound = _bound_head(model, artist, request, report)
        neutral = bound.neutral_vertices

        def sample(frames_per_chunk: int) -> SampledLibrary:
            return sample_library(
                model,
                neutral,
                shapes,
                names,
                correctives=request.correctives == "pairs",
                seed=request.seed,
                samples=request.samples,
                frames_per_chunk=frames_per_chunk,
                on_step=partial(report, "sample"),
            )

        free = partial(free_memory, self._device)
        chunk = frames_that_fit(free(), BYTES_PER_VERTEX * len(neutral), LARGEST_CHUNK)
        sampled = in_smaller_chunks(sample, chunk, free)
        carried = carry_library(bound, sampled, partial(report, "carry"))
        library = carried[""]
        _check_finite(library.deformations)
        _check_finite(library.correctives)
        report("write", 0, 1)
        files = _array_names("deformations", request.companions)
        lacking = _array_names("correctives", request.companions)
        arrays = {files[name]: own.deformations for name, own in carried.items()}
        paths = folder.write(arrays | {lacking[name]: own.correctives for name, own in carried.items()})
        facts = {
            "checkpoint_name": model.head.config["name"],
            "names": list(library.names),
            "order": [shape.name for shape in shapes.shapes],
            "pairs": [list(pair) for pair in library.pairs],
        }
        return Result(paths, request.seed or 0, facts | bound.facts)

    def _appearance(self, request: AppearanceRequest, report: Report) -> Result:
        folder, artist = _head_in(request)
        texture = _texture(request, folder)
        check_resolution(request.resolution)
        worker = self._model(request.checkpoint, report)
        head = SkinHead(worker.head, _bound_head(worker, artist, request, report), artist.mesh)
        uv, worn = folder.read("uv", columns=2), folder.read("skin_triangles", columns=1)[:, 0]
        layouts = head.layouts(uv.astype(np.float32), worn)
        plan = _plan(request, folder, head)
        painting: Painting | None = None
        if request.skin == AUTHORED:
            painting = _painted(request, head, report)
            model: SkinModel = AuthoredSkin(painting)
        else:
            exp_diff = self._exp_diff.of(_checkpoint_folder(request.skin), report)
            model = GeneratedSkin(exp_diff, request.seed, request.personal)
        upscaler = None
        if needs_upscaler(model, request.resolution):
            folder_of_network = SHIPPED_CHECKPOINTS / UPSCALER
            if folder_of_network.is_dir():
                upscaler = load_upscaler(folder_of_network, self._device, self._half)
            else:
                upscaler = plain_upscaler(self._device)
        skin = texture if texture is not None else painting or _painted(request, head, report)
        job = SkinJob(model, upscaler, head, layouts, skin, request.resolution)
        out = Path(request.out or folder.path / "skin")
        with new_folder(out, bytes_on_disk(request.resolution, 1 + len(plan.subjects))) as unfinished:
            job.write(plan.subjects, unfinished, partial(report, "sample"), partial(_show, folder, report))
            recipe = replace(request, job="", folder="", out="", landmarks={}, companions=(), cache="")
            (unfinished / "recipe.json").write_bytes(encode(recipe))
        paths = {"folder": str(out)} | folder.write({"side": head.side})
        return Result(paths, request.skin_seed, head.bound.facts | {"source": job.source} | plan.facts)

    def _model(self, checkpoint: str, report: Report) -> AnimateMe:
        """The model that moves heads."""
        return self._animate_me.of(_checkpoint_folder(checkpoint), report)


def device_name(device: str) -> str:
    """The device as its maker calls it."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def head_facts(head: Head) -> dict[str, Any]:
    """What the host may want to know of a checkpoint's head."""
    return {
        "checkpoint_name": head.config["name"],
        "head_vertices": len(head.neutral_vertices),
        "head_triangles": len(head.triangles),
        "skin_vertices": head.skin_vertices,
        "fingerprints": sorted(head.fingerprints),
        "units": head.config["units"],
    }


def _head_in(request: HeadJobRequest) -> tuple[JobFolder, ArtistHead]:
    """A job's folder with the head, the landmarks and the companions that the host left in it."""
    folder = JobFolder(request.folder)

    def mesh(vertices: str, triangles: str) -> Mesh:
        own = folder.read(vertices, columns=3).astype(np.float32)
        faces = folder.read(triangles, columns=3).astype(np.int32)
        check_head(own, faces)
        return Mesh(own, faces)

    companions = {
        name: mesh(f"companion_{i}_vertices", f"companion_{i}_triangles")
        for i, name in enumerate(request.companions)
    }
    landmarks = {name: np.array(place, np.float32) for name, place in request.landmarks.items()}
    return folder, ArtistHead(
        mesh("neutral_vertices", "triangles"), landmarks, companions, request.companion_parts
    )


def _bound_head(
    model: AnimateMe,
    artist: ArtistHead,
    request: HeadJobRequest,
    report: Report,
    *,
    always: bool = False,
) -> BoundHead:
    """The artist's head as the model animates it."""
    report("bind", 0, 1)
    cache = Path(request.cache) if request.cache else None
    return bind_head(model.head, artist, cache=cache, always=always, on_step=partial(report, "bind"))


def _array_names(stem: str, companions: tuple[str, ...]) -> dict[str, str]:
    """Names of the arrays for the head, "", and for each companion."""
    return {"": stem} | {name: f"companion_{i}_{stem}" for i, name in enumerate(companions)}


def _size(artist: ArtistHead) -> int:
    """Bytes of one frame of all that moves."""
    return artist.mesh.vertices.nbytes + sum(mesh.vertices.nbytes for mesh in artist.companions.values())


def _checkpoint_folder(checkpoint: str) -> Path:
    """The folder of a shipped checkpoint, by its name, or one of the artist's own."""
    if not checkpoint:
        raise CheckpointError("No checkpoint is chosen: choose its folder in the preferences.")
    shipped = SHIPPED_CHECKPOINTS / checkpoint
    return shipped if shipped.is_dir() else Path(checkpoint)


def _show(folder: JobFolder, report: Report, step: int, steps: int, picture: NDArray[np.uint8]) -> None:
    """Let the artist see a picture (H, W, 3) while the job goes on. Raises OSError."""
    path = folder.path / f"picture_{step}.png"
    write_png(path, picture.astype(np.float32) / 255)
    report("sample", step, steps, str(path))


def _painted(request: AppearanceRequest, head: SkinHead, report: Report) -> Painting:
    """Authored skin for this head."""
    report("paint", 0, 1)
    size = min(request.resolution, LARGEST_PAINTING)
    painting = Painting.of(head.head, head.bound.neutral_vertices, size, request.skin_seed)
    report("paint", 1, 1)
    return painting


def _plan(request: AppearanceRequest, folder: JobFolder, head: SkinHead) -> Plan:
    """What the maps are to show."""
    if request.subject == "expression":
        return plan_expression(request.expressions, request.intensity, SHIPPED_CHECKPOINTS / WORDS)
    motions = head.motions(folder.read("deformations", columns=3).astype(np.float32))
    neutral = head.bound.neutral_vertices
    if request.subject == "frames":
        return plan_frames(head.head, neutral, motions)
    return plan_keys(head.head, neutral, request.key_names, motions, request.sets)


def _texture(request: AppearanceRequest, folder: JobFolder) -> Floats | None:
    """The artist's albedo (H, W, 3): texels that the host left, or a file; None for authored skin."""
    if folder.has("texture"):
        return albedo_of_texels(folder.read("texture"))
    return read_albedo(Path(request.texture)) if request.texture else None


def _check_finite(deformations: Floats) -> None:
    if not np.isfinite(deformations).all():
        raise CheckpointError(
            "The model's result is not finite: turn half precision off or choose another checkpoint."
        )


def _drawn(request: AnimateRequest, folder: JobFolder) -> tuple[Floats, tuple[str, ...]]:
    """(K, M) the signal that the host left in the folder, or else the one that the request describes, before
    it is brought to life; and what the artist should know of it."""
    if folder.has("expression_signal"):
        signal = folder.read("expression_signal", columns=len(UNIT_NAMES)).astype(np.float32)
        if not len(signal) or not np.isfinite(signal).all():
            raise InputError(
                "The expression curve has no frames, or values that are no numbers: draw it again."
            )
        return signal, ()
    drawing = Drawing(**{item.name: getattr(request, item.name) for item in fields(Drawing)})
    curves = folder.read("curves", columns=len(request.curves)) if request.curves else None
    return draw_signal(drawing, curves)


def _express(request: ExpressRequest, report: Report) -> Result:
    """Which units the words mean, strongest first; no folder and no head are needed."""
    shipped = SHIPPED_CHECKPOINTS / request.text
    report("read", 0, 1)
    from models.words import express  # late: transformers takes seconds to load, and nothing else needs it

    found = express(request.prompt, shipped if shipped.is_dir() else Path(request.text))
    facts = {
        "units": [[name, weight] for name, weight in found.closest.items()],
        "unknown_words": list(found.unknown_words),
        "read_as": dict(found.read_as),
        "remarks": list(remarks(found.stage[None])),
    }
    return Result(info=facts)


def _save_preset(request: SavePresetRequest) -> Result:
    stage = preset_stage(request.expressions, request.presets)
    texts = (request.name, request.author, request.licence, request.preview)
    preset = SavedPreset(*texts, stage=merged_pairs(stage))
    try:
        path = save_preset(Path(request.presets_folder), preset, replace=request.replace)
    except OSError as error:
        raise InputError(
            f"The preset cannot be written to {request.presets_folder}: {error.strerror}."
        ) from error
    return Result(info={"file": str(path), "remarks": list(remarks(stage[None]))})


def _check_sampling(request: AnimateRequest) -> None:
    for name, value, least in (("steps", request.steps, 1), ("late start", request.late_start, 0)):
        if value is not None and not least <= value <= TRAIN_TIMESTEPS:
            raise InputError(f"The {name} must be from {least} to {TRAIN_TIMESTEPS}, not {value}.")


def _check_length(frames: int, artist: ArtistHead) -> None:
    needed, free = frames * _size(artist) * COPIES, free_ram()
    if needed > free:
        raise JobFailedError(
            "out_of_memory",
            f"{frames:,} frames of this head need {needed // MEBIBYTE:,} MB, "
            f"but {free // MEBIBYTE:,} MB are free.",
        )


def _identity_residual(model: AnimateMe, neutral: Floats) -> float:
    """Distance (mm, RMS) of a head in the model's topology from the linear identity model."""
    skin = slice(model.head.skin_vertices)
    mean = model.head.neutral_vertices[skin]
    offset = similarity_to(mean, neutral[skin]).apply(neutral[skin]) - mean
    nearest = np.tensordot(model.identity_solver(offset), model.head.identity_basis[:, skin], axes=1)
    return float(np.sqrt(np.mean(np.square(offset - nearest).sum(axis=1))))
