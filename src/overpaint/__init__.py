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
    from overpaint.encoder.vgg import Vgg19Features
    from overpaint.errors import ConfigError, DivergedError, ImageError, WeightsError
    from overpaint.optimisation.module import StyleTransferModule
    from overpaint.records.run_folder import RunResult
    from overpaint.runs.stylize import stylize
    from overpaint.settings.reading import load_config
    from overpaint.settings.schema import Config

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
    "Config": "settings.schema",
    "ConfigError": "errors",
    "DivergedError": "errors",
    "ImageError": "errors",
    "RunResult": "records.run_folder",
    "StyleTransferModule": "optimisation.module",
    "Vgg19Features": "encoder.vgg",
    "WeightsError": "errors",
    "load_config": "settings.reading",
    "stylize": "runs.stylize",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
