"""The layout of `models.uv_maps` for batches on any device: vertices to maps and back, with gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..uv_maps import UVLayout


class UVRaster(nn.Module):
    """Rasterises batches of per-vertex values into maps; holds no parameters, follows ``.to(device)``."""

    mask: Tensor
    """(H, W) bool, texels whose centre lies on the mesh."""
    texel_vertices: Tensor
    texel_weights: Tensor
    vertex_grid: Tensor

    def __init__(self, layout: UVLayout) -> None:
        super().__init__()
        self.layout = layout
        vertices = layout.triangles[layout.texel_triangle].reshape(-1, 3).T
        weights = layout.barycentric.reshape(-1, 3).T
        grid = layout.vertex_uv() * [2.0, -2.0] + [-1.0, 1.0]
        self.register_buffer("mask", torch.from_numpy(layout.mask), persistent=False)
        self.register_buffer(
            "texel_vertices", torch.from_numpy(np.ascontiguousarray(vertices)).long(), persistent=False
        )
        self.register_buffer(
            "texel_weights", torch.from_numpy(np.ascontiguousarray(weights)), persistent=False
        )
        self.register_buffer("vertex_grid", torch.from_numpy(grid.astype(np.float32)), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, H, W) maps of values (B, V, C)."""
        batch, size = len(values), self.layout.size
        columns = values.transpose(1, 2)
        image = torch.zeros(batch, values.shape[2], size * size, dtype=values.dtype, device=values.device)
        for vertices, weights in zip(self.texel_vertices, self.texel_weights, strict=True):
            image = image + columns[:, :, vertices] * weights.to(values.dtype)
        return image.view(batch, -1, size, size)

    def sample(self, maps: Tensor) -> Tensor:
        """(B, V, C) bilinear look-ups of maps (B, C, H, W) at every vertex's first UV; differentiable."""
        grid = self.vertex_grid.to(maps.dtype)[None, :, None].expand(len(maps), -1, -1, -1)
        found = functional.grid_sample(
            maps, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        return found[..., 0].transpose(1, 2)

    @torch.no_grad()
    def read_back(self, maps: Tensor) -> Tensor:
        """(B, V, C) least-squares values at vertices of maps (B, C, H, W); solved on the CPU, no gradient."""
        batch, channels = maps.shape[:2]
        stacked = maps.permute(2, 3, 0, 1).reshape(*maps.shape[2:], -1).float().cpu().numpy()
        values = torch.from_numpy(self.layout.read_back(stacked)).view(-1, batch, channels)
        return values.permute(1, 0, 2).to(maps.device, maps.dtype)
