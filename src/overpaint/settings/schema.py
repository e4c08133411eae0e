"""Every setting, its type, its range and its default.

`configs/default.yaml` documents them for users. The types say which values a setting takes and
`typed.py` holds values against them; what needs more than one value, or the disk, is in `rules.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import ConfigDict

from overpaint.encoder.layers import CONTENT_LAYERS, STYLE_LAYERS, EncoderName, Pooling
from overpaint.errors import ConfigError
from overpaint.settings.kinds import (
    Count,
    Decay,
    Depth,
    Every,
    FileName,
    NotNegative,
    Positive,
    Scale,
    Seed,
    Several,
    Sha256,
    Share,
    Text,
    TrialSteps,
    Whole,
)

InitMode = Literal["content", "recolored", "noise", "blend", "multiply", "style", "file"]
NormalizationName = Literal["relative", "gatys", "paper"]
ColorKeep = Literal["none", "luminance", "histogram", "statistics"]
StatisticsName = Literal["auto", "gram", "covariance"]
OptimizerName = Literal["adam", "lbfgs", "sgd"]
TrackingMode = Literal["auto", "online", "offline", "disabled"]
Accelerator = Literal["auto", "cpu", "gpu", "cuda", "mps"]
Precision = Literal["auto", "32-true", "bf16-mixed"]
Levels = Literal["trained", "unit"]
Compile = Literal["auto", "always", "never"]
Memory = Literal["auto", "plain", "banded"]
Carried = Literal["detail", "picture", "paint"]
RateSchedule = Literal["constant", "cosine"]
Task = Literal["run", "tune"]

# A mapping given for one of these replaces the default mapping; any other one is merged into it.
REPLACED = ("content.layers", "style.layers")
LISTED = ("regions",)  # lists of mappings
DEFAULT_LR: dict[str, float] = {"adam": 0.03, "lbfgs": 1.0}
PROJECT = "overpaint"  # where neither tracking.project nor the environment says
# What `style.statistics: auto` is: the papers' formulas are of Gram matrices.
DEFAULT_STATISTICS: dict[NormalizationName, StatisticsName] = {
    "relative": "covariance",
    "gatys": "gram",
    "paper": "gram",
}


@dataclass(frozen=True)
class ContentConfig:
    """The photo: what is to be seen."""

    image: FileName = "assets/content/rocket.jpg"
    layers: dict[Text, NotNegative] = field(default_factory=CONTENT_LAYERS.copy)
    weight: NotNegative = 1.0
    weight_map: FileName | None = None


@dataclass(frozen=True)
class StyleConfig:
    """The painting or paintings: how it is to look."""

    images: tuple[FileName, ...] = ("assets/style/flow_field.jpg",)
    image_weights: tuple[NotNegative, ...] = ()
    image_layers: tuple[tuple[Text, ...], ...] = ()
    layers: dict[Text, NotNegative] = field(default_factory=STYLE_LAYERS.copy)
    weight: NotNegative = 2.0
    weight_map: FileName | None = None
    statistics: StatisticsName = "auto"
    scale: Positive = 1.0


@dataclass(frozen=True)
class RegionConfig:
    """Where a painting, or a part of it, goes; without one the photo stays there."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    content_mask: FileName
    style: FileName | None = None
    style_mask: FileName | None = None
    weight: NotNegative = 1.0


@dataclass(frozen=True)
class ColorConfig:
    """What of the photo's colours the result keeps."""

    keep: ColorKeep = "none"
    match_lightness: bool = False


@dataclass(frozen=True)
class ImageConfig:
    """The result's size, and the largest file that is read."""

    size: Whole = 512
    max_pixels: Count = 178_956_970


@dataclass(frozen=True)
class InitConfig:
    """The picture before the first step."""

    mode: InitMode = "recolored"
    noise_ratio: Share = 0.5
    file: FileName | None = None


@dataclass(frozen=True)
class LossConfig:
    """Which formulas."""

    normalization: NormalizationName = "relative"
    tv_weight: NotNegative = 8.0


@dataclass(frozen=True)
class AdamConfig:
    """Adam, Kingma & Ba 2015 (arXiv:1412.6980)."""

    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: NotNegative = 1e-8


