"""Every setting, its type and its default; `configs/default.yaml` documents them for users.

The dataclasses are the schema that OmegaConf checks YAML files and `key=value` overrides against.
Rules that need more than one value, or a range, are in `checks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

InitMode = Literal["content", "noise", "blend", "multiply", "style", "file"]
NormalizationName = Literal["relative", "gatys", "paper"]
OptimizerName = Literal["adam", "lbfgs", "sgd"]
EncoderName = Literal["vgg19", "vgg19_slim"]
Pooling = Literal["max", "avg"]
TrackingMode = Literal["auto", "online", "offline", "disabled"]
Accelerator = Literal["auto", "cpu", "gpu", "cuda", "mps"]
Precision = Literal["auto", "32-true", "bf16-mixed"]
Compile = Literal["auto", "always", "never"]
RateSchedule = Literal["constant", "cosine"]


@dataclass(frozen=True)
class ContentConfig:
    """The photo: what is to be seen."""

    image: str = "assets/content/rocket.jpg"
    layers: dict[str, float] = field(default_factory=lambda: {"relu4_2": 1.0})
    weight: float = 1.0


@dataclass(frozen=True)
class StyleConfig:
    """The painting or paintings: how it is to look."""

    images: tuple[str, ...] = ("assets/style/flow_field.jpg",)
    image_weights: tuple[float, ...] = ()
    layers: dict[str, float] = field(
        default_factory=lambda: {
            "relu1_1": 0.35,
            "relu2_1": 0.20,
            "relu3_1": 0.17,
            "relu4_1": 0.18,
            "relu5_1": 0.10,
        }
    )
    weight: float = 7.0
    scale: float = 1.0


@dataclass(frozen=True)
class ImageConfig:
    """The result's size."""

    size: int = 512


@dataclass(frozen=True)
class InitConfig:
    """The picture before the first step."""

    mode: InitMode = "content"
    noise_ratio: float = 0.5
    file: str | None = None


@dataclass(frozen=True)
class LossConfig:
    """Which formulas."""

    normalization: NormalizationName = "relative"
    tv_weight: float = 6.0


@dataclass(frozen=True)
class AdamConfig:
    """Adam, Kingma & Ba 2015 (arXiv:1412.6980)."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class LbfgsConfig:
    """L-BFGS, Liu & Nocedal 1989."""

    history_size: int = 20
    line_search: Literal["none", "strong_wolfe"] = "none"
    max_evaluations: int = 20


@dataclass(frozen=True)
class SgdConfig:
    """Gradient descent."""

    momentum: float = 0.0
    nesterov: bool = False


@dataclass(frozen=True)
class OptimizerConfig:
    """What moves the picture; the section named like `name` is used."""

    name: OptimizerName = "adam"
    lr: float | None = None
    adam: AdamConfig = field(default_factory=AdamConfig)
    lbfgs: LbfgsConfig = field(default_factory=LbfgsConfig)
    sgd: SgdConfig = field(default_factory=SgdConfig)


@dataclass(frozen=True)
class ScheduleConfig:
    """How long, at which sizes, and how the learning rate falls."""

    steps: int = 80
    scales: tuple[float, ...] = (1.0,)
    shares: tuple[float, ...] = ()
    lr: RateSchedule = "cosine"
    lr_final: float = 0.05


@dataclass(frozen=True)
class EncoderConfig:
    """The frozen network."""

    name: EncoderName = "vgg19"
    weights: str = "auto"
    pooling: Pooling = "max"


@dataclass(frozen=True)
class SnapshotsConfig:
    """Which intermediate pictures are kept; the first and the last always are."""

    steps: tuple[int, ...] = ()
    every: int = 50


@dataclass(frozen=True)
class TrackingConfig:
    """Weights & Biases, and how often numbers are logged there and to metrics.csv."""

    mode: TrackingMode = "auto"
    project: str = "overpaint"
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    log_every: int = 10


@dataclass(frozen=True)
class OutputConfig:
    """Where results go."""

    dir: str = "runs"
    copy: str | None = None


@dataclass(frozen=True)
class TrainerConfig:
    """The device and its arithmetic."""

    accelerator: Accelerator = "auto"
    precision: Precision = "auto"
    compile: Compile = "auto"


@dataclass(frozen=True)
class TuneConfig:
    """How `scripts/tune_lr.py` looks for a learning rate; runs do not read it."""

    lowest: float | None = None
    highest: float | None = None
    candidates: int = 12
    rounds: int = 3
    steps: int = 80
    size: int = 128


@dataclass(frozen=True)
class Config:
    """All settings of one run."""

    content: ContentConfig = field(default_factory=ContentConfig)
    style: StyleConfig = field(default_factory=StyleConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    init: InitConfig = field(default_factory=InitConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    snapshots: SnapshotsConfig = field(default_factory=SnapshotsConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    seed: int = 0
