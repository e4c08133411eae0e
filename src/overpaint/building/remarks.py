"""What settings and pictures mean together that somebody may not have meant."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageStat

from overpaint.pictures.deep.picture import Picture, in_8_bits
from overpaint.pictures.inputs import SizedInputs
from overpaint.pictures.masks import Masks, covered
from overpaint.settings.schema import Config

# The share of the photo under which a gap between regions is not worth a line.
_WORTH_A_LINE = 0.005
# Under which no grey of a mask is likely to be meant: of 0 and 1 for 0 and 255, or 12 bits in 16.
_DARK = 0.25


def remark(config: Config, sized: SizedInputs) -> str | None:
    """One line on what a run cannot do, if that is certain before its first step.

    Losses are sums of squares, so that a picture whose losses are 0 has the least there are: the
    photo for content, a picture equal to every painting for style.

    Args:
        config: resolved settings.
        sized: the pictures at the result's size, as losses compare them.
    """
    photo, start = sized.content, sized.start
    is_own_style = all(_same(style, photo) for style in _counted(config, sized))
    from_photo = config.init.mode == "content" or (
        config.init.mode == "blend" and config.init.noise_ratio == 0
    )
    if start is not None:
        from_photo = _same(start, photo)
        from_style = all(_same(start, style) for style in _counted(config, sized))
    else:
        from_style = from_photo and is_own_style
    content_is_least = config.content.weight == 0 or from_photo
    style_is_least = config.style.weight == 0 or from_style
    if config.style.weight == 0:
        sought = "style.weight=0: paintings do not count, so that the picture sought is the photo"
    elif is_own_style and (config.content.weight > 0 or from_photo):
        sought = "The painting is the photo itself, and so is the picture sought"
    elif content_is_least and style_is_least:
        sought = "content.weight=0: the run starts from the painting, which is all that is sought"
    else:
        return None
    smoothing = f"loss.tv_weight={config.loss.tv_weight:g}" if config.loss.tv_weight > 0 else None
    if not (content_is_least and style_is_least):
        return f"{sought}, smoothed by {smoothing}." if smoothing else f"{sought}."
    if smoothing:
        return (
            f"{sought}; the start has the least content and style loss there is, and the steps "
            f"only smooth it ({smoothing})."
        )
    return f"{sought}; the start has the least loss there is, and the steps have nothing to do."


def remark_on_regions(masks: Masks) -> str | None:
    """One line on what no region covers, and what becomes of it."""
    if not masks.regions:
        return None
    rest = 1 - ImageStat.Stat(covered(masks.regions)).mean[0] / 255
    if rest < _WORTH_A_LINE:
        return None
    told = f"regions: no mask covers {rest:.0%} of the photo, which stays as it is there"
    for i, region in enumerate(masks.regions):
        if (brightest := _brightest(region.mask)) < _DARK:
            told += f"; regions[{i}].content_mask is nowhere brighter than {brightest:.1%} of white"
            break
    return f"{told}."


def _brightest(mask: Image.Image) -> float:
    """The lightest grey of a mask of mode L, in [0, 1]."""
    highest = mask.getextrema()[1]
    assert isinstance(highest, int)
    return highest / 255


def _counted(config: Config, sized: SizedInputs) -> list[Picture]:
    """The paintings whose share is not 0."""
    shares = config.style.image_weights or [1.0] * len(sized.styles)
    return [style for style, share in zip(sized.styles, shares, strict=True) if share > 0]


def _same(one: Picture, other: Picture) -> bool:
    """Whether two pictures look the same."""
    if one.size != other.size:
        return False
    return ImageChops.difference(in_8_bits(one), in_8_bits(other)).getbbox() is None
