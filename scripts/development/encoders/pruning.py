"""Deriving a slim network from VGG-19 without training: fewer channels, refitted kernels.

Layer by layer: choose the channels whose maps span the others, then fit the kernel so that, fed by
the slim network so far, it gives VGG-19's own pre-activations at those channels (channel pruning
with reconstruction, He et al. 2017, arXiv:1707.06168).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from overpaint.encoder.calibration import Calibration
from overpaint.encoder.layers import SLIM_CONVOLUTIONS, convolutions_up_to
from overpaint.encoder.vgg import Vgg19Features, normalized
from overpaint.losses.gram import gram_matrix

RIDGE = 1e-4
_PICTURES, _POSITIONS = 8, 4000  # read at once; sampled for a fit from each picture


def select_channels(moments: Tensor, count: int) -> list[int]:
    """Column subset selection by pivoted Cholesky: each channel is the least explained so far.

    Args:
        moments: (C, C), float64, the second moments of the channels' maps.
        count: channels to keep, 1 to C.

    Returns:
        Their indices, rising.

    Raises:
        ValueError: if there are fewer channels than that.
    """
    if not 1 <= count <= len(moments):
        raise ValueError(f"{count} of {len(moments)} channels cannot be kept")
    left = moments.diagonal().clone()
    factor = moments.new_zeros(len(moments), count)
    chosen: list[int] = []
    for step in range(count):
        pivot = int(left.argmax())
        chosen.append(pivot)
        column = moments[:, pivot] - factor[:, :step] @ factor[pivot, :step]
        factor[:, step] = column / left[pivot].clamp_min(1e-12).sqrt()
        left = (left - factor[:, step].square()).clamp_min(0)
        left[chosen] = -1  # never again
    return sorted(chosen)


def slim_down(
    teacher: Mapping[str, Tensor], widths: Sequence[int], pictures: Tensor, *, seed: int = 0
) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Chooses channels and refits kernels; the same values for the same arguments on one machine.

    Args:
        teacher: VGG-19's `convB_I.weight` and `convB_I.bias` up to `conv5_1`, float32.
        widths: channels to keep of each convolution, in order.
        pictures: (N, 3, H, W), sRGB in [0, 1]; H and W divide by 16.
        seed: of the positions that a fit sees.

    Returns:
        The slim network's tensors, named likewise, and the channels kept, `convB_I` to indices.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    channels: dict[str, list[int]] = {}
    whole = slim = normalized(pictures)
    for layer, width in zip(SLIM_CONVOLUTIONS, widths, strict=True):
        if layer.position == 1 and layer.block > 1:
            whole, slim = F.max_pool2d(whole, 2), F.max_pool2d(slim, 2)
        weight, bias = teacher[f"{layer.conv}.weight"], teacher[f"{layer.conv}.bias"]
        whole = convolve(whole, weight, bias)
        kept = select_channels(_moments(whole), width)
        kernel, offset = _fit(slim, whole[:, kept], generator)
        tensors[f"{layer.conv}.weight"], tensors[f"{layer.conv}.bias"] = kernel, offset
        channels[layer.conv] = kept
        whole, slim = F.relu_(whole), F.relu_(convolve(slim, kernel, offset))
    return tensors, channels


def convolve(x: Tensor, weight: Tensor, bias: Tensor, *, at_once: int = _PICTURES) -> Tensor:
    """A 3x3 convolution of many pictures, few at once, for the sake of memory.

    Args:
        x: (N, in, H, W).
        weight: (out, in, 3, 3).
        bias: (out,).
        at_once: pictures.

    Returns:
        (N, out, H, W).
    """
    parts = torch.split(x, at_once)
    return torch.cat([F.conv2d(part, weight, bias, padding=1) for part in parts])


def calibrate(
    teacher: Vgg19Features,
    slim: Vgg19Features,
    pictures: Tensor,
    *,
    balance: Sequence[float] = (1.0,) * 5,
) -> dict[str, Calibration]:
    """How much larger VGG-19's content and style distances are than a slim network's.

    Args:
        teacher: with the same layers as `slim`.
        slim: the network to calibrate.
        pictures: (N, 3, H, W), sRGB in [0, 1], N at least 2; each is compared with the next.
        balance: what else the style losses of each block are multiplied by.
    """
    sums = {layer: torch.zeros(2, 2, dtype=torch.float64) for layer in slim.layers}
    channels: dict[str, int] = {}
    with torch.no_grad():
        for row, network in enumerate((teacher, slim)):
            before: dict[str, tuple[Tensor, Tensor]] = {}
            for picture in torch.split(pictures, 1):
                for layer, features in network(picture).items():
                    channels.setdefault(layer, features.shape[1])  # the teacher's come first
                    read = (features.double(), gram_matrix(features))
                    steps = zip(read, before.get(layer, read), strict=True)
                    squares = [(now - last).double().square().sum() for now, last in steps]
                    sums[layer][row] += torch.stack(squares)
                    before[layer] = read
    ratios = {layer: total[0] / total[1] for layer, total in sums.items()}
    return {
        layer: Calibration(
            float(content),
            float(style),
            channels[layer],
            balance[convolutions_up_to([layer])[-1].block - 1],
        )
        for layer, (content, style) in ratios.items()
    }


def _moments(x: Tensor) -> Tensor:
    """Second moments of the maps after the ReLU, (C, C)."""
    total = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for part in torch.split(x, _PICTURES):
        rows = F.relu(part).transpose(0, 1).flatten(1)
        total += (rows @ rows.T).double()
    return total


def _fit(x: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The kernel (out, in, 3, 3) and bias (out,) that bring `x` nearest to `target` (ridge)."""
    size = 9 * x.shape[1] + 1
    gram = torch.zeros(size, size, dtype=torch.float64)
    mixed = torch.zeros(target.shape[1], size, dtype=torch.float64)
    for part, wanted in zip(torch.split(x, 1), torch.split(target, 1), strict=True):
        columns, answers = F.unfold(part, 3, padding=1)[0], wanted[0].flatten(1)
        if columns.shape[1] > _POSITIONS:
            sample = torch.randperm(columns.shape[1], generator=generator)[:_POSITIONS]
            columns, answers = columns[:, sample], answers[:, sample]
        columns = torch.cat([columns, torch.ones_like(columns[:1])])
        gram += (columns @ columns.T).double()
        mixed += (answers @ columns.T).double()
    gram += RIDGE * gram.diagonal().mean() * torch.eye(size, dtype=torch.float64)
    solution = torch.linalg.solve(gram, mixed.T).T.float()
    return solution[:, :-1].reshape(-1, x.shape[1], 3, 3).contiguous(), solution[:, -1].contiguous()
