from __future__ import annotations

from overpaint.settings.differences import differing_settings
from overpaint.settings.reading import load_config


def test_settings_differ_by_their_dotted_names_and_layers_as_one() -> None:
    first = load_config("default", ["seed=1"])
    second = load_config("default", ["optimizer.adam.beta1=0.5", "content.layers={relu3_1: 1}"])
    assert differing_settings(first, second) == {
        "seed": (1, 0),
        "optimizer.adam.beta1": (0.9, 0.5),
        "content.layers": ({"relu4_2": 1.0}, {"relu3_1": 1.0}),
    }
    assert differing_settings(first, first) == {}
