"""ExpDiff's table: rows whose figures are known, on toy people."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch

from models.corpus.skin_cache import SkinCache
from models.evaluation.appearance import Plan, best_in_each_column, evaluate_exp_diff
from models.evaluation.appearance_rows import (
    Answer,
    Row,
    all_rows,
    generated,
    modelled,
    on_tile,
    static,
    truth,
    wrinkle_maps,
)
from models.evaluation.face_models import Faces, LinearFaceModel
from models.evaluation.ground_truth_appearance import SkinRequest
from models.evaluation.lpips import Lpips
from models.evaluation.prompts import evaluate_prompts
from models.evaluation.skin_sheet import draw_sheet, lit
from models.expression import UNIT_INDEX, UNIT_NAMES
from models.head import Head
from models.skin.portrait import PIXELS
from models.upscale import CHANNELS, stack
from models.uv_maps import FACE_WINDOW, UVLayout, crop
from tests.models.tiny_appearance import tiny_appearance
from tests.models.tiny_skin import paint, tiny_skin, unwrapped_head

SIZE = 64


@dataclass(frozen=True)
class ToyPeople:
    """People whose skin creases where it moves."""

    head: Head

    @cached_property
    def layout(self) -> UVLayout:
        return UVLayout.of_head(self.head, SIZE)

    def request(self, person: int, unit: str, weights: tuple[float, ...] = (1.0,)) -> SkinRequest:
        stages = np.zeros((len(weights), len(UNIT_NAMES)), np.float32)
        stages[:, UNIT_INDEX[unit]] = weights
        deformation = np.einsum("ku,uvd->kvd", stages, self.head.expression_basis)
        frames = np.concatenate([np.zeros_like(deformation[:1]), deformation])
        maps = paint(self.head, self.layout, 0.4 + 0.1 * person, frames)
        normal = maps.pop("normal") * 2 - 1
        z = np.sqrt(1 - np.square(normal).sum(axis=3, keepdims=True))
        maps["normal"] = (np.concatenate([normal, z], axis=3) + 1) / 2
        height = maps.pop("height")
        stacks = torch.stack(
            [stack({n: m[k].astype(np.float32) for n, m in maps.items()}) for k in range(len(frames))]
        )
        neutral = self.head.neutral_vertices
        return SkinRequest(person, unit, neutral, stages, deformation, stacks[0], height[0], stacks[1:])


@pytest.fixture(scope="module")
def people() -> ToyPeople:
    return ToyPeople(unwrapped_head())


@pytest.fixture(scope="module")
def units(people: ToyPeople) -> tuple[str, ...]:
    seen = np.unique(people.layout.triangles)
    moved = np.square(people.head.expression_basis[:, seen, 2]).sum(axis=1)
    return tuple(UNIT_NAMES[index] for index in moved.argsort()[::-1][:3])


def still(request: SkinRequest) -> Answer:
    maps = request.neutral_maps.expand_as(request.maps)
    shifted = request.deformation + np.array([0, 2, 0], np.float32)
    return Answer(request.neutral_maps, maps, shifted, seconds=3.0)


def half(request: SkinRequest) -> Answer:
    maps = (request.maps + request.neutral_maps) / 2
    return Answer(request.neutral_maps, maps, request.deformation)


def albedo_alone(request: SkinRequest) -> Answer:
    return Answer(request.neutral_maps, request.maps, None, shown=("albedo",))


def trembling(request: SkinRequest) -> Answer:
    noise = 0.01 * torch.randn(request.maps.shape, generator=torch.Generator().manual_seed(0))
    return Answer(request.neutral_maps, request.maps + noise, request.deformation)


def test_the_table_knows_what_is_true_still_half_and_trembling(
    people: ToyPeople, units: tuple[str, ...]
) -> None:
    rows: dict[str, Row] = {"copy": truth, "still": still, "half": half, "trembling": trembling}
    rows["albedo_alone"] = albedo_alone
    seen: list[tuple[int, int]] = []
    result = evaluate_exp_diff(
        rows, people, Plan(2, units, 1), on_request=lambda *progress: seen.append(progress)
    )
    table = {row["name"]: row for row in result["rows"]}
    assert list(table) == ["ground_truth", *rows]
    assert seen[-1] == (2 * 3 + 1, 2 * 3 + 1)
    assert table["copy"]["facial_vertex_distance_mm"] == 0
    assert table["copy"]["change_error"] == 0
    assert table["copy"]["wrinkles_kept"] == pytest.approx(1)
    assert table["copy"]["flicker"] == pytest.approx(1)
    assert table["copy"]["agreement"] == table["ground_truth"]["agreement"] > 0.3
    assert table["still"]["facial_vertex_distance_mm"] == pytest.approx(2, abs=1e-3)
    assert table["still"]["change_error"] == pytest.approx(1)
    assert table["still"]["wrinkles_kept"] == pytest.approx(0, abs=1e-6)
    assert table["still"]["flicker"] == pytest.approx(0, abs=1e-6)
    assert table["still"]["agreement"] is None
    assert table["still"]["seconds"] == 3
    assert table["half"]["change_error"] == pytest.approx(0.5, abs=0.02)
    assert table["half"]["psnr"] > table["still"]["psnr"] + 5
    assert table["half"]["ssim"] > table["still"]["ssim"]
    assert table["trembling"]["flicker"] > 3
    assert table["albedo_alone"]["ssim_albedo"] == pytest.approx(1)
    assert table["albedo_alone"]["flicker"] == pytest.approx(1)
    assert not {"ssim", "psnr_normal", "facial_vertex_distance_mm"} & table["albedo_alone"].keys()
    assert result["best"]["albedo_given"]["facial_vertex_distance_mm"] == "copy"
    assert result["best"]["all_maps_given"] == {}
    best = best_in_each_column([row for row in result["rows"] if row["name"] != "copy"])
    assert best["change_error"] == "trembling"
    assert best["psnr"] == "trembling"
    assert best["wrinkles_kept"] == "trembling"
    assert "lpips" not in table["copy"]
    json.dumps(result)


def test_lpips_is_a_column_where_its_weights_are(people: ToyPeople, units: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    result = evaluate_exp_diff({"still": still, "half": half}, people, Plan(1, units[1:2], 0), Lpips())
    table = {row["name"]: row for row in result["rows"]}
    assert table["ground_truth"]["lpips"] == 0
    assert 0 < table["half"]["lpips"] < table["still"]["lpips"]
    assert table["half"]["lpips_normal"] > 0


@pytest.fixture(scope="module")
def linear(people: ToyPeople, tmp_path_factory: pytest.TempPathFactory) -> LinearFaceModel:
    folder = tmp_path_factory.mktemp("skin")
    tiny_skin(folder, people.head, {"train": 12}, SIZE)
    return LinearFaceModel.fit(Faces.read(SkinCache.open(folder, "train", people.head), 12, 3))


def test_rows_keep_what_they_are_given(
    people: ToyPeople, units: tuple[str, ...], linear: LinearFaceModel
) -> None:
    request = people.request(1, units[1], (0.5, 1.0))
    bare = static(linear, people.head, all_maps=False)(request)
    torch.testing.assert_close(bare.maps[1, CHANNELS["albedo"]], request.neutral_maps[CHANNELS["albedo"]])
    assert (bare.maps[1] - request.neutral_maps).abs().max().item() > 1e-3  # roughness is not given
    whole = static(linear, people.head, all_maps=True)(request)
    torch.testing.assert_close(whole.maps, request.neutral_maps.expand(2, -1, -1, -1))
    creased = wrinkle_maps(linear, people.head)(request)
    error = [(answer.maps - request.maps).square().mean().item() for answer in (whole, creased)]
    assert error[1] < 0.5 * error[0]
    normal = 2 * creased.maps[:, CHANNELS["normal"]] - 1
    torch.testing.assert_close(normal.norm(dim=1), torch.ones(2, SIZE, SIZE), atol=1e-4, rtol=0)


def test_a_turned_and_scaled_person_gets_a_turned_and_scaled_deformation(
    people: ToyPeople, units: tuple[str, ...], linear: LinearFaceModel
) -> None:
    request = people.request(0, units[1])
    row = modelled(linear, people.head)
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    turned = row(replace(request, neutral=1.1 * request.neutral @ turn.T + [5, 0, 0])).deformation
    np.testing.assert_allclose(turned, 1.1 * row(request).deformation @ turn.T, atol=1e-3)
    assert np.abs(turned).max() > 1


@pytest.mark.parametrize("all_maps", [False, True])
def test_the_model_answers_as_the_others_do(
    people: ToyPeople, units: tuple[str, ...], all_maps: bool
) -> None:
    request = people.request(1, units[1], (0.5, 1.0))
    answer = generated(tiny_appearance(people.head), all_maps=all_maps, steps=2)(request)
    assert answer.maps.shape == request.maps.shape
    assert answer.deformation.shape == request.deformation.shape
    assert answer.seconds > 0
    known = CHANNELS if all_maps else ("albedo",)
    for name in known:
        if name == "normal":  # is drawn from the relief that is given, here of another surface
            continue
        true = request.neutral_maps[CHANNELS[name]]
        torch.testing.assert_close(answer.neutral[CHANNELS[name]], true, atol=1e-4, rtol=0)
    if not all_maps:
        made_up = answer.neutral[CHANNELS["roughness"]] - request.neutral_maps[CHANNELS["roughness"]]
        assert made_up.abs().max().item() > 1e-3


def test_the_way_between_prompts_is_measured(people: ToyPeople) -> None:
    model = tiny_appearance(people.head)
    (row,) = evaluate_prompts(model, people, [("open the jaw", "smile")], steps=2)
    assert 0 <= row["arrives"] < 0.5  # the skin at rest is told the first of the descriptions
    assert row["detour"] >= 0.999
    assert 1 <= row["largest_step"] <= 4


def test_maps_lie_on_the_tile_where_the_window_is(people: ToyPeople, units: tuple[str, ...]) -> None:
    request = people.request(0, units[0])
    tile = on_tile(request, FACE_WINDOW)
    assert tile.albedo.shape == (2 * SIZE, 2 * SIZE, 3)
    assert tile.specular is not None
    np.testing.assert_array_equal(
        crop(tile.specular[..., None])[..., 0], request.neutral_maps[CHANNELS["specular"]][0].numpy()
    )
    assert tile.height is not None
    np.testing.assert_allclose(crop(tile.height[..., None])[..., 0], request.neutral_height, atol=1e-6)


def test_what_is_not_trained_is_left_out_with_a_line(people: ToyPeople, tmp_path: Path) -> None:
    tiny_skin(tmp_path, people.head, {"train": 4})
    cache = SkinCache.open(tmp_path, "train", people.head)
    rows, notes = all_rows(cache, people.head, {"ours": tmp_path / "nothing"}, "cpu", steps=5)
    assert "ours" not in rows
    assert {"3dmm", "semantic_vae", "static", "static_all_maps", "wrinkle_maps_all_maps"} == set(rows)
    assert "no checkpoint" in notes["ours"]


def test_a_picture_shows_the_light_and_the_relief(
    people: ToyPeople, units: tuple[str, ...], tmp_path: Path
) -> None:
    request = people.request(0, units[0])
    flat = request.neutral_maps.clone()
    flat[CHANNELS["albedo"]] = 0.9
    flat[CHANNELS["normal"]] = torch.tensor([0.5, 0.5, 1.0])[:, None, None]
    picture = lit(people.layout, people.head.neutral_vertices, flat).astype(float)
    assert picture.shape == (PIXELS, PIXELS, 3)
    middle = picture[PIXELS // 2, PIXELS // 2]
    assert middle.mean() > picture[0, 0].mean() + 10  # the face stands out from the background
    left, right = (picture[PIXELS // 2, PIXELS // 2 + side].mean() for side in (-70, 70))
    assert left > right + 5  # the stronger light comes from there

    def tilted(x: float, y: float) -> float:
        maps = flat.clone()
        maps[CHANNELS["normal"]] = torch.tensor([0.5 + x, 0.5 + y, 0.9])[:, None, None]
        return lit(people.layout, people.head.neutral_vertices, maps)[PIXELS // 2, PIXELS // 2].mean()

    assert tilted(-0.3, 0) > tilted(0.3, 0) + 5
    assert tilted(0, 0.3) > tilted(0, -0.3) + 5  # and from above
    draw_sheet({"static": still}, people, tmp_path / "sheet.png", units)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
