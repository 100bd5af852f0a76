"""AnimateMe as a whole: what an animation must obey, and every way in which a checkpoint can be broken."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from models.animate_me import DENOISER, HEAD, INDEX_NAME, SAMPLERS, AnimateMe, choose_device
from models.denoiser import SpiralDenoiser
from models.errors import CheckpointError, InputError
from models.evaluation.baselines import additive_motion
from models.expression import UNIT_INDEX, expression_signal
from models.head import Head
from models.weights import EXACT_DIRECTIONS, PACKED, WEIGHTS_NAME, load_denoiser, save_denoiser
from tests.models.conftest import TinyRun
from tests.models.tiny_truth import LABELS, TinyTruth

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "checkpoints" / "animate-me"
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def neutral(head: Head) -> np.ndarray:
    return TinyTruth(head).request(2, LABELS[0], others=0, seed=0).neutral


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return expression_signal([LABELS[0], f"{LABELS[2]}=0.5"], 1.0, "ease", 8)


@pytest.fixture(scope="module")
def animation(model: AnimateMe, neutral: np.ndarray, signal: np.ndarray) -> np.ndarray:
    return model.animate(neutral, signal, seed=3)


def test_an_animation_has_a_deformation_for_every_vertex_of_every_frame(animation: np.ndarray) -> None:
    assert animation.shape == (8, 642, 3)
    assert animation.dtype == np.float32
    assert np.isfinite(animation).all()
    assert np.linalg.norm(animation[-1], axis=1).max() > 1


def test_a_neutral_stage_moves_nothing(animation: np.ndarray) -> None:
    assert not animation[0].any()


def test_equal_stages_give_equal_frames(model: AnimateMe, neutral: np.ndarray, signal: np.ndarray) -> None:
    found = model.animate(neutral, signal[[7, 2, 7, 4, 2]], seed=3)
    np.testing.assert_allclose(found[0], found[2], atol=1e-4)
    np.testing.assert_allclose(found[1], found[4], atol=1e-4)


def test_frames_keep_their_shape_in_any_order_and_company(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray, animation: np.ndarray
) -> None:
    order = [0, 6, 2, 4]
    np.testing.assert_allclose(model.animate(neutral, signal[order], seed=3), animation[order], atol=1e-4)


@pytest.mark.parametrize("sampler", ["default", "late"])
def test_chunks_do_not_matter(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray, sampler: str
) -> None:
    whole = model.animate(neutral, signal, seed=3, sampler=sampler)
    in_chunks = model.animate(neutral, signal, seed=3, sampler=sampler, frames_per_chunk=3)
    np.testing.assert_allclose(in_chunks, whole, atol=1e-4)


def test_changing_one_stage_changes_that_frame_only(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray, animation: np.ndarray
) -> None:
    changed = signal.copy()
    changed[3, UNIT_INDEX[LABELS[1]]] = 0.7
    found = model.animate(neutral, changed, seed=3)
    others = [0, 1, 2, 4, 5, 6, 7]
    np.testing.assert_allclose(found[others], animation[others], atol=1e-4)
    assert np.abs(found[3] - animation[3]).max() > 0.1


def test_the_seed_decides(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray, animation: np.ndarray
) -> None:
    np.testing.assert_array_equal(model.animate(neutral, signal, seed=3), animation)
    assert np.abs(model.animate(neutral, signal, seed=4)[-1] - animation[-1]).max() > 0.05


def test_the_person_decides(model: AnimateMe, head: Head, signal: np.ndarray, animation: np.ndarray) -> None:
    someone_else = TinyTruth(head).request(5, LABELS[0], others=0, seed=0).neutral
    assert np.abs(model.animate(someone_else, signal, seed=3)[-1] - animation[-1]).max() > 0.05


def test_units_and_axes_of_the_artist_come_back(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray, animation: np.ndarray
) -> None:
    turn = Rotation.from_euler("xyz", [90, 30, -20], degrees=True).as_matrix().astype(np.float32)
    found = model.animate(0.01 * neutral @ turn + np.array([3, 0, -5], np.float32), signal, seed=3)
    np.testing.assert_allclose(100 * found, animation @ turn, atol=2e-2)


def test_late_start_at_the_beginning_is_the_full_chain(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray
) -> None:
    full = model.animate(neutral, signal, seed=3, sampler="full")
    late = model.animate(neutral, signal, seed=3, sampler="full", late_start=1000)
    np.testing.assert_array_equal(late, full)
    early = model.animate(neutral, signal, seed=3, sampler="full", late_start=300)
    assert np.abs(early - full).max() > 1e-3


def test_fewer_steps_are_another_result_and_less_work(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray, animation: np.ndarray
) -> None:
    seen: list[tuple[int, int]] = []
    found = model.animate(neutral, signal, seed=3, steps=3, on_step=lambda *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert np.abs(found - animation).max() > 1e-4


def test_half_precision_keeps_the_result(
    trained: TinyRun, neutral: np.ndarray, signal: np.ndarray, animation: np.ndarray
) -> None:
    half = AnimateMe.from_checkpoint(trained.checkpoint, device="cpu", half="on")
    difference = np.linalg.norm(half.animate(neutral, signal, seed=3) - animation, axis=2).mean()
    assert 0 < difference < 0.02 * np.linalg.norm(animation, axis=2).mean()


def test_the_network_adds_to_the_additive_model(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray, animation: np.ndarray
) -> None:
    generic = additive_motion(model, signal)
    assert np.linalg.norm(animation - generic, axis=2)[-1].mean() > 0.01


def residual_ratio(model: AnimateMe, neutral: np.ndarray, signal: np.ndarray, seeds: int) -> float:
    """Root mean square of what the default sampler adds to the additive model, over the full chain's."""
    squares = {"default": 0.0, "full": 0.0}
    generic = additive_motion(model, signal)
    for name in squares:
        for seed in range(seeds):
            found = model.animate_skin(neutral, signal, seed, preset=SAMPLERS[name])
            squares[name] += float(np.square(found - generic).sum())
    return float(np.sqrt(squares["default"] / squares["full"]))


