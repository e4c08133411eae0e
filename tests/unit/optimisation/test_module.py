from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import Tensor, nn
from torch.optim import Optimizer

from overpaint.callbacks.numbers import LogNumbers
from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.objective import LossTerms, Objective
from overpaint.optimisation.guard import Divergence
from overpaint.optimisation.module import StyleTransferModule
from overpaint.optimisation.optimizers import build_optimizer, loss_scale
from overpaint.settings.schema import OptimizerConfig

# Lightning finds the encoder in evaluation mode, as it is meant to be.
pytestmark = pytest.mark.filterwarnings(r"ignore:Found \d+ module\(s\) in eval mode")

MakeModule = Callable[..., StyleTransferModule]

RATES = {"adam": 0.02, "lbfgs": 1.0, "sgd": 1.0}
LAYERS = ("relu1_1", "relu2_1")


def picture(height: int, width: int, seed: int) -> Tensor:
    coarse = torch.rand((1, 3, 5, 4), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


@pytest.fixture
def make_module(make_encoder: Callable[..., Vgg19Features]) -> MakeModule:
    def build(
        name: str = "adam",
        *,
        size: tuple[int, int] = (32, 32),
        lr: float | None = None,
        scale: float | None = None,
        steps: int = 4,
        log_every: int = 10,
        start: Tensor | None = None,
        first_step: int = 0,
        spoil: Spoil | None = None,
        build: Callable[[nn.Parameter], Optimizer] | None = None,
        **options: Any,
    ) -> StyleTransferModule:
        content = picture(*size, seed=0)
        objective = Objective(
            make_encoder(*LAYERS),
            content,
            [picture(24, 36, seed=1)],
            content_layers={"relu2_1": 1.0},
            style_layers=dict.fromkeys(LAYERS, 0.5),
            content_weight=1.0,
            style_weight=10.0,
        )
        start = content if start is None else start
        with torch.no_grad():
            start_loss = objective(start).total
        defaults = dataclasses.asdict(getattr(OptimizerConfig(), name))
        build = build or partial(
            build_optimizer, name, lr=lr or RATES[name], options={**defaults, **options}
        )
        image = nn.Parameter(start.clone())
        if spoil:
            spoil.image = image
        return StyleTransferModule(
            image,
            objective,
            build_optimizer=(lambda parameter: spoil.after(build(parameter))) if spoil else build,
            steps=steps,
            first_step=first_step,
            log_every=log_every,
            loss_scale=loss_scale(name, start_loss, start) if scale is None else scale,
            measure=spoil.measure if spoil else Objective.forward,
        )

    return build


class Spoil:
    """Gives the loss, the gradient or the picture of a module one bad value in one step."""

    image: nn.Parameter

    def __init__(self, what: str, at: int, value: float) -> None:
        self._what, self._at, self._value = what, at, value
        self._step = 1

    def _is_due(self, what: str) -> bool:
        return (self._what, self._at) == (what, self._step)

    def measure(self, objective: Objective, image: Tensor) -> LossTerms:
        terms = objective.forward(image)
        image.register_hook(self._hook)
        if self._is_due("loss"):
            return dataclasses.replace(terms, total=terms.total + self._value)
        return terms

    def _hook(self, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        if self._is_due("gradient"):
            gradient[0, 1, 2, 3] = self._value
        return gradient

    def after(self, optimizer: Optimizer) -> Optimizer:
        def spoil(*_: Any) -> None:
            if self._is_due("picture"):
                self.image.data[0, 1, 2, 3] = self._value
            self._step += 1

        optimizer.register_step_post_hook(spoil)
        return optimizer


class Recorder(Logger):
    """Keeps what Lightning logs."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "recorder"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


class Path(pl.Callback):
    """Keeps the image before each step and after the last one."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._keep(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        self._keep(pl_module)

    def _keep(self, module: pl.LightningModule) -> None:
        assert isinstance(module, StyleTransferModule)
        self.images.append(module.image.detach().clone())


@dataclasses.dataclass
class Run:
    trainer: pl.Trainer
    rows: list[tuple[int | None, dict[str, float]]]
    images: list[Tensor]

    def logged(self, name: str) -> dict[int | None, float]:
        return {step: row[name] for step, row in self.rows}


def fit(
    module: StyleTransferModule,
    steps: int,
    *callbacks: pl.Callback,
    precision: Any = "32-true",
) -> Run:
    recorder, path = Recorder(), Path()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        precision=precision,
        plugins=[LightningEnvironment()],
        max_steps=steps,
        log_every_n_steps=1,  # spares a warning; the module decides
        logger=[recorder],
        callbacks=[path, LogNumbers(), *callbacks],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, range(steps))
    return Run(trainer, recorder.rows, path.images)


def total_loss(module: StyleTransferModule, image: Tensor) -> float:
    with torch.no_grad():
        return float(module(image).total)


WAYS = {
    "adam": ("adam", {}),
    "lbfgs": ("lbfgs", {"line_search": "none"}),
    "line search": ("lbfgs", {"line_search": "strong_wolfe"}),
    "sgd": ("sgd", {}),
}
every_way = pytest.mark.parametrize(("name", "options"), WAYS.values(), ids=WAYS)


def test_the_image_is_all_there_is_to_train(make_module: MakeModule) -> None:
    module = make_module(size=(32, 24))
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in trainable) == 3 * 32 * 24
    groups = module.configure_optimizers().param_groups
    assert [group["params"] for group in groups] == [[module.image]]


