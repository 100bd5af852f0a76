"""LPIPS (Zhang et al., 2018): how different two images look to a network that was trained on photographs.

The weights are not Dimple's to ship. A folder with them holds AlexNet as torchvision publishes it
(``alexnet*.pth``) and the linear layers of LPIPS 0.1 (``alex.pth``); either may be a .safetensors file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..errors import CheckpointError
from ..skin.tensor_files import network_tensors

CONVOLUTIONS = (
    (0, 3, 64, 11, 4, 2),
    (3, 64, 192, 5, 1, 2),
    (6, 192, 384, 3, 1, 1),
    (8, 384, 256, 3, 1, 1),
    (10, 256, 256, 3, 1, 1),
)
"""AlexNet's: number in ``features``, channels in and out, size, stride, padding. A pool precedes 3 and 6."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of images in -1..1, to what AlexNet was trained on."""


class Lpips(nn.Module):
    """The distance with AlexNet, version 0.1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {
                str(number): nn.Conv2d(inputs, outputs, size, stride, padding)
                for number, inputs, outputs, size, stride, padding in CONVOLUTIONS
            }
        )
        self.weights = nn.ParameterList(
            nn.Parameter(torch.ones(outputs)) for _, _, outputs, *_ in CONVOLUTIONS
        )

    @classmethod
    def load(cls, folder: Path) -> Lpips:
        """Raises CheckpointError where one of the two files is missing or of another network."""
        files = [next(iter(sorted(folder.glob(pattern))), None) for pattern in ("alexnet*.*", "alex.*")]
        if files[0] is None or files[1] is None:
            raise CheckpointError(f"{folder} needs alexnet*.pth of torchvision and alex.pth of LPIPS 0.1.")
        backbone, linear = network_tensors(files[0]), network_tensors(files[1])
        network = cls().requires_grad_(False)
        try:
            for number, *_ in CONVOLUTIONS:
                convolution = network.features[str(number)]
                convolution.load_state_dict(
                    {name: backbone[f"features.{number}.{name}"] for name in ("weight", "bias")}
                )
            for index, weight in enumerate(network.weights):
                weight.copy_(linear[f"lin{index}.model.1.weight"].flatten())
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"The weights in {folder} are not those of LPIPS 0.1: {error}") from error
        return network.eval()

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        """(B,) distances of images (B, 3, H, W) of 0..1."""
        distance = torch.zeros(len(image))
        for weight, seen, there in zip(self.weights, self._seen(image), self._seen(other), strict=True):
            apart = (functional.normalize(seen, dim=1) - functional.normalize(there, dim=1)).square()
            distance = distance + (weight[:, None, None] * apart).sum(dim=1).mean(dim=(1, 2))
        return distance

    @torch.inference_mode()
    def of_maps(
        self, made: NDArray[np.floating], true: NDArray[np.floating], mask: NDArray[np.bool_]
    ) -> float:
        """Distance of two maps (H, W, 3) of 0..1, black outside the mask."""
        images = [torch.from_numpy(np.where(mask[..., None], image, 0.0)).float() for image in (made, true)]
        image, other = (image.permute(2, 0, 1)[None] for image in images)
        return float(self(image, other)[0])

    def _seen(self, images: Tensor) -> list[Tensor]:
        shift, scale = (torch.tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        x, found = (2 * images - 1 - shift) / scale, list[Tensor]()
        for number, *_ in CONVOLUTIONS:
            if number in (3, 6):
                x = functional.max_pool2d(x, 3, 2)
            x = functional.relu(self.features[str(number)](x))
            found.append(x)
        return found
