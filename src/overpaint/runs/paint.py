"""A picture from pictures, for notebooks and programs: no files, no tracking."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from PIL import Image
from rich.console import Console
from torch import Tensor

from overpaint.building.memory import shortage_told
from overpaint.building.sources import largest_edge, read_sources
from overpaint.console import command
from overpaint.errors import DivergedError, LostProcessError
from overpaint.interrupts import followed_interrupts
from overpaint.pictures.decoding import as_mask
from overpaint.pictures.deep import picture as deep
from overpaint.pictures.inputs import Inputs
from overpaint.pictures.io import read_whole
from overpaint.pictures.tensors import to_deep_picture, to_mask
from overpaint.records.result import PaintResult
from overpaint.runs.pyramid import optimise
from overpaint.runs.several.together import Task, place_in, take_part, together
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config
from overpaint.settings.shipped import find_picture

Picture = str | Path | Image.Image | Tensor
"""A file, a Pillow picture, or a tensor as `load_picture` returns it."""

_MASKS = ("content_mask", "style_mask")


def paint(
    photo: Picture,
    paintings: Sequence[Picture] | Picture = (),
    *settings: str,
    preset: str | Path = "default",
    regions: Sequence[Mapping[str, Any]] = (),
    style_weight_map: Picture | None = None,
    content_weight_map: Picture | None = None,
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> PaintResult:
    """Paints a photo in the style of paintings, and writes nothing.

        paint("me.jpg", ["art.jpg"], "style.weight=20", "image.size=256")
        paint("me.jpg", regions=[{"content_mask": mask, "style": "art.jpg"}])

    Args:
        photo: a file, a Pillow picture, or a (1, 3, H, W) tensor, sRGB in [0, 1].
        paintings: likewise, one or several; none where regions name them. A Pillow picture is taken
            as it is; files are turned upright, converted to sRGB and laid over white where they are
            transparent.
        settings: `key=value` words, as the command takes them. The result is as large as a photo
            that is a tensor, else `image.size` says how large.
        preset: the name of a shipped preset, or a YAML file of settings.
        regions: in the place of the setting, with the same keys. `style` is a picture like a
            painting; `content_mask` and `style_mask` are files, Pillow pictures, or tensors of
            (H, W) or (1, 1, H, W) in [0, 1].
        style_weight_map: a mask in the place of the setting `style.weight_map`.
        content_weight_map: likewise, of `content.weight_map`.
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
        ValueError: if there is no painting, or a picture or mask in memory is none.
    """
    given = _Given(photo)
    paintings = [paintings] if isinstance(paintings, Picture) else paintings
    given.add_paintings(paintings)
    given.add_regions(regions)
    given.add_map("style.weight_map", style_weight_map)
    given.add_map("content.weight_map", content_weight_map)
    config = load_config(preset, settings, values=given.values, in_memory=given.names)
    if not (paintings or config.regions):
        raise ValueError("at least one painting is needed")
    result = _painted(config, given, callbacks, Console() if progress else None)
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
    config: Config, given: _Given, callbacks: Sequence[pl.Callback], console: Console | None
) -> PaintResult:
    inputs = given.inputs(config)
    place = place_in(config)
    if not place.is_first:
        return take_part(place, config.trainer.accelerator)
    told = shortage_told(config, inputs)
    with followed_interrupts() as interrupts, interrupts.held(), told:
        sources = read_sources(config, inputs=inputs, masks=given.masks)
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


class _Given:
    """The pictures of one call, and the settings that name them.

    Args:
        photo: the photo; where it is a tensor the result is as large.

    Raises:
        ValueError: if it is a tensor of another shape than (1, 3, H, W).
    """

    def __init__(self, photo: Picture) -> None:
        self.values: dict[str, Any] = {}
        """Dotted key to value, for `load_config`."""
        self.masks: dict[str, Image.Image] = {}
        """Those in memory by their settings, of mode L."""
        self._pictures: dict[str, str | deep.Picture] = {}
        self._seen: dict[int, str] = {}
        self.values["content.image"] = self._name(photo, "photo")
        if isinstance(photo, Tensor):
            self.values["image.size"] = max(photo.shape[-2:])

    @property
    def names(self) -> Collection[str]:
        """What the settings call the pictures, where that is no file to look for."""
        return {*self._pictures, *(["mask"] if self.masks else [])}

    def add_paintings(self, paintings: Sequence[Picture]) -> None:
        """Paintings for the whole picture.

        Raises:
            ValueError: as for a photo.
        """
        if paintings:
            names = ["painting", *(f"painting {number}" for number in range(2, len(paintings) + 1))]
            self.values["style.images"] = [*map(self._name, paintings, names)]

    def add_regions(self, regions: Sequence[Mapping[str, Any]]) -> None:
        """Regions, each with the keys of the setting.

        Raises:
            ValueError: as for a photo, or if a mask is outside [0, 1].
        """
        if regions:
            self.values["regions"] = [
                self._region(i, one) if isinstance(one, Mapping) else one
                for i, one in enumerate(regions)
            ]

    def add_map(self, setting: str, mask: Picture | None) -> None:
        """A weight map.

        Raises:
            ValueError: if it is a tensor of no mask's shape, or outside [0, 1].
        """
        if mask is not None:
            self.values[setting] = self._mask(setting, mask)

    def inputs(self, config: Config) -> Inputs:
        """All pictures but the masks, files read.

        Args:
            config: resolved settings, from `values`.

        Raises:
            ImageError: if a file cannot be read.
        """
        names = (config.content.image, *config.style.images)
        content, *styles = (self._read(name, config) for name in names)
        start = None
        if config.init.mode == "file" and config.init.file:
            start = self._read(config.init.file, config)
        elif config.init.mode == "style":
            start = styles[0]
        return Inputs(content, styles, start, names=tuple(map(self._shown, names)))

    def _region(self, number: int, region: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(region)
        for key in _MASKS:
            if isinstance(found.get(key), Picture):
                found[key] = self._mask(f"regions[{number}].{key}", found[key])
        style = found.get("style")
        if isinstance(style, str | Path):
            found["style"] = find_picture(str(style))
        elif isinstance(style, Picture):
            found["style"] = self._name(style, f"painting of regions[{number}]")
        return found

    def _mask(self, setting: str, mask: Picture) -> str:
        """The name of a mask."""
        if isinstance(mask, str | Path):
            return find_picture(str(mask))
        self.masks[setting] = to_mask(mask) if isinstance(mask, Tensor) else as_mask(mask)
        return "mask"

    def _name(self, picture: Picture, name: str) -> str:
        """The name of a picture: one, however often it is given."""
        if isinstance(picture, str | Path):
            self._pictures[name] = str(picture)
            return name
        known = self._seen.setdefault(id(picture), name)
        if known == name:
            self._pictures[name] = _held(picture)
        return known

    def _read(self, name: str, config: Config) -> deep.Picture:
        picture = self._pictures.get(name, name)
        if not isinstance(picture, str):
            return picture
        return read_whole(picture, edge=largest_edge(config), max_pixels=config.image.max_pixels)

    def _shown(self, name: str) -> str:
        """What messages call a picture."""
        picture = self._pictures.get(name, name)
        return picture if isinstance(picture, str) else name


def _held(picture: Image.Image | Tensor) -> deep.Picture:
    if isinstance(picture, Tensor):
        return deep.in_few_bits(to_deep_picture(picture))
    return picture.convert("RGB")
