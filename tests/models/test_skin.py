"""Authored skin: its colours, its tension, its creases, and that all four maps follow the mesh."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.authored.skin import BrdfMaps, SkinPainter
from models.authored.skin_chromophores import encoded, skin_colour
from models.authored.skin_regions import SkinAtlas
from models.authored.skin_tension import RestSurface, TexelTriangles
from models.authored.skin_traits import draw_skin
from models.commands.options import CHECKPOINT
from models.corpus.skin_checks import check_skin, draw_skin_sheets
from models.head import Head
from models.uv_maps import FACE_WINDOW, TILE, UVLayout, crop

SIZE = 128
OLD = 6  # a seed with age over 0.2


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load(CHECKPOINT / "head")


@pytest.fixture(scope="module")
def atlas(head: Head) -> SkinAtlas:
    return SkinAtlas.of(head, UVLayout.of_head(head, SIZE, FACE_WINDOW))


@pytest.fixture(scope="module")
def mean(head: Head) -> np.ndarray:
    return head.neutral_vertices[: head.skin_vertices]


@pytest.fixture(scope="module")
def painter(atlas: SkinAtlas, mean: np.ndarray) -> SkinPainter:
    return SkinPainter(atlas, mean, draw_skin(OLD))


def posed(head: Head, **units: float) -> np.ndarray:
    names = list(head.config["unit_names"])
    vertices = head.neutral_vertices[: head.skin_vertices].copy()
    for unit, weight in units.items():
        for name in (unit + "Left", unit + "Right") if unit + "Left" in names else (unit,):
            vertices += weight * head.expression_basis[names.index(name), : head.skin_vertices]
    return vertices


@pytest.mark.parametrize(
    ("patch", "within"), [((194, 150, 130), 4.0), ((115, 82, 68), 10.0), ((96, 65, 52), 6.0)]
)
def test_two_pigments_reach_measured_skin(patch: tuple[int, int, int], within: float):
    melanin, blood = np.meshgrid(np.geomspace(0.005, 0.6, 80), np.geomspace(0.001, 0.1, 80))
    colours = 255 * encoded(skin_colour(melanin, blood))
    assert np.linalg.norm(colours - patch, axis=-1).min() < within


def test_melanin_darkens_and_blood_reddens():
    fair, dark = skin_colour(np.array([0.02, 0.3]), np.array([0.01, 0.01]))
    assert (dark < 0.6 * fair).all()
    pale, flushed = skin_colour(np.array([0.02, 0.02]), np.array([0.005, 0.05]))
    assert flushed[0] / flushed[1] > 1.3 * pale[0] / pale[1]


def test_the_tensor_of_a_linear_map_is_its_own():
    side = np.linspace(0, 1, 9)
    u, v = np.meshgrid(side, side)
    uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32)
    corner = np.arange(81).reshape(9, 9)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    triangles = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3).astype(np.int32)
    layout = UVLayout.of_mesh(triangles, uv, triangles, 16)
    flat = np.concatenate([40 * uv, np.zeros((81, 1))], axis=1)
    rest = RestSurface.of(TexelTriangles(layout), flat)
    assert np.allclose(rest.metric, [40, 0, 40], atol=1e-3)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    assert np.allclose(rest.stretch(flat @ turn + 5), [1, 0, 1], atol=1e-5)
    bent = np.array([[1.2, 0.3, 0.0], [-0.1, 0.7, 0.0], [0.0, 0.0, 1.0]])
    tensor = rest.stretch(flat @ bent.T @ turn)
    gram = bent.T @ bent
    assert np.allclose(tensor, [gram[0, 0], gram[0, 1], gram[1, 1]], atol=1e-4)
    # relief h = 0.1 u: 0.1 mm over 40 mm at rest, over 48 when stretched
    ramp = rest.normals(np.full(256, 4.0), np.zeros(256), np.tile([1.44, 0.0, 1.0], (256, 1)))
    assert np.allclose(-ramp[:, 0] / ramp[:, 2], 4.0 / 48.0, rtol=0.01)
    assert np.allclose(ramp[:, 1], 0.0, atol=1e-6)


def test_an_unmoved_face_is_the_neutral(painter: SkinPainter, mean: np.ndarray):
    rest, same = painter.neutral(), painter.frame(mean)
    for name in BrdfMaps.__dataclass_fields__:
        assert np.allclose(getattr(rest, name), getattr(same, name), atol=1e-3), name
    assert rest.albedo.shape == rest.normal.shape == (SIZE, SIZE, 3)
    assert rest.specular.shape == rest.roughness.shape == rest.height.shape == (SIZE, SIZE, 1)
    for name in ("albedo", "specular", "roughness", "normal"):
        values = getattr(rest, name)
        assert np.isfinite(values).all()
        assert values.min() >= 0.0
        assert values.max() <= 1.0


def test_raised_brows_crease_the_forehead_across_and_change_every_map(head: Head, painter: SkinPainter):
    rest, raised = painter.neutral(), painter.frame(posed(head, browInnerUp=1.0, browOuterUp=1.0))
    chart = painter.atlas.chart
    forehead = (np.abs(chart[:, 0]) < 40) & (chart[:, 1] > 38) & (chart[:, 1] < 75)
    chin = (np.abs(chart[:, 0]) < 20) & (chart[:, 1] < -115)
    mask = painter.atlas.layout.mask
    for name in ("albedo", "specular", "roughness", "normal"):
        change = np.abs(getattr(raised, name) - getattr(rest, name)).mean(axis=2)[mask]
        assert change[forehead].mean() > 4 * change[chin].mean(), name
    normal = (raised.normal - rest.normal)[mask][forehead]
    assert np.abs(normal[:, 1]).mean() > 2 * np.abs(normal[:, 0]).mean()  # the creases lie across


def test_crease_energy_follows_compression(head: Head, painter: SkinPainter):
    rest = painter.neutral().height[..., 0]
    crease, squeeze = [], []
    for units in ({"mouthSmile": 1.0, "cheekSquint": 0.8}, {"noseSneer": 1.0}, {"browInnerUp": 1.0}):
        vertices = posed(head, **units)
        change = painter.frame(vertices).height[..., 0] - rest
        tensor = painter.rest.stretch(vertices)
        middle, half = (tensor[:, 0] + tensor[:, 2]) / 2, (tensor[:, 0] - tensor[:, 2]) / 2
        shortest = np.sqrt(np.maximum(middle - np.hypot(half, tensor[:, 1]), 0.0))
        image = np.zeros((SIZE, SIZE))
        image[painter.atlas.layout.mask] = np.maximum(1 - shortest, 0)
        blocks = (SIZE // 16, 16, SIZE // 16, 16)
        crease.append(np.square(change).reshape(blocks).mean(axis=(1, 3)) ** 0.5)
        squeeze.append(image.reshape(blocks).mean(axis=(1, 3)))
    assert np.corrcoef(np.ravel(crease), np.ravel(squeeze))[0, 1] > 0.5


def test_age_deepens_creases(head: Head, atlas: SkinAtlas, mean: np.ndarray):
    depth = []
    for age in (0.0, 1.0):
        painter = SkinPainter(atlas, mean, replace(draw_skin(OLD), age=age))
        change = painter.frame(posed(head, browInnerUp=1.0)).height - painter.neutral().height
        depth.append(np.abs(change).mean())
    assert depth[1] > 1.5 * depth[0]


def test_the_flush_lags_behind_the_effort(head: Head, painter: SkinPainter, mean: np.ndarray):
    face = posed(head, mouthSmile=1.0, cheekSquint=1.0, noseSneer=0.5)
    frames = list(painter.sequence([face] * 12 + [mean] * 12, frame_rate=6.0))
    cheek = painter.atlas.layout.mask.copy()
    cheek[cheek] = painter.regions["cheek"] > 0.6

    def redness(maps: BrdfMaps) -> float:
        return float((maps.albedo[..., 0] - maps.albedo[..., 1])[cheek].mean())

    course = [redness(maps) for maps in frames]
    assert course[0] < course[4] < course[11]
    assert course[12] > redness(painter.neutral())  # blood stays when the face has come to rest
    assert course[23] < course[12]


def test_everybody_has_a_skin_of_their_own(atlas: SkinAtlas, mean: np.ndarray):
    first, again, other = (SkinPainter(atlas, mean, draw_skin(seed)).neutral() for seed in (1, 1, 2))
    assert np.array_equal(first.albedo, again.albedo)
    assert np.abs(first.albedo - other.albedo).mean() > 0.01
    traits = np.stack([draw_skin(seed).vector() for seed in range(300)])
    melanin = traits[:, 1]
    assert melanin.min() < 0.015
    assert melanin.max() > 0.35


def test_a_person_looks_the_same_at_every_resolution(head: Head, mean: np.ndarray):
    def pooled(image: np.ndarray, side: int) -> np.ndarray:
        return image.reshape(side, len(image) // side, side, len(image) // side, -1).mean(axis=(1, 3))

    traits = replace(draw_skin(3), freckles=1.2, melanin=0.03)
    coarse, fine, tile = (
        SkinPainter(SkinAtlas.of(head, UVLayout.of_head(head, size, window)), mean, traits).neutral()
        for size, window in ((128, FACE_WINDOW), (256, FACE_WINDOW), (256, TILE))
    )
    first, second = pooled(coarse.albedo, 64), pooled(fine.albedo, 64)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.97
    assert np.abs(first - second).mean() < 0.01
    assert np.abs(crop(tile.albedo) - coarse.albedo)[8:-8, 8:-8].mean() < 0.004


def test_fine_relief_waits_for_texels_that_can_show_it(head: Head, atlas: SkinAtlas):
    assert atlas.detail(1.5) == 0.0
    assert atlas.detail(12.0) == 1.0
    fine = SkinAtlas.of(head, UVLayout.of_head(head, 512, FACE_WINDOW))
    assert fine.detail(1.5) > 0.5


def test_the_figures_and_sheets(head: Head, tmp_path: Path):
    found = check_skin(head, people=1, size=128)
    assert 0.5 < found["crease_compression_pearson"] <= 1.0
    assert found["crease_axis_error_degrees"] < 40.0
    assert found["position_map_error_mm"]["512"]["mean"] <= 0.002
    draw_skin_sheets(head, tmp_path, people=2, size=32)
    assert {path.name for path in tmp_path.iterdir()} == {"people.png", "expressions.png"}
