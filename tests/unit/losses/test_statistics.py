from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import Array, draw, positions
from torch import Tensor

from overpaint.banding.bands import Rows
from overpaint.losses.statistics import STATISTICS, CovarianceTarget, GramTarget, Summed

pytestmark = pytest.mark.usefixtures("one_thread")

every_statistic = pytest.mark.parametrize("name", STATISTICS)


Target = GramTarget | CovarianceTarget


def summed(name: str, maps: Tensor) -> Summed:
    return Summed(STATISTICS[name].sums(maps)[1], positions(maps))


def losses(name: str, target: Target, maps: Tensor) -> Tensor:
    found: Tensor = target(summed(name, maps))
    return found


def constant(value: float) -> object:
    return lambda target: value


def inverse_square(target: Tensor) -> Tensor:
    return target.square().sum().reciprocal()


def moments(maps: Tensor) -> tuple[Array, Array, Array]:
    """Gram matrix, covariances and means by NumPy, in float64."""
    rows = maps[0].double().flatten(1).numpy()
    return rows @ rows.T / rows.shape[1], np.cov(rows, bias=True), rows.mean(1)


def relative(found: Array, target: Array) -> float:
    return float(np.sum((found - target) ** 2) / np.sum(target**2))


def reference(name: str, features: Tensor, painting: Tensor) -> float:
    gram, covariance, mean = moments(features)
    gram_, covariance_, mean_ = moments(painting)
    if name == "gram":
        return relative(gram, gram_)
    return relative(covariance, covariance_) + relative(mean, mean_)


@every_statistic
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_losses_are_those_of_a_reference_in_float64(name: str, dtype: torch.dtype) -> None:
    features, painting = 1 + draw((1, 5, 6, 7), 1, dtype), draw((1, 5, 4, 9), 2, dtype)
    target = STATISTICS[name]([summed(name, painting)], [1.0], inverse_square)
    same, _ = target.sums(features)
    assert torch.equal(same, features)
    loss = losses(name, target, features)
    exact = 1e-12 if dtype == torch.float64 else 1e-5
    assert loss.item() == pytest.approx(reference(name, features, painting), rel=exact)


@every_statistic
def test_the_painting_itself_is_without_loss(name: str) -> None:
    painting = draw((1, 5, 6, 7), 1)
    target = STATISTICS[name]([summed(name, painting)], [1.0], inverse_square)
    shuffled = painting.flatten(2)[..., torch.randperm(42)].view_as(painting)
    assert losses(name, target, shuffled).item() == pytest.approx(0, abs=1e-9)


@every_statistic
def test_images_of_a_batch_have_losses_of_their_own(name: str) -> None:
    images, painting = draw((3, 5, 6, 7), 1), draw((1, 5, 4, 9), 2)
    target = STATISTICS[name]([summed(name, painting)], [1.0], inverse_square)
    together = losses(name, target, images)
    assert together.shape == (3,)
    torch.testing.assert_close(
        together, torch.cat([losses(name, target, one[None]) for one in images])
    )


@every_statistic
def test_gradients_agree_with_finite_differences(name: str) -> None:
    features = draw((2, 3, 4, 5), 1, torch.float64).requires_grad_()
    target = STATISTICS[name](
        [summed(name, draw((1, 3, 4, 5), 2, torch.float64))], [1.0], inverse_square
    )
    assert torch.autograd.gradcheck(lambda x: losses(name, target, x), features)


def test_covariances_do_not_change_with_the_level_and_the_means_tell_it() -> None:
    painting = draw((1, 4, 6, 7), 1, torch.float64)
    target = CovarianceTarget([summed("covariance", painting)], [1.0], constant(1.0))  # type: ignore[arg-type]
    assert losses("covariance", target, painting + 0.5).item() == pytest.approx(4 * 0.5**2)


def test_a_gram_matrix_mixes_levels_and_shapes() -> None:
    """Flat maps and noisy ones with the same second moments: only the Gram matrix takes them."""
    flat = torch.full((1, 1, 2, 2), 1.0)
    noisy = torch.tensor([[[[2.0**0.5, 2.0**0.5], [0.0, 0.0]]]])
    gram = GramTarget([summed("gram", flat)], [1.0], constant(1.0))  # type: ignore[arg-type]
    covariance = CovarianceTarget([summed("covariance", flat)], [1.0], constant(1.0))  # type: ignore[arg-type]
    assert losses("gram", gram, noisy).item() == pytest.approx(0, abs=1e-12)
    assert losses("covariance", covariance, noisy).item() > 0.3


@every_statistic
def test_sums_of_parts_add_up_to_those_of_the_whole(name: str) -> None:
    features = draw((2, 3, 6, 5), 1)
    whole = STATISTICS[name].sums(features)[1]
    parts = [
        STATISTICS[name].sums(features, rows)[1] for rows in (Rows(0, 2, 0, 6), Rows(2, 4, 2, 6))
    ]
    for total, *some in zip(whole, *parts, strict=True):
        torch.testing.assert_close(sum(some), total)


@every_statistic
def test_statistics_of_several_paintings_are_averaged_by_their_shares(name: str) -> None:
    paintings = [draw((1, 3, 4, 5), seed, torch.float64) for seed in (1, 2)]
    target = STATISTICS[name]([summed(name, one) for one in paintings], [3.0, 1.0], constant(1.0))  # type: ignore[arg-type]
    (gram, covariance, mean), others = (moments(one) for one in paintings)
    expected = {
        "gram": 0.75 * gram + 0.25 * others[0],
        "covariance": 0.75 * covariance + 0.25 * others[1],
        "mean": 0.75 * mean + 0.25 * others[2],
    }
    for key, value in target.named_buffers():
        if not key.endswith("scale"):
            np.testing.assert_allclose(value[0].numpy(), expected[key], rtol=1e-12)
