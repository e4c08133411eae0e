"""A picture from pictures, for notebooks and programs: no files, no tracking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from PIL import Image
from rich.console import Console
from torch import Tensor

from overpaint.building.memory import shortage_told
from overpaint.building.sources import read_sources
from overpaint.console import command
from overpaint.errors import DivergedError
from overpaint.interrupts import followed_interrupts
from overpaint.pictures.inputs import Inputs
from overpaint.pictures.io import read_picture
from overpaint.pictures.tensors import to_picture
from overpaint.records.result import PaintResult
from overpaint.runs.pyramid import optimise
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config

Picture = str | Path | Image.Image | Tensor
"""A file, a Pillow picture, or a tensor as `load_picture` returns it."""


def paint(
    photo: Picture,
    paintings: Sequence[Picture] | Picture,
    *settings: str,
    preset: str | Path = "default",
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> PaintResult:
    """Paints a photo in the style of paintings, and writes nothing.

        paint("me.jpg", ["art.jpg"], "style.weight=20", "image.size=256")

    Args:
        photo: a file, a Pillow picture, or a (1, 3, H, W) tensor, sRGB in [0, 1].
        paintings: likewise, one or several. A Pillow picture is taken as it is; files are turned
            upright, converted to sRGB and laid over white where they are transparent.
        settings: `key=value` words, as the command takes them. The result is as large as a photo
            that is a tensor, else `image.size` says how large.
        preset: the name of a shipped preset, or a YAML file of settings.
        progress: draw a progress bar, in a terminal or a notebook.
        callbacks: further Lightning callbacks; they see the fit of each size.

    Returns:
        The picture, its losses and the logged numbers. After Ctrl-C, or an interrupt of the
        notebook's kernel, it is the picture as far as it got, with `interrupted` set.

    Raises:
        ConfigError: if settings cannot be run.
        ImageError, WeightsError: if a picture or the encoder's weights cannot be used.
        NotEnoughMemoryError: if there is less memory than the size needs.
        DivergedError: if the run left the finite numbers; its `result` has the last good picture.
        ValueError: if there is no painting, or a tensor is not (1, 3, H, W).
    """
    if isinstance(paintings, Picture):
        paintings = [paintings]
    if not paintings:
        raise ValueError("at least one painting is needed")
    content, styles = _read(photo), [_read(painting) for painting in paintings]
    samples = Config()  # the settings name files; these are there, and as many as the pictures
    values: dict[str, object] = {
        "content.image": samples.content.image,
        "style.images": [samples.style.images[0]] * len(styles),
    }
    if isinstance(photo, Tensor):
        values["image.size"] = max(content.size)
    config = load_config(preset, settings, values=values)
    start = styles[0] if config.init.mode == "style" else None
    if config.init.mode == "file" and config.init.file:
        start = read_picture(config.init.file)
    names = (_name(photo, "photo"), *(_name(one, "painting") for one in paintings))
    inputs = Inputs(content, styles, start, names=names)
    told = shortage_told(config, inputs)
    with followed_interrupts() as interrupts, interrupts.held(), told:
        result = optimise(
            config,
            read_sources(config, inputs=inputs),
            interrupts=interrupts,
            tune_command=f"{command('tune-lr')} PHOTO PAINTING",
            callbacks=callbacks,
            console=Console() if progress else None,
        )
    if result.diverged:
        raise DivergedError(
            f"{result.diverged} The last good picture is that of step {result.steps}.",
            result=result,
        )
    return result


def _read(picture: Picture) -> Image.Image:
    if isinstance(picture, Tensor):
        return to_picture(picture)
    return picture.convert("RGB") if isinstance(picture, Image.Image) else read_picture(picture)


def _name(picture: Picture, otherwise: str) -> str:
    return str(picture) if isinstance(picture, str | Path) else otherwise
