"""The worker's own jobs on a tiny checkpoint: one warm worker answers them all, good and bad."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.client import Client, worker_command
from bridge.protocol import (
    AnimateRequest,
    Cancelled,
    Check,
    Done,
    Failed,
    HeadRequest,
    Hello,
    Message,
    Progress,
    Ready,
    Request,
    fingerprint,
)

from ..models.tiny import tiny_head
from .conftest import Last, poll_until

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
HEAD = tiny_head()
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def checkpoint(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained denoiser on the tiny head; its additive model is the head's own linear expressions."""
    from models.animate_me import AnimateMe
    from models.denoiser import DenoiserConfig, SpiralDenoiser
    from models.topology import mesh_hierarchy

    torch.manual_seed(0)
    config = DenoiserConfig(
        identity_coefficients=len(HEAD.identity_q),
        channels=(4, 8),
        identity_channels=(4, 8),
        context=16,
        modal_rank=57,
        modal_width=16,
    )
    denoiser = SpiralDenoiser(config, mesh_hierarchy(HEAD.triangles, HEAD.neutral_vertices, levels=2))
    shapes = HEAD.expression_basis.reshape(57, -1)
    basis = np.linalg.qr(shapes.T)[0].T
    denoiser.target.basis.copy_(torch.from_numpy(basis))
    denoiser.target.coefficients[:57].copy_(torch.from_numpy(shapes @ basis.T))
    folder = tmp_path_factory.mktemp("checkpoints") / "tête d'essai"
    AnimateMe(denoiser, HEAD).save(folder)
    return folder


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    client = Client(
        worker_command(sys.executable, ROOT),
        hello=Hello(device="cpu", half="off"),
        environment={**os.environ, "OMP_NUM_THREADS": "1"},  # tiny matrices; more threads only wait
    )
    client.start()
    yield client
    client.close()


@pytest.fixture
def request_(tmp_path: Path, checkpoint: Path) -> AnimateRequest:
    """Happiness for the mean head, which lies in the job folder."""
    leave_head(tmp_path, HEAD.neutral_vertices, HEAD.triangles)
    folder, name = str(tmp_path), str(checkpoint)
    return AnimateRequest(new_name(), folder, name, ("happiness",), 0.8, "ease", 6, 24.0, seed=3, steps=4)


def new_name() -> str:
    return f"job {time.monotonic_ns()}"


def leave_head(folder: Path, vertices: NDArray[Any], triangles: NDArray[Any]) -> None:
    np.save(folder / "neutral_vertices.npy", vertices.astype(np.float32))
    np.save(folder / "triangles.npy", triangles.astype(np.int32))


def messages_of(client: Client, request: Request) -> list[Message]:
    client.send(request)
    return poll_until(client, lambda m: isinstance(m, Last) and m.job == request.job)


def done(client: Client, request: Request) -> Done:
    last = messages_of(client, request)[-1]
    assert isinstance(last, Done), last
    return last


def failed(client: Client, request: Request) -> Failed:
    last = messages_of(client, request)[-1]
    assert isinstance(last, Failed), last
    return last


def deformations(client: Client, request: AnimateRequest, **changes: Any) -> Floats:
    return np.load(done(client, replace(request, job=new_name(), **changes)).paths["deformations"])


def test_the_worker_says_what_it_is(client: Client) -> None:
    if client.ready is None:
        poll_until(client, lambda m: isinstance(m, Ready))
    assert client.ready is not None
    assert client.ready.torch == torch.__version__
    assert client.ready.device == "cpu"
    assert client.ready.memory_free_mb > 0


