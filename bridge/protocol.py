"""Every message that crosses the process boundary, one JSON object a line.

The host (Blender, the command line, a test) sends `Hello` and then requests; the worker answers each
request with any number of `Progress` and exactly one of `Done`, `Failed`, `Cancelled`. Arrays never travel
in a message: they lie as .npy files in the folder that the request names. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

PROTOCOL_VERSION = 2

LINE_LIMIT = 1 << 20
"""Longest line in bytes; a longer one is noise, not a message."""

DEVICES = ("auto", "cpu", "cuda", "mps")
HALVES = ("auto", "on", "off")
CORRECTIVES = ("pairs", "none")
SKIN_MAPS = ("albedo", "specular", "roughness", "normal")
AUTHORED = "authored"
"""The skin that is painted, not generated."""
SKIN_SUBJECTS = ("expression", "keys", "frames")

FailureKind: TypeAlias = Literal[
    "setup", "input", "out_of_memory", "checkpoint", "internal", "died", "protocol"
]

ARTIST_TEXT: dict[FailureKind, str] = {
    "setup": "The worker is not ready: press Check Setup in Dimple's preferences and follow what it lists.",
    "input": "This head or these settings cannot be used: correct what the message names and generate again.",
    "out_of_memory": "Memory ran out: close other programs, ask for fewer frames, or let the CPU do it.",
    "checkpoint": "The model files cannot be used: install Dimple again or choose another checkpoint folder.",
    "internal": "Dimple made a mistake: generate again; if it comes back, report it with the worker's log.",
    "died": "The worker stopped by itself: generate again to start a new one; its log says what happened.",
    "protocol": "Add-on and worker do not understand each other: install Dimple again and restart Blender.",
}
"""What the artist can do about each kind of failure. `died` and `protocol` are found by the host's end."""


class ProtocolError(ValueError):
    """A line that is no message, or a message that cannot be a line."""


class VersionMismatchError(ProtocolError):
    """The other end speaks another version of the protocol."""


# --------------------------------------------------------------------------------------------- host to worker


@dataclass(frozen=True)
class Hello:
    """First line to the worker. `device` is one of DEVICES, `half` (16-bit floats) one of HALVES."""

    protocol_version: int = PROTOCOL_VERSION
    device: str = "auto"
    half: str = "auto"


@dataclass(frozen=True)
class Check:
    """Asks what the worker has and lacks, and what the checkpoint is made for."""

    job: str
    checkpoint: str


@dataclass(frozen=True)
class HeadRequest:
    """Asks for a new person's neutral head, its arrays written into `folder`."""

    job: str
    folder: str
    checkpoint: str
    seed: int


@dataclass(frozen=True)
class BindRequest:
    """Asks what ties the head in `folder` to the checkpoint's head.

    `folder` holds neutral_vertices.npy (V, 3) float32 and triangles.npy (F, 3) int32, and the same of every
    companion, an object that follows the face: companion_0_vertices.npy, companion_0_triangles.npy and so on,
    in the order of their names in `companions` and in the space of the head. `companion_parts` says of some
    what they are: "eye", "jaw", "skin" or "still"; of others it is found out. `landmarks`: name -> x, y, z in
    that space. `cache` is a folder in which bindings are kept and looked for; empty: they are not.
    """

    job: str
    folder: str
    checkpoint: str
    landmarks: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    companions: tuple[str, ...] = ()
    companion_parts: dict[str, str] = field(default_factory=dict[str, str])
    cache: str = ""


