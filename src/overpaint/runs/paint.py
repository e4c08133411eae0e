"""A picture from pictures, for notebooks and programs: no files, no tracking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from PIL import Image
from rich.console import Console
from torch import Tensor

from overpaint.building.memory import shortage_told
from overpaint.building.sources import largest_edge, read_sources
from overpaint.console import command
from overpaint.errors import ConfigError, DivergedError, LostProcessError
from overpaint.interrupts import followed_interrupts
from overpaint.pictures.deep import picture as deep
from overpaint.pictures.inputs import Inputs
from overpaint.pictures.io import read_whole
from overpaint.pictures.tensors import to_deep_picture
from overpaint.records.result import PaintResult
from overpaint.runs.pyramid import optimise
from overpaint.runs.several.together import Task, place_in, take_part, together
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
        LostProcessError: if one of several processes (`trainer.devices`) ended before it was done;
            its `result` has the picture of the last whole step.
        DivergedError: if the run left the finite numbers; its `result` has the last good picture.
        ValueError: if there is no painting, or a tensor is not (1, 3, H, W).
    """
    if isinstance(paintings, Picture):
        paintings = [paintings]
    if not paintings:
        raise ValueError("at least one painting is needed")
    samples = Config()  # the settings name files; these are there, and as many as the pictures
    values: dict[str, object] = {
        "content.image": samples.content.image,
        "style.images": [samples.style.images[0]] * len(paintings),
    }
    drawn = _from_tensor(photo) if isinstance(photo, Tensor) else None
    if drawn is not None:
        values["image.size"] = max(drawn.size)
    config = _without_regions(load_config(preset, settings, values=values))
    content = _read(photo, config) if drawn is None else drawn
    styles = [_read(painting, config) for painting in paintings]
    start = _start(config, styles)
    names = (_name(photo, "photo"), *(_name(one, "painting") for one in paintings))
    inputs = Inputs(content, styles, start, names=names)
    result = _painted(config, inputs, callbacks, Console() if progress else None)
    if result.lost:
        raise LostProcessError(
            f"{result.lost}; the picture is that of step {result.steps}.", result=result
        )
    if result.diverged:
        raise DivergedError(
            f"{result.diverged} The last good picture is that of step {result.steps}.",
            result=result,
        )
    return result


def _painted(
    config: Config, inputs: Inputs, callbacks: Sequence[pl.Callback], console: Console | None
) -> PaintResult:
    place = place_in(config)
    if not place.is_first:
        return take_part(place, config.trainer.accelerator)
    told = shortage_told(config, inputs)
    with followed_interrupts() as interrupts, interrupts.held(), told:
        sources = read_sources(config, inputs=inputs)
        with together(place, Task(config, sources)) as team:
            return optimise(
                config,
                sources,
                interrupts=interrupts,
                tune_command=f"{command('tune-lr')} PHOTO PAINTING",
                callbacks=callbacks,
                console=console,
                team=team,
            )


def _start(config: Config, styles: Sequence[deep.Picture]) -> deep.Picture | None:
    """The picture to start from, if the settings ask for one."""
    if config.init.mode == "file" and config.init.file:
        return _read(config.init.file, config)
    return styles[0] if config.init.mode == "style" else None


def _without_regions(config: Config) -> Config:
    """The settings, if they leave it to the arguments what the paintings are."""
    if config.regions:
        raise ConfigError("regions: name their paintings themselves; use `stylize` for them.")
    return config


def _from_tensor(picture: Tensor) -> deep.Picture:
    return deep.in_few_bits(to_deep_picture(picture))


def _read(picture: Picture, config: Config) -> deep.Picture:
    if isinstance(picture, Tensor):
        return _from_tensor(picture)
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    return read_whole(picture, edge=largest_edge(config), max_pixels=config.image.max_pixels)


def _name(picture: Picture, otherwise: str) -> str:
    return str(picture) if isinstance(picture, str | Path) else otherwise