def test_check_lists_versions_and_the_facts_of_the_checkpoint(client: Client, checkpoint: Path) -> None:
    info = done(client, Check(new_name(), str(checkpoint))).info
    assert info["missing"] == info["problems"] == []
    assert {"python", "torch", "numpy", "scipy", "diffusers", "safetensors"} <= info["versions"].keys()
    assert info["checkpoint_name"] == "tiny"
    assert (info["head_vertices"], info["skin_vertices"], info["head_triangles"]) == (642, 642, 1280)
    assert info["units"] == "mm"
    edges = np.unique(np.sort(HEAD.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    assert info["fingerprints"] == [fingerprint(642, edges.astype("<i4").tobytes())]


def test_check_reports_a_missing_checkpoint_as_a_problem(client: Client, tmp_path: Path) -> None:
    info = done(client, Check(new_name(), str(tmp_path))).info
    assert len(info["problems"]) == 1
    assert str(tmp_path) in info["problems"][0]
    assert info["versions"]["torch"] == torch.__version__


def test_an_animation_is_written_beside_its_head(client: Client, request_: AnimateRequest) -> None:
    messages = messages_of(client, request_)
    last = messages[-1]
    assert isinstance(last, Done)
    frames = np.load(last.paths["deformations"])
    signal = np.load(last.paths["signal"])
    assert frames.shape == (6, 642, 3)
    assert frames.dtype == np.float32
    assert signal.shape == (6, 57)
    assert np.isfinite(frames).all()
    assert np.abs(frames[0]).max() == 0
    assert np.abs(frames[-1]).max() > 1.0
    assert last.seed == 3
    assert len(last.info["unit_names"]) == 57
    assert last.info["mm_per_unit"] == pytest.approx(1.0, abs=1e-4)
    assert last.info["identity_residual_mm"] == pytest.approx(0.0, abs=1e-3)
    assert not list(Path(request_.folder).glob("*.partial"))
    steps = [(m.phase, m.step, m.steps) for m in messages if isinstance(m, Progress)]
    sampling = [(step, steps) for phase, step, steps in steps if phase == "sample"]
    assert sampling == [(step, len(sampling)) for step in range(1, len(sampling) + 1)]
    assert len(sampling) >= 4
    phases = list(dict.fromkeys(phase for phase, _, _ in steps))
    assert phases[-4:] == ["bind", "sample", "carry", "write"]


def test_the_same_recipe_gives_the_same_result(client: Client, request_: AnimateRequest) -> None:
    first = deformations(client, request_)
    assert np.array_equal(first, deformations(client, request_))
    assert not np.array_equal(first, deformations(client, request_, seed=4))


def test_the_checkpoint_stays_loaded_until_its_files_change(
    client: Client, request_: AnimateRequest, checkpoint: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)

    def loads() -> bool:
        request = replace(request_, job=new_name(), checkpoint=str(copy))
        return any(isinstance(m, Progress) and m.phase == "load" for m in messages_of(client, request))

    assert [loads(), loads()] == [True, False]
    index = copy / "model_index.json"
    index.write_text(index.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert [loads(), loads()] == [True, False]


def test_a_scaled_and_turned_head_moves_in_its_own_units_and_axes(
    client: Client, request_: AnimateRequest
) -> None:
    plain = deformations(client, request_)
    turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32)
    leave_head(Path(request_.folder), 0.01 * HEAD.neutral_vertices @ turn.T + [5, 0, -2], HEAD.triangles)
    result = done(client, replace(request_, job=new_name()))
    assert result.info["mm_per_unit"] == pytest.approx(100.0, rel=1e-4)
    assert np.allclose(np.load(result.paths["deformations"]), 0.01 * plain @ turn.T, atol=1e-4)


def test_the_artists_own_curve_stands_in_for_the_profile(client: Client, request_: AnimateRequest) -> None:
    curve = np.zeros((3, 57), np.float32)
    curve[1, 10] = 0.5
    np.save(Path(request_.folder) / "expression_signal.npy", curve)
    result = done(client, request_)
    assert np.array_equal(np.load(result.paths["signal"]), curve)
    frames = np.load(result.paths["deformations"])
    assert [bool(np.abs(frame).max() > 0) for frame in frames] == [False, True, False]


def test_a_new_head_is_a_person_of_its_seed(client: Client, tmp_path: Path, checkpoint: Path) -> None:
    def person(seed: int) -> Done:
        return done(client, HeadRequest(new_name(), str(tmp_path), str(checkpoint), seed))

    result = person(1)
    first = np.load(result.paths["neutral_vertices"])
    assert first.shape == (642, 3)
    assert np.array_equal(np.load(result.paths["faces"]), HEAD.faces)
    assert set(result.paths) == {"neutral_vertices", "faces", "triangles", "uv", "uv_faces", "face_material"}
    assert result.info["material_names"] == ["skin"]
    assert result.info["parts"] == {}
    assert np.array_equal(first, np.load(person(1).paths["neutral_vertices"]))
    assert not np.array_equal(first, np.load(person(2).paths["neutral_vertices"]))


def spoil(vertices: Floats, triangles: NDArray[np.int32], how: str) -> tuple[Floats, NDArray[np.int32]]:
    vertices, triangles = vertices.copy(), triangles.copy()
    match how:
        case "too few vertices":
            return vertices[:-1], triangles[(triangles < 641).all(1)]
        case "other connections":
            triangles[0, 0] = 600
        case "not a number":
            vertices[5] = np.nan
        case "one point":
            vertices[:] = 1.0
        case _:
            raise ValueError(how)
    return vertices, triangles


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("too few vertices", "641 vertices, and the checkpoint's head, which has 642, has no eyes"),
        ("other connections", "no eyes and teeth by which to bind another"),
        ("not a number", "1 vertices of this head have no finite place"),
        ("one point", "no area"),
    ],
)
def test_a_head_that_cannot_be_used(client: Client, request_: AnimateRequest, how: str, said: str) -> None:
    vertices, triangles = spoil(HEAD.neutral_vertices, HEAD.triangles, how)
    leave_head(Path(request_.folder), vertices, triangles)
    failure = failed(client, request_)
    assert (failure.kind, said in failure.message) == ("input", True), failure.message
    assert not (Path(request_.folder) / "deformations.npy").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expressions": ("hapiness",)}, "happiness"),
        ({"expressions": ()}, "at least one expression"),
        ({"intensity": 7.0}, "intensity"),
        ({"profile": "jump"}, "jump"),
        ({"frames": 0}, "frames"),
        ({"frames": -3}, "frames"),
        ({"sampler": "magic"}, "magic"),
        ({"steps": 0}, "steps must be from 1 to 1000, not 0"),
        ({"steps": 1001}, "steps"),
        ({"late_start": -1}, "late start must be from 0 to 1000, not -1"),
    ],
)
def test_settings_that_cannot_be_used(
    client: Client, request_: AnimateRequest, change: dict[str, Any], said: str
) -> None:
    failure = failed(client, replace(request_, **change))
    assert (failure.kind, said in failure.message) == ("input", True), failure.message


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("expression_signal", np.full((3, 57), np.nan, np.float32)),
        ("expression_signal", np.zeros((3, 56), np.float32)),
        ("expression_signal", np.zeros((0, 57), np.float32)),
        ("triangles", np.zeros((3, 4), np.int32)),
    ],
)
def test_arrays_that_cannot_be_used(
    client: Client, request_: AnimateRequest, name: str, array: NDArray[Any]
) -> None:
    np.save(Path(request_.folder) / f"{name}.npy", array)
    assert failed(client, request_).kind == "input"