@dataclass(frozen=True)
class LbfgsConfig:
    """L-BFGS, Liu & Nocedal 1989."""

    history_size: Count = 20
    line_search: Literal["none", "strong_wolfe"] = "none"
    max_evaluations: Several = 20


@dataclass(frozen=True)
class SgdConfig:
    """Gradient descent."""

    momentum: Decay = 0.0
    nesterov: bool = False


@dataclass(frozen=True)
class OptimizerConfig:
    """What moves the picture; the section named like `name` is used."""

    name: OptimizerName = "adam"
    lr: Positive | None = None
    adam: AdamConfig = field(default_factory=AdamConfig)
    lbfgs: LbfgsConfig = field(default_factory=LbfgsConfig)
    sgd: SgdConfig = field(default_factory=SgdConfig)

    @property
    def rate(self) -> float:
        """The learning rate: `lr`, or the default of the optimiser.

        Raises:
            ConfigError: if `lr` is None and the optimiser has no default.
        """
        if self.lr is not None:
            return self.lr
        if self.name not in DEFAULT_LR:
            raise ConfigError(
                f"optimizer.lr: {self.name} has no default rate, for the right one depends on the "
                "loss and the size; for relative losses start at 10 and raise it with the pixels."
            )
        return DEFAULT_LR[self.name]


@dataclass(frozen=True)
class ScheduleConfig:
    """How long, at which sizes, and how the learning rate falls."""

    steps: Count = 120
    scales: tuple[Scale, ...] = (0.25, 0.5, 1.0)
    shares: tuple[Positive, ...] = ()
    carry: Carried = "detail"
    lr: RateSchedule = "cosine"
    lr_final: Share = 0.05


@dataclass(frozen=True)
class EncoderConfig:
    """The frozen network."""

    name: EncoderName = "vgg19"
    weights: FileName = "auto"
    sha256: Sha256 | None = None
    pooling: Pooling = "max"
    levels: Levels = "trained"


@dataclass(frozen=True)
class SnapshotsConfig:
    """Which intermediate pictures are kept; the first and the last always are."""

    steps: tuple[Count, ...] = ()
    every: Every = 50
    max_edge: Count = 2048


@dataclass(frozen=True)
class CheckpointConfig:
    """What is kept of a run so that it can go on after an interrupt or a power cut."""

    every_seconds: NotNegative | None = 30.0


@dataclass(frozen=True)
class TrackingConfig:
    """Weights & Biases, and how often numbers are logged there and to metrics.csv."""

    mode: TrackingMode = "auto"
    project: Text | None = None
    entity: Text | None = None
    group: Text | None = None
    name: Text | None = None
    tags: tuple[Text, ...] = ()
    notes: Text | None = None
    log_every: Count = 10


@dataclass(frozen=True)
class OutputConfig:
    """Where results go, and what is in their files."""

    dir: FileName = "runs"
    copy: FileName | None = None
    depth: Depth = 8
    exif: bool = False
    timelapse: bool = False
    preview: bool = False


@dataclass(frozen=True)
class TrainerConfig:
    """The device or devices and their arithmetic."""

    accelerator: Accelerator = "auto"
    devices: Count = 1
    num_nodes: Count = 1
    precision: Precision = "auto"
    memory: Memory = "auto"
    compile: Compile = "auto"

    @property
    def processes(self) -> int:
        """That paint one picture together."""
        return self.devices * self.num_nodes


@dataclass(frozen=True)
class TuneConfig:
    """How `overpaint tune-lr` looks for a learning rate; runs do not read it."""

    lowest: Positive | None = None
    highest: Positive | None = None
    candidates: Several = 12
    rounds: Count = 3
    steps: TrialSteps = 80
    size: Whole = 128


@dataclass(frozen=True)
class Config:
    """All settings of one run."""

    content: ContentConfig = field(default_factory=ContentConfig)
    style: StyleConfig = field(default_factory=StyleConfig)
    regions: tuple[RegionConfig, ...] = ()
    color: ColorConfig = field(default_factory=ColorConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    init: InitConfig = field(default_factory=InitConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    snapshots: SnapshotsConfig = field(default_factory=SnapshotsConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    seed: Seed = 0
