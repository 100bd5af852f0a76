"""Captured skin in its published layouts, made small: it arrives in the cache as it was, or is refused."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.authored.skin import SkinPainter
from models.authored.skin_chromophores import encoded, pigments, skin_colour
from models.authored.skin_regions import SkinAtlas
from models.authored.skin_tension import RestSurface
from models.authored.skin_traits import draw_skin
from models.commands.options import CHECKPOINT
from models.corpus.ffhq_uv import read_ffhq_uv
from models.corpus.j_reflectance import read_j_reflectance
from models.corpus.skin_cache import SkinCache
from models.corpus.skin_extension import MeasuredSkin, traits_of
from models.corpus.skin_subjects import height_of, write_subjects
from models.corpus.textured_sequences import read_textured_sequences
from models.corpus.topology_map import TopologyMap, UVMesh
from models.errors import InputError
from models.head import Head
from models.uv_maps import FACE_WINDOW, UVLayout

SIZE = 64


@dataclass(frozen=True)
class World:
    """A data set of faces whose topology and UVs are the Dimple head's, turned by a quarter and in cm."""

    head: Head
    atlas: SkinAtlas
    template: UVMesh
    topology: TopologyMap
    painter: SkinPainter
    maps: dict[str, np.ndarray]  # of the neutral, on the whole tile, turned

    def theirs(self, skin: np.ndarray) -> np.ndarray:
        """Skin vertices (..., Vs, 3) in the data set's numbering, axes and unit."""
        return skin[..., ::-1, :][..., [0, 2, 1]] * [0.1, -0.1, 0.1]


@pytest.fixture(scope="module")
def world() -> World:
    head = Head.load(CHECKPOINT / "head")
    tile = UVLayout.of_head(head, 4 * SIZE)
    mean = head.neutral_vertices[: head.skin_vertices]
    painter = SkinPainter(SkinAtlas.of(head, tile), mean, draw_skin(8))
    neutral = painter.neutral()
    last = head.skin_vertices - 1
    turned = np.stack([1 - tile.uv[:, 1], tile.uv[:, 0]], axis=1)  # a quarter to the left
    vertices = (mean[::-1][:, [0, 2, 1]] * [0.1, -0.1, 0.1]).astype(np.float32)
    template = UVMesh(vertices, last - tile.triangles, turned, tile.uv_triangles)
    window = UVLayout.of_head(head, SIZE, FACE_WINDOW)
    axes = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    exact = mean.astype(np.float64)
    topology = TopologyMap.fitted(window, template, exact[::-1], exact, (10.0, axes, np.zeros(3)))
    names = ("albedo", "specular", "roughness", "normal")
    maps = {name: np.rot90(getattr(neutral, name)) for name in names}
    # the frame turned with the UVs: what pointed along u now points along v
    maps["normal"] = maps["normal"][..., [1, 0, 2]] * [-1, 1, 1] + [1, 0, 0]
    return World(head, SkinAtlas.of(head, window), template, topology, painter, maps)


def save(image: np.ndarray, path: Path) -> None:
    coded = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    Image.fromarray(coded[..., 0] if coded.shape[2] == 1 else coded).save(path)


def unit(world: World, name: str) -> np.ndarray:
    number = list(world.head.config["unit_names"]).index(name)
    skin = world.head.skin_vertices
    return world.head.neutral_vertices[:skin] + world.head.expression_basis[number, :skin]


def test_meshes_and_textures_cross_over(world: World):
    smile = unit(world, "jawOpen")
    error = np.abs(world.topology.skin(world.theirs(smile), "a") - smile).max(axis=1)
    assert np.percentile(error, 99) < 0.01
    assert error.max() < 3.0  # of 42 mm, where the lips touch
    truth = SkinPainter(world.atlas, unit(world, "pupilDilateLeft"), draw_skin(8)).neutral()
    inside = world.atlas.layout.mask.copy()
    inside[inside] = world.atlas.mucosa < 0.05
    for name in ("albedo", "roughness"):
        found = world.topology.texture(world.maps[name])
        assert np.abs(found - getattr(truth, name))[inside].mean() < 0.01, name
    found = world.topology.normals(world.maps["normal"])
    slopes = [image[inside][:, :2].ravel() - 0.5 for image in (found, truth.normal)]
    assert np.corrcoef(*slopes)[0, 1] > 0.6


def test_height_is_integrated_from_normals(world: World):
    mean = unit(world, "pupilDilateLeft")
    rest = RestSurface.of(world.atlas.texels, mean)
    rows, columns = np.indices((SIZE, SIZE))
    height = 0.3 * np.sin(2 * np.pi * columns / 8) * np.sin(2 * np.pi * rows / 8)
    mask = world.atlas.layout.mask
    slopes = [np.gradient(height, axis=axis)[mask] * SIZE for axis in (1, 0)]
    flat = np.tile([1.0, 0.0, 1.0], (int(mask.sum()), 1)).astype(np.float32)
    normal = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    normal[mask] = rest.normals(slopes[0], -slopes[1], flat) * 0.5 + 0.5
    found = height_of(world.topology, rest, normal)[..., 0]
    middle = slice(16, 48)
    assert np.corrcoef(found[middle, middle].ravel(), height[middle, middle].ravel())[0, 1] > 0.9


