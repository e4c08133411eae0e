from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_picture, quickly
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from torch import Tensor

from overpaint.errors import ConfigError, ImageError
from overpaint.pictures.deep.picture import DeepPicture
from overpaint.pictures.io import read_whole, save_picture
from overpaint.pictures.tensors import (
    clamped_share,
    enlarge_paint,
    enlarge_picture,
    enlarge_with_detail,
    load_picture,
    start_image,
    to_deep_picture,
    to_picture,
    to_tensor,
)

MODES = ("content", "recolored", "style", "file", "noise", "blend", "multiply")

pixels = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)),
    elements=st.integers(0, 255),
)


def image(seed: int, height: int = 24, width: int = 40) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def start(mode: str, **changed: object) -> Tensor:
    given: dict[str, object] = {
        "content": image(101),
        "picture": image(102),
        "paintings": [image(103)],
    }
    return start_image(mode, **{**given, **changed})  # type: ignore[arg-type]


@quickly
@given(pixels)
def test_a_picture_survives_the_round_trip_exactly(levels: np.ndarray) -> None:
    picture = to_picture(to_tensor(Image.fromarray(levels)))
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), levels)


@quickly
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.just(1), st.just(3), st.integers(1, 6), st.integers(1, 6)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_a_tensor_survives_the_round_trip_within_half_a_grey_level(values: np.ndarray) -> None:
    again = to_tensor(to_picture(torch.from_numpy(values)))
    assert again.shape == values.shape
    assert np.abs(again.numpy() - values).max() <= 0.5 / 255 + 1e-6


def test_a_tensor_is_float32_channels_first_in_0_to_1() -> None:
    levels = np.zeros((2, 3, 3), dtype=np.uint8)
    levels[0, 2] = (255, 51, 0)
    tensor = to_tensor(Image.fromarray(levels))
    assert tensor.shape == (1, 3, 2, 3)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert tensor[0, :, 0, 2].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert tensor.sum().item() == pytest.approx(1.2)


def test_a_grey_picture_becomes_three_equal_channels() -> None:
    tensor = to_tensor(Image.new("L", (2, 2), 102))
    assert tensor.shape == (1, 3, 2, 2)
    assert tensor.unique().tolist() == pytest.approx([0.4])


@pytest.mark.parametrize(
    ("value", "level"),
    [(-0.5, 0), (0.0, 0), (0.5 / 255, 0), (0.7 / 255, 1), (1.0, 255), (7.0, 255)],
)
def test_values_are_clamped_and_rounded_to_a_level(value: float, level: int) -> None:
    assert to_picture(torch.full((1, 3, 1, 1), value)).getpixel((0, 0)) == (level,) * 3


def test_a_parameter_of_low_precision_can_be_shown() -> None:
    parameter = torch.nn.Parameter(torch.full((1, 3, 2, 2), 0.5, dtype=torch.bfloat16))
    assert to_picture(parameter).getpixel((1, 1)) == (128, 128, 128)


def test_a_picture_does_not_change_with_its_tensor() -> None:
    tensor = torch.zeros(1, 3, 2, 2)
    picture = to_picture(tensor)
    tensor.fill_(1)
    assert picture.getpixel((0, 0)) == (0, 0, 0)


@quickly
@given(
    hnp.arrays(
        np.uint16,
        st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 9)),
        elements=st.integers(0, 65535),
    )
)
def test_a_picture_of_16_bits_survives_the_round_trip_exactly(levels: np.ndarray) -> None:
    tensor = to_tensor(DeepPicture(levels))
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor[0].numpy(), levels / 65535, atol=6e-8)
    np.testing.assert_array_equal(to_deep_picture(tensor).levels, levels)


def test_a_gradient_keeps_more_than_256_levels_from_file_to_file(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 3 * 8 * 700).astype(np.uint16).reshape(3, 8, 700)
    save_picture(DeepPicture(ramp), tmp_path / "in.png")
    start = start_image("content", content=load_picture(tmp_path / "in.png"))
    save_picture(to_deep_picture(start), tmp_path / "out.tif")
    read = read_whole(tmp_path / "out.tif")
    assert isinstance(read, DeepPicture)
    assert np.abs(read.levels.astype(int) - ramp).max() <= 1
    assert all(len(np.unique(plane)) > 256 for plane in read.levels)