def test_the_default_late_start_keeps_what_is_generated(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray
) -> None:
    assert residual_ratio(model, neutral, signal, seeds=4) >= 0.7


def test_an_exception_in_progress_ends_the_job(
    model: AnimateMe, neutral: np.ndarray, signal: np.ndarray
) -> None:
    def cancel(done: int, total: int) -> None:
        raise InterruptedError(done, total)

    with pytest.raises(InterruptedError):
        model.animate(neutral, signal, seed=3, on_step=cancel)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda v: v[:-1], "641 vertices"),
        (lambda v: v[:, :2], "vertices"),
        (lambda v: np.where(np.arange(642)[:, None] == 7, np.nan, v), "not finite"),
        (lambda v: 0 * v + 1, "one point"),
    ],
    ids=["count", "flat array", "not finite", "no extent"],
)
def test_heads_that_cannot_be_animated_are_explained(
    model: AnimateMe,
    neutral: np.ndarray,
    signal: np.ndarray,
    spoil: Callable[[np.ndarray], np.ndarray],
    reason: str,
) -> None:
    with pytest.raises(InputError, match=reason):
        model.animate(spoil(neutral), signal, seed=3)


def test_unknown_samplers_and_missing_devices_are_explained() -> None:
    with pytest.raises(InputError, match="default"):
        AnimateMe.sampler("fast")
    with pytest.raises(InputError, match="auto or cpu"):
        choose_device("abacus")
    assert AnimateMe.sampler("late", late_start=500, steps=7).late_start == 500
    assert AnimateMe.sampler("late", late_start=500, steps=7).steps == 7


def test_a_checkpoint_survives_saving_and_loading(
    model: AnimateMe, tmp_path: Path, neutral: np.ndarray, signal: np.ndarray, animation: np.ndarray
) -> None:
    model.save(tmp_path / "again", {"data": "made by the tests"})
    again = AnimateMe.from_checkpoint(tmp_path / "again", device="cpu", half="off")
    np.testing.assert_array_equal(again.animate(neutral, signal, seed=3), animation)
    index = json.loads((tmp_path / "again" / INDEX_NAME).read_text(encoding="utf-8"))
    assert index["_class_name"] == "AnimateMe"
    assert index["units"] == "mm"
    assert index["data"] == "made by the tests"
    assert {p.suffix for p in (tmp_path / "again").rglob("*") if p.is_file()} <= {".json", ".safetensors"}


