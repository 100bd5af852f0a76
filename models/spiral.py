"""Spiral convolution and sparse mesh transforms as torch layers.

SpiralNet++ (Gong et al. 2019), the operator of AnimateMe section 3.1. On a CPU the plain formulation
(gather every neighbourhood of the batch, then multiply) spends its time on page faults, not on
arithmetic: the gathered features are nine times the input. Here one sample at a time is gathered into
a buffer that stays in cache, and gathered again in the backward pass instead of being kept.
"""

from __future__ import annotations

from typing import TypeAlias

import scipy.sparse as scipy_sparse
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

Rows: TypeAlias = tuple[Tensor, Tensor, Tensor]


class _BlockedSpiral(Function):
    """y[v] = gain * (W [x[s_v1] .. x[s_vL]] + b) + shift, one sample of the batch after the other.

    Gain and shift go into weight and bias before the product: a layer's gate costs no pass over its features.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        gain: Tensor,
        shift: Tensor,
        indices: Tensor,
        readers: Tensor,
        starts: Tensor,
    ) -> Tensor:
        vertices, length = indices.shape
        buffer = x.new_empty(vertices * length, x.shape[2])
        out = x.new_empty(x.shape[0], vertices, weight.shape[0])
        flat, transposed = indices.reshape(-1), weight.t()
        biases = gain * bias + shift
        for sample in range(len(x)):
            torch.index_select(x[sample], 0, flat, out=buffer)
            torch.addmm(biases[sample], buffer.view(vertices, -1), transposed * gain[sample], out=out[sample])
        ctx.save_for_backward(x, weight, bias, gain, indices, readers, starts)  # type: ignore[attr-defined]
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, gain, indices, readers, starts = ctx.saved_tensors  # type: ignore[attr-defined]
        grad_out = gradients[0].contiguous()
        vertices, length = indices.shape
        flat = indices.reshape(-1)
        buffer = x.new_empty(vertices * length, x.shape[2])
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None  # type: ignore[attr-defined]
        grad_weight = torch.zeros_like(weight)
        grad_shift = grad_out.sum(1)
        grad_gain = grad_shift * bias
        for sample in range(len(x)):
            torch.index_select(x[sample], 0, flat, out=buffer)
            of_product = grad_out[sample].t() @ buffer.view(vertices, -1)  # (C_out, L C_in)
            grad_weight.addcmul_(of_product, gain[sample, :, None])
            grad_gain[sample] += (of_product * weight).sum(1)
            if grad_x is not None:
                torch.mm(grad_out[sample], weight * gain[sample, :, None], out=buffer.view(vertices, -1))
                # Every vertex sums the places that read it: a scatter without conflicts, so it is exact.
                grad_x[sample] = nn.functional.embedding_bag(readers, buffer, starts, mode="sum")
        grad_bias = (grad_shift * gain).sum(0)
        return grad_x, grad_weight, grad_bias, grad_gain, grad_shift, None, None, None


class SpiralConv(nn.Module):
    """Spiral convolution (B, V, C_in) -> (B, V, C_out) over fixed ``spiral_indices`` (V, L)."""

    def __init__(self, channels_in: int, channels_out: int, spiral_indices: Tensor) -> None:
        super().__init__()
        vertices, length = spiral_indices.shape
        self.linear = nn.Linear(channels_in * length, channels_out)
        flat = spiral_indices.reshape(-1).long()
        self.register_buffer("indices", spiral_indices.long(), persistent=False)
        self.register_buffer("readers", torch.argsort(flat, stable=True), persistent=False)
        counts = torch.bincount(flat, minlength=vertices)
        self.register_buffer("starts", torch.cumsum(counts, 0) - counts, persistent=False)

    def forward(self, x: Tensor, gain: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """x (B, V, C_in); any device. Where given, times ``gain`` plus ``shift``, both (B, C_out)."""
        weight, bias = self.linear.weight, self.linear.bias
        gain = x.new_ones(len(x), len(weight)) if gain is None else gain
        shift = torch.zeros_like(gain) if shift is None else shift
        indices: Tensor = self.indices  # type: ignore[assignment]
        if x.device.type != "cpu":  # there the gather is one kernel and memory is no concern
            return gain[:, None] * self.linear(x[:, indices].flatten(2)) + shift[:, None]
        return _BlockedSpiral.apply(  # type: ignore[no-any-return]
            x.contiguous(), weight, bias, gain, shift, indices, self.readers, self.starts
        )


class _SparseProduct(Function):
    """M x for a sparse M, each given as (starts, columns, values) of its rows; the backward pass has M^T."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, rows: Rows, transposed_rows: Rows) -> Tensor:
        ctx.transposed_rows = transposed_rows  # type: ignore[attr-defined]
        return _row_sums(x, rows)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _row_sums(gradients[0].contiguous(), ctx.transposed_rows), None, None  # type: ignore[attr-defined]


def _row_sums(x: Tensor, rows: Rows) -> Tensor:
    """(B, V, C) -> (B, V', C). embedding_bag: torch's sparse products are slower and know no bfloat16."""
    starts, columns, values = rows
    weights = values.to(x.dtype)

    def weighted_sums(features: Tensor) -> Tensor:
        return nn.functional.embedding_bag(columns, features, starts, mode="sum", per_sample_weights=weights)

    if x.device.type != "cpu":
        together = weighted_sums(x.transpose(0, 1).flatten(1))
        return together.unflatten(1, (len(x), -1)).transpose(0, 1)
    return torch.stack([weighted_sums(sample) for sample in x])


class MeshTransform(nn.Module):
    """A fixed sparse ``down_transform`` or ``up_transform`` between two levels: (B, V, C) -> (B, V', C)."""

    def __init__(self, matrix: scipy_sparse.csr_matrix) -> None:
        super().__init__()
        for name, m in (("matrix", matrix), ("transposed", scipy_sparse.csr_matrix(matrix.T))):
            # kept in parts: processes that train together cannot send each other sparse tensors
            self.register_buffer(f"{name}_starts", torch.from_numpy(m.indptr[:-1]).long(), persistent=False)
            self.register_buffer(f"{name}_columns", torch.from_numpy(m.indices).long(), persistent=False)
            self.register_buffer(f"{name}_values", torch.from_numpy(m.data).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, V, C) -> (B, V', C)."""
        return _SparseProduct.apply(x.contiguous(), self._rows("matrix"), self._rows("transposed"))  # type: ignore[no-any-return]

    def _rows(self, name: str) -> Rows:
        starts, columns, values = (
            getattr(self, f"{name}_{part}") for part in ("starts", "columns", "values")
        )
        return starts, columns, values