@every_way
def test_encoder_and_targets_are_bitwise_unchanged_by_a_fit(
    make_module: MakeModule, name: str, options: Any
) -> None:
    module = make_module(name, **options)
    state = module.objective.state_dict()
    before = {key: value.clone() for key, value in state.items()}
    start = module.image.detach().clone()
    fit(module, 4)
    after = module.objective.state_dict()
    assert len(before) > 8
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not torch.equal(module.image, start)


def test_the_encoder_stays_in_evaluation_mode(make_module: MakeModule) -> None:
    module = make_module().eval()
    assert module.train() is module
    assert module.training
    assert module.objective.training
    encoder = module.objective.encoder
    assert isinstance(encoder, Vgg19Features)
    assert not any(part.training for part in encoder.modules())


@pytest.mark.parametrize(
    ("steps", "log_every", "expected"),
    [
        (7, 3, [1, 3, 6, 7]),
        (6, 3, [1, 3, 6]),
        (5, 1, [1, 2, 3, 4, 5]),
        (4, 10, [1, 4]),
        (1, 10, [1]),
    ],
)
def test_exactly_the_first_the_multiples_and_the_last_step_are_logged(
    make_module: MakeModule, steps: int, log_every: int, expected: list[int]
) -> None:
    module = make_module(steps=steps, log_every=log_every)
    assert [step for step in range(1, steps + 1) if module.is_logged(step)] == expected
    assert [step for step, _ in fit(module, steps).rows] == expected


@every_way
def test_each_logged_row_holds_these_numbers(
    make_module: MakeModule, name: str, options: Any
) -> None:
    for _, row in fit(make_module(name, **options), 4).rows:
        assert set(row) == {
            "loss/total",
            "loss/content",
            "loss/style",
            "loss/style/relu1_1",
            "loss/style/relu2_1",
            "optimizer/lr",
            "optimizer/evaluations",
            "update/mean_abs",
        }


@every_way
def test_logged_losses_belong_to_the_image_before_the_step(
    make_module: MakeModule, name: str, options: Any
) -> None:
    module = make_module(name, **options, steps=5, log_every=2)
    run = fit(module, 5)
    assert len(run.rows) == 4
    for step, row in run.rows:
        assert step is not None
        with torch.no_grad():
            terms = module(run.images[step - 1])
        assert row["loss/total"] == pytest.approx(terms.total.item(), rel=1e-5)
        assert row["loss/content"] == pytest.approx(terms.content.item(), rel=1e-5)
        assert row["loss/style"] == pytest.approx(terms.style.item(), rel=1e-5)
        for layer in LAYERS:
            assert row[f"loss/style/{layer}"] == pytest.approx(
                terms.style_layers[layer].item(), rel=1e-5
            )