def test_pictures_are_converted_by_bands_of_rows_as_if_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tensor = image(7, 50, 30)
    whole = to_picture(tensor), to_deep_picture(tensor), to_tensor(make_picture((30, 50), 1))
    monkeypatch.setattr("overpaint.pictures.deep.picture._BAND", 7 * 30)
    assert to_picture(tensor).tobytes() == whole[0].tobytes()
    np.testing.assert_array_equal(to_deep_picture(tensor).levels, whole[1].levels)
    assert torch.equal(to_tensor(make_picture((30, 50), 1)), whole[2])
    levels = (tensor[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(np.asarray(whole[0]), levels)


@pytest.mark.parametrize("convert", [to_picture, to_deep_picture])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5), (1, 1, 4, 5)])
def test_other_shapes_are_no_picture(
    convert: Callable[[Tensor], object], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=rf"got \({', '.join(map(str, shape))}\)"):
        convert(torch.zeros(shape))


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_values_that_are_not_finite_are_no_picture(value: float) -> None:
    tensor = torch.zeros(1, 3, 2, 2)
    tensor[0, 1, 1, 0] = value
    with pytest.raises(ValueError, match="not finite"):
        to_picture(tensor)


@pytest.mark.parametrize(
    ("values", "share"),
    [
        ([0.0, 1.0, 0.5, 0.25], 0.5),
        ([0.0, 0.0, 0.0, 0.0], 1.0),
        ([1.0, 1.0, 1.0, 0.5], 0.75),
        ([1e-7, 1 - 1e-6, 0.5, 0.5], 0.0),  # near the ends is not at them
        ([float("nan"), 1.0, 0.5, 0.5], 0.25),
    ],
)
def test_the_share_on_the_clamp_counts_what_is_exactly_at_the_ends(
    values: list[float], share: float
) -> None:
    assert clamped_share(torch.tensor(values).repeat(3).view(1, 3, 2, 2)) == share


def test_the_share_on_the_clamp_counts_each_channel() -> None:
    black_and_white = torch.full((1, 3, 2, 2), 0.5)
    black_and_white[0, 2] = 1
    assert clamped_share(black_and_white) == pytest.approx(1 / 3)


@pytest.mark.parametrize("mode", MODES)
def test_every_start_has_the_contents_shape_and_range(mode: str) -> None:
    tensor = start(mode)
    assert tensor.shape == (1, 3, 24, 40)
    assert tensor.dtype == torch.float32
    assert tensor.min() >= 0
    assert tensor.max() <= 1


@pytest.mark.parametrize(("mode", "seed"), [("content", 101), ("style", 102), ("file", 102)])
def test_a_run_can_start_from_a_picture(mode: str, seed: int) -> None:
    assert torch.equal(start(mode), image(seed))


@pytest.mark.parametrize("mode", MODES)
def test_the_start_is_a_copy(mode: str) -> None:
    sources = {"content": image(101), "picture": image(102)}
    start(mode, **sources).fill_(7)
    for seed, source in zip((101, 102), sources.values(), strict=True):
        assert torch.equal(source, image(seed))


def test_noise_is_uniform_over_the_whole_range() -> None:
    noise = start("noise", content=image(101, 128, 128))
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01)
    assert noise.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert noise.min() < 0.01
    assert noise.max() > 0.99


def test_noise_ignores_the_pictures() -> None:
    blank = torch.zeros(1, 3, 24, 40)
    assert torch.equal(start("noise"), start("noise", content=blank, picture=blank))


@pytest.mark.parametrize("mode", ["noise", "blend", "multiply"])
@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_the_same_seed_gives_the_same_noise_whatever_was_drawn_before(mode: str, seed: int) -> None:
    first = start(mode, seed=seed)
    with torch.random.fork_rng():
        torch.rand(5)
        second = start(mode, seed=seed)
    assert torch.equal(first, second)


