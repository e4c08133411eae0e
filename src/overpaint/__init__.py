"""Neural style transfer (Gatys et al. 2015, arXiv:1508.06576) as a tracked training run.

A picture from two pictures, with nothing written:

    from overpaint import paint
    paint("me.jpg", ["art.jpg"], "style.weight=20", "image.size=256")

A run with records, as the command makes it:

    from overpaint import load_config, stylize
    stylize(load_config("paper", ["image.size=256"])).folder

The parts, for a loop of one's own:

    from overpaint import Objective, load_encoder, load_picture, to_picture
    encoder = load_encoder("vgg19")
    photo, painting = load_picture("me.jpg", size=512), load_picture("art.jpg", size=512)
    objective = Objective(encoder, photo, [painting], style_weight=7)
    image = photo.clone().requires_grad_()
    objective(image).total.backward()

Names are imported on first use, for PyTorch takes seconds to load.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from overpaint.version import __version__

if TYPE_CHECKING:
    from overpaint.encoder.choosing import load_encoder
    from overpaint.encoder.vgg import Vgg19Features
    from overpaint.errors import (
        CheckpointError,
        ConfigError,
        DivergedError,
        ImageError,
        TrackingError,
        WeightsError,
    )
    from overpaint.losses.gram import gram_matrix, total_variation
    from overpaint.losses.objective import LossTerms, Objective
    from overpaint.optimisation.module import StyleTransferModule
    from overpaint.pictures.tensors import load_picture, to_picture
    from overpaint.records.result import PaintResult, RunResult
    from overpaint.runs.paint import paint
    from overpaint.runs.resume import resume
    from overpaint.runs.stylize import stylize
    from overpaint.settings.reading import load_config
    from overpaint.settings.schema import Config
    from overpaint.tuning.tune import TuneResult, tune

__all__ = [
    "CheckpointError",
    "Config",
    "ConfigError",
    "DivergedError",
    "ImageError",
    "LossTerms",
    "Objective",
    "PaintResult",
    "RunResult",
    "StyleTransferModule",
    "TrackingError",
    "TuneResult",
    "Vgg19Features",
    "WeightsError",
    "__version__",
    "gram_matrix",
    "load_config",
    "load_encoder",
    "load_picture",
    "paint",
    "resume",
    "stylize",
    "to_picture",
    "total_variation",
    "tune",
]

_HOMES = {
    "CheckpointError": "errors",
    "Config": "settings.schema",
    "ConfigError": "errors",
    "DivergedError": "errors",
    "ImageError": "errors",
    "LossTerms": "losses.objective",
    "Objective": "losses.objective",
    "PaintResult": "records.result",
    "RunResult": "records.result",
    "StyleTransferModule": "optimisation.module",
    "TrackingError": "errors",
    "TuneResult": "tuning.tune",
    "Vgg19Features": "encoder.vgg",
    "WeightsError": "errors",
    "gram_matrix": "losses.gram",
    "load_config": "settings.reading",
    "load_encoder": "encoder.choosing",
    "load_picture": "pictures.tensors",
    "paint": "runs.paint",
    "resume": "runs.resume",
    "stylize": "runs.stylize",
    "to_picture": "pictures.tensors",
    "total_variation": "losses.gram",
    "tune": "tuning.tune",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