def test_more_frames_than_memory_are_refused_with_the_numbers(
    client: Client, request_: AnimateRequest
) -> None:
    failure = failed(client, replace(request_, frames=10**9))
    assert failure.kind == "out_of_memory"
    assert failure.message.startswith("1,000,000,000 frames of this head need 29,388,427 MB, but ")


def test_a_head_that_the_host_did_not_leave(client: Client, request_: AnimateRequest) -> None:
    (Path(request_.folder) / "neutral_vertices.npy").unlink()
    assert "neutral_vertices.npy is missing" in failed(client, request_).message


@pytest.mark.parametrize(
    "damage",
    ["missing", "no index", "another model", "no weights", "cut short", "pickled", "bare pickle", "no head"],
)
def test_a_checkpoint_that_cannot_be_used(
    client: Client, request_: AnimateRequest, checkpoint: Path, tmp_path: Path, damage: str
) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(checkpoint, copy)
    weights = copy / "denoiser" / "diffusion_pytorch_model.safetensors"
    match damage:
        case "missing":
            shutil.rmtree(copy)
        case "no index":
            (copy / "model_index.json").unlink()
        case "another model":
            (copy / "model_index.json").write_text(
                '{"_class_name": "StableDiffusionPipeline"}', encoding="utf-8"
            )
        case "no weights":
            weights.unlink()
        case "cut short":
            weights.write_bytes(weights.read_bytes()[:-1000])
        case "pickled":
            torch.save({"weight": torch.zeros(3)}, weights)
        case "bare pickle":
            weights.write_bytes(pickle.dumps({"weight": [0.0]}))
        case "no head":
            (copy / "head" / "head.safetensors").unlink()
        case _:
            raise ValueError(damage)
    failure = failed(client, replace(request_, checkpoint=str(copy)))
    assert failure.kind == "checkpoint"
    assert str(copy) in failure.message
    assert isinstance(messages_of(client, replace(request_, job=new_name()))[-1], Done)


