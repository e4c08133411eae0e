from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

import overpaint.reports.film
from overpaint.errors import WriteError
from overpaint.reports.film import film_steps, film_suffix, has_h264, save_film

EIGHT_MB = 8_000_000


def saved(folder: Path, pictures: Sequence[Image.Image]) -> list[Path]:
    paths = [folder / f"step_{step:05d}.png" for step in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    return paths


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def plain(size: tuple[int, int], level: int) -> Image.Image:
    return Image.new("RGB", size, (level, 255 - level, 128))


def shown(path: Path) -> list[tuple[float, Image.Image]]:
    """The pictures of a film, each with the second at which it comes."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as film:
            frames = [*film.decode(video=0)]
        return [(float(frame.time or 0), frame.to_image()) for frame in frames]
    found, at = [], 0.0
    with Image.open(path) as animation:
        for i in range(getattr(animation, "n_frames", 1)):
            animation.seek(i)
            animation.load()
            found.append((at, animation.convert("RGB")))
            at += animation.info["duration"] / 1000
    return found


def distance(one: Image.Image, other: Image.Image) -> float:
    """Mean difference in grey levels."""
    levels = [np.asarray(picture).astype(np.float64) for picture in (one, other)]
    return float(np.abs(levels[0] - levels[1]).mean())


@pytest.mark.parametrize("last", [1, 2, 50, 96, 120, 193, 300, 3000, 100_000])
def test_steps_begin_with_the_start_and_end_with_the_last(last: int) -> None:
    steps = film_steps(last)
    assert (steps[0], steps[-1]) == (0, last)
    assert steps == sorted(set(steps))
    assert len(steps) <= 73


def test_every_step_of_a_short_run_is_shown() -> None:
    assert film_steps(12) == list(range(13))


def test_a_short_run_keeps_no_more_pictures_than_cost_little() -> None:
    assert [len(film_steps(last)) for last in (48, 120, 288, 3000)] == [22, 29, 69, 73]


def test_early_steps_are_closer_together_than_late_ones() -> None:
    steps = film_steps(3000)
    assert steps[:3] == [0, 1, 2]
    assert np.diff(steps).max() == pytest.approx(3000 / 36, abs=2)
    early = [step for step in steps if step <= 3000 / 4]
    assert len(early) / len(steps) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("suffix", [".mp4", ".webp"])
def test_a_film_shows_the_pictures_in_their_order_and_holds_the_last(
    tmp_path: Path, suffix: str
) -> None:
    levels = [0, 60, 120, 180]
    paths = saved(tmp_path, [plain((64, 48), level) for level in levels])
    path = tmp_path / f"film{suffix}"
    seconds = save_film(paths, plain((64, 48), 240), path)
    found = shown(path)
    expected = [plain((64, 48), level) for level in [*levels, 240]]
    for (_, picture), wanted in zip(found, expected, strict=False):
        assert distance(picture, wanted) < 4
    assert distance(found[-1][1], expected[-1]) < 4
    reached = next(at for at, picture in found if distance(picture, expected[-1]) < 4)
    assert seconds - reached == pytest.approx(1.0)
    assert [at for at, _ in found[:5]] == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize(("suffix", "edge"), [(".mp4", 512), (".webp", 320)])
def test_a_long_film_of_noise_stays_short_and_small(tmp_path: Path, suffix: str, edge: int) -> None:
    pictures = saved(tmp_path, [noise((512, 512), seed) for seed in range(8)])
    path = tmp_path / f"film{suffix}"
    seconds = save_film(pictures * 40, noise((600, 600), 9), path)
    assert 5 < seconds <= 6
    assert 100_000 < path.stat().st_size <= EIGHT_MB
    found = shown(path)
    assert found[-1][0] < 6
    assert {picture.size for _, picture in found} == {(edge, edge)}


def test_too_many_pictures_are_thinned_evenly_and_the_first_stays(tmp_path: Path) -> None:
    levels = np.linspace(0, 250, 400).round().astype(int)
    paths = saved(tmp_path, [plain((32, 32), int(level)) for level in levels])
    path = tmp_path / "film.mp4"
    save_film(paths, plain((32, 32), 255), path)
    reds = [np.asarray(picture)[..., 0].mean() for _, picture in shown(path)][:73]
    assert reds[0] == pytest.approx(0, abs=4)
    assert reds[36] == pytest.approx(levels[200], abs=5)
    assert np.diff(reds).max() < 14


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ((64, 48), (64, 48)),
        ((65, 49), (64, 48)),
        ((1000, 751), (512, 384)),
        ((301, 999), (154, 512)),
        ((2000, 40), (512, 16)),
        ((20, 18), (20, 18)),
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".webp"])
def test_all_frames_have_one_size_with_even_edges(
    tmp_path: Path, suffix: str, last: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = make_picture((max(1, last[0] // 4), max(1, last[1] // 4)), seed=1)
    path = tmp_path / f"film{suffix}"
    save_film(saved(tmp_path, [small]), make_picture(last, seed=2), path)
    sizes = {picture.size for _, picture in shown(path)}
    assert len(sizes) == 1
    ((width, height),) = sizes
    assert width % 2 == height % 2 == 0
    if suffix == ".mp4":
        assert (width, height) == expected


def test_colours_are_those_of_the_pictures(tmp_path: Path) -> None:
    colours = ["red", "lime", "blue", "yellow", "gray", "white", "black"]
    pictures = [Image.new("RGB", (64, 64), name) for name in colours]
    path = tmp_path / "film.mp4"
    save_film(saved(tmp_path, pictures[:-1]), pictures[-1], path)
    for picture, (_, frame) in zip(pictures, shown(path), strict=False):
        assert distance(picture, frame) < 4
    with av.open(str(path)) as film:
        coded = film.streams.video[0].codec_context
        assert (coded.name, coded.pix_fmt) == ("h264", "yuv420p")  # what browsers play
        told = (coded.colorspace, coded.color_primaries, coded.color_trc, coded.color_range)
        assert told == (1, 1, 1, 1)  # BT.709, 16 to 235


def boxes(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        yield name
        at += length


def test_a_browser_can_begin_before_it_has_all_of_a_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    save_film(saved(tmp_path, [plain((32, 32), 9)]) * 192, plain((32, 32), 99), path)
    names = [*boxes(path.read_bytes())]
    assert names.index(b"moov") < names.index(b"mdat")


def test_pictures_that_were_cut_short_are_left_out(tmp_path: Path) -> None:
    paths = saved(tmp_path, [plain((32, 32), level) for level in (0, 100, 200)])
    paths[1].write_bytes(paths[1].read_bytes()[:60])
    path = tmp_path / "film.webp"
    save_film([*paths, tmp_path / "gone.png"], plain((32, 32), 250), path)
    reds = [np.asarray(picture)[..., 0].mean() for _, picture in shown(path)]
    assert reds == pytest.approx([0, 200, 250], abs=4)


def test_one_picture_is_a_film_too(tmp_path: Path) -> None:
    for name in ("film.mp4", "film.webp"):
        assert save_film([], plain((32, 32), 100), tmp_path / name) == pytest.approx(1, abs=0.5)
        assert shown(tmp_path / name)


def test_large_animations_lose_quality_before_they_are_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, path = saved(tmp_path, [noise((64, 64), 1)]), tmp_path / "film.webp"
    save_film(paths, noise((64, 64), 2), path)
    usual = path.stat().st_size
    monkeypatch.setattr(overpaint.reports.film, "_LARGEST", usual - 1)
    save_film(paths, noise((64, 64), 2), path)
    assert path.stat().st_size < usual


@pytest.mark.parametrize("suffix", [".mp4", ".webp"])
def test_a_film_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    paths = saved(tmp_path, [plain((32, 32), 0)])
    path = tmp_path / f"film{suffix}"
    path.write_bytes(b"before")
    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(WriteError, match="No space left"):
            save_film(paths, plain((32, 32), 9), path)
    assert path.read_bytes() == b"before"
    assert sorted(tmp_path.iterdir()) == before


def test_an_encoder_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overpaint.reports.film, "_MOOV", {"moov_size": "64"})  # no list fits
    paths = saved(tmp_path, [plain((32, 32), 0)])
    with pytest.raises(WriteError, match=r"film\.mp4': cannot be written"):
        save_film(paths, plain((32, 32), 9), tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()


def test_without_pyav_or_its_encoder_films_are_animations(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_h264()
    assert film_suffix() == ".mp4"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "av", None)
        assert film_suffix() == ".webp"

    def unknown(name: str, mode: str) -> None:
        raise av.codec.codec.UnknownCodecError(name)

    monkeypatch.setattr(av, "Codec", unknown)
    assert film_suffix() == ".webp"


def test_an_animation_repeats(tmp_path: Path) -> None:
    path = tmp_path / "film.webp"
    save_film(saved(tmp_path, [plain((32, 32), 0)]), plain((32, 32), 200), path)
    with Image.open(io.BytesIO(path.read_bytes())) as animation:
        assert animation.info["loop"] == 0  # for ever