@every_way
def test_the_rate_is_logged_as_it_was_set(make_module: MakeModule, name: str, options: Any) -> None:
    logged = fit(make_module(name, **options, log_every=1), 3).logged("optimizer/lr")
    assert logged == pytest.approx(dict.fromkeys((1, 2, 3), RATES[name]))


@every_way
def test_the_loss_falls(make_module: MakeModule, name: str, options: Any) -> None:
    module = make_module(name, **options, steps=8)
    before = total_loss(module, module.image)
    run = fit(module, 8)
    assert total_loss(module, run.images[-1]) < 0.8 * before


@pytest.mark.parametrize(("name", "lr"), [("adam", 0.5), ("lbfgs", 5.0), ("sgd", 1e6)])
def test_the_image_stays_within_its_range_after_each_step(
    make_module: MakeModule, name: str, lr: float
) -> None:
    at_the_edge = picture(32, 32, seed=5).round()
    run = fit(make_module(name, lr=lr, start=at_the_edge), 4)
    assert len(run.images) == 5
    for image in run.images:
        assert image.min() >= 0
        assert image.max() <= 1
    assert not torch.equal(run.images[0], run.images[-1])


@every_way
def test_the_update_is_the_mean_change_in_grey_levels(
    make_module: MakeModule, name: str, options: Any
) -> None:
    run = fit(make_module(name, **options, steps=5, log_every=2), 5)
    for step, value in run.logged("update/mean_abs").items():
        assert step is not None
        before, after = (image.double().numpy() * 255 for image in run.images[step - 1 : step + 1])
        assert value == pytest.approx(abs(after - before).mean(), rel=1e-4)
        assert value > 0


def test_a_line_search_counts_as_one_step_of_many_evaluations(make_module: MakeModule) -> None:
    module = make_module("lbfgs", line_search="strong_wolfe", steps=5, log_every=1)
    run = fit(module, 5)
    assert run.trainer.global_step == 5
    assert module.evaluations > 5
    counts = list(run.logged("optimizer/evaluations").values())
    assert counts == sorted(set(counts))
    assert counts[-1] == module.evaluations


@pytest.mark.parametrize(
    ("name", "options"), [way for key, way in WAYS.items() if key != "line search"]
)
def test_without_line_search_each_step_is_one_evaluation(
    make_module: MakeModule, name: str, options: Any
) -> None:
    module = make_module(name, **options, log_every=1)
    counts = fit(module, 4).logged("optimizer/evaluations")
    assert counts == {1: 1, 2: 2, 3: 3, 4: 4}
    assert module.evaluations == 4


def test_each_evaluation_is_one_pass_through_the_encoder(make_module: MakeModule) -> None:
    module = make_module("lbfgs", line_search="strong_wolfe")
    passes: list[int] = []
    encoder = module.objective.encoder
    assert isinstance(encoder, Vgg19Features)
    encoder.register_forward_hook(lambda *args: passes.append(1))
    fit(module, 4)
    assert len(passes) == module.evaluations


def test_logged_losses_are_without_the_loss_scale(make_module: MakeModule) -> None:
    plain, scaled = (fit(make_module(scale=scale, eps=0.0), 4) for scale in (1.0, 2.0**12))
    assert torch.equal(plain.images[-1], scaled.images[-1])
    assert plain.rows == scaled.rows


def test_the_optimizer_sees_the_loss_scale(make_module: MakeModule) -> None:
    by_loss = fit(make_module("sgd", scale=8.0, lr=0.125), 3)
    by_rate = fit(make_module("sgd", scale=1.0, lr=1.0), 3)
    alone = fit(make_module("sgd", scale=1.0, lr=0.125), 3)
    torch.testing.assert_close(by_loss.images[-1], by_rate.images[-1])
    assert not torch.allclose(by_loss.images[-1], alone.images[-1])


class Repeats(pl.Callback):
    """Calls the training step twice before the second step, as a line search would."""

    losses: tuple[float, float]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 1:
            assert isinstance(pl_module, StyleTransferModule)
            before = pl_module.image.detach().clone()
            first, second = (pl_module.training_step(batch, batch_idx) for _ in range(2))
            self.losses = first.item(), second.item()
            assert torch.equal(pl_module.image, before)
            assert pl_module.evaluations == 1


