"""The last convolution of a block and the pooling after it, without its map in the backward pass.

Of what a 2x2 maximum reads, its gradient needs to know only which of four values was the largest,
and ReLU's only whether that was above 0. Two bits a value say the one, the pooled map the other:
the convolution, half of what a block costs, need not be computed a second time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # row and column, in the order of the choices


def pooled_relu(x: Tensor) -> tuple[Tensor, Tensor]:
    """`max_pool2d(relu(x), 2)`, and which values were taken.

    Args:
        x: (B, C, H, W).

    Returns:
        (B, C, H // 2, W // 2) and the choices, for `through_pooled_relu`.
    """
    one, right, below, across = (_corner(x, row, column) for row, column in _CORNERS)
    upper, lower = torch.maximum(one, right), torch.maximum(below, across)
    # Strict, so that of equal values the first counts, as for PyTorch.
    is_lower = (lower > upper).view(torch.uint8)
    choice, other = (right > one).view(torch.uint8), (across > below).view(torch.uint8)
    choice ^= other.bitwise_xor_(choice).bitwise_and_(is_lower)  # the other one where it is lower
    choice |= is_lower << 1
    return torch.maximum(upper, lower).relu_(), _packed(choice)


def through_pooled_relu(
    pooled: Tensor, choices: Tensor, gradient: Tensor, like: Tensor, first: int
) -> Tensor:
    """The gradient by what `pooled_relu` read.

    Args:
        pooled: what it returned.
        choices: likewise.
        gradient: by the pooled values.
        like: an empty map as large as what was read, or taller.
        first: the row of it where that begins.

    Returns:
        `like`, filled; rows that were not read, and those that were left over, have none.
    """
    rows, columns = (2 * edge for edge in pooled.shape[2:])
    like[:, :, :first] = 0
    like[:, :, first + rows :] = 0
    like[:, :, :, columns:] = 0
    read = like[:, :, first : first + rows, :columns]
    passed, choice = gradient * (pooled > 0), _unpacked(choices, pooled.shape[1])
    for number, (row, column) in enumerate(_CORNERS):
        torch.mul(passed, choice == number, out=_corner(read, row, column))
    return like


def through_convolution(gradient: Tensor, x: Tensor, kernel: Tensor, *, pads: bool) -> Tensor:
    """The gradient by what a 3x3 convolution read.

    Args:
        gradient: by its map, (B, C', H', W).
        x: what it read, (B, C, H, W).
        kernel: (C', C, 3, 3).
        pads: whether it read zeros above and below `x`; else its map is two rows lower.
    """
    found: Tensor
    (found, _, _) = torch.ops.aten.convolution_backward(
        *(gradient, x, kernel, None, (1, 1), (int(pads), 1), (1, 1), False, (0, 0), 1),
        (True, False, False),
    )
    return found


def convolved(x: Tensor, kernel: Tensor, bias: Tensor, *, pads: bool) -> Tensor:
    """The map whose gradient `through_convolution` takes back."""
    return F.conv2d(x, kernel, bias, padding=(int(pads), 1))


def _corner(x: Tensor, row: int, column: int) -> Tensor:
    """One of the four values of each 2x2 window."""
    height, width = (edge // 2 * 2 for edge in x.shape[2:])
    return x[:, :, row:height:2, column:width:2]


def _packed(choice: Tensor) -> Tensor:
    """(B, C, H, W) of 0 to 3 as (B, C / 4, H, W); as it is if the channels are no multiple of 4."""
    channels = choice.shape[1]
    if channels % 4:
        return choice
    packed = choice[:, : channels // 4].clone()
    for number in (1, 2, 3):
        packed |= choice.narrow(1, number * (channels // 4), channels // 4) << 2 * number
    return packed


def _unpacked(choices: Tensor, channels: int) -> Tensor:
    """The choices of `_packed`."""
    if choices.shape[1] == channels:
        return choices
    return torch.cat([choices >> shift & 3 for shift in (0, 2, 4, 6)], 1)
