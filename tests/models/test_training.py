"""Training: what is fitted in closed form, what is learned, resuming, several processes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from models.additive import AdditiveModel, powers
from models.animate_me import SAMPLERS, AnimateMe
from models.corpus.cache import FrameCache
from models.errors import InputError
from models.expression import MIRROR_UNITS, expression_signal, parse_expression
from models.head import Head
from models.training.additive_fit import Mirror, balance, fit_unit_variance, frame_weight, mean_motion_fit
from models.training.animate_me import TrainingConfig, modal_loss, train_animate_me
from tests.models.conftest import TinyRun, prepare

ROOT = Path(__file__).resolve().parents[2]


def log_lines(run: TinyRun, phase: str) -> list[dict[str, Any]]:
    text = (run.folder / "out.state" / "log.jsonl").read_text(encoding="utf-8")
    return [line for line in map(json.loads, text.splitlines()) if line["phase"] == phase]


def one_sequence(folder: Path, head: Head) -> np.ndarray:
    """A corpus of one performance by one person: surprise, in which three bumps turn into each other."""
    signal = expression_signal(["surprise"], 1.0, "ease", 40)
    strength = signal @ parse_expression("surprise") / np.square(parse_expression("surprise")).sum()
    bumps = torch.from_numpy(head.expression_basis[[10, 20, 30]])
    shapes = (bumps + Mirror.of(head.mirror).vectors(bumps)).numpy()  # as its image is learned too
    weights = np.stack([strength, np.sin(np.pi * strength), strength**4], axis=1)
    deformation = np.einsum("ks,svd->kvd", weights, shapes)
    folder.mkdir(parents=True)
    neutral = head.identity_basis[:1].astype(np.float16)
    save_file({"neutral": neutral}, folder / "people.safetensors")
    np.save(folder / "frames_0000.npy", deformation.astype(np.float16))
    person = np.zeros(40, np.int32)
    np.savez(folder / "frames_0000.npz", stage=signal, person=person, label=person)
    return deformation


@pytest.fixture
def untrained(tmp_path: Path) -> TinyRun:
    return prepare(tmp_path, modal_steps=30, joint_steps=4)


@pytest.fixture(scope="module")
def cache(trained: TinyRun, head: Head) -> FrameCache:
    return FrameCache.open(trained.folder / "corpus" / "train", head.neutral_vertices)


@pytest.fixture(scope="module")
def target(model: AnimateMe) -> AdditiveModel:
    assert isinstance(model.denoiser.target, AdditiveModel)
    return model.denoiser.target


def test_a_dry_run_plans_and_writes_nothing(untrained: TinyRun) -> None:
    before = sorted(untrained.folder.rglob("*"))
    plan = train_animate_me(TrainingConfig.read(untrained.config), dry_run=True)
    assert sorted(untrained.folder.rglob("*")) == before
    assert plan["frames"] == 600
    assert plan["people"] == 12
    assert plan["levels"][0] == 642
    assert plan["parameters"] > 10_000
    assert plan["config"]["joint"]["steps"] == 4
    json.dumps(plan)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("corpus = ", "Invalid value"), ('corpus = "a"', "head"), ("[modal]\nminits = 3", "corpus")],
)
def test_a_configuration_that_cannot_be_used_says_why(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=reason):
        TrainingConfig.read(path)
    with pytest.raises(InputError, match=r"missing\.toml"):
        TrainingConfig.read(tmp_path / "missing.toml")


def test_a_misspelt_setting_is_refused(untrained: TinyRun) -> None:
    text = untrained.config.read_text(encoding="utf-8")
    untrained.config.write_text(text.replace("modal_width", "modal_wdith"), encoding="utf-8")
    with pytest.raises(InputError, match="modal_wdith"):
        TrainingConfig.read(untrained.config)


def test_the_directions_are_orthonormal_and_hold_the_mean_motion(
    target: AdditiveModel, cache: FrameCache
) -> None:
    torch.testing.assert_close(target.basis @ target.basis.T, torch.eye(len(target.basis)), atol=2e-3, rtol=0)
    motion = target.mean_motion(torch.from_numpy(cache.stages[:20]))
    torch.testing.assert_close(target.expand(target.project(motion)), motion, atol=1e-2, rtol=1e-2)


def test_residual_and_deformation_are_two_ways_to_say_the_same(
    target: AdditiveModel, cache: FrameCache
) -> None:
    stage = torch.from_numpy(cache.stages[:50])
    deformation = torch.from_numpy(cache.deformations(np.arange(50)))
    y = target.relative(deformation, stage)
    torch.testing.assert_close(target.absolute(y, stage), deformation, atol=1e-4, rtol=1e-3)


def test_a_neutral_stage_is_exactly_neutral(target: AdditiveModel) -> None:
    y = torch.randn(2, len(target.vertex_scale), 3)
    assert not target.absolute(y, torch.zeros(2, 57)).any()


def test_the_residual_is_as_large_as_the_noise(target: AdditiveModel, cache: FrameCache) -> None:
    stage = torch.from_numpy(cache.stages)
    y = target.relative(torch.from_numpy(cache.deformations(np.arange(len(cache)))), stage)
    weight = frame_weight(target.amplitude(stage).flatten())
    square = float((weight * y.square().mean((1, 2))).sum() / weight.sum())
    assert square == pytest.approx(1, rel=0.2)


def test_the_additive_model_is_better_than_any_scaling_of_it(
    target: AdditiveModel, cache: FrameCache
) -> None:
    stage = torch.from_numpy(cache.stages)
    deformation = torch.from_numpy(cache.deformations(np.arange(len(cache))))
    mean = target.mean_motion(stage) * target.vertex_scale[:, None]
    errors = {scale: float((deformation - scale * mean).square().sum()) for scale in (0.95, 1.0, 1.05)}
    assert errors[1.0] < min(errors[0.95], errors[1.05])
    assert errors[1.0] < 0.1 * float(deformation.square().sum())


def test_frames_of_more_weight_decide_the_mean_motion(cache: FrameCache, head: Head) -> None:
    heavy = cache.person == cache.person[0]
    stage = powers(torch.from_numpy(cache.stages[heavy]))
    deformation = torch.from_numpy(cache.deformations(np.flatnonzero(heavy))).flatten(1)
    errors: list[float] = []
    for factor in (1.0, 100.0):
        weight = torch.from_numpy(np.where(heavy, factor, 1.0).astype(np.float32))
        mean = mean_motion_fit(cache, Mirror.of(head.mirror), weight)
        errors.append(float((deformation - stage @ mean).square().sum()))
    assert errors[1] < 0.9 * errors[0]


def test_small_motions_weigh_more_and_still_ones_not_infinitely() -> None:
    weight = balance(torch.tensor([0.0, 1.0, 2.0, 40.0]))
    assert weight.tolist() == sorted(weight.tolist(), reverse=True)
    assert float(weight.mean()) == pytest.approx(1.0)
    assert weight[0] == pytest.approx(3 * float(weight[1]))  # the median is 1


def test_what_is_expected_of_a_person_is_closer_than_the_mean(
    model: AnimateMe, target: AdditiveModel, cache: FrameCache
) -> None:
    stage = torch.from_numpy(cache.stages)
    y = target.project(target.relative(torch.from_numpy(cache.deformations(np.arange(len(cache)))), stage))
    coefficients = torch.from_numpy(model.identity_solver(cache.neutral_offsets))[cache.person]
    weight = frame_weight(target.amplitude(stage).flatten())[:, None]
    rest = y - target.expected(stage, coefficients)
    assert float((weight * rest.square()).sum()) < 0.7 * float((weight * y.square()).sum())


def test_the_variances_of_units_are_found_in_what_people_do() -> None:
    random = torch.Generator().manual_seed(0)
    true = torch.tensor([[4.0, 0.0], [0.25, 1.0], [0.0, 9.0]])  # of three units, in two directions
    shares = torch.rand(20_000, 3, generator=random)
    square = (shares @ true) * torch.randn(20_000, 2, generator=random).square()
    found = fit_unit_variance(shares, square, torch.ones(20_000))
    torch.testing.assert_close(found, true, atol=0.15, rtol=0.1)
    assert found.min() >= 0
    together = fit_unit_variance(shares[:, [0, 0, 1, 2]], square, torch.ones(20_000))  # two move as one
    torch.testing.assert_close(together[:2].sum(0), true[0], atol=0.15, rtol=0.1)


def test_the_spread_of_people_at_a_stage_explains_them_better_than_one_over_all_stages(
    model: AnimateMe, target: AdditiveModel, cache: FrameCache
) -> None:
    stage = torch.from_numpy(cache.stages)
    y = target.project(target.relative(torch.from_numpy(cache.deformations(np.arange(len(cache)))), stage))
    coefficients = torch.from_numpy(model.identity_solver(cache.neutral_offsets))[cache.person]
    weight = frame_weight(target.amplitude(stage).flatten())[:, None]
    rest = y - target.expected(stage, coefficients)

    def surprise(std: torch.Tensor) -> float:
        """Mean negative log-likelihood, of normal distributions."""
        return float((weight * (std.log() + (rest / std).square() / 2)).mean())

    assert surprise(target.spread(stage)) < surprise(target.residual_std.expand_as(rest)) - 0.01
    still = target.spread(torch.zeros(1, 57))
    assert torch.isfinite(still).all()
    assert (still > 0).all()


def test_the_mirror_image_of_a_mirror_image_is_the_thing_itself(head: Head) -> None:
    mirror = Mirror.of(head.mirror)
    field, stage = torch.randn(2, 642, 3), torch.rand(2, 57)
    assert torch.equal(mirror.vectors(mirror.vectors(field)), field)
    assert torch.equal(mirror.stages(mirror.stages(stage)), stage)
    assert not torch.equal(mirror.stages(stage), stage)
    units = torch.from_numpy(head.expression_basis)
    torch.testing.assert_close(mirror.vectors(units), units[torch.tensor(MIRROR_UNITS)], atol=2e-3, rtol=0)


def test_the_modal_loss_counts_every_noise_level_alike() -> None:
    std, clean = torch.tensor([[0.5, 2.0]]), torch.zeros(3, 2)
    alpha_bar = torch.tensor([0.001, 0.5, 0.999])
    unit = std * ((1 - alpha_bar[:, None]) / (alpha_bar[:, None] * std**2 + 1 - alpha_bar[:, None])).sqrt()
    per_sample = [
        modal_loss(unit[i : i + 1], clean[:1], alpha_bar[i : i + 1], std, torch.ones(1)) for i in range(3)
    ]
    torch.testing.assert_close(torch.stack(per_sample), torch.ones(3))
    heavier = modal_loss(unit[:1], clean[:1], alpha_bar[:1], std, torch.full((1,), 3.0))
    torch.testing.assert_close(heavier, torch.tensor(3.0))


def test_training_learns_and_logs(trained: TinyRun) -> None:
    modal = log_lines(trained, "modal")
    assert [line["step"] for line in modal[:3]] == [50, 100, 150]
    assert modal[-1]["done"]
    assert modal[-1]["step"] == 800
    assert modal[-1]["loss"] < 0.8 * modal[0]["loss"]
    assert modal[0]["learning_rate"] > 5 * modal[-2]["learning_rate"]
    last = (trained.checkpoint / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(last[-1])["phase"] == "joint"


def test_a_stopped_run_goes_on_where_it_was(untrained: TinyRun) -> None:
    config = TrainingConfig.read(untrained.config)
    first = train_animate_me(config)
    assert first["steps"] == {"modal": 30, "joint": 4}
    again = train_animate_me(config)
    assert again["steps"] == first["steps"]
    assert again["loss"] == pytest.approx(first["loss"])
    longer = replace(config, modal=replace(config.modal, steps=110), joint=replace(config.joint, steps=6))
    assert train_animate_me(longer)["steps"] == {"modal": 110, "joint": 6}
    assert [line["step"] for line in log_lines(untrained, "modal")] == [30, 30, 50, 100, 110]
    minutes = [line["minutes"] for line in log_lines(untrained, "modal")]
    assert minutes == sorted(minutes)


def test_training_stops_when_its_time_is_over(untrained: TinyRun) -> None:
    config = TrainingConfig.read(untrained.config)
    short = replace(
        config, modal=replace(config.modal, minutes=1 / 60, steps=10**9), joint=replace(config.joint, steps=1)
    )
    train_animate_me(short)
    assert 1 / 60 <= log_lines(untrained, "modal")[-1]["minutes"] < 10 / 60


def test_two_processes_train_the_model_of_one(tmp_path: Path) -> None:
    runs = {count: prepare(tmp_path / str(count), modal_steps=25, joint_steps=3) for count in (1, 2)}
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "ACCELERATE_USE_CPU": "true",
    }
    for count, run in runs.items():
        # without MPI, `accelerate launch --cpu` starts one process only; on CPUs torch's launcher does it
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count), "-m"]
        result = subprocess.run(
            [sys.executable, *launcher, "models", "train", "animate-me", str(run.config)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        assert f'"processes": {count}' in result.stdout
    for phase in ("modal", "joint"):
        one, two = (log_lines(runs[count], phase) for count in (1, 2))
        assert [line["step"] for line in one] == [line["step"] for line in two]
        assert two[-1]["loss"] == pytest.approx(one[-1]["loss"], rel=2e-3)
    weights = [
        load_file(runs[n].checkpoint / "denoiser" / "diffusion_pytorch_model.safetensors") for n in runs
    ]
    for name in ("modal.enter.weight", "encoder.0.conv.linear.weight"):
        np.testing.assert_allclose(weights[0][name], weights[1][name], atol=5e-3)


def test_the_papers_network_learns_one_sequence_by_heart(tmp_path: Path, head: Head) -> None:
    run = prepare(tmp_path, modal_steps=1, joint_steps=1)
    truth = one_sequence(tmp_path / "alone" / "train", head)
    config = TrainingConfig.read(run.config)
    network = replace(config.network, modal_width=0, target="raw")
    joint = replace(config.joint, steps=350, batch=16, learning_rate=3e-3)
    train_animate_me(
        replace(
            config, corpus=tmp_path / "alone", network=network, joint=joint, ema=0.95, frames_per_person=16
        )
    )
    model = AnimateMe.from_checkpoint(run.checkpoint, device="cpu", half="off")
    signal = expression_signal(["surprise"], 1.0, "ease", 40)
    found = model.animate(head.neutral_vertices + head.identity_basis[0], signal, seed=0, steps=5)
    error = np.linalg.norm(found - truth, axis=2).mean()
    assert error < 0.2 * np.linalg.norm(truth, axis=2).mean()


def test_the_papers_setting_trains_and_samples(tmp_path: Path, head: Head) -> None:
    run = prepare(tmp_path, modal_steps=1, joint_steps=2)
    config = TrainingConfig.read(run.config)
    network = replace(config.network, modal_width=0, target="raw", prediction_type="epsilon")
    result = train_animate_me(replace(config, network=network))
    assert result["steps"] == {"joint": 2}
    model = AnimateMe.from_checkpoint(run.checkpoint, device="cpu", half="off")
    assert model.schedule.config["prediction_type"] == "epsilon"
    assert (SAMPLERS["paper"].scheduler, SAMPLERS["paper"].steps) == ("ddpm", 1000)
    assert SAMPLERS["paper"].late_start == 400
    steps: list[tuple[int, int]] = []
    signal = expression_signal(["browDownLeft"], 1.0, "ease", 2)
    found = model.animate(
        head.neutral_vertices, signal, seed=0, sampler="paper", on_step=lambda *step: steps.append(step)
    )
    assert steps[-1] == (1401, 1401)  # the first frame's chain, and what is left of it from 400 on
    assert found.shape == (2, 642, 3)
    assert np.isfinite(found).all()