@dataclass(frozen=True)
class AnimateRequest:
    """Asks for the deformations of the head in `folder`; doubles as the recipe stored on the object.

    `folder` holds a head as a `BindRequest`'s does; one in another topology than the checkpoint's is bound
    first. The folder may hold expression_signal.npy (K, M) float32, which then stands in for `expressions`,
    `intensity` and `profile`. `checkpoint` is a folder, or the name of a shipped one. `late_start`, `steps`:
    None is the sampler's own.

    What is expressed over time adds up: `expressions` along `profile`; `moments`
    ("0.5:happiness=0.8,jawOpen@0.3": seconds, expressions, seconds of transition); a Live Link Face CSV at
    the path `performance`, from `performance_start` seconds on, for at most `frames`; `curves`, names of
    units whose weights lie in curves.npy (K, N). `presets` are the artist's own, by name. `signal_digest`
    tells apart what is not in the request. `left` and `right` scale the halves of the face;
    `micro_motion` (0 to 1) and `blinks` a minute come on top.
    """

    job: str
    folder: str
    checkpoint: str
    expressions: tuple[str, ...]
    intensity: float
    profile: str
    frames: int
    frame_rate: float
    seed: int
    sampler: str = "default"
    late_start: int | None = None
    steps: int | None = None
    moments: tuple[str, ...] = ()
    performance: str = ""
    performance_start: float = 0.0
    curves: tuple[str, ...] = ()
    presets: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    signal_digest: str = ""
    left: float = 1.0
    right: float = 1.0
    micro_motion: float = 0.0
    blinks: float = 0.0
    landmarks: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    companions: tuple[str, ...] = ()
    companion_parts: dict[str, str] = field(default_factory=dict[str, str])
    cache: str = ""


@dataclass(frozen=True)
class ExpressRequest:
    """Asks which units a description in words means. `text` is a text checkpoint's folder or shipped name."""

    job: str
    prompt: str
    text: str = "text"


@dataclass(frozen=True)
class SavePresetRequest:
    """Asks to keep expressions as a preset of the artist's own in `presets_folder`.

    `expressions` add up; `presets` are saved ones they may name. `preview` is a picture's file name in the
    folder, or empty.
    """

    job: str
    presets_folder: str
    name: str
    expressions: tuple[str, ...]
    author: str = ""
    licence: str = ""
    preview: str = ""
    replace: bool = False
    presets: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])


@dataclass(frozen=True)
class LibraryRequest:
    """Asks for a library of shapes of the head in `folder`, one for each entry of a set.

    `folder` holds a head as for an animation. `shape_set` is the name of one
    of Dimple's sets or the path of a JSON file; `only` the names or patterns (`mouth*`) of the shapes to
    make, all when empty. `correctives` is one of CORRECTIVES. Without a `seed` every shape is the mean of
    `samples`.
    """

    job: str
    folder: str
    checkpoint: str
    shape_set: str
    only: tuple[str, ...] = ()
    correctives: str = "pairs"
    seed: int | None = None
    samples: int = 4
    landmarks: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    companions: tuple[str, ...] = ()
    companion_parts: dict[str, str] = field(default_factory=dict[str, str])
    cache: str = ""


@dataclass(frozen=True)
class AppearanceRequest:
    """Asks for the SKIN_MAPS of the head in `folder`; doubles as the recipe stored on the object.

    `folder` holds neutral_vertices.npy (V, 3) and triangles.npy (F, 3) as for an animation, uv.npy (F * 3, 2)
    float32 with the UV of every triangle's corners and skin_triangles.npy (S, 1), the rows of triangles.npy
    that wear the skin's material. `subject` is one of SKIN_SUBJECTS: "expression" makes one set of maps for
    `expressions`; "keys" one for neutral and one for each of the `sets` shape keys or pairs of them that move
    the skin most; "frames" one for each frame. The last two want deformations.npy (K * V, 3): the key_names'
    or the frames'. `skin` is what makes the maps: AUTHORED, or a checkpoint by its name or folder. `texture`
    is the neutral albedo's image file; where it is empty, texture.npy (H, W * 4) uint8 RGBA may stand in, and
    else the skin at rest is authored, of `skin_seed`. `personal` is how far the creases are a person's own,
    from 0, the mean over people, to 1, and `seed` whose they are; authored skin has always its own.
    `resolution` is the side of the maps in texels. They are written to the new folder `out`, inside `folder`
    when that is empty.
    """

    job: str
    folder: str
    checkpoint: str
    skin: str
    subject: str
    expressions: tuple[str, ...]
    intensity: float
    key_names: tuple[str, ...]
    sets: int
    texture: str
    skin_seed: int
    resolution: int
    out: str
    landmarks: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    companions: tuple[str, ...] = ()
    companion_parts: dict[str, str] = field(default_factory=dict[str, str])
    cache: str = ""
    personal: float = 0.0  # as in recipes from before there was a choice
    seed: int = 0


