"""Neural style transfer (Gatys et al. 2015, arXiv:1508.06576) as a tracked training run.

    from overpaint import load_config, stylize
    result = stylize(load_config("configs/default.yaml", ["image.size=256"]))
    result.image.save("picture.png")

Names are imported on first use, for PyTorch takes seconds to load.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from overpaint.version import __version__

if TYPE_CHECKING:
    from overpaint.config import load_config
    from overpaint.errors import ConfigError, DivergedError, ImageError, WeightsError
    from overpaint.module import StyleTransferModule
    from overpaint.record import RunResult
    from overpaint.run import stylize
    from overpaint.schema import Config
    from overpaint.vgg import Vgg19Features

__all__ = [
    "Config",
    "ConfigError",
    "DivergedError",
    "ImageError",
    "RunResult",
    "StyleTransferModule",
    "Vgg19Features",
    "WeightsError",
    "__version__",
    "load_config",
    "stylize",
]

_HOMES = {
    "Config": "schema",
    "ConfigError": "errors",
    "DivergedError": "errors",
    "ImageError": "errors",
    "RunResult": "record",
    "StyleTransferModule": "module",
    "Vgg19Features": "vgg",
    "WeightsError": "errors",
    "load_config": "config",
    "stylize": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
