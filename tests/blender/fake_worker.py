"""A worker that speaks the real protocol in a real process, and makes simple shapes instead of faces.

Expressions choose what it does: "crash", "slow", "refuse", "nonfinite", "wrong_shape", "pickle", "no_result";
any other is answered with three random shapes under three curves. Of the shape sets it knows a few names.
"""

import hashlib
import json
import os
import pickle
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bridge.head_check import check_head  # noqa: E402
from bridge.new_folder import new_folder  # noqa: E402
from bridge.protocol import (  # noqa: E402
    PROTOCOL_VERSION,
    SKIN_MAPS,
    AnimateRequest,
    AppearanceRequest,
    BindRequest,
    Check,
    ExpressRequest,
    HeadRequest,
    LibraryRequest,
    Ready,
    SavePresetRequest,
)
from bridge.worker import JobFailedError, Result, serve  # noqa: E402

SIZE = 6
SKIN = 30
MM_PER_UNIT = 1000.0
MATERIALS = ["skin", "teeth", "iris"]
UNIT_NAMES = ["jawOpen", "eyeBlinkLeft"]


def head_arrays(seed=0):
    """A bent patch of SIZE x SIZE vertices (mm, +Y up, +Z forward); its first quad is cut in two."""
    columns, rows = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    bend = np.random.default_rng(seed).uniform(2.0, 8.0)
    vertices = np.stack([10.0 * columns, 10.0 * rows, bend * np.sin(columns)], axis=-1)
    corner = (np.arange(SIZE - 1)[:, None] * SIZE + np.arange(SIZE - 1)).reshape(-1, 1)
    quads = corner + np.array([0, 1, SIZE + 1, SIZE])
    first = quads[0]
    faces = np.vstack([[*first[[0, 1, 2]], -1], [*first[[0, 2, 3]], -1], quads[1:]])
    return {
        "neutral_vertices": vertices.reshape(-1, 3).astype(np.float32),
        "faces": faces.astype(np.int32),
        "uv": (vertices[..., :2] / 60.0).reshape(-1, 2).astype(np.float32),
        "uv_faces": faces.astype(np.int32),
        "face_material": (np.arange(len(faces)) % len(MATERIALS)).astype(np.int16),
    }


def known_fingerprint():
    """What the checkpoint's config.json lists: vertex count and hash of the sorted edges."""
    edges = set()
    for face in head_arrays()["faces"].tolist():
        loop = [corner for corner in face if corner >= 0]
        edges |= {tuple(sorted(edge)) for edge in zip(loop, loop[1:] + loop[:1], strict=True)}
    content = np.array(sorted(edges), dtype="<i4").tobytes()
    return f"{SIZE * SIZE}-{hashlib.sha256(content).hexdigest()[:32]}"


def deformations(neutral, frames, seed):
    """(frames, V, 3), rank 3, zero in the first frame; the same for the same seed."""
    shapes = np.random.default_rng(seed).normal(size=(3, *neutral.shape)) * 0.05 * np.ptp(neutral)
    time_ = np.linspace(0.0, 1.0, frames)
    return np.einsum("kr,rvc->kvc", np.stack([time_, time_**2, time_**3], axis=1), shapes).astype(np.float32)


class FakeJobs:
    def ready(self):
        python = sys.version.split()[0]
        return Ready(PROTOCOL_VERSION, python, "2.0", "cpu", str(os.getpid()), 1000, ("animate-me",))

    def run(self, request, report):
        match request:
            case Check():
                problems = [] if Path(request.checkpoint).is_dir() else ["There is no checkpoint."]
                return Result(info={"missing": [], "problems": problems, "versions": {"torch": "2.0"}})
            case HeadRequest():
                paths = save(request.folder, head_arrays(request.seed))
                return Result(paths, request.seed, {"material_names": MATERIALS})
            case BindRequest():
                return bind(request, report)
            case AnimateRequest():
                return animate(request, report)
            case LibraryRequest():
                return library(request, report)
            case ExpressRequest():
                return express(request)
            case SavePresetRequest():
                return save_preset(request)
            case AppearanceRequest():
                return appearance(request, report)


def animate(request, report):
    wanted = {text.partition("=")[0] for text in request.expressions}
    if "crash" in wanted:
        print("the last words of the worker", file=sys.stderr, flush=True)
        os._exit(7)
    if "refuse" in wanted:
        raise JobFailedError("input", "There is no expression called “refuse”.")
    steps = 10000 if "slow" in wanted else 5
    for step in range(steps):
        report("sample", step + 1, steps)
        time.sleep(0.01)
    neutral = head_in(request)
    kept = Path(request.folder) / "expression_signal.npy"
    frames = len(np.load(kept)) if kept.exists() else request.frames
    result = deformations(neutral, frames, request.seed)
    if "nonfinite" in wanted:
        result[1, 2] = np.nan
    if "wrong_shape" in wanted:
        result = result[:, :-1]
    signal = np.outer(np.linspace(0.0, request.intensity, frames), np.ones(len(UNIT_NAMES))).astype(
        np.float32
    )
    arrays = {"deformations": result, "signal": signal, "drawn_signal": signal}
    for index, _ in enumerate(request.companions):
        arrays[f"companion_{index}_deformations"] = companion_shapes(request, index, frames)
    paths = save(request.folder, arrays)
    if "pickle" in wanted:
        Path(paths["deformations"]).write_bytes(pickle.dumps(result))
    if "no_result" in wanted:
        Path(paths["deformations"]).unlink()
    facts = {"mm_per_unit": MM_PER_UNIT, "unit_names": UNIT_NAMES, "remarks": remarks(request)}
    return Result(paths, request.seed, facts | bound_facts(request, neutral))