def test_j_reflectance(tmp_path: Path, world: World):
    for person, expression, mesh in (
        ("p1", "Neutral", unit(world, "pupilDilateLeft")),
        ("p1", "jawOpen", unit(world, "jawOpen")),
        ("p2", "Neutral", unit(world, "pupilDilateLeft")),
    ):
        folder = tmp_path / "data" / person / expression
        folder.mkdir(parents=True)
        np.save(folder / "shape.npy", world.theirs(mesh))
        for name, file in (("albedo", "diffuse"), ("specular", "specular"), ("roughness", "roughness")):
            save(world.maps[name], folder / f"{file}.png")
        save(world.maps["normal"], folder / "normal.png")
        save(world.maps["albedo"], folder / "texture.png")
    data = tmp_path / "data"
    (data / "train.json").write_text(json.dumps(["p1"]))
    (data / "test.json").write_text(json.dumps({"p2": ["Neutral"]}))
    subjects = read_j_reflectance(data, world.topology, world.atlas)
    out = tmp_path / "cache"
    assert list(write_subjects(out, world.head, world.topology, subjects, {"skin": "t"})) == ["p1", "p2"]
    cache = SkinCache.open(out, "train", world.head)
    assert len(cache) == 2
    assert cache.frames.tolist() == [1]
    assert cache.stage[1].argmax() == list(world.head.config["unit_names"]).index("jawOpen")
    moved = unit(world, "jawOpen") - unit(world, "pupilDilateLeft")
    assert np.percentile(np.abs(cache.deformations(np.array([1]))[0] - moved), 99) < 0.05
    batch = cache.read(np.array([0]))
    expected = world.topology.texture(world.maps["albedo"])
    assert np.abs(batch.albedo[0].transpose(1, 2, 0) - expected).max() < 0.01
    assert len(SkinCache.open(out, "test", world.head)) == 1

    (data / "p1" / "jawOpen" / "normal.png").unlink()
    with pytest.raises(InputError, match=r"lacks normal\.png"):
        list(read_j_reflectance(data, world.topology, world.atlas))
    np.save(data / "p1" / "jawOpen" / "shape.npy", np.zeros((12, 3)))
    with pytest.raises(InputError, match="12 vertices"):
        list(read_j_reflectance(data, world.topology, world.atlas))
    (data / "test.json").unlink()
    (data / "train.json").write_text("[]")
    with pytest.raises(InputError, match="no list of people"):
        list(read_j_reflectance(data, world.topology, world.atlas))


def test_textured_sequences(tmp_path: Path, world: World):
    neutral, smile = unit(world, "pupilDilateLeft"), unit(world, "mouthSmileLeft")
    folder = tmp_path / "data" / "anna" / "mouthSmileLeft"
    folder.mkdir(parents=True)
    lines = [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in world.template.triangles]
    for number, share in enumerate((0.0, 0.5, 1.0), 1):
        points = world.theirs(neutral + share * (smile - neutral))
        text = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in points]
        (folder / f"{number:06d}.obj").write_text("\n".join(text + lines))
        save(world.maps["albedo"] * (1 - 0.2 * share), folder / f"{number:06d}.png")
    subjects = list(read_textured_sequences(tmp_path / "data", world.topology, world.atlas, frames=2))
    assert [subject.name for subject in subjects] == ["anna"]
    person = subjects[0]
    assert person.stage.max(axis=1) == pytest.approx([0.0, 0.5, 1.0], abs=0.1)
    brightness = [one.albedo.mean() for one in person.maps]
    assert brightness[2] / brightness[0] == pytest.approx(0.8, abs=0.02)  # measured, not authored
    assert np.abs(person.maps[2].normal - person.maps[0].normal).mean() > 1e-4
    (folder / "000003.png").unlink()
    with pytest.raises(InputError, match="no texture for frame 3"):
        list(read_textured_sequences(tmp_path / "data", world.topology, world.atlas, frames=2))


def test_ffhq_uv_is_extended_to_expressions(tmp_path: Path, world: World):
    with pytest.raises(InputError, match="holds no textures"):
        list(read_ffhq_uv(tmp_path, world.head, world.topology, world.atlas))
    save(world.maps["albedo"], tmp_path / "000001.png")
    person = next(read_ffhq_uv(tmp_path, world.head, world.topology, world.atlas, expressions=2))
    assert len(person.maps) == 3
    measured = world.topology.texture(world.maps["albedo"])
    assert np.abs(person.maps[0].albedo - measured).max() < 0.01
    assert person.stage[0].sum() == 0
    assert (person.stage[1:].max(axis=1) > 0).all()
    assert np.abs(person.maps[1].albedo - person.maps[0].albedo).mean() > 1e-4
    np.save(tmp_path / "000001.npy", np.zeros((5, 3)))
    with pytest.raises(InputError, match="5 vertices"):
        list(read_ffhq_uv(tmp_path, world.head, world.topology, world.atlas))


def test_pigments_are_found_again(world: World):
    melanin, blood = pigments(skin_colour(np.array(0.06), np.array(0.012)))
    assert melanin == pytest.approx(0.06, rel=0.05)
    assert blood == pytest.approx(0.012, rel=0.1)
    albedo = world.topology.texture(world.maps["albedo"])
    traits = traits_of(world.atlas, albedo, seed=3)
    assert abs(np.log(traits.melanin / draw_skin(8).melanin)) < 0.5
    skin = MeasuredSkin(world.atlas, unit(world, "pupilDilateLeft"), albedo, seed=3)
    assert np.array_equal(skin.neutral().albedo, albedo)
    assert encoded(np.array([0.5])) == pytest.approx(0.735, abs=0.001)


def test_templates_are_read_or_refused(tmp_path: Path):
    path = tmp_path / "a.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n")
    mesh = UVMesh.read(path)
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.uv_triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 3\n")
    with pytest.raises(InputError, match="no UVs"):
        UVMesh.read(path)
    path.write_text("v 0 0 0\nvt 0 0\nf 1/1 2/1 9/1\n")
    with pytest.raises(InputError, match="refers to vertices"):
        UVMesh.read(path)
