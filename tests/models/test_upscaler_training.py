"""Training and evaluating the upscaler: crops, degradation, resuming, and the rows of the table."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from models.authored.skin import SkinPainter
from models.authored.skin_regions import SkinAtlas
from models.authored.skin_traits import draw_skin
from models.commands.options import CHECKPOINT, CHECKPOINTS
from models.corpus.skin_cache import SkinCache
from models.errors import CheckpointError, InputError
from models.evaluation.ground_truth_appearance import stacked
from models.evaluation.skin_stacks import records_by_person, stacks
from models.evaluation.upscaler import Plan, evaluate_upscaler, run_once, smaller
from models.expression import UNIT_NAMES
from models.head import Head
from models.skin.upscaler_weights import load_network, load_upscaler, save_network
from models.training.upscaler import (
    CHANGE_WEIGHT,
    Crops,
    Objective,
    UpscalerTraining,
    degraded,
    train_upscaler,
)
from models.upscale import CHANNELS, DifferenceUpscaler, UpscalerConfig, bicubic
from models.uv_maps import FACE_WINDOW, UVLayout
from tests.models.tiny_skin import FRAMES, SIZE, tiny_skin, unwrapped_head


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upscaler")
    head = unwrapped_head()
    head.save(folder / "head")
    tiny_skin(folder / "skin", head, {"train": 3, "test": 2})
    (folder / "config.toml").write_text(
        'skin = "skin"\nhead = "head"\noutput = "out"\ncrop = 8\n'
        "[phase]\nminutes = 1\nsteps = 120\nbatch = 4\nlearning_rate = 4e-3\n"
        '[network]\nwidth = 12\ndepth = 2\n[notes]\ndata = "made by the tests"\n',
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, object]:
    return train_upscaler(UpscalerTraining.read(folder / "config.toml"))


@pytest.fixture(scope="module")
def cache(folder: Path) -> SkinCache:
    return SkinCache.open(folder / "skin", "train", unwrapped_head())


def test_a_dry_run_plans_and_writes_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    plan = train_upscaler(UpscalerTraining.read(folder / "config.toml"), dry_run=True)
    assert sorted(folder.rglob("*")) == before
    assert (plan["people"], plan["expressions"], plan["size"]) == (3, FRAMES, SIZE)
    assert plan["parameters"] > 1000
    json.dumps(plan)


def test_a_configuration_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('skin = "a"\nhead = "b"\noutput = "c"\n[network]\nwdith = 3\n', encoding="utf-8")
    with pytest.raises(InputError, match="wdith"):
        UpscalerTraining.read(path)


def test_everybody_comes_with_their_own_neutral(cache: SkinCache) -> None:
    rest, frames = records_by_person(cache, 2, 99)
    assert rest.shape == (2,)
    assert frames.shape == (2, FRAMES)
    assert (cache.person[frames] == cache.person[rest][:, None]).all()
    assert (cache.stage[rest] == 0).all()
    assert (cache.stage[frames] != 0).any(axis=2).all()
    maps = stacks(cache, frames)
    assert maps.shape == (2, FRAMES, 8, SIZE, SIZE)
    batch = cache.read(frames[1])
    np.testing.assert_allclose(maps[1, :, CHANNELS["normal"]].numpy(), batch.normal, atol=1e-3)


def test_crops_lie_where_the_skin_changes() -> None:
    neutral = torch.rand(1, 8, 64, 64).half()
    expressions = neutral[:, None].clone()
    expressions[0, 0, CHANNELS["normal"], 32:40, 16:24] += 1
    crops = Crops(neutral, expressions, 16)
    rest, shown = crops.draw(400, torch.Generator().manual_seed(0))
    assert rest.shape == shown.shape == (400, 8, 16, 16)
    active = ((shown - rest).abs().amax(dim=(1, 2, 3)) > 0.5).float().mean()
    assert 0.75 < active < 0.95  # by chance it were a tenth


def test_the_low_resolution_is_smaller_and_blurred_alike() -> None:
    high = torch.rand(3, 8, 16, 16)
    low, again = degraded([high, high], torch.Generator().manual_seed(0))
    assert low.shape == (3, 8, 8, 8)
    exact = torch.nn.functional.avg_pool2d(high, 2)
    assert low.std().item() < exact.std().item()
    assert 0 < (low - again).abs().max().item() < 0.04  # the same blur, another noise
    assert low.mean().item() == pytest.approx(exact.mean().item(), abs=0.01)


def test_the_loss_is_that_of_bicubic_before_training(cache: SkinCache) -> None:
    rest, frames = records_by_person(cache, 3, 9)
    crops = Crops(stacks(cache, rest), stacks(cache, frames), 16)
    network = DifferenceUpscaler(UpscalerConfig(width=4, depth=1))
    objective = Objective(crops, 8, Accelerator(), seed=0)
    found = objective(network)
    objective.reseed(0)
    high = crops.draw(8, objective.random)
    neutral, expression = degraded(high, objective.random)
    of_neutral = (bicubic(neutral, 2) - high[0]).abs().mean()
    known = torch.rand((8, 4), generator=objective.random) < 0.5
    guide = bicubic(neutral, 2)
    for number, channels in enumerate(CHANNELS.values()):
        guide[known[:, number], channels] = high[0][known[:, number], channels]
    of_change = (bicubic(expression - neutral, 2) - (high[1] - high[0])).abs().mean()
    assert found.item() == pytest.approx((of_neutral + CHANGE_WEIGHT * of_change).item(), rel=1e-2)
    objective.reseed(7)
    assert objective(network).item() != found.item()


def test_a_run_is_taken_up_and_left_as_a_checkpoint(folder: Path, trained: dict[str, object]) -> None:
    assert trained["steps"] == 120
    weights = (folder / "out" / "diffusion_pytorch_model.safetensors").read_bytes()
    again = train_upscaler(UpscalerTraining.read(folder / "config.toml"))
    assert again["steps"] == 120  # nothing left to do
    assert (folder / "out" / "diffusion_pytorch_model.safetensors").read_bytes() == weights
    assert json.loads((folder / "out" / "config.json").read_text())["data"] == "made by the tests"
    last = json.loads((folder / "out" / "log.jsonl").read_text().splitlines()[-1])
    assert last["done"]


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DifferenceUpscaler(UpscalerConfig(width=8, depth=1, difference=False))
    network.half().float()
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter).half().float()
    save_network(network, tmp_path, {})
    loaded = load_network(tmp_path)
    assert loaded.config == network.config
    low, high = torch.rand(1, 8, 8, 8), torch.rand(1, 8, 16, 16)
    torch.testing.assert_close(loaded(low, low, high), network(low, low, high))
    assert load_upscaler(tmp_path, "cpu", "off").half is False
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="Install Dimple again"):
        load_upscaler(tmp_path)


def test_what_was_trained_beats_plain_enlargement(folder: Path, trained: dict[str, object]) -> None:
    """On other people; stripes too fine for the small map are all that the network has to learn."""
    plan = Plan(people=2, expressions=2, factors=(2,), blurs=(0.0, 0.6), memory_at=0)
    result = evaluate_upscaler({"ours": folder / "out"}, folder / "skin", folder / "head", plan)
    rows = {(row["name"], row["blur"], row["neutral_known"]): row for row in result["rows"]}
    assert len(rows) == 3 * 2 * 2
    assert all(row["sets"] == 4 for row in rows.values())
    assert rows["ours", 0.6, False]["psnr_normal"] > rows["bicubic", 0.6, False]["psnr_normal"] + 1
    assert rows["ours", 0.6, True]["wrinkles_kept"] > rows["bicubic", 0.6, True]["wrinkles_kept"]
    assert rows["bicubic", 0.0, True]["psnr"] > rows["bicubic", 0.0, False]["psnr"]
    json.dumps(result, default=float)


def test_memory_and_time_are_those_of_a_run(folder: Path, trained: dict[str, object]) -> None:
    found = run_once(folder / "out", 512)
    assert found["peak_mb"] >= found["libraries_mb"] > 50
    assert found["seconds_expression"] > 0


def test_the_shipped_upscaler_is_small_and_restores_creases() -> None:
    """On the skin of somebody it was not trained on, smiling, in a map of half the size and blurred."""
    shipped = CHECKPOINTS / "upscaler"
    assert sum(file.stat().st_size for file in shipped.iterdir()) < 5e6
    assert "authored skin" in json.loads((shipped / "config.json").read_text(encoding="utf-8"))["data"]
    head = Head.load(CHECKPOINT / "head")
    atlas = SkinAtlas.of(head, UVLayout.of_head(head, 512, FACE_WINDOW))
    rest = head.neutral_vertices[: head.skin_vertices]
    painter = SkinPainter(atlas, rest, draw_skin(3_000_000))
    smile = [UNIT_NAMES.index(name) for name in ("mouthSmileLeft", "mouthSmileRight")]
    smiling = rest + head.expression_basis[smile, : len(rest)].sum(axis=0)
    neutral, expression = (stacked(maps)[None] for maps in (painter.neutral(), painter.frame(smiling)))
    low_neutral, low = (smaller(maps[0], 2, 0.6)[None] for maps in (neutral, expression))
    with torch.no_grad():
        ours = load_network(shipped)(low, low_neutral, neutral)
    plain = neutral + bicubic(low - low_neutral, 2)
    errors = [(made - expression)[:, CHANNELS["normal"]].square().mean().item() for made in (ours, plain)]
    assert errors[0] < 0.9 * errors[1]