def remarks(request):
    return ["jawOpen goes beyond 1, where the face is extrapolated."] if request.intensity > 1.0 else []


def express(request):
    """Every word that is a unit, and the others unknown; no unit at all is refused."""
    words = request.prompt.split()
    known = [word for word in words if word in UNIT_NAMES]
    if not known:
        raise JobFailedError("input", f"Dimple finds no facial expression in “{request.prompt[:20]}”.")
    unknown = [word for word in words if word not in UNIT_NAMES]
    info = {"units": [[word, 0.5] for word in known], "unknown_words": unknown, "read_as": {}, "remarks": []}
    return Result(info=info)


def save_preset(request):
    """The preset with the weights of the expressions; "taken" is refused."""
    if request.name == "taken":
        raise JobFailedError("input", "There is a preset called “taken” already; rename this one.")
    folder = Path(request.presets_folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [text.partition("=") for text in request.expressions]
    stage = {name: float(weight or 1.0) for name, _, weight in parts}
    content = {"format": 1, "name": request.name, "author": request.author, "licence": request.licence}
    file = folder / f"{request.name}.json"
    file.write_text(json.dumps(content | {"preview": request.preview, "stage": stage}))
    return Result(info={"file": str(file), "remarks": []})


def bind(request, report):
    """Everything but a cube is bound; 39 vertices with a warning."""
    neutral = head_in(request)
    for step in range(3):
        report("bind", step, 3)
    count = len(neutral)
    arrays = {
        "triangle": np.zeros(count, np.int32),
        "barycentric": np.tile(np.float32([1, 0, 0]), (count, 1)),
        "confidence": np.linspace(0, 1, count, dtype=np.float32),
        "rule": np.where(np.arange(count) < 5, 0, 1).astype(np.int8),
        "fitted_vertices": neutral[:SKIN] + np.float32([0, 0, 0.5]),
        "fitted_faces": head_arrays()["faces"][(head_arrays()["faces"] < SKIN).all(axis=1)],
    }
    return Result(save(request.folder, arrays), 0, bound_facts(request, neutral, always=True))


def head_in(request):
    neutral, triangles = (
        np.load(Path(request.folder) / f"{name}.npy") for name in ("neutral_vertices", "triangles")
    )
    check_head(neutral, triangles)
    if len(neutral) == 8:
        raise JobFailedError("input", "No face was found on this mesh.")
    return neutral


def bound_facts(request, neutral, always=False):
    recognised = len(neutral) in (SKIN, SIZE**2)
    facts = {"mm_per_unit": MM_PER_UNIT, "recognised": recognised}
    if recognised and not always and not request.companions:
        return facts
    warned = len(neutral) == 39 and "mouthLeft" not in request.landmarks
    return facts | {
        "score": 1.0 if recognised else 0.87,
        "warnings": ["The mouth could not be made out."] if warned else [],
        "found_landmarks": {
            "noseTip": neutral[14].tolist(),
            **{k: list(v) for k, v in request.landmarks.items()},
        },
        "roles": {name: request.companion_parts.get(name, "left eye") for name in request.companions},
    }


def companion_shapes(request, index, count):
    """(count, V, 3) what follows goes along x, a unit a shape; "Still" stays."""
    vertices = np.load(Path(request.folder) / f"companion_{index}_vertices.npy")
    moves = np.arange(1, count + 1)[:, None, None] * np.float32([1, 0, 0])
    return np.tile(moves, (1, len(vertices), 1)).astype(np.float32) * (request.companions[index] != "Still")


SHAPES = {
    "arkit": ["jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthFunnel", "tongueOut"],
    "metahuman": ["CTRL_expressions_mouthUpperLipRaiseL", "CTRL_expressions_noseWrinkleL"],
}
LIBRARY_PAIRS = [("jawOpen", "mouthFunnel"), ("jawOpen", "mouthSmileLeft"), tuple(SHAPES["metahuman"])]


def library(request, report):
    """Shapes that only their name and the seed decide; the last of a set is empty. "slow" never ends."""
    if request.shape_set not in SHAPES:
        raise JobFailedError("input", f"There is no shape set called “{request.shape_set}”.")
    for step in range(10000 if "slow" in request.only else 2):
        report("sample", step + 1, 2)
        time.sleep(0.01)
    neutral = np.load(Path(request.folder) / "neutral_vertices.npy")
    order = SHAPES[request.shape_set]
    names = [name for name in order if not request.only or name in request.only]
    pairs = [pair for pair in LIBRARY_PAIRS if set(pair) & set(names) and set(pair) <= set(order)]
    pairs = pairs if request.correctives == "pairs" else []
    made = [library_shape(neutral, name, request.seed) * (name != "tongueOut") for name in names]
    lacking = [library_shape(neutral, "+".join(pair), request.seed) for pair in pairs]
    arrays = {"deformations": np.array(made), "correctives": np.array(lacking).reshape(-1, *neutral.shape)}
    for index, _ in enumerate(request.companions):
        shapes = companion_shapes(request, index, len(names) + len(pairs))
        arrays[f"companion_{index}_deformations"] = shapes[: len(names)]
        arrays[f"companion_{index}_correctives"] = shapes[len(names) :]
    paths = save(request.folder, {name: array.astype(np.float32) for name, array in arrays.items()})
    info = {"names": names, "order": order, "pairs": pairs} | bound_facts(request, head_in(request))
    return Result(paths, request.seed or 0, info)


def library_shape(neutral, name, seed=None):
    """(V, 3) the shape that the stand-in makes for a name."""
    random = np.random.default_rng([*name.encode(), seed or 0])
    return random.normal(size=neutral.shape) * 0.05 * np.ptp(neutral)


# Colours (sRGB, 0 to 255) of the maps of a set, in the order of SKIN_MAPS, and how each further set differs.
NEUTRAL_COLOURS = {
    "albedo": (180, 120, 100),
    "specular": (120, 120, 120),
    "roughness": (140, 140, 140),
    "normal": (128, 128, 255),
}
SET_CHANGE = {"albedo": (40, 0, 0), "specular": (20,) * 3, "roughness": (-40,) * 3, "normal": (30, 0, -20)}


def appearance(request, report):
    """Maps of one colour each. The expressions "slow", "refuse" and "no_result" do what they say.

    A key ending in Left or Right makes a set with the other side's; a set's albedo is the neutral's + 40 red.
    """
    if "refuse" in request.expressions:
        raise JobFailedError("input", "The texture is black where the face is.")
    steps = 10000 if "slow" in request.expressions else 2
    picture = Path(request.folder) / "picture.png"
    write_png(picture, (200, 150, 120))
    for step in range(steps):
        report("sample", step + 1, steps, str(picture) if step == 1 else "")
        time.sleep(0.01)
    given = {path.stem: np.load(path) for path in Path(request.folder).glob("*.npy")}
    vertices = len(given["neutral_vertices"])
    target = Path(request.out or Path(request.folder) / "skin")
    sets = [{"label": "neutral", "folder": "neutral", "weights": []}]
    frames = 0
    if request.subject == "expression":
        sets.append(
            {"label": request.expressions[0], "folder": "", "weights": [(request.expressions[0], "both")]}
        )
    elif request.subject == "keys":
        assert given["deformations"].shape == (len(request.key_names) * vertices, 3)
        stems = {}
        for name in request.key_names:
            side = next((side for side in ("Left", "Right") if name.endswith(side)), "")
            stem = name.removesuffix(side)
            stems.setdefault(stem, []).append((name, side.lower() or "both"))
        sets += [{"label": stem, "folder": stem, "weights": keys} for stem, keys in stems.items()][
            : request.sets
        ]
    else:
        frames = len(given["deformations"]) // vertices
        sets = [{"label": "frames", "folder": "", "weights": []}]
    with new_folder(target, 0) as out:
        for number, entry in enumerate(sets):
            (out / entry["folder"]).mkdir(exist_ok=True)
            for name in SKIN_MAPS:
                colour = np.array(NEUTRAL_COLOURS[name]) + (number > 0) * np.array(SET_CHANGE[name])
                for frame in range(1, frames + 1) if frames else [None]:
                    stem = name if frame is None else f"{name}_{frame:04d}"
                    shade = colour if frame is None or name != "albedo" else [50 * frame, 0, 0]
                    write_png(out / entry["folder"] / f"{stem}.png", shade)
        if "no_result" in request.expressions:
            (out / "normal.png").unlink()
    paths = {"folder": str(target)}
    if request.subject == "keys":
        x = given["neutral_vertices"][:, :1]
        paths |= save(request.folder, {"side": (x > np.median(x)).astype(np.float32)})
    info = {"sets": sets, "frames": frames, "mm_per_unit": MM_PER_UNIT, "source": "made by the stand-in"}
    return Result(paths, request.skin_seed, info)


def write_png(path, colour, side=4):
    """A picture of one colour, 8 bits."""
    row = b"\0" + bytes(int(value) for value in colour) * side
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(row * side)),
        (b"IEND", b""),
    ]
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            file.write(
                struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            )


def save(folder, arrays):
    paths = {name: str(Path(folder) / f"{name}.npy") for name in arrays}
    for name, array in arrays.items():
        np.save(paths[name], array)
    return paths


if __name__ == "__main__":
    serve(lambda hello: FakeJobs())