@pytest.mark.parametrize("name", PACKED)
def test_minor_directions_are_kept_to_half_a_step_and_stay_so(
    model: AnimateMe, tmp_path: Path, name: str
) -> None:
    hierarchy, config = model.denoiser.hierarchy, replace(model.denoiser.config, modal_rank=20)
    denoiser = SpiralDenoiser(config, hierarchy)
    rows = torch.randn_like(denoiser.state_dict()[name])
    denoiser.state_dict()[name].copy_(rows)
    save_denoiser(denoiser, tmp_path / "once")
    once = load_denoiser(tmp_path / "once")
    save_denoiser(once, tmp_path / "twice")
    kept, again = (found.state_dict()[name] for found in (once, load_denoiser(tmp_path / "twice")))
    torch.testing.assert_close(kept[:EXACT_DIRECTIONS], rows[:EXACT_DIRECTIONS].half().float())
    half_a_step = rows.abs().amax(dim=1, keepdim=True) / 254
    assert ((kept - rows).abs() <= 1.001 * half_a_step)[EXACT_DIRECTIONS:].all()
    assert (kept != rows)[EXACT_DIRECTIONS:].any()
    torch.testing.assert_close(again, kept)


@pytest.fixture
def copy(trained: TinyRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.checkpoint, tmp_path / "copy"))


def refuses(folder: Path, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        AnimateMe.from_checkpoint(folder, device="cpu", half="off")


def test_a_missing_checkpoint_is_explained(tmp_path: Path) -> None:
    refuses(tmp_path / "nowhere", "no readable Dimple checkpoint")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"_class_name": "StableDiffusionPipeline"}'])
def test_an_index_that_is_none_is_explained(copy: Path, content: str) -> None:
    (copy / INDEX_NAME).write_text(content, encoding="utf-8")
    refuses(copy, "checkpoint")


@pytest.mark.parametrize("part", [DENOISER, HEAD])
def test_a_missing_part_is_explained(copy: Path, part: str) -> None:
    shutil.rmtree(copy / part)
    refuses(copy, "Install Dimple again")


@pytest.mark.parametrize("keep", [0, 4, 1000, -1])
def test_damaged_weights_are_explained(copy: Path, keep: int) -> None:
    path = copy / DENOISER / WEIGHTS_NAME
    path.write_bytes(path.read_bytes()[:keep])
    refuses(copy, "Install Dimple again")


def test_weights_that_lack_a_tensor_are_explained(copy: Path) -> None:
    path = copy / DENOISER / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"modal_blocks": config["modal_blocks"] + 1}), encoding="utf-8")
    refuses(copy, "Install Dimple again")


@pytest.mark.parametrize("change", [{"surprise": 1}, {"channels": "many"}, {"modal_rank": -3}])
def test_a_configuration_of_another_network_is_explained(copy: Path, change: dict[str, object]) -> None:
    path = copy / DENOISER / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    refuses(copy, "Install Dimple again")


class Explosive:
    """What a hostile pickle does when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", [f"{DENOISER}/{WEIGHTS_NAME}", f"{HEAD}/head.safetensors"])
def test_a_pickle_is_refused_and_never_opened(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / name).write_bytes(pickle.dumps(Explosive(tmp_path / "exploded")))
    refuses(copy, "Install Dimple again")
    assert not (tmp_path / "exploded").exists()
    pickle.loads((copy / name).read_bytes())  # it would have worked
    assert (tmp_path / "exploded").exists()


def test_a_head_of_another_topology_is_explained(copy: Path, head: Head) -> None:
    fewer = {"skin_vertices": head.skin_vertices - 1}
    path = copy / HEAD / "config.json"
    path.write_text(json.dumps(dict(head.config) | fewer), encoding="utf-8")
    refuses(copy, "belong together")


def test_the_shipped_checkpoint_is_small_and_holds_no_code() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    suffixes = {".json", ".jsonl", ".safetensors", ".toml", ".md"}
    assert {path.suffix for path in files} <= suffixes
    assert sum(path.stat().st_size for path in files if path.name != "transfer.safetensors") <= 20 * MEGABYTE


def test_the_shipped_checkpoint_keeps_what_it_generates() -> None:
    model = AnimateMe.from_checkpoint(SHIPPED, device="cpu")
    person = model.new_person(5)[: model.head.skin_vertices]
    signal = expression_signal(["happiness"], 1.0, "ease", 5)
    assert residual_ratio(model, person, signal, seeds=2) >= 0.7
