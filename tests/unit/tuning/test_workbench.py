from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from overpaint.building.sources import read_sources
from overpaint.errors import ConfigError
from overpaint.losses.objective import LossTerms
from overpaint.optimisation.verdicts import CLAMPED_MARGIN
from overpaint.settings.schema import Config
from overpaint.tuning import workbench
from overpaint.tuning.workbench import Workbench, at_size, open_workbench

pytestmark = pytest.mark.usefixtures("one_thread")

OpenBench = Callable[..., Workbench]


@pytest.fixture
def bench(make_config: Callable[..., Config], slim_file: Path) -> OpenBench:
    """A workbench with a tiny network; trials at 24 pixels for a result at 48."""

    def build(*overrides: str) -> Workbench:
        config = make_config(
            "encoder.name=vgg19_slim",
            f"encoder.weights={slim_file}",
            "trainer.precision=32-true",
            "image.size=48",
            "tune.size=24",
            "init.mode=noise",
            "optimizer.lr=1",
            *overrides,
        )
        return open_workbench(config, read_sources(config))

    return build


def terms(bench: Workbench, image: Tensor) -> LossTerms:
    with torch.no_grad():
        found: LossTerms = bench.problem.objective(image)
    return found


@pytest.mark.parametrize(
    ("normalization", "content", "style"),
    [("relative", 1.0, 1.0), ("gatys", 16.0, 1.0), ("paper", 16.0, 256.0)],
)
def test_weights_make_up_for_what_losses_lose_with_the_pixels(
    make_config: Callable[..., Config], normalization: str, content: float, style: float
) -> None:
    config = make_config(
        f"loss.normalization={normalization}", "image.size=128", "content.weight=3", "seed=5"
    )
    small = at_size(config, 32)  # a sixteenth of the pixels
    assert small.image.size == 32
    assert small.content.weight == pytest.approx(3 * content)
    assert small.style.weight == pytest.approx(config.style.weight * style)
    same = {"content": config.content, "style": config.style, "image": config.image}
    assert dataclasses.replace(small, **same) == config
    assert at_size(config, 128) == config


@pytest.fixture
def of_one_colour(photo: Path, painting: Path, tmp_path: Path) -> tuple[str, ...]:
    """Settings with pictures that are the same at every size, but for the layers' padding."""
    start = tmp_path / "start.png"
    for path, colour in (
        (photo, (60, 90, 200)),
        (painting, (220, 190, 40)),
        (start, (90, 160, 90)),
    ):
        Image.new("RGB", (64, 48), colour).save(path)
    layers = ("content.layers={relu2_1: 1}", "style.layers={relu1_1: 1, relu2_1: 0.5}")
    return ("image.size=192", "init.mode=file", f"init.file={start}", *layers)


@pytest.mark.parametrize("normalization", ["relative", "gatys", "paper"])
def test_losses_at_a_small_size_are_about_those_at_the_result_s(
    bench: OpenBench, of_one_colour: tuple[str, ...], normalization: str
) -> None:
    small, full = (
        bench(*of_one_colour, f"loss.normalization={normalization}", f"tune.size={size}")
        for size in (64, 192)
    )
    assert small.problem.image.shape[-2:] == (48, 64)
    assert full.problem.image.shape[-2:] == (144, 192)
    at_small, at_full = (terms(one, one.problem.image) for one in (small, full))
    for name in ("content", "style"):
        weighted = [
            getattr(one.config, name).weight * getattr(found, name).item()
            for one, found in ((small, at_small), (full, at_full))
        ]
        # Without the weights they would be up to 9 and 81 times apart.
        assert weighted[0] == pytest.approx(weighted[1], rel=0.1), name
    assert at_small.total.item() == pytest.approx(at_full.total.item(), rel=0.1)


