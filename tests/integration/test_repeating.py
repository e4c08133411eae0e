"""A run made again on a GPU, without PyTorch's switch for deterministic algorithms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from overpaint.runs.stylize import stylize
from overpaint.settings.schema import Config


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_run_on_cuda_is_the_same_bit_for_bit(
    make_config: Callable[..., Config], optimizer: str, precision: str
) -> None:
    """At sizes that are mirrored at both edges; losses show more digits than pictures."""
    if (optimizer, precision) == ("lbfgs", "bf16-mixed"):
        pytest.skip("L-BFGS needs the exact gradients of 32-true")
    words = (f"optimizer.name={optimizer}", f"trainer.precision={precision}", "image.size=301")
    assert not torch.are_deterministic_algorithms_enabled()
    first, *others = (
        stylize(make_config(*words, "schedule.steps=30", "trainer.accelerator=cuda"))
        for _ in range(3)
    )
    for other in others:
        assert other.losses == first.losses
        assert other.history == first.history
        np.testing.assert_array_equal(np.asarray(other.image), np.asarray(first.image))