@pytest.mark.parametrize("mode", ["noise", "blend", "multiply"])
def test_another_seed_gives_other_noise(mode: str) -> None:
    assert not torch.allclose(start(mode, seed=0), start(mode, seed=1), atol=0.1)


def test_drawing_noise_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    start("noise")
    assert torch.equal(torch.get_rng_state(), before)


def test_multiply_is_noise_times_content() -> None:
    assert torch.equal(start("multiply", seed=3), start("noise", seed=3) * image(101))


@pytest.mark.parametrize(("ratio", "mode"), [(0.0, "content"), (1.0, "noise")])
def test_blend_reaches_content_and_noise_at_its_ends(ratio: float, mode: str) -> None:
    assert torch.equal(start("blend", noise_ratio=ratio), start(mode))


def test_blend_holds_as_much_noise_as_asked_for() -> None:
    expected = 0.25 * start("noise", seed=5) + 0.75 * image(101)
    assert torch.allclose(start("blend", seed=5, noise_ratio=0.25), expected, atol=1e-6)


def test_an_unknown_mode_is_answered_with_the_closest_one() -> None:
    with pytest.raises(ConfigError, match=r"init\.mode 'contnet'; did you mean 'content'\?"):
        start("contnet")


def test_mode_file_needs_a_picture() -> None:
    with pytest.raises(ValueError, match="'file'"):
        start("file", picture=None)


@pytest.mark.parametrize(
    ("size", "shape"), [(None, (30, 50)), (25, (15, 25)), (50, (30, 50)), (100, (60, 100))]
)
def test_a_picture_is_loaded_at_the_longer_edge_asked_for(
    tmp_path: Path, size: int | None, shape: tuple[int, int]
) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (50, 30), (255, 51, 0)).save(path)
    tensor = load_picture(path, size)
    assert tensor.shape == (1, 3, *shape)
    assert tensor.dtype == torch.float32
    for channel, value in enumerate((1.0, 0.2, 0.0)):
        torch.testing.assert_close(tensor[0, channel], torch.full(shape, value))


def test_a_loaded_picture_is_that_of_the_file_upright_and_in_order(tmp_path: Path) -> None:
    levels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    Image.fromarray(levels).save(tmp_path / "x.png", exif=exif)
    expected = torch.from_numpy(levels[::-1, ::-1].transpose(2, 0, 1).copy())[None] / 255
    torch.testing.assert_close(load_picture(str(tmp_path / "x.png")), expected)


def test_enlarging_rings_but_stays_in_range(tmp_path: Path) -> None:
    halves = np.zeros((4, 8, 3), dtype=np.uint8)
    halves[:, 4:] = 255
    Image.fromarray(halves).save(tmp_path / "x.png")
    tensor = load_picture(tmp_path / "x.png", size=32)
    assert (tensor.min().item(), tensor.max().item()) == (0, 1)


@pytest.mark.parametrize("size", [0, -3])
def test_a_picture_of_no_size_is_refused_before_the_file_is_read(size: int) -> None:
    with pytest.raises(ValueError, match=f"cannot be {size} pixels"):
        load_picture("missing.png", size)


def test_a_picture_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.png': no such file"):
        load_picture(tmp_path / "missing.png")


def test_an_unpainted_picture_is_enlarged_to_the_larger_photo_itself() -> None:
    photo = make_picture((96, 72), seed=4)
    larger, small = photo.resize((64, 48)), photo.resize((32, 24), Image.Resampling.LANCZOS)
    torch.testing.assert_close(enlarge_paint(to_tensor(small), photo, larger), to_tensor(larger))


def test_flat_paint_is_enlarged_as_it_is() -> None:
    photo = Image.new("RGB", (96, 72), (100, 100, 100))
    larger, small = photo.resize((64, 48)), photo.resize((32, 24))
    painted = to_tensor(small) + 0.2
    torch.testing.assert_close(enlarge_paint(painted, photo, larger), to_tensor(larger) + 0.2)


