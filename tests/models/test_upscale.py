"""Super-resolution: equation 8, tiles that fit, a neutral that is kept, Real-ESRGAN files."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.errors import CheckpointError, InputError
from models.skin.real_esrgan import RealESRGAN, RRDBNet, load_real_esrgan
from models.upscale import (
    CHANNELS,
    DifferenceUpscaler,
    Upscaler,
    UpscalerConfig,
    bicubic,
    difference_map,
    resized,
    stack,
    unstack,
)

SIZE = 24


def random_network(seed: int = 0, **options: object) -> DifferenceUpscaler:
    torch.manual_seed(seed)
    network = DifferenceUpscaler(UpscalerConfig(width=8, depth=2, **options))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def skin(seed: int, size: int = SIZE) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    maps = {name: random.uniform(0.2, 0.8, (size, size, 3)).astype(np.float32) for name in CHANNELS}
    for name in ("specular", "roughness"):
        maps[name][:] = maps[name][..., :1]
    normal = maps["normal"] * 2 - 1
    maps["normal"] = (normal / np.linalg.norm(normal, axis=2, keepdims=True) + 1) / 2
    return maps


def test_the_difference_map_is_equation_8() -> None:
    expression, neutral = torch.tensor([0.3, 0.6, 0.0, 0.5]), torch.tensor([0.3, 0.3, 0.0, 0.0])
    found = difference_map(expression, neutral)
    assert found[0] == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)  # nothing changes
    assert found[1] == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-6)
    assert found[2] == pytest.approx(0.5)  # nothing over nothing
    assert found[3] == pytest.approx(1)


def test_maps_survive_being_stacked() -> None:
    maps = skin(0)
    stacked = stack(maps)
    assert stacked.shape == (8, SIZE, SIZE)
    for name, image in unstack(stacked).items():
        np.testing.assert_array_equal(image, maps[name])
    grey = maps | {"specular": maps["specular"][..., 0]}
    torch.testing.assert_close(stack(grey), stacked)


def test_maps_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match="roughness"):
        stack({name: image for name, image in skin(0).items() if name != "roughness"})
    with pytest.raises(InputError, match="square"):
        stack(skin(0) | {"albedo": np.zeros((SIZE, 2 * SIZE, 3), np.float32)})
    upscaler = Upscaler(random_network())
    with pytest.raises(InputError, match="same size"):
        upscaler.upscale(skin(0, 2 * SIZE), upscaler.neutral_pyramid(skin(1), 2 * SIZE))
    with pytest.raises(InputError, match="gloss"):
        upscaler.neutral_pyramid(skin(0), 48, {"gloss": np.zeros((8, 8, 3), np.float32)})


def test_an_untrained_network_adds_the_enlarged_difference_to_the_neutral() -> None:
    network = DifferenceUpscaler(UpscalerConfig(width=8, depth=1))
    neutral, expression, high = (torch.rand(1, 8, s, s) for s in (16, 16, 32))
    with torch.no_grad():
        torch.testing.assert_close(network(expression, neutral, None), bicubic(expression, 2))
        found = network(expression, neutral, high)
    torch.testing.assert_close(found, high + bicubic(expression - neutral, 2), atol=1e-5, rtol=1e-4)


def enlarged(upscaler: Upscaler, size: int, given: dict[str, np.ndarray] | None = None) -> Tensor:
    pyramid = upscaler.neutral_pyramid(skin(1), size, given)
    return stack(upscaler.upscale(skin(2), pyramid))


@pytest.mark.parametrize("given", [None, {"albedo": np.random.default_rng(3).random((96, 96, 3))}])
def test_tiles_are_seamless(given: dict[str, np.ndarray] | None) -> None:
    """24 texels in tiles of 7 and of 10, doubled twice, are what one tile gives."""
    network = random_network()
    whole = enlarged(Upscaler(network, tile=1000), 96, given)
    for tile in (7, 10):
        torch.testing.assert_close(
            enlarged(Upscaler(network, tile=tile), 96, given), whole, atol=2e-5, rtol=0
        )


def test_the_margin_is_as_wide_as_the_network_looks_and_no_wider() -> None:
    """Otherwise the test of the tiles could pass by a margin that is far too wide, or by luck."""
    network = random_network()
    reach = network.margin
    images = [torch.rand(1, 8, 32, 32) for _ in range(2)] + [torch.rand(1, 8, 64, 64)]
    images[0].requires_grad_(True)
    network(*images)[0, :, 32, 32].sum().backward()
    gradient = images[0].grad
    assert gradient is not None
    seen = torch.nonzero(gradient.abs().sum(dim=(0, 1)) > 0).abs() - 16
    assert reach - 2 <= int(seen.abs().max()) <= reach


def test_the_given_maps_are_kept_to_the_texel() -> None:
    """A neutral that asks for nothing gets back the artist's own texture."""
    network = DifferenceUpscaler(UpscalerConfig(width=8, depth=1))
    albedo = np.random.default_rng(0).uniform(0.1, 0.9, (48, 48, 3)).astype(np.float32)
    low = skin(1) | {
        "albedo": resized(torch.from_numpy(albedo).permute(2, 0, 1), 24).permute(1, 2, 0).numpy()
    }
    upscaler = Upscaler(network)
    pyramid = upscaler.neutral_pyramid(low, 48, {"albedo": albedo})
    np.testing.assert_allclose(upscaler.upscale(low, pyramid)["albedo"], albedo, atol=1e-5)