@pytest.mark.parametrize("normalization", ["relative", "gatys", "paper"])
def test_rates_of_gradient_descent_are_those_of_the_result_s_size(
    bench: OpenBench, of_one_colour: tuple[str, ...], normalization: str
) -> None:
    setting = (*of_one_colour, "optimizer.name=sgd", f"loss.normalization={normalization}")
    small, full = (bench(*setting, f"tune.size={size}") for size in (64, 192))
    assert (small.rate_unit, full.rate_unit) == (9.0, 1.0)
    assert small.rates_by_length() == pytest.approx(full.rates_by_length(), rel=0.1)
    # The first step at such a rate is as long as asked for, at whatever size.
    low, high = small.rates_by_length(0.01 / 255, 2 / 255)
    trials = small.try_rates([low, high], 1)
    assert [one.moved[0] for one in trials] == pytest.approx([0.01, 2], rel=0.01)
    # Loss and picture then go the way that they go in a run.
    rate = small.rates_by_length(1 / 255, 1 / 255)[0]
    (here,), (there,) = (one.try_rates([rate], 2) for one in (small, full))
    assert here.losses == pytest.approx(there.losses, rel=0.15)
    assert here.losses[-1] < 0.99 * here.losses[0]


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_rates_of_scale_free_optimizers_are_the_same_at_every_size(
    bench: OpenBench, name: str
) -> None:
    small, full = (bench(f"optimizer.name={name}", f"tune.size={size}") for size in (24, 48))
    assert small.rate_unit == full.rate_unit == 1
    assert small.rates_by_length() == full.rates_by_length()


@pytest.mark.parametrize(
    ("image", "tune", "size"), [(48, 24, 24), (48, 48, 48), (48, 500, 48), (48, 16, 22)]
)
def test_trials_are_as_small_as_asked_if_the_layers_allow_it(
    bench: OpenBench, image: int, tune: int, size: int
) -> None:
    # At 16 the photo, 64 by 48, would be 16 by 12, and layers up to relu5_1 need 16: 22 by 16.
    opened = bench(f"image.size={image}", f"tune.size={tune}")
    assert opened.config.image.size == size
    assert max(opened.problem.image.shape[-2:]) == size


@pytest.mark.parametrize(("pixels", "batch"), [(1, 1), (432, 1), (863, 1), (864, 2), (2200, 5)])
def test_rates_are_run_together_as_far_as_the_device_likes(
    bench: OpenBench, monkeypatch: pytest.MonkeyPatch, pixels: int, batch: int
) -> None:
    opened = bench()
    monkeypatch.setattr(workbench, "PIXELS_ON_A_CPU", pixels)
    assert opened.problem.image.shape[-2:] == (18, 24)
    assert opened.batch == batch