@dataclass(frozen=True)
class Cancel:
    """Asks the worker to give up a job at its next step."""

    job: str


@dataclass(frozen=True)
class Quit:
    """Asks the worker to leave; closing its input does the same."""


# --------------------------------------------------------------------------------------------- worker to host


@dataclass(frozen=True)
class Ready:
    """Answer to `Hello`. `torch` is its version, empty where the worker's Python lacks it."""

    protocol_version: int
    python: str
    torch: str
    device: str
    device_name: str
    memory_free_mb: int
    checkpoints: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """Step `step` of `steps` of a phase ("load", "bind", "sample", "carry", "write") is done.

    `picture` is a PNG that shows the first results; empty where there is nothing new to see.
    """

    job: str
    phase: str
    step: int
    steps: int
    picture: str = ""


@dataclass(frozen=True)
class Done:
    """The job's results: file paths by array name, and facts about them in `info`."""

    job: str
    paths: dict[str, str]
    seconds: float
    seed: int
    info: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Failed:
    """The job's end without results. `job` is empty when the failure belongs to no job.

    `message` is one sentence for the artist, `detail` the technical text: numbers, exit code, end of the log.
    """

    job: str
    kind: FailureKind
    message: str
    detail: str = ""


@dataclass(frozen=True)
class Cancelled:
    """The job was given up on request; it left no results."""

    job: str


Request: TypeAlias = (
    Check
    | HeadRequest
    | BindRequest
    | AnimateRequest
    | ExpressRequest
    | SavePresetRequest
    | LibraryRequest
    | AppearanceRequest
)
Message: TypeAlias = Hello | Request | Cancel | Quit | Ready | Progress | Done | Failed | Cancelled

MESSAGE_TYPES: dict[str, type[Message]] = {
    "hello": Hello,
    "check": Check,
    "head": HeadRequest,
    "bind": BindRequest,
    "animate": AnimateRequest,
    "express": ExpressRequest,
    "save_preset": SavePresetRequest,
    "library": LibraryRequest,
    "appearance": AppearanceRequest,
    "cancel": Cancel,
    "quit": Quit,
    "ready": Ready,
    "progress": Progress,
    "done": Done,
    "failed": Failed,
    "cancelled": Cancelled,
}
_TYPE_NAMES = {message_type: name for name, message_type in MESSAGE_TYPES.items()}
_FIELD_TYPES = {message_type: get_type_hints(message_type) for message_type in _TYPE_NAMES}


# --------------------------------------------------------------------------------------------- lines


def encode(message: Message) -> bytes:
    """The message as one line of ASCII JSON, newline included.

    Raises ProtocolError when a field has the wrong type, is not finite, or the line would exceed LINE_LIMIT.
    """
    kind = type(message)
    values = {item.name: getattr(message, item.name) for item in fields(message)}
    for name, value in values.items():
        _checked(value, _FIELD_TYPES[kind][name], f"{_TYPE_NAMES[kind]}.{name}")
    try:
        # ASCII, so that any string survives: also the lone surrogates of undecodable file names.
        line = json.dumps({"type": _TYPE_NAMES[kind], **values}, allow_nan=False).encode("ascii") + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"{_TYPE_NAMES[kind]} message cannot be written as JSON: {error}") from error
    if len(line) > LINE_LIMIT:
        raise ProtocolError(f"{_TYPE_NAMES[kind]} message has {len(line)} bytes, the limit is {LINE_LIMIT}")
    return line


