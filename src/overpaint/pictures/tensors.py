"""Pictures as tensors, (1, 3, H, W) float32 sRGB in [0, 1], and the picture a run starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from overpaint.errors import lookup
from overpaint.pictures.colour.keeping import as_array, with_chroma
from overpaint.pictures.colour.recoloring import recolored
from overpaint.pictures.deep.picture import DeepPicture, Picture, bands
from overpaint.pictures.io import fit_size, read_whole, resize, size_of

# How far colours may be, in [0, 1], from those of a place that still counts as the photo's, and the
# edge, in pixels, of the square they are averaged over.
_STILL_THE_PHOTO = 0.08
_PLACE = 5


def load_picture(path: str | Path, size: int | None = None) -> Tensor:
    """Reads a picture file as a tensor.

    Args:
        path: a JPEG, PNG, WebP, TIFF, BMP or GIF file; it is turned upright and converted to sRGB.
        size: longer edge of the result in pixels, the aspect is kept; None for that of the file.

    Returns:
        (1, 3, H, W), float32, sRGB in [0, 1].

    Raises:
        ImageError: if the file is missing, damaged or no picture.
        ValueError: if `size` is below 1.
    """
    if size is not None and size < 1:
        raise ValueError(f"a picture cannot be {size} pixels long")
    picture = read_whole(path)
    return to_tensor(picture if size is None else resize(picture, fit_size(size_of(picture), size)))


def to_tensor(image: Picture) -> Tensor:
    """A picture as (1, 3, H, W) float32 in [0, 1]."""
    if isinstance(image, Image.Image) and image.mode != "RGB":
        image = image.convert("RGB")
    tensor = torch.empty((1, 3, image.height, image.width))
    for rows in bands(*image.size):
        if isinstance(image, DeepPicture):
            values, full = image.levels[:, rows].astype(np.float32), 65535
        else:
            part = np.asarray(image.crop((0, rows.start, image.width, rows.stop)))
            values, full = part.transpose(2, 0, 1).astype(np.float32), 255
        torch.div(torch.from_numpy(values), full, out=tensor[0, :, rows])
    return tensor


def to_weights(mask: Image.Image) -> Tensor:
    """A picture of mode L as (1, 1, H, W) float32 weights: black is 0, white 1."""
    return torch.from_numpy(np.array(mask.convert("L")))[None, None].float() / 255


def to_mask(weights: Tensor) -> Image.Image:
    """Weights in [0, 1], (H, W) after any axes of length 1, as a picture of mode L.

    Of three channels, as pictures have them, it is their grey.

    Raises:
        ValueError: if the shape is another, or a value is outside [0, 1] or not finite.
    """
    shape = tuple(weights.shape)
    while weights.ndim > 2 and weights.shape[0] == 1:
        weights = weights[0]
    if weights.ndim not in (2, 3) or weights.shape[:-2] not in ((), (3,)) or not weights.numel():
        raise ValueError(f"expected a mask of (H, W) or (1, 1, H, W), got {shape}")
    least, most = (float(one) for one in weights.detach().float().aminmax())
    if not (least >= 0 and most <= 1):
        raise ValueError(f"a mask is in [0, 1], got values from {least:g} to {most:g}")
    return to_picture(weights.expand(1, 3, *weights.shape[-2:])).convert("L")


def with_colours_of(image: Tensor, photo: Picture) -> Tensor:
    """The lightness of an image with the colours of a photo, place by place.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        photo: of that size.

    Returns:
        A new (1, 3, H, W) tensor on the CPU; finite where the image is.
    """
    values = image.detach()[0].float().cpu().permute(1, 2, 0).numpy()
    coloured = with_chroma(values, as_array(photo))
    return torch.from_numpy(coloured).permute(2, 0, 1)[None].contiguous()


def to_picture(image: Tensor) -> Image.Image:
    """A (1, 3, H, W) tensor in [0, 1] as an 8-bit RGB picture, rounded to the nearest level.

    Raises:
        ValueError: if the shape is another or a value is not finite.
    """
    picture = Image.new("RGB", (_checked(image).shape[-1], image.shape[-2]))
    for rows, values in _bands(image):
        levels = (values * 255).round().to(torch.uint8)
        band = Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())
        picture.paste(band, (0, rows.start))
    return picture


def to_deep_picture(image: Tensor) -> DeepPicture:
    """The same as a picture of 16 bits per channel."""
    levels = np.empty(tuple(_checked(image).shape[1:]), np.uint16)
    for rows, values in _bands(image):
        levels[:, rows] = (values * 65535).round().numpy()
    return DeepPicture(levels)


def _checked(image: Tensor) -> Tensor:
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        raise ValueError(f"expected a (1, 3, H, W) tensor, got {tuple(image.shape)}")
    return image


def _bands(image: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows and their values, (3, h, W) on the CPU, clamped to [0, 1]; a copy of few rows at once.

    Raises:
        ValueError: if one is not finite.
    """
    for rows in bands(image.shape[-1], image.shape[-2]):
        values = image.detach()[0, :, rows].float().cpu()
        if not torch.isfinite(values).all():
            raise ValueError("the image holds values that are not finite")
        yield rows, values.clamp(0, 1)