def test_normals_come_out_as_unit_vectors() -> None:
    normal = unstack(enlarged(Upscaler(random_network()), 48))["normal"] * 2 - 1
    np.testing.assert_allclose(np.linalg.norm(normal, axis=2), 1, atol=1e-4)


def test_progress_counts_every_tile_and_can_cancel() -> None:
    seen: list[tuple[int, int]] = []
    upscaler = Upscaler(random_network(), tile=12)
    pyramid = upscaler.neutral_pyramid(skin(0), 96)
    upscaler.upscale(skin(1), pyramid, lambda done, total: seen.append((done, total)))
    assert seen == [(number, 4 + 16) for number in range(1, 21)]

    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscaler.upscale(skin(1), pyramid, cancel)


def test_sizes_that_cannot_be_reached_are_refused() -> None:
    with pytest.raises(InputError, match="1024, 2048 or 4096"):
        Upscaler(random_network()).neutral_pyramid(skin(0), 12)
    assert len(Upscaler(random_network()).neutral_pyramid(skin(0), SIZE)) == 1


def tiny_esrgan(inputs: int) -> RRDBNet:
    torch.manual_seed(1)
    return RRDBNet(inputs, 3, features=8, growth=4, blocks=2).eval()


@pytest.mark.parametrize(("inputs", "scale"), [(3, 4), (6, 4), (12, 2), (24, 2)])
def test_a_real_esrgan_file_is_read_with_its_sizes(tmp_path: Path, inputs: int, scale: int) -> None:
    network = tiny_esrgan(inputs)
    pickled, safe = tmp_path / "net.pth", tmp_path / "net.safetensors"
    torch.save({"params_ema": network.state_dict()}, pickled)
    save_file(network.state_dict(), safe)
    expression, neutral = torch.rand(1, 8, 8, 8), torch.rand(1, 8, 8, 8)
    for path in (pickled, safe):
        loaded = load_real_esrgan(path)
        assert loaded.scale == scale
        assert loaded.takes_difference == (inputs in (6, 24))
        found = loaded(expression, neutral, None)
        assert found.shape == (1, 8, 8 * scale, 8 * scale)
        image = torch.cat([expression[:, :3], difference_map(expression, neutral)[:, :3]], dim=1)
        image = image[:, : 6 if loaded.takes_difference else 3]
        image = image if scale == 4 else torch.nn.functional.pixel_unshuffle(image, 2)
        with torch.no_grad():
            torch.testing.assert_close(found[:, :3], network(image))


def test_the_names_are_those_of_the_published_files() -> None:
    names = set(RRDBNet(3, 3, 64, 32, 23).state_dict())
    assert {"conv_first.weight", "body.22.rdb3.conv5.bias", "conv_body.weight", "conv_up1.weight"} <= names
    assert {"conv_up2.bias", "conv_hr.weight", "conv_last.bias"} <= names
    assert len(names) == 2 * (1 + 23 * 15 + 5)  # the 702 tensors of RealESRGAN_x4plus


def test_real_esrgan_reaches_a_size_between_its_steps() -> None:
    upscaler = Upscaler(RealESRGAN(tiny_esrgan(6)), tile=16)
    pyramid = upscaler.neutral_pyramid(skin(1), 2 * SIZE)
    assert upscaler.upscale(skin(2), pyramid)["albedo"].shape == (2 * SIZE, 2 * SIZE, 3)


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("a pickle ran code",)


def test_a_file_that_is_no_real_esrgan_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(pickle.dumps(Command()))
    with pytest.raises(CheckpointError, match="more than weights"):
        load_real_esrgan(path)
    torch.save({"params": {"conv_first.weight": torch.zeros(1)}, "command": Command()}, path)
    with pytest.raises(CheckpointError, match="more than weights"):
        load_real_esrgan(path)
    assert "pickle" not in capsys.readouterr().out
    with pytest.raises(CheckpointError, match="missing"):
        load_real_esrgan(tmp_path / "nothing.safetensors")
    torch.save({"other": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="RRDB"):
        load_real_esrgan(path)
    state = tiny_esrgan(3).state_dict()
    state.pop("conv_hr.weight")
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="conv_hr"):
        load_real_esrgan(path)
