"""The blocked spiral convolution and the mesh transforms against the plain formulas."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from models.spiral import MeshTransform, SpiralConv

VERTICES, LENGTH, BATCH, IN, OUT = 12, 5, 3, 4, 6


@pytest.fixture
def conv() -> SpiralConv:
    torch.manual_seed(0)
    # vertex 11 is read by nobody but itself, vertex 0 by many: the backward pass must not confuse them
    indices = torch.randint(0, VERTICES - 1, (VERTICES, LENGTH))
    indices[:, 0] = torch.arange(VERTICES)
    indices[::2, 1] = 0
    return SpiralConv(IN, OUT, indices).double()


def naive(conv: SpiralConv, x: Tensor) -> Tensor:
    """Vertex by vertex, as SpiralNet++ writes it."""
    rows = [
        torch.stack([conv.linear(torch.cat([x[b, i] for i in spiral])) for spiral in conv.indices.tolist()])
        for b in range(len(x))
    ]
    return torch.stack(rows)


def test_forward_equals_the_loop(conv: SpiralConv) -> None:
    x = torch.randn(BATCH, VERTICES, IN, dtype=torch.double)
    torch.testing.assert_close(conv(x), naive(conv, x))


def test_backward_equals_the_loop(conv: SpiralConv) -> None:
    x = torch.randn(BATCH, VERTICES, IN, dtype=torch.double, requires_grad=True)
    weights = torch.randn(BATCH, VERTICES, OUT, dtype=torch.double)
    variables = [x, conv.linear.weight, conv.linear.bias]
    found = torch.autograd.grad((conv(x) * weights).sum(), variables)
    expected = torch.autograd.grad((naive(conv, x) * weights).sum(), variables)
    torch.testing.assert_close(found, expected)


def test_backward_passes_the_numerical_check(conv: SpiralConv) -> None:
    x = torch.randn(2, VERTICES, IN, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x,))


def test_gain_and_shift_are_those_of_the_formula(conv: SpiralConv) -> None:
    x = torch.randn(BATCH, VERTICES, IN, dtype=torch.double, requires_grad=True)
    gain, shift = (torch.randn(BATCH, OUT, dtype=torch.double, requires_grad=True) for _ in range(2))
    weights = torch.randn(BATCH, VERTICES, OUT, dtype=torch.double)
    ours, plain = conv(x, gain, shift), gain[:, None] * naive(conv, x) + shift[:, None]
    torch.testing.assert_close(ours, plain)
    variables = [x, gain, shift, conv.linear.weight, conv.linear.bias]
    found = torch.autograd.grad((ours * weights).sum(), variables)
    torch.testing.assert_close(found, torch.autograd.grad((plain * weights).sum(), variables))


def test_weights_learn_when_the_input_needs_no_gradient(conv: SpiralConv) -> None:
    x = torch.randn(BATCH, VERTICES, IN, dtype=torch.double)
    (found,) = torch.autograd.grad(conv(x).square().sum(), [conv.linear.weight])
    (expected,) = torch.autograd.grad(naive(conv, x).square().sum(), [conv.linear.weight])
    torch.testing.assert_close(found, expected)


def test_the_layout_in_memory_does_not_matter(conv: SpiralConv) -> None:
    strided = torch.randn(BATCH, IN, VERTICES, dtype=torch.double).transpose(1, 2)
    expanded = torch.randn(1, VERTICES, IN, dtype=torch.double).expand(BATCH, -1, -1)
    for x in (strided, expanded):
        torch.testing.assert_close(conv(x), naive(conv, x))


def test_forward_keeps_bfloat16() -> None:
    conv = SpiralConv(IN, OUT, torch.arange(VERTICES)[:, None].expand(-1, LENGTH).contiguous())
    x = torch.randn(BATCH, VERTICES, IN)
    half = conv.to(torch.bfloat16)(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), conv.float()(x), atol=0.05, rtol=0.05)


@pytest.fixture
def matrix() -> sp.csr_matrix:
    return sp.csr_matrix(sp.random(7, VERTICES, density=0.3, random_state=0, dtype=np.float32))


def test_transform_equals_the_dense_product_both_ways(matrix: sp.csr_matrix) -> None:
    transform, dense = MeshTransform(matrix), torch.from_numpy(matrix.toarray())
    x = torch.randn(BATCH, VERTICES, IN, requires_grad=True)
    weights = torch.randn(BATCH, 7, IN)
    torch.testing.assert_close(transform(x), dense @ x)
    (found,) = torch.autograd.grad((transform(x) * weights).sum(), [x])
    (expected,) = torch.autograd.grad((dense @ x * weights).sum(), [x])
    torch.testing.assert_close(found, expected)


def test_transform_gives_back_the_type_it_was_given(matrix: sp.csr_matrix) -> None:
    assert MeshTransform(matrix)(torch.randn(1, VERTICES, 2).bfloat16()).dtype == torch.bfloat16


def test_topology_is_no_part_of_the_weights(conv: SpiralConv, matrix: sp.csr_matrix) -> None:
    names = set(nn.Sequential(conv, MeshTransform(matrix)).state_dict())
    assert names == {"0.linear.weight", "0.linear.bias"}