def test_paint_stays_where_it_was_put() -> None:
    photo = Image.new("RGB", (96, 72), (100, 100, 100))
    larger, painted = photo.resize((64, 48)), to_tensor(photo.resize((32, 24)))
    painted[:, 0, :, 8:] += 0.4  # red on the right three quarters
    paint = enlarge_paint(painted, photo, larger) - to_tensor(larger)
    red = paint[0, 0]
    torch.testing.assert_close(red[:, 20:], torch.full((48, 44), 0.4))
    torch.testing.assert_close(red[:, :12], torch.zeros(48, 12))
    torch.testing.assert_close(red[:, 15] + red[:, 16], torch.full((48,), 0.4))  # on the border
    torch.testing.assert_close(paint[:, 1:], torch.zeros(1, 2, 48, 64))


def test_enlarged_paint_is_clamped() -> None:
    photo = Image.new("RGB", (32, 24))
    painted = to_tensor(photo.resize((16, 12)))
    painted[..., 8:] = 1  # bicubic rings beside the step
    found = enlarge_paint(painted, photo, photo)
    assert (found.min().item(), found.max().item()) == (0, 1)


def test_an_enlarged_picture_is_smooth_and_stays_in_range() -> None:
    ramp = torch.linspace(0, 1, 16).expand(1, 3, 12, 16)
    found = enlarge_picture(ramp, (24, 32))
    assert found.shape == (1, 3, 24, 32)
    assert (found.min().item(), found.max().item()) == (0, 1)
    inside = (torch.arange(4, 28) + 0.5) / 2 - 0.5
    torch.testing.assert_close(found[0, 0, 5, 4:28], inside / 15, atol=0.005, rtol=0)


def sizes_of_a_photo() -> tuple[Tensor, Tensor]:
    """A detailed photo, small and large."""
    photo = make_picture((96, 72), seed=4)
    small = photo.resize((32, 24), Image.Resampling.LANCZOS)
    return to_tensor(small), to_tensor(photo.resize((64, 48), Image.Resampling.LANCZOS))


def test_where_a_picture_is_still_the_photo_it_has_the_photos_detail() -> None:
    before, after = sizes_of_a_photo()
    torch.testing.assert_close(enlarge_with_detail(before, before, after), after)


def test_where_paint_has_moved_on_there_is_none_of_the_photos_detail() -> None:
    before, after = sizes_of_a_photo()
    painted = (before + 0.5) % 1
    found = enlarge_with_detail(painted, before, after)
    torch.testing.assert_close(found, enlarge_picture(painted, (48, 64)), atol=0.005, rtol=0)


def test_the_photos_detail_is_decided_place_by_place() -> None:
    before, after = sizes_of_a_photo()
    painted = before.clone()
    painted[..., 16:] = (before[..., 16:] + 0.5) % 1
    found = enlarge_with_detail(painted, before, after)
    torch.testing.assert_close(found[..., :24], after[..., :24])
    flat = enlarge_picture(painted, (48, 64))
    torch.testing.assert_close(found[..., 40:], flat[..., 40:], atol=0.005, rtol=0)


def test_the_farther_the_paint_the_less_of_the_photos_detail() -> None:
    before = torch.full((1, 3, 24, 32), 0.4)
    after = before.repeat_interleave(2, 2).repeat_interleave(2, 3) + 0.1 * image(7, 48, 64)
    shares = []
    for moved in (0.0, 0.04, 0.08, 0.3):
        detail = enlarge_with_detail(before + moved, before, after) - 0.4 - moved
        shares.append((detail / (after - 0.4)).mean().item())
    assert shares == pytest.approx([1, 0.7788, 0.3679, 0], abs=0.001)


def test_a_picture_of_the_right_size_is_not_enlarged() -> None:
    painted = image(0, 24, 40)
    photo = Image.new("RGB", (80, 48))
    assert enlarge_paint(painted, photo, photo.resize((40, 24))) is painted
    assert enlarge_picture(painted, (24, 40)) is painted
    assert enlarge_with_detail(painted, painted, painted.clone()) is painted
