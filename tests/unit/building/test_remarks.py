from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import make_picture
from PIL import Image

from overpaint.building.encoder import build_encoder
from overpaint.building.objective import build_problem
from overpaint.building.remarks import remark, remark_on_regions
from overpaint.encoder.layers import SLIM_CONVOLUTIONS
from overpaint.encoder.slim import load_slim
from overpaint.encoder.weights import VggWeights
from overpaint.pictures.inputs import SizedInputs
from overpaint.pictures.masks import NO_MASKS, Masks, RegionMask
from overpaint.settings.reading import load_config
from overpaint.settings.schema import Config

PHOTO, PAINTING = make_picture((48, 32), seed=1), make_picture((40, 44), seed=2)
LEAST = "the start has the least loss there is, and the steps have nothing to do."
ONLY_SMOOTH = (
    "the start has the least content and style loss there is, and the steps only smooth it "
    "(loss.tv_weight=8)."
)
NOT_COUNTED = "style.weight=0: paintings do not count, so that the picture sought is the photo"
ITSELF = "The painting is the photo itself, and so is the picture sought"
FROM_PAINTING = "content.weight=0: the run starts from the painting, which is all that is sought"
PLAIN = "init.mode=content"
NO_TV = "loss.tv_weight=0"
TWO = f"style.images=[{Config().style.images[0]}, {Config().content.image}]"  # found anywhere


def said(
    *words: str, styles: tuple[Image.Image, ...] = (PAINTING,), start: Image.Image | None = None
) -> str | None:
    config = load_config("default", list(words))
    return remark(config, SizedInputs(PHOTO, list(styles), start))


@pytest.mark.parametrize(
    ("words", "styles", "start", "expected"),
    [
        (
            ["style.weight=0", PLAIN, NO_TV],
            (PAINTING,),
            None,
            f"{NOT_COUNTED}; {LEAST}",
        ),
        (
            ["style.weight=0", PLAIN],
            (PAINTING,),
            None,
            f"{NOT_COUNTED}; {ONLY_SMOOTH}",
        ),
        (["style.weight=0", NO_TV], (PAINTING,), None, f"{NOT_COUNTED}."),
        (["style.weight=0"], (PAINTING,), None, f"{NOT_COUNTED}, smoothed by loss.tv_weight=8."),
        (["style.weight=0", "init.mode=noise", NO_TV], (PAINTING,), None, f"{NOT_COUNTED}."),
        (
            ["style.weight=0", "init.mode=blend", "init.noise_ratio=0", NO_TV],
            (PAINTING,),
            None,
            f"{NOT_COUNTED}; {LEAST}",
        ),
        (
            ["style.weight=0", "init.mode=file", f"init.file={Config().content.image}", NO_TV],
            (PAINTING,),
            PHOTO,
            f"{NOT_COUNTED}; {LEAST}",
        ),
        ([PLAIN, NO_TV], (PHOTO,), None, f"{ITSELF}; {LEAST}"),
        ([PLAIN], (PHOTO,), None, f"{ITSELF}; {ONLY_SMOOTH}"),
        ([], (PHOTO,), None, f"{ITSELF}, smoothed by loss.tv_weight=8."),
        (["init.mode=style", NO_TV], (PHOTO,), PHOTO, f"{ITSELF}; {LEAST}"),
        (["content.weight=0", PLAIN, NO_TV], (PHOTO,), None, f"{ITSELF}; {LEAST}"),
        (
            ["content.weight=0", "init.mode=style", NO_TV],
            (PAINTING,),
            PAINTING,
            f"{FROM_PAINTING}; {LEAST}",
        ),
        (
            ["style.image_weights=[1, 0]", TWO, PLAIN, NO_TV],
            (PHOTO, PAINTING),
            None,
            f"{ITSELF}; {LEAST}",
        ),
    ],
)
def test_what_a_run_cannot_do_is_said_in_one_line(
    words: list[str],
    styles: tuple[Image.Image, ...],
    start: Image.Image | None,
    expected: str,
) -> None:
    assert said(*words, styles=styles, start=start) == expected


@pytest.mark.parametrize(
    ("words", "styles", "start"),
    [
        ([], (PAINTING,), None),
        ([PLAIN, NO_TV], (PAINTING,), None),
        (["content.weight=0"], (PAINTING,), None),
        (["content.weight=0", "init.mode=noise"], (PHOTO,), None),
        (["content.weight=0", "init.mode=style"], (PAINTING,), PHOTO),
        (["init.mode=style"], (PAINTING,), PAINTING),
        ([PLAIN, "style.image_weights=[1, 1]"], (PHOTO, PAINTING), None),
        ([PLAIN], (PHOTO.resize((24, 16)),), None),
        (["schedule.steps=1"], (PAINTING,), None),
    ],
)
def test_nothing_is_said_of_a_run_that_has_something_to_do(
    words: list[str],
    styles: tuple[Image.Image, ...],
    start: Image.Image | None,
) -> None:
    images = [TWO] if len(styles) == 2 else []
    assert said(*images, *words, styles=styles, start=start) is None


@pytest.mark.parametrize(
    ("words", "style", "start"),
    [
        (["style.weight=0", PLAIN, NO_TV], PAINTING, None),
        ([PLAIN, NO_TV], PHOTO, None),
        (["content.weight=0", "init.mode=style", NO_TV], PAINTING, PAINTING),
    ],
)
@pytest.mark.parametrize("statistics", ["gram", "covariance"])
def test_a_start_that_is_called_the_least_has_a_loss_of_nothing(
    words: list[str],
    style: Image.Image,
    start: Image.Image | None,
    statistics: str,
    slim_weights: VggWeights,
) -> None:
    """The claim held against the losses themselves, at the photo's size."""
    sized = SizedInputs(PHOTO, [style.resize(PHOTO.size)], start and start.resize(PHOTO.size))
    config = load_config(
        "default",
        [*words, "encoder.name=vgg19_slim", f"style.statistics={statistics}"],
    )
    assert "nothing to do" in (remark(config, sized) or "")
    encoder = build_encoder(config, slim_weights, torch.device("cpu"), "32-true")
    problem = build_problem(config, sized, encoder, "32-true")
    with torch.no_grad():
        assert problem.objective(problem.image).total.item() < 1e-9


@pytest.fixture
def slim_weights(slim_file: Path) -> VggWeights:
    return load_slim(slim_file, SLIM_CONVOLUTIONS)


def a_mask(*levels: int) -> Image.Image:
    """Of one row."""
    mask = Image.new("L", (len(levels), 1))
    mask.putdata(levels)
    return mask


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        (NO_MASKS, None),
        (Masks((RegionMask(a_mask(255, 255), 0),)), None),
        (Masks((RegionMask(a_mask(255, 0), 0),)), "regions: no mask covers 50% of the photo"),
        (Masks((RegionMask(a_mask(255, 0), 0), RegionMask(a_mask(0, 255), None))), None),
        (
            Masks((RegionMask(a_mask(255, 0), 0), RegionMask(a_mask(0, 1), 0))),
            "regions[1].content_mask is nowhere brighter than 0.4% of white",
        ),
    ],
)
def test_what_no_region_covers_is_told(masks: Masks, told: str | None) -> None:
    found = remark_on_regions(masks)
    assert found is None if told is None else told in str(found)
