"""`paint` and the parts, as a notebook uses them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import InterruptAfter, make_picture
from PIL import Image, ImageOps

import overpaint
from overpaint import Objective, PaintResult, load_encoder, load_picture, paint, stylize, to_picture
from overpaint.errors import ConfigError, DivergedError, ImageError
from overpaint.settings.schema import Config

pytestmark = pytest.mark.usefixtures("one_thread")

QUICKLY = (
    "image.size=32",
    "schedule.steps=3",
    "encoder.name=vgg19_slim",
    "trainer.accelerator=cpu",
)


def test_paint_makes_the_picture_of_a_run_and_leaves_nothing(
    make_config: Callable[..., Config],
    photo: Path,
    painting: Path,
    vgg_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    words = ("image.size=32", "schedule.steps=4", "init.mode=blend", "seed=3")
    made = paint(photo, [painting], *words, f"encoder.weights={vgg_file}", progress=False)
    run = stylize(make_config("init.mode=blend", "seed=3"))
    np.testing.assert_array_equal(np.asarray(made.image), np.asarray(run.image))
    assert made.losses == run.losses
    assert made.history == run.history
    assert not list(empty.iterdir())
    assert not isinstance(made, type(run))


def test_pictures_may_be_files_pillow_s_or_tensors(photo: Path, painting: Path) -> None:
    tensors = load_picture(photo, size=32), load_picture(painting, size=32)
    with Image.open(photo) as one, Image.open(painting) as other:
        pillow = one.copy(), other.copy()
    results = [
        paint(content, [style], *QUICKLY, progress=False)
        for content, style in (tensors, pillow, (str(photo), painting))
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(np.asarray(result.image), np.asarray(results[0].image))


def test_a_painted_picture_is_as_large_as_a_photo_that_is_a_tensor(
    photo: Path, painting: Path
) -> None:
    words = [word for word in QUICKLY if not word.startswith("image.size")]
    made = paint(load_picture(photo, size=40), [painting], *words, progress=False)
    assert made.image.size == (40, 30)


def test_a_painted_picture_shows_itself_in_a_cell(photo: Path, painting: Path) -> None:
    made = paint(photo, [painting], *QUICKLY, progress=False)
    with Image.open(io.BytesIO(made._repr_png_())) as shown:
        assert shown.format == "PNG"
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(made.image))
    assert [row["step"] for row in made.history] == [1, 3]
    assert made.history[0]["loss/total"] > 0
    assert repr(made).startswith("<PaintResult 32x24, 3 steps, total ")


def test_a_painted_picture_starts_where_its_settings_say(photo: Path, painting: Path) -> None:
    still = ("optimizer.lr=1e-9", "schedule.steps=1")
    made = paint(photo, [painting], *QUICKLY, *still, "init.mode=style", progress=False)
    with Image.open(painting) as picture:
        filled = ImageOps.fit(picture.convert("RGB"), (32, 24), Image.Resampling.LANCZOS)
    assert np.abs(np.subtract(made.image, filled, dtype=float)).max() <= 1


def test_an_interrupt_returns_the_picture_so_far(photo: Path, painting: Path) -> None:
    made = paint(photo, [painting], *QUICKLY, callbacks=[InterruptAfter(2)], progress=False)
    assert (made.interrupted, made.steps) == (True, 2)


def test_a_divergence_carries_the_last_good_picture(photo: Path, painting: Path) -> None:
    words = ("loss.normalization=paper", "style.weight=1e38")
    with pytest.raises(DivergedError, match=r"try optimizer\.lr.* is that of step 0") as error:
        paint(photo, [painting], *QUICKLY, *words, progress=False)
    assert isinstance(error.value.result, PaintResult)
    assert error.value.result.image.size == (32, 24)


@pytest.mark.parametrize(
    ("paintings", "words", "error", "said"),
    [
        ([], (), ValueError, "at least one painting"),
        (["none.png"], (), ImageError, "none.png"),
        (None, ("style.wight=3",), ConfigError, "unknown setting 'wight'"),
        (None, ("image.size=8",), ConfigError, "8 is too small"),
        ([torch.zeros(2, 3, 40, 40)], (), ValueError, r"\(2, 3, 40, 40\)"),
        ([make_picture((400, 8), 1)], (), ImageError, "'painting': 400x8 becomes 32x1"),
    ],
    ids=["no painting", "no file", "misspelt", "too small", "two pictures", "too narrow"],
)
def test_what_cannot_be_painted_is_said(
    photo: Path,
    painting: Path,
    paintings: list[object] | None,
    words: tuple[str, ...],
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        paint(photo, paintings or ([painting] if paintings is None else []), *QUICKLY, *words)  # type: ignore[list-item]


def test_a_loop_of_one_s_own_lowers_the_loss(photo: Path, painting: Path) -> None:
    encoder = load_encoder("vgg19_slim")
    content, style = load_picture(photo, size=32), load_picture(painting, size=32)
    objective = Objective(encoder, content, [style], style_weight=7)
    image = content.clone().requires_grad_()
    adam = torch.optim.Adam([image], lr=0.03)
    losses = []
    for _ in range(6):
        adam.zero_grad()
        total = objective(image).total
        total.backward()
        adam.step()
        losses.append(total.item())
    assert losses[-1] < 0.9 * losses[0]
    assert to_picture(image).size == (32, 24)


def test_every_public_name_is_there_and_documented() -> None:
    for name in overpaint.__all__:
        assert getattr(overpaint, name).__doc__, name
    assert set(overpaint.__all__) == set(dir(overpaint))
    with pytest.raises(AttributeError, match="no attribute 'stylise'"):
        overpaint.stylise  # noqa: B018


def test_paintings_are_weighed_as_in_a_run(photo: Path, painting: Path) -> None:
    other = make_picture((40, 60), seed=9)
    words = (*QUICKLY, "schedule.steps=6")

    def picture(*weights: str) -> np.ndarray:
        made = paint(photo, [painting, other], *words, *weights, progress=False)
        return np.asarray(made.image, float)

    alone = np.asarray(paint(photo, painting, *words, progress=False).image, float)
    np.testing.assert_array_equal(picture("style.image_weights=[1,0]"), alone)
    assert np.abs(picture("style.image_weights=[1,2]") - alone).mean() > 0.5
    with pytest.raises(ConfigError, match="3 weights for 2 style images"):
        picture("style.image_weights=[1,2,3]")
