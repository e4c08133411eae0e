from __future__ import annotations

import itertools
from typing import get_args

import pytest
from conftest import quickly
from hypothesis import given
from hypothesis import strategies as st

from overpaint.encoder.layers import EncoderName
from overpaint.optimisation.footprint import bytes_needed, largest_edge
from overpaint.settings.schema import Precision

NETWORKS, PRECISIONS = get_args(EncoderName), set(get_args(Precision)) - {"auto"}

# Peaks of whole runs less what the process held before, in MB: network, precision, pixels.
MEASURED = {
    ("vgg19", "bf16-mixed"): {512 * 384: 533, 768 * 576: 950, 1024 * 768: 1547},
    ("vgg19", "32-true"): {512 * 384: 790, 768 * 576: 1351, 1024 * 768: 2618},
    ("vgg19_slim", "bf16-mixed"): {512 * 384: 237, 768 * 576: 426, 1024 * 768: 743},
    ("vgg19_slim", "32-true"): {512 * 384: 329, 768 * 576: 695, 1024 * 768: 998},
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("precision", sorted(PRECISIONS))
def test_the_formula_is_within_a_sixth_of_what_was_measured(network: str, precision: str) -> None:
    for pixels, megabytes in MEASURED[network, precision].items():
        formula = bytes_needed(network, precision, pixels, [pixels])
        assert formula == pytest.approx(megabytes * 1e6, rel=1 / 6)


def test_the_slim_network_and_bfloat16_take_less() -> None:
    needed = {
        kind: bytes_needed(*kind, 10**6, [10**6])
        for kind in itertools.product(NETWORKS, PRECISIONS)
    }
    for precision in PRECISIONS:
        assert needed["vgg19_slim", precision] < 0.6 * needed["vgg19", precision]
    for network in NETWORKS:
        assert needed[network, "bf16-mixed"] < 0.8 * needed[network, "32-true"]


def test_each_pair_of_lbfgs_is_24_bytes_a_pixel() -> None:
    plain, more = (bytes_needed("vgg19", "32-true", 1000, [9], pairs=n) for n in (0, 20))
    assert more - plain == 20 * 24 * 1000


def test_a_painting_far_larger_than_the_picture_decides() -> None:
    small, large = (bytes_needed("vgg19", "32-true", 10**6, [n]) for n in (10**6, 10**7))
    assert large > 3 * small
    twice = bytes_needed("vgg19", "32-true", 10**6, [10**7, 10**7])
    assert twice < 1.1 * large  # one after the other


@quickly
@given(st.integers(1, 5000), st.integers(0, 10**12), st.integers(1, 10**5))
def test_the_largest_size_fits_and_the_next_does_not(rate: int, free: int, below: int) -> None:
    def needed(edge: int) -> int:
        return 10**6 + rate * edge * edge

    found = largest_edge(needed, free, below=below)
    assert found % 16 == 0
    assert 0 <= found < below
    assert found == 0 or needed(found) <= free
    assert found + 16 >= below or needed(found + 16) > free
