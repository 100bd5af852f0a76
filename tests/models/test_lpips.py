"""LPIPS against its definition, step by step, on random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.errors import CheckpointError
from models.evaluation.lpips import Lpips


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lpips")
    torch.manual_seed(0)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3)}
    shapes[10] = (256, 256, 3, 3)
    backbone = {f"features.{n}.weight": 0.05 * torch.randn(s) for n, s in shapes.items()}
    backbone |= {f"features.{n}.bias": 0.1 * torch.randn(s[0]) for n, s in shapes.items()}
    torch.save({**backbone, "classifier.6.bias": torch.zeros(3)}, folder / "alexnet-owt.pth")
    linear = {f"lin{i}.model.1.weight": torch.rand(1, s[0], 1, 1) for i, s in enumerate(shapes.values())}
    save_file(linear, folder / "alex.safetensors")
    return folder


def test_the_distance_is_its_definition(folder: Path) -> None:
    network = Lpips.load(folder)
    image, other = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    backbone = torch.load(folder / "alexnet-owt.pth", weights_only=True)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 64, 11, 4, 2), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2),
        torch.nn.Conv2d(64, 192, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2),
        torch.nn.Conv2d(192, 384, 3, padding=1), torch.nn.ReLU(),
        torch.nn.Conv2d(384, 256, 3, padding=1), torch.nn.ReLU(),
        torch.nn.Conv2d(256, 256, 3, padding=1), torch.nn.ReLU(),
    )  # fmt: skip
    layers.load_state_dict(
        {name.removeprefix("features."): value for name, value in backbone.items() if "features" in name}
    )
    total, after = 0.0, []
    for picture in (image, other):
        x = (2 * picture - 1 - torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None]) / torch.tensor(
            [0.458, 0.448, 0.450]
        )[None, :, None, None]
        taps = []
        for layer in layers:
            x = layer(x)
            if isinstance(layer, torch.nn.ReLU):
                taps.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        after.append(taps)
    for weight, a, b in zip(network.weights, *after, strict=True):
        total += (weight[None, :, None, None] * (a - b) ** 2).sum(1).mean().item()
    assert network(image, other)[0].item() == pytest.approx(total, rel=1e-4)
    assert total > 0.01


def test_the_same_is_no_distance_and_the_mask_hides(folder: Path) -> None:
    network = Lpips.load(folder)
    random = np.random.default_rng(0)
    image, other = random.random((64, 64, 3)), random.random((64, 64, 3))
    mask = np.indices((64, 64))[1] < 32
    mixed = np.where(mask[..., None], image, other)
    assert network.of_maps(image, image, mask) == 0
    assert network.of_maps(mixed, image, mask) == 0
    assert network.of_maps(mixed, image, np.ones_like(mask)) > 0.01


def test_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="alexnet"):
        Lpips.load(tmp_path)
    (tmp_path / "alexnet.pth").write_bytes((folder / "alexnet-owt.pth").read_bytes())
    torch.save({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, tmp_path / "alex.pth")
    with pytest.raises(CheckpointError, match="lin1"):
        Lpips.load(tmp_path)
