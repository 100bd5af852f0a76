"""Image files of the skin: reading an artist's albedo, writing the maps.

Albedo is sRGB (IEC 61966-2-1) in files and in memory; the other maps are data. Rows run from the top.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import InputError

Floats = NDArray[np.float32]

MOST_TEXELS = 16384**2
"""An albedo of more is a mistake, or an attack on the memory."""
BLACK = 0.01
"""sRGB, 0..1: where the mean of the face is darker than this, the image is no albedo."""
EIGHT_BITS, SIXTEEN_BITS = 255, 65535


def read_albedo(path: Path) -> Floats:
    """(H, W, 3) sRGB in [0, 1] of an image file, any size.

    8 or 16 bits, grey, palette, CMYK or colour; alpha is what was never painted: there the image gets the
    mean of what was. Raises InputError with one sentence.
    """
    name = f"“{path.name}”"
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_TEXELS:
                raise InputError(f"The texture {name} is larger than 16384 x 16384: make it smaller first.")
            image.load()
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise InputError(f"The texture {name} is not there: {path}") from error
    except UnidentifiedImageError as error:
        raise InputError(f"The texture {name} is no image that can be read: save it as PNG.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"The texture {name} is damaged or cut off: save it again as PNG.") from error
    return _colours(upright, name)


def albedo_of_texels(texels: NDArray[np.generic]) -> Floats:
    """(H, W, 3) sRGB in [0, 1] of (H, W * 4) RGBA texels of 8 bits. Raises InputError."""
    if texels.ndim != 2 or texels.shape[1] % 4 or texels.dtype != np.uint8 or not texels.size:
        raise InputError("The head's texture has no texels: choose another image.")
    rgba = texels.reshape(len(texels), -1, 4).astype(np.float32) / EIGHT_BITS
    return _painted(rgba[..., :3], rgba[..., 3])


def check_lit(albedo: Floats, face: NDArray[np.bool_]) -> None:
    """Raises InputError where the albedo (H, W, 3) shows nothing on the texels of the face (H, W)."""
    if float(albedo[face].mean()) < BLACK:
        raise InputError(
            "The texture is black where the skin is: choose the albedo (base colour) made for this head."
        )


def write_png(path: Path, values: Floats, bits: int = 8) -> None:
    """Write (H, W, 3) or (H, W) values of [0, 1] as PNG of 8 or 16 bits a channel. Raises OSError."""
    most = EIGHT_BITS if bits == 8 else SIXTEEN_BITS
    counted = np.rint(values.clip(0.0, 1.0) * np.float32(most))
    if bits == 8:
        Image.fromarray(counted.astype(np.uint8)).save(path, compress_level=3)
    else:
        path.write_bytes(_png_of_16_bits(counted.astype(">u2")))


def _png_of_16_bits(texels: NDArray[np.uint16]) -> bytes:
    """A PNG (ISO/IEC 15948); Pillow writes no colours of 16 bits.

    Each row is stored as its difference to the one above (filter 2), which halves the size of smooth maps.
    """
    height, width = texels.shape[:2]
    rows = np.frombuffer(texels.tobytes(), np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2
    filtered[:, 1:] = rows
    filtered[1:, 1:] -= rows[:-1]
    colour_type = 2 if texels.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 3)), (b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        parts += [struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(kind + data))]
    return b"".join(parts)


def _colours(image: Image.Image, name: str) -> Floats:
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits, grey
        values = np.asarray(image, np.float32)
        most = SIXTEEN_BITS if image.mode.startswith("I") else max(1.0, float(values.max(initial=0.0)))
        grey = (values / most).clip(0.0, 1.0)
        return np.repeat(grey[..., None], 3, axis=2)
    try:
        rgba = np.asarray(image.convert("RGBA"), np.float32) / EIGHT_BITS
    except ValueError as error:
        raise InputError(f"The texture {name} has colours of an unknown kind: save it as RGB PNG.") from error
    return _painted(rgba[..., :3], rgba[..., 3])


def _painted(colour: Floats, alpha: Floats) -> Floats:
    """The colours over the mean of what is painted: nothing dark bleeds in from where nothing is."""
    weight = float(alpha.sum())
    if weight <= 0.0:
        raise InputError("The texture is wholly transparent: choose the one that is painted.")
    if float(alpha.min()) >= 1.0:
        return np.ascontiguousarray(colour, np.float32)
    mean = (colour * alpha[..., None]).sum(axis=(0, 1)) / weight
    return (colour * alpha[..., None] + mean * (1.0 - alpha[..., None])).astype(np.float32)