def test_batches_change_nothing(bench: OpenBench, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = bench()
    sizes: list[int] = []
    run_trials = workbench.run_trials

    def counted(
        start: Tensor, measure: object, builders: dict[float, object], **options: object
    ) -> object:
        sizes.append(len(builders))
        return run_trials(start, measure, builders, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(workbench, "run_trials", counted)
    rates = [0.3, 0.01, 0.1, 0.03, 0.003]
    together = opened.try_rates(rates, 3, pictures_at=[2])
    monkeypatch.setattr(workbench, "PIXELS_ON_A_CPU", 900)
    parted = opened.try_rates(rates, 3, pictures_at=[2])
    assert sizes == [5, 2, 2, 1]
    assert [one.rate for one in parted] == rates
    for one, other in zip(parted, together, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-5)
        assert one.moved == pytest.approx(other.moved, rel=1e-4)
        assert list(one.pictures) == list(other.pictures) == [2, 3]
        pixels = (np.asarray(trial.pictures[3], int) for trial in (one, other))
        assert np.abs(np.subtract(*pixels)).max() <= 1


def test_the_schedule_of_a_trial_is_that_of_a_run_of_its_steps(bench: OpenBench) -> None:
    # Every value of the picture moves by Adam's rate, which falls along a cosine to a tenth.
    opened = bench("schedule.lr_final=0.1", "optimizer.adam.beta1=0", "optimizer.adam.beta2=0")
    (short,) = opened.try_rates([0.001], 2)
    (longer,) = opened.try_rates([0.001], 4)
    assert [moved / 0.255 for moved in short.moved] == pytest.approx([1, 0.55], rel=0.02)
    assert longer.moved[2] / 0.255 == pytest.approx(0.55, rel=0.02)
    constant = bench("schedule.lr=constant", "optimizer.adam.beta1=0", "optimizer.adam.beta2=0")
    assert constant.try_rates([0.001], 2)[0].moved == pytest.approx([0.255] * 2, rel=0.02)


@pytest.mark.parametrize("name", ["adam", "sgd", "lbfgs"])
def test_the_rate_of_a_range_test_rises_from_step_to_step(bench: OpenBench, name: str) -> None:
    opened = bench(f"optimizer.name={name}")
    rates = {"adam": [0.001, 0.01, 0.1], "sgd": [0.01, 0.1, 1.0], "lbfgs": [0.01, 0.1, 1.0]}[name]
    losses = opened.range_test(rates)
    assert len(losses) == 4
    # The same with an optimiser whose rate is set by hand.
    image = torch.nn.Parameter(opened.problem.image.clone())
    config = dataclasses.replace(
        opened.config, schedule=dataclasses.replace(opened.config.schedule, lr="constant")
    )
    optimizer, _ = workbench.build_scheduled_optimizer(config, 0, image)
    expected = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = opened.problem.objective(image).total.sum()
        (total * opened.problem.loss_scale).backward()
        expected.append(total.item())
        return total * opened.problem.loss_scale

    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate / opened.rate_unit
        optimizer.step(closure)
        with torch.no_grad():
            image.clamp_(0, 1)
    closure()
    assert losses == pytest.approx(expected, rel=1e-4)


def test_a_picture_driven_to_its_ends_is_saturated(bench: OpenBench) -> None:
    opened = bench("optimizer.name=sgd")
    calm, wild = opened.try_rates([1e-3, 1e9], 2)
    assert calm.is_usable
    assert opened.usual_clamped < 0.02
    assert wild.clamped > opened.usual_clamped + CLAMPED_MARGIN
    assert wild.saturated
    assert math.isfinite(wild.loss)
    assert not wild.is_usable
    assert [list(trial.pictures) for trial in (calm, wild)] == [[2], [2]]


def test_a_photo_of_black_and_white_does_not_count_as_saturated(
    bench: OpenBench, photo: Path
) -> None:
    with Image.open(photo) as image:
        image.convert("L").point(lambda level: 255 * (level > 127)).convert("RGB").save(photo)
    opened = bench("image.size=64", "tune.size=64", "init.mode=content")
    assert opened.usual_clamped == 1
    (calm,) = opened.try_rates([1e-5], 1)
    assert calm.clamped > 0.3
    assert not calm.saturated


def test_a_picture_that_is_no_number_is_left_out(bench: OpenBench) -> None:
    calm, lost = bench("optimizer.name=sgd").try_rates([1e-3, math.nan], 2)
    assert calm.is_usable
    assert lost.loss == math.inf
    assert [list(trial.pictures) for trial in (calm, lost)] == [[2], []]


@pytest.mark.parametrize(
    ("overrides", "size"),
    [
        (["init.mode=content", "style.weight=0", "loss.tv_weight=0"], "0.0"),
        (["loss.normalization=paper", "style.weight=1e38"], "(inf|nan)"),
    ],
    ids=["none", "too large"],
)
def test_a_start_without_a_usable_gradient_is_an_error_of_the_settings(
    bench: OpenBench, overrides: list[str], size: str
) -> None:
    with pytest.raises(ConfigError, match=f"No rate changes the picture: .* mean size of {size}"):
        bench(*overrides).rates_by_length()
