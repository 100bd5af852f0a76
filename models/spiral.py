"""Spiral convolution and sparse mesh transforms as torch layers.

SpiralNet++ (Gong et al. 2019), the operator of AnimateMe section 3.1. On a CPU the plain formulation
(gather every neighbourhood of the batch, then multiply) spends its time on page faults, not on
arithmetic: the gathered features are nine times the input. Here one sample at a time is gathered into
a buffer that stays in cache, and gathered again in the backward pass instead of being kept.
"""

from __future__ import annotations

import warnings

import scipy.sparse as scipy_sparse
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx


class _BlockedSpiral(Function):
    """y[v] = W [x[s_v1] .. x[s_vL]] + b, one sample of the batch after the other."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        indices: Tensor,
        readers: Tensor,
        starts: Tensor,
    ) -> Tensor:
        vertices, length = indices.shape
        buffer = x.new_empty(vertices * length, x.shape[2])
        out = x.new_empty(x.shape[0], vertices, weight.shape[0])
        flat, transposed = indices.reshape(-1), weight.t()
        for sample, result in zip(x, out, strict=True):
            torch.index_select(sample, 0, flat, out=buffer)
            torch.addmm(bias, buffer.view(vertices, -1), transposed, out=result)
        ctx.save_for_backward(x, weight, indices, readers, starts)  # type: ignore[attr-defined]
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, indices, readers, starts = ctx.saved_tensors  # type: ignore[attr-defined]
        grad_out = gradients[0].contiguous()
        vertices, length = indices.shape
        flat = indices.reshape(-1)
        buffer = x.new_empty(vertices * length, x.shape[2])
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None  # type: ignore[attr-defined]
        grad_weight = torch.zeros_like(weight)
        for sample in range(len(x)):
            torch.index_select(x[sample], 0, flat, out=buffer)
            grad_weight.addmm_(grad_out[sample].t(), buffer.view(vertices, -1))
            if grad_x is not None:
                torch.mm(grad_out[sample], weight, out=buffer.view(vertices, -1))
                # Every vertex sums the places that read it: a scatter without conflicts, so it is exact.
                grad_x[sample] = nn.functional.embedding_bag(readers, buffer, starts, mode="sum")
        return grad_x, grad_weight, grad_out.sum((0, 1)), None, None, None


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

    def forward(self, x: Tensor) -> Tensor:
        """x (B, V, C_in); any device. On a GPU the gather is one kernel and memory is no concern."""
        indices: Tensor = self.indices  # type: ignore[assignment]
        if x.device.type != "cpu":
            return self.linear(x[:, indices].flatten(2))
        weight, bias = self.linear.weight, self.linear.bias
        return _BlockedSpiral.apply(x.contiguous(), weight, bias, indices, self.readers, self.starts)  # type: ignore[no-any-return]


class _Sparse(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.save_for_backward(transposed)  # type: ignore[attr-defined]
        return torch.stack([matrix @ sample for sample in x])

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (transposed,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return torch.stack([transposed @ sample for sample in gradients[0]]), None, None


class MeshTransform(nn.Module):
    """A fixed sparse ``down_transform`` or ``up_transform`` between two levels: (B, V, C) -> (B, V', C)."""

    def __init__(self, matrix: scipy_sparse.csr_matrix) -> None:
        super().__init__()
        transposed = scipy_sparse.csr_matrix(matrix.T)
        self.shape = (len(matrix.indptr) - 1, len(transposed.indptr) - 1)
        for name, m in (("matrix", matrix), ("transposed", transposed)):
            # kept in parts: processes that train together cannot send each other sparse tensors
            self.register_buffer(f"{name}_starts", torch.from_numpy(m.indptr).long(), persistent=False)
            self.register_buffer(f"{name}_columns", torch.from_numpy(m.indices).long(), persistent=False)
            self.register_buffer(f"{name}_values", torch.from_numpy(m.data).float(), persistent=False)
        with warnings.catch_warnings():  # torch tells once that sparse tensors are in beta
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            self._csr("matrix", self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, V, C) -> (B, V', C). Products in float32: sparse kernels know no bfloat16 on a CPU."""
        rows, columns = self.shape
        matrix, transposed = self._csr("matrix", (rows, columns)), self._csr("transposed", (columns, rows))
        return _Sparse.apply(x.float(), matrix, transposed).to(x.dtype)  # type: ignore[no-any-return]

    def _csr(self, name: str, shape: tuple[int, int]) -> Tensor:
        starts, columns, values = (
            getattr(self, f"{name}_{part}") for part in ("starts", "columns", "values")
        )
        return torch.sparse_csr_tensor(starts, columns, values, size=shape, check_invariants=False)