def decode(line: bytes) -> Message:
    """The message of one line.

    Raises VersionMismatchError for a `hello` or `ready` of another version, ProtocolError for anything else
    that is no message: no JSON object, an unknown type, missing, unknown or ill-typed fields, NaN.
    """
    try:
        data = json.loads(line, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not a line of JSON: {_shortened(line)} ({error})") from error
    if not isinstance(data, dict):
        raise ProtocolError(f"not a JSON object: {_shortened(line)}")
    values = cast(dict[str, Any], data)
    name = values.pop("type", None)
    kind = MESSAGE_TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ProtocolError(f"unknown message type: {_shortened(line)}")
    version = values.get("protocol_version", PROTOCOL_VERSION)
    if version != PROTOCOL_VERSION:  # looked at first: another version may have other fields
        raise VersionMismatchError(
            f"the other end speaks protocol version {version}, this one {PROTOCOL_VERSION}"
        )
    hints = _FIELD_TYPES[kind]
    unknown = values.keys() - hints.keys()
    if unknown:
        raise ProtocolError(f"{name} message has unknown fields: {', '.join(sorted(unknown))}")
    checked = {key: _checked(value, hints[key], f"{name}.{key}") for key, value in values.items()}
    try:
        return kind(**checked)
    except TypeError as error:
        raise ProtocolError(f"{name} message is incomplete: {error}") from error


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without newlines. Raises ProtocolError beyond LINE_LIMIT."""
        *lines, rest = (bytes(self._partial) + data).split(b"\n")
        longest = max(map(len, (*lines, rest)))
        self._partial = bytearray(rest if longest <= LINE_LIMIT else b"")
        if longest > LINE_LIMIT:
            raise ProtocolError(f"a line of {longest} bytes, the limit is {LINE_LIMIT}")
        return lines


# --------------------------------------------------------------------------------------------- heads


def fingerprint(vertex_count: int, edges_bytes: bytes) -> str:
    """Names a topology: "<vertex count>-<first half of the SHA-256 of its edges>".

    `edges_bytes` is the (E, 2) array of unique edges as little-endian int32, the smaller index first, rows
    sorted lexicographically. Edges, not triangles: every program cuts quads along diagonals of its choice.
    Raises ValueError when the bytes are not whole edges.
    """
    if len(edges_bytes) % 8:
        raise ValueError(f"{len(edges_bytes)} bytes are not whole edges of two int32")
    return f"{vertex_count}-{hashlib.sha256(edges_bytes).hexdigest()[:32]}"


# --------------------------------------------------------------------------------------------- field types


def _checked(value: Any, hint: Any, where: str) -> Any:
    """`value` as the annotation `hint` wants it (lists become tuples, ints floats). Raises ProtocolError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for option in arguments:
            if option is NoneType and value is None:
                return None
            if option is not NoneType and value is not None:
                return _checked(value, option, where)
    elif origin is Literal and value in arguments:
        return value
    elif origin is tuple and isinstance(value, (list, tuple)):
        items = cast(list[Any], value)
        return tuple(_checked(item, arguments[0], f"{where}[{index}]") for index, item in enumerate(items))
    elif origin is dict and isinstance(value, dict):
        entries = cast(dict[Any, Any], value)
        _, item_type = arguments
        return {_checked(key, str, where): _checked(item, item_type, where) for key, item in entries.items()}
    elif hint is Any:
        return value
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if abs(value) <= sys.float_info.max:  # false for NaN too, and no overflow for a huge integer
            return float(value)
    elif hint in (bool, int, str) and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    raise ProtocolError(f"{where} cannot be {value!r:.80}")


def _finite(text: str) -> float:
    """The number of a JSON literal. Raises ValueError for NaN, infinities and whatever overflows to them."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _shortened(line: bytes) -> str:
    """The beginning of a line, printable."""
    return repr(line if len(line) <= 80 else line[:77] + b"...")
