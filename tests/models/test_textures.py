"""Every kind of image an artist may have, and what cannot be used, told in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import InputError
from models.skin.textures import albedo_of_texels, check_lit, read_albedo, write_png

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(40, 220, (7, 13, 3), np.uint8)  # of an odd size


def saved(path: Path, mode: str = "RGB", **options: object) -> Path:
    Image.fromarray(COLOURS).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tga", ".tif", ".webp"])
def test_colours_come_through(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    albedo = read_albedo(saved(tmp_path / f"skin é{suffix}", **options))
    assert albedo.dtype == np.float32
    np.testing.assert_allclose(albedo, COLOURS / 255.0, atol=1e-6)


def test_sixteen_bits(tmp_path: Path) -> None:
    values = RANDOM.uniform(size=(7, 13, 3)).astype(np.float32)
    write_png(tmp_path / "deep.png", values, bits=16)
    np.testing.assert_allclose(read_albedo(tmp_path / "deep.png"), values, atol=1 / 255)


def test_grey_of_sixteen_bits(tmp_path: Path) -> None:
    values = RANDOM.uniform(size=(7, 13)).astype(np.float32)
    write_png(tmp_path / "grey.png", values, bits=16)
    np.testing.assert_allclose(read_albedo(tmp_path / "grey.png")[..., 2], values, atol=1e-4)


@pytest.mark.parametrize("mode", ["L", "P", "LA"])
def test_grey_and_palettes_become_colour(tmp_path: Path, mode: str) -> None:
    albedo = read_albedo(saved(tmp_path / "grey.png", mode))
    expected = np.asarray(Image.fromarray(COLOURS).convert(mode).convert("RGB")) / 255.0
    np.testing.assert_allclose(albedo, expected, atol=1e-6)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    albedo = read_albedo(saved(tmp_path / "print.jpg", "CMYK", quality=100, subsampling=0))
    assert np.abs(albedo - COLOURS / 255.0).mean() < 0.03


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    albedo = read_albedo(saved(tmp_path / "turned.png", exif=exif))
    assert albedo.shape == (13, 7, 3)


def test_what_is_transparent_gets_the_mean_of_what_is_painted(tmp_path: Path) -> None:
    rgba = np.zeros((6, 8, 4), np.uint8)
    rgba[:, :4] = (200, 150, 100, 255)
    Image.fromarray(rgba).save(tmp_path / "cut.png")
    albedo = read_albedo(tmp_path / "cut.png")
    np.testing.assert_allclose(
        albedo, np.broadcast_to(np.array([200, 150, 100]) / 255, albedo.shape), atol=1e-6
    )
    np.testing.assert_allclose(albedo_of_texels(rgba.reshape(6, 32)), albedo, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is not there"),
        (b"", "no image that can be read"),
        (b"hello", "no image that can be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "no image that can be read|damaged"),
    ],
)
def test_files_that_are_no_images(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "skin.png").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_albedo(tmp_path / "skin.png")


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    noise = Image.fromarray(RANDOM.integers(0, 255, (64, 64, 3), np.uint8))
    noise.save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:4000])
    with pytest.raises(InputError, match="damaged or cut off"):
        read_albedo(tmp_path / "cut.png")


def test_wholly_transparent_and_black_textures_are_refused(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4)).save(tmp_path / "nothing.png")
    with pytest.raises(InputError, match="wholly transparent"):
        read_albedo(tmp_path / "nothing.png")
    face = np.zeros((4, 4), bool)
    face[1:3, 1:3] = True
    dark = np.ones((4, 4, 3), np.float32)
    dark[face] = 0.0
    with pytest.raises(InputError, match="black where the skin is"):
        check_lit(dark, face)
    dark[face] = (0.1, 0.06, 0.04)  # the darkest skin
    check_lit(dark, face)


@pytest.mark.parametrize("shape", [(5, 9, 3), (5, 9)])
def test_sixteen_bit_files_are_exact(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = RANDOM.uniform(size=shape).astype(np.float32)
    write_png(tmp_path / "normal.png", values, bits=16)
    bpy = pytest.importorskip("bpy")
    image = bpy.data.images.load(str(tmp_path / "normal.png"))
    image.colorspace_settings.name = "Non-Color"
    pixels = np.array(image.pixels[:]).reshape(5, 9, -1)[::-1]
    bpy.data.images.remove(image)
    read = pixels[..., :3] if len(shape) == 3 else pixels[..., 0]
    np.testing.assert_allclose(read, values, atol=1.01 / 65535)
