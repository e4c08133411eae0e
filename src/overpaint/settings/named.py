"""The picture files that settings name, each under its setting, and where paintings count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from overpaint.settings.schema import Config, StyleConfig


def pictures_read(config: Config) -> dict[str, str]:
    """Setting to file of each picture that a run reads; with regions, paintings once for all.

    Args:
        config: resolved settings.
    """
    return {
        "content.image": config.content.image,
        **{f"style.images[{i}]": name for i, name in enumerate(config.style.images)},
        **_start(config),
        **masks_read(config),
    }


def pictures_written(config: Config) -> dict[str, str]:
    """Likewise, each under the setting that somebody gave it in."""
    found = {"content.image": config.content.image}
    if config.regions:
        named = [(f"regions[{i}].style", one.style) for i, one in enumerate(config.regions)]
        found |= {key: name for key, name in named if name is not None}
    else:
        found |= {f"style.images[{i}]": name for i, name in enumerate(config.style.images)}
    return {**found, **_start(config), **masks_read(config)}


def masks_read(config: Config) -> dict[str, str]:
    """Setting to file of each mask and weight map."""
    named = [
        ("content.weight_map", config.content.weight_map),
        ("style.weight_map", config.style.weight_map),
    ]
    for i, region in enumerate(config.regions):
        named.append((f"regions[{i}].content_mask", region.content_mask))
        named.append((f"regions[{i}].style_mask", region.style_mask))
    return {key: name for key, name in named if name is not None}


def with_names(config: Config, change: Callable[[str], str]) -> Config:
    """The same settings with the name of each picture file changed."""

    def changed(name: str | None) -> str | None:
        return change(name) if name else name

    content, style, init = config.content, config.style, config.init
    regions = [
        dataclasses.replace(
            region,
            content_mask=change(region.content_mask),
            style=changed(region.style),
            style_mask=changed(region.style_mask),
        )
        for region in config.regions
    ]
    return dataclasses.replace(
        config,
        content=dataclasses.replace(
            content, image=change(content.image), weight_map=changed(content.weight_map)
        ),
        style=dataclasses.replace(
            style,
            images=tuple(map(change, style.images)),
            weight_map=changed(style.weight_map),
        ),
        init=dataclasses.replace(init, file=changed(init.file)),
        regions=tuple(regions),
    )


def shares_in(style: StyleConfig, layer: str) -> list[float]:
    """Of each painting in a layer: 0 where it has layers of its own, this not among them."""
    weights = style.image_weights or [1.0] * len(style.images)
    own = style.image_layers or [()] * len(style.images)
    return [
        weight if not layers or layer in layers else 0.0
        for weight, layers in zip(weights, own, strict=True)
    ]


def _start(config: Config) -> dict[str, str]:
    is_read = config.init.mode == "file" and config.init.file
    return {"init.file": str(config.init.file)} if is_read else {}
