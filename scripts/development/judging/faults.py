"""What spoils a picture whatever its style: clipping, noise, checkerboards, bands at the border."""

from __future__ import annotations

import math

import torch
from judging.colours import oklab
from judging.structure import lightness
from torch import Tensor

from overpaint.pictures.tensors import clamped_share

_BORDER = 16 / 512  # width of a band, as a share of the longer edge
_FLOOR = 1e-9  # power of what cannot be seen: a millionth of full scale and less


def clipped(picture: Tensor, photo: Tensor, painting: Tensor) -> float:
    """The share of values at 0 or 1, in [0, 1], above that of the source that has more of them."""
    usual = max(clamped_share(photo), clamped_share(painting))
    return max(0.0, clamped_share(picture) - usual)


def noise(picture: Tensor, photo: Tensor, painting: Tensor) -> float:
    """Power in the finest octave, in dB, above that of the source that has more of it; at least 0.

    Args:
        picture: (1, 3, H, W), sRGB in [0, 1].
        photo: likewise.
        painting: likewise, as large as it is shown beside the picture.
    """

    def power(one: Tensor) -> float:
        spectrum, down, right = _spectrum(one)
        frequency = (down.square() + right.square()).sqrt()
        return float(spectrum[frequency > 0.25].sum()) + _FLOOR

    return max(0.0, 10 * math.log10(power(picture) / max(power(photo), power(painting))))


def checkerboard(picture: Tensor, photo: Tensor, painting: Tensor) -> float:
    """How far a pattern of two pixels' period stands out, in dB, more than in the sources.

    The power near the highest frequency along rows or columns over that a little below it.
    """

    def excess(one: Tensor) -> float:
        spectrum, down, right = _spectrum(one)
        highest = torch.maximum(down.abs(), right.abs())
        top, below = spectrum[highest > 0.47], spectrum[(highest > 0.38) & (highest < 0.45)]
        return 10 * math.log10((float(top.mean()) + _FLOOR) / (float(below.mean()) + _FLOOR))

    return max(0.0, excess(picture) - max(excess(photo), excess(painting)))


def border(picture: Tensor, photo: Tensor) -> float:
    """How differently the edges are painted than what is beside them, beyond the photo's own.

    In hundredths of Oklab's unit: the distance of mean and standard deviation of the colours in
    strips along the four edges to those in strips beside them.
    """
    return max(0.0, _border(picture) - _border(photo))


def _border(picture: Tensor) -> float:
    colours = oklab(picture)[0]
    width = max(2, round(_BORDER * max(picture.shape[-2:])))
    found = []
    for _ in range(4):
        colours = colours.rot90(1, (1, 2))
        edge, inside = (colours[:, first : first + width] for first in (0, width))
        parts = [(one.mean((1, 2)), one.std((1, 2))) for one in (edge, inside)]
        squares = (float((a - b).square().sum()) for a, b in zip(*parts, strict=True))
        found.append(math.sqrt(sum(squares)))
    return 100 * sum(found) / len(found)


def _spectrum(picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Power of the lightness by frequency, and the frequencies down and right, cycles a pixel."""
    values = lightness(picture)[0, 0]
    height, width = values.shape
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)[None]
    values = (values - values.mean()) * window
    spectrum = torch.fft.fft2(values).abs().square() / (window.square().sum() * values.numel())
    down, right = torch.meshgrid(torch.fft.fftfreq(height), torch.fft.fftfreq(width), indexing="ij")
    return spectrum, down, right
