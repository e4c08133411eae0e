from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from overpaint.encoder.vgg import Vgg19Features
from overpaint.losses.objective import Objective
from overpaint.losses.statistics import STATISTICS
from overpaint.optimisation.compiling import compiled_measure, is_compiling_wanted

Parts = tuple[Objective, nn.Parameter]
COMPILE = torch.compile


def picture(seed: int, height: int = 16, width: int = 24) -> Tensor:
    return torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def make_parts(make_encoder: Callable[..., Vgg19Features]) -> Callable[..., Parts]:
    def build(height: int = 16, width: int = 24, statistics: str = "gram") -> Parts:
        objective = Objective(
            make_encoder("relu1_1", "relu2_1"),
            picture(0, height, width),
            [picture(1)],
            content_layers={"relu2_1": 1.0},
            style_layers={"relu1_1": 0.5, "relu2_1": 0.5},
            content_weight=1.0,
            style_weight=5.0,
            tv_weight=2.0,
            statistics=statistics,
        )
        return objective, nn.Parameter(picture(2, height, width))

    return build


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """PyTorch's tracing without its slow code generation; counts the graphs made."""
    graphs: list[int] = []

    def backend(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(len(inputs))
        eager: Callable[..., Any] = torch._dynamo.lookup_backend("aot_eager")(module, inputs)
        return eager

    def compile_(function: Callable[..., Any], **options: Any) -> Any:
        options.pop("mode")
        return COMPILE(function, backend=backend, **options)

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", compile_)
    return graphs


@pytest.mark.parametrize(
    ("setting", "device", "steps", "wanted"),
    [
        ("auto", "cpu", 3000, False),
        ("auto", "cuda", 3000, True),
        ("auto", "cuda", 80, False),
        ("auto", "mps", 3000, False),
        ("always", "cpu", 1, True),
        ("always", "cuda", 1, True),
        ("never", "cuda", 3000, False),
    ],
)
def test_auto_compiles_long_runs_on_cuda_devices_alone(
    setting: str, device: str, steps: int, wanted: bool
) -> None:
    assert is_compiling_wanted(setting, torch.device(device), steps) is wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    "autocast", [nullcontext, partial(torch.autocast, "cpu", torch.bfloat16)], ids=["f32", "bf16"]
)
@pytest.mark.parametrize("statistics", STATISTICS)
def test_compiled_losses_and_gradient_are_those_of_the_plain_function(
    make_parts: Callable[..., Parts],
    traced: list[int],
    autocast: Callable[[], AbstractContextManager[Any]],
    statistics: str,
) -> None:
    objective, image = make_parts(statistics=statistics)
    before = image.detach().clone()
    measure = compiled_measure(objective, image, autocast=autocast)
    assert measure is not None
    assert traced, "nothing was compiled"
    assert image.grad is None
    assert torch.equal(image, before)
    gradients = []
    for way in (Objective.forward, measure):
        with autocast():
            terms = way(objective, image)
        gradients.append((terms, torch.autograd.grad(terms.total.sum(), image)[0]))
    (plain, plain_gradient), (fast, fast_gradient) = gradients
    for field in ("total", "content", "style", "tv"):
        torch.testing.assert_close(getattr(fast, field), getattr(plain, field))
    assert list(fast.style_layers) == list(plain.style_layers)
    torch.testing.assert_close(fast_gradient, plain_gradient)


@pytest.mark.slow
def test_one_size_is_compiled_once_and_another_once_more(
    make_parts: Callable[..., Parts], traced: list[int]
) -> None:
    for size, graphs in (((16, 24), 1), ((16, 24), 1), ((24, 24), 2), ((16, 24), 2)):
        objective, image = make_parts(*size)
        measure = compiled_measure(objective, image, autocast=nullcontext)
        assert measure is not None
        measure(objective, image)
        assert len(traced) == graphs


@pytest.mark.parametrize(
    "message", ["no compiler here\nand more", "backend='inductor' raised:\nno compiler here\n"]
)
def test_failing_to_compile_says_so_in_one_line_and_goes_on(
    message: str,
    make_parts: Callable[..., Parts],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: object, **__: object) -> object:
        raise RuntimeError(message)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    with caplog.at_level(logging.WARNING):
        measure = compiled_measure(*make_parts(), autocast=nullcontext)
    assert measure is None
    assert [record.getMessage() for record in caplog.records] == [
        "torch.compile failed (no compiler here); going on without it."
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_give_the_losses_and_gradients_of_each_picture(
    make_parts: Callable[..., Parts],
) -> None:
    for size in ((16, 24), (24, 24), (16, 24)):
        objective, image = (part.cuda() for part in make_parts(*size))
        image = nn.Parameter(image.detach())
        measure = compiled_measure(objective, image, autocast=nullcontext)
        assert measure is not None
        for _ in range(4):
            results = []
            for way in (Objective.forward, measure):
                total = way(objective, image).total.sum()
                results.append((total.clone(), torch.autograd.grad(total, image)[0].clone()))
            torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-5)
            with torch.no_grad():
                image.sub_(0.1 * results[0][1]).clamp_(0, 1)