def test_the_training_step_has_no_side_effects(make_module: MakeModule) -> None:
    repeats = Repeats()
    disturbed, quiet = fit(make_module(), 4, repeats), fit(make_module(), 4)
    assert repeats.losses[0] == repeats.losses[1]
    assert torch.equal(disturbed.images[-1], quiet.images[-1])
    assert disturbed.rows == quiet.rows


@every_way
def test_the_same_run_gives_the_same_picture(
    make_module: MakeModule, name: str, options: Any
) -> None:
    first, second = (fit(make_module(name, **options), 3) for _ in range(2))
    assert torch.equal(first.images[-1], second.images[-1])


def test_bfloat16_rounds_the_network_but_neither_image_nor_losses(
    make_module: MakeModule,
) -> None:
    module = make_module(log_every=1)
    run = fit(module, 3, precision="bf16-mixed")
    assert run.images[-1].dtype == torch.float32
    for step, loss in run.logged("loss/total").items():
        assert step is not None
        assert loss == pytest.approx(total_loss(module, run.images[step - 1]), rel=0.05)
        assert torch.tensor(loss).bfloat16().item() != loss, "the loss itself was rounded"


def test_a_batch_of_images_can_be_measured(make_module: MakeModule) -> None:
    module = make_module()
    images = torch.cat([picture(32, 32, seed) for seed in (3, 4)])
    with torch.no_grad():
        together = module(images).total
    assert together.tolist() == pytest.approx([total_loss(module, one[None]) for one in images])


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        *((*way, torch.nan) for way in WAYS.values()),
        ("sgd", {}, torch.inf),
        ("sgd", {}, -torch.inf),
    ],
)
@pytest.mark.parametrize(
    ("what", "last_good"), [("loss", 1), ("gradient", 1), ("picture", 2)], ids=lambda x: str(x)
)
def test_the_last_good_picture_is_kept_from_the_first_fault_on(
    make_module: MakeModule, name: str, options: Any, what: str, last_good: int, value: float
) -> None:
    module = make_module(name, steps=5, size=(16, 16), spoil=Spoil(what, 3, value), **options)
    run = fit(module, 5)
    assert module.divergence() == Divergence(
        step=3, what=what, rate=pytest.approx(RATES[name]), last_good=last_good
    )
    good = run.images[last_good]
    assert torch.isfinite(good).all()
    assert not torch.equal(good, run.images[last_good - 1])
    assert all(torch.equal(image, good) for image in [*run.images[3:], module.image])


def test_a_fault_in_the_first_step_leaves_the_start(make_module: MakeModule) -> None:
    start = picture(32, 32, seed=5)
    module = make_module(start=start, spoil=Spoil("loss", 1, torch.nan))
    fit(module, 4)
    assert torch.equal(module.image, start)
    assert module.divergence() == Divergence(1, "loss", pytest.approx(RATES["adam"]), last_good=0)


def test_a_trial_point_without_a_finite_loss_is_no_fault(make_module: MakeModule) -> None:
    class Tries(torch.optim.SGD):
        """Evaluates a hopeless point, and then takes a step from where it was."""

        def step(self, closure: Any = None) -> Any:
            loss = closure()
            (image,) = self.param_groups[0]["params"]
            here, gradient = image.data.clone(), image.grad.clone()
            image.data.fill_(torch.nan)
            assert not torch.isfinite(closure())
            image.data.copy_(here)
            image.grad.copy_(gradient)
            super().step()
            return loss

    module = make_module("sgd", build=lambda image: Tries([image], lr=1.0))
    run = fit(module, 3)
    assert module.divergence() is None
    assert not torch.equal(run.images[-1], run.images[-2])


def test_a_fault_at_a_later_size_never_counts_the_steps_of_an_earlier_one(
    make_module: MakeModule,
) -> None:
    module = make_module(first_step=7, spoil=Spoil("loss", 1, torch.inf))
    fit(module, 3)
    assert module.divergence() == Divergence(8, "loss", pytest.approx(RATES["adam"]), last_good=7)


def test_the_state_is_the_picture_and_its_guard_alone(make_module: MakeModule) -> None:
    assert sorted(make_module().state_dict()) == ["guard.fault", "guard.good", "image"]