def enlarge_paint(image: Tensor, photo: Picture, larger: Picture) -> Tensor:
    """A picture at a larger size: its difference to the photo, enlarged, over the larger photo.

    The photo's fine detail, which no smaller picture holds, is there from the first step on.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        photo: as it was read.
        larger: the photo at the new size.

    Returns:
        (1, 3, H', W') on the CPU, or `image` itself if it has that size already.
    """
    height, width = image.shape[-2:]
    if (height, width) == size_of(larger):
        return image
    paint = image.cpu() - to_tensor(resize(photo, (height, width)))
    paint = F.interpolate(paint, size=size_of(larger), mode="bicubic", align_corners=False)
    return (to_tensor(larger) + paint).clamp(0, 1)


def enlarge_picture(image: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture at a larger size, (1, C, H, W) to (1, C, H', W') in [0, 1], on its device."""
    if tuple(image.shape[-2:]) == size:
        return image
    enlarged: Tensor = F.interpolate(image, size=size, mode="bicubic", align_corners=False)
    return enlarged.clamp(0, 1)


def enlarge_with_detail(image: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """A picture at a larger size, with the photo's fine detail where it still looks like the photo.

    Where paint has moved on, the photo's detail would lie over it like a second exposure; where it
    has not, a small picture cannot hold the detail and a few steps cannot paint it anew.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        before: the photo as a run starts from it, at that size.
        after: likewise, (1, 3, H', W'), at the new size.

    Returns:
        (1, 3, H', W') on the CPU, or `image` itself if it has that size already. The share of the
        detail is exp(-d / 0.08^2) for the mean squared distance d of the colours around a place.
    """
    size = (after.shape[-2], after.shape[-1])
    if tuple(image.shape[-2:]) == size:
        return image
    picture = image.cpu()
    distance = (picture - before).square().mean(1, keepdim=True)
    around = F.avg_pool2d(distance, _PLACE, stride=1, padding=_PLACE // 2, count_include_pad=False)
    share = enlarge_picture(torch.exp(-around / _STILL_THE_PHOTO**2), size)
    enlarged, held = (
        F.interpolate(one, size=size, mode="bicubic", align_corners=False)
        for one in (picture, before)
    )
    return (enlarged + share * (after - held)).clamp(0, 1)


def clamped_share(image: Tensor) -> float:
    """The share, in [0, 1], of an image's values that are exactly 0 or 1; waits for the device."""
    return float(((image == 0) | (image == 1)).float().mean())


def start_image(
    mode: str,
    *,
    content: Tensor,
    picture: Tensor | None = None,
    paintings: Sequence[Tensor] = (),
    shares: Sequence[float] = (),
    noise_ratio: float = 0.5,
    seed: int = 0,
) -> Tensor:
    """The picture before the first step.

    Args:
        mode: `content`, `style` and `file` start from that picture, `recolored` from the content
            in the paintings' colours, `noise` from uniform noise, `blend` from `noise_ratio` noise
            plus the rest content, `multiply` from noise times content, the start of Vagdevi &
            Abhishek.
        content: (1, 3, H, W).
        picture: (1, 3, H, W), the painting or file of modes `style` and `file`.
        paintings: each (1, 3, h, w), whose colours mode `recolored` takes.
        shares: of each painting; by default equal.
        noise_ratio: share of noise in [0, 1], used by mode `blend`.
        seed: of the noise, which is drawn on the CPU and so the same on every device.

    Returns:
        A new (1, 3, H, W) tensor in [0, 1].

    Raises:
        ConfigError: if `mode` is unknown.
        ValueError: if mode is `style` or `file` and there is no `picture`, or `recolored` and there
            are no `paintings`.
    """

    def noise() -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(content.shape, generator=generator)

    def from_picture() -> Tensor:
        if picture is None:
            raise ValueError(f"mode '{mode}' needs the picture to start from")
        return picture

    def in_their_colours() -> Tensor:
        if not paintings:
            raise ValueError(f"mode '{mode}' needs the paintings whose colours to take")
        return recolored(content, paintings, shares)

    starts: dict[str, Callable[[], Tensor]] = {
        "content": lambda: content,
        "recolored": in_their_colours,
        "noise": noise,
        "blend": lambda: noise_ratio * noise() + (1 - noise_ratio) * content,
        "multiply": lambda: noise() * content,
        "style": from_picture,
        "file": from_picture,
    }
    return lookup(starts, mode, "init.mode")().clone()