def test_weights_that_give_no_numbers(
    client: Client, request_: AnimateRequest, checkpoint: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    copy = tmp_path / "nan"
    shutil.copytree(checkpoint, copy)
    weights = copy / "denoiser" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file(
        tensors | {"target.coefficients": np.full_like(tensors["target.coefficients"], np.nan)}, weights
    )
    failure = failed(client, replace(request_, checkpoint=str(copy)))
    assert (failure.kind, "not finite" in failure.message) == ("checkpoint", True), failure.message
    assert not (Path(request_.folder) / "deformations.npy").exists()


def test_no_checkpoint_is_chosen(client: Client, request_: AnimateRequest) -> None:
    failure = failed(client, replace(request_, checkpoint=""))
    assert (failure.kind, "No checkpoint is chosen" in failure.message) == ("checkpoint", True)


def test_a_folder_that_cannot_take_the_results(client: Client, request_: AnimateRequest) -> None:
    (Path(request_.folder) / "deformations.npy").mkdir()
    failure = failed(client, request_)
    assert (failure.kind, "cannot be written" in failure.message) == ("setup", True), failure.message


def test_a_thousand_steps_can_be_cancelled_at_any_of_them(client: Client, request_: AnimateRequest) -> None:
    done(client, request_)
    client.send(replace(request_, job="long", sampler="paper", steps=None))
    poll_until(client, lambda m: isinstance(m, Progress) and m.phase == "sample" and m.step >= 3)
    client.cancel("long")
    asked = time.monotonic()
    messages = poll_until(client, lambda m: isinstance(m, Last) and m.job == "long")
    assert isinstance(messages[-1], Cancelled)
    assert time.monotonic() - asked < 2.0
    again = messages_of(client, replace(request_, job=new_name()))
    assert isinstance(again[-1], Done)
    assert not any(isinstance(m, Progress) and m.phase == "load" for m in again), "the model stays warm"


@pytest.mark.parametrize(
    "hello", [Hello(device="tpu"), Hello(half="sometimes"), Hello(device="cuda"), Hello(device="mps")]
)
def test_a_device_that_is_not_there(hello: Hello) -> None:
    from bridge.jobs import DimpleJobs
    from bridge.worker import JobFailedError

    if hello.device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    if hello.device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has MPS")
    with pytest.raises(JobFailedError) as caught:
        DimpleJobs(hello)
    assert caught.value.kind == "setup"


def test_every_package_that_the_jobs_import_is_required() -> None:
    """Walks the imports from bridge/jobs.py on, so that no package is missed when a setup is checked."""
    import ast

    from bridge.requirements import REQUIRED_PACKAGES

    found: set[str] = set()
    waiting, seen = [ROOT / "bridge" / "jobs.py"], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = path.parents[node.level - 1] if node.level else ROOT
                module = base.joinpath(*(node.module or "").split("."))
                inside = [module.with_suffix(".py"), *(module / f"{alias.name}.py" for alias in node.names)]
                files = [file for file in inside if file.is_file()]
                waiting += files
                if not files and not node.level:
                    found.add((node.module or "").partition(".")[0])
    assert ROOT / "models" / "topology.py" in seen
    assert found - set(sys.stdlib_module_names) - {"models", "bridge"} == set(REQUIRED_PACKAGES)
