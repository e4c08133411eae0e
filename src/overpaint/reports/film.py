"""Time-lapses: the pictures of a run as a short film."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from overpaint.errors import ImageError, WriteError, brief
from overpaint.files import write_bytes
from overpaint.pictures.io import fit_size, read_result, resize, size_of

if TYPE_CHECKING:
    import av

FILM_SUFFIXES = (".mp4", ".webp")
FILM_EDGE = 512
"""Longer edge of a film's pictures in pixels, at most."""

# At most; a picture costs 2 ms, so that those of a short run, one in so many steps, are fewer.
_FRAMES, _FEW, _EACH = 73, 25, 4
_SLOWEST, _SECONDS = 2, 5  # pictures a second, and how long they last if they are many
_LARGEST = 8_000_000  # bytes
_LEAST_EDGE = 16  # x264 takes no less
# 6 seconds of 6 Mbit/s and what its buffer holds are under 8 MB, whatever the pictures.
_X264 = {"preset": "veryfast", "crf": "18", "maxrate": "6000k", "bufsize": "3000k"}
_BT709, _STUDIO_RANGE = 1, 1  # as H.264 numbers them
# Room before the pictures for the list of them, so that a browser can begin before it has them all.
_MOOV = {"moov_size": "16384"}
# Pillow holds all pictures of an animation in memory, and knows no rate of bytes.
_WEBP_EDGE, _WEBP_QUALITIES = 320, (80, 50, 20, 0)


def film_steps(last: int) -> list[int]:
    """The steps whose pictures make a time-lapse, the start, 0, among them.

    Their square roots are evenly spaced, so that each of the early steps, which change much, is
    there, and the late ones are not forgotten.

    Args:
        last: step of the run.
    """
    n = min(_FRAMES, max(_FEW, last // _EACH + 1)) - 1
    return sorted({(last * i * i + n * n // 2) // (n * n) for i in range(n + 1)})


def film_suffix() -> str:
    """The ending of films that this installation makes by itself."""
    return ".mp4" if has_h264() else ".webp"


def has_h264() -> bool:
    """Whether PyAV is there, with an encoder of H.264."""
    try:
        import av

        av.Codec("libx264", "w")
    except (ImportError, ValueError):  # a PyAV may be built without
        return False
    return True


def save_film(pictures: Sequence[Path], last: Image.Image, path: Path) -> float:
    """Makes a film of at most 6 seconds and 8 MB, whole or not at all.

    All pictures are brought to one size: that of the last one, with even edges, the longer one at
    most 512 pixels. What cannot be read is left out.

    Args:
        pictures: files, in their order; of too many some are left out, evenly.
        last: the picture that the film ends with, and shows for a second; mode RGB.
        path: ends in .mp4 (H.264), which needs PyAV, or .webp (animated, smaller, for ever).

    Returns:
        How many seconds it lasts.

    Raises:
        WriteError: if it cannot be written or encoded.
    """
    is_mp4 = path.suffix.lower() == ".mp4"
    chosen = _thinned(pictures, _FRAMES - 1)
    rate = max(_SLOWEST, math.ceil((len(chosen) + 1) / _SECONDS))
    edge = FILM_EDGE if is_mp4 else _WEBP_EDGE
    shown = _of_one_size(chosen, last, _even(size_of(last), edge))
    if is_mp4:
        data, seconds = _mp4(shown, rate, path)
    else:
        data, seconds = _webp([*shown], rate)
    write_bytes(path, data)
    return seconds


def _thinned(pictures: Sequence[Path], most: int) -> list[Path]:
    count = len(pictures)
    return [pictures[i * count // most] for i in range(most)] if count > most else [*pictures]


def _even(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """A (height, width) like `size` as H.264 takes it: colours are stored for squares of 2x2."""
    height, width = fit_size(size, min(edge, max(size)))
    return max(_LEAST_EDGE, height // 2 * 2), max(_LEAST_EDGE, width // 2 * 2)


def _of_one_size(
    pictures: Sequence[Path], last: Image.Image, size: tuple[int, int]
) -> Iterator[Image.Image]:
    for path in pictures:
        try:
            picture = read_result(path)
        except ImageError:  # cut short when the run was
            continue
        yield _brought_to(size, picture)
    yield _brought_to(size, last)


def _brought_to(size: tuple[int, int], picture: Image.Image) -> Image.Image:
    """As large as (height, width); a row or column too many is cut off, which blurs nothing."""
    height, width = size
    if 0 <= picture.height - height < 2 and 0 <= picture.width - width < 2:
        return picture.crop((0, 0, width, height))
    return resize(picture, size)


def _mp4(pictures: Iterator[Image.Image], rate: int, path: Path) -> tuple[bytes, float]:
    """A film in H.264 as browsers play it, one picture at a time in memory."""
    import av

    data, count = io.BytesIO(), 0
    first = next(pictures)
    try:
        with av.open(data, "w", format="mp4", options=_MOOV) as film:
            stream = film.add_stream("libx264", rate=rate, options=_X264)
            stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
            coded = stream.codec_context
            coded.colorspace = coded.color_primaries = coded.color_trc = _BT709
            coded.color_range = _STUDIO_RANGE
            picture = first
            for picture in itertools.chain([first], pictures):
                film.mux(stream.encode(_frame(picture)))
                count += 1
            for _ in range(rate - 1):
                film.mux(stream.encode(_frame(picture)))
            film.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise WriteError(error.errno, brief(error), str(path)) from error
    return data.getvalue(), (count + rate - 1) / rate


def _frame(picture: Image.Image) -> av.VideoFrame:
    import av

    frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace="ITU709")


def _webp(pictures: Sequence[Image.Image], rate: int) -> tuple[bytes, float]:
    """An animation that begins anew, in the best quality that is not too large."""
    durations = [round(1000 / rate)] * (len(pictures) - 1) + [1000]
    for quality in _WEBP_QUALITIES:
        data = io.BytesIO()
        pictures[0].save(
            data,
            "WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=durations,
            quality=quality,
            method=4,
            loop=0,
        )
        if data.tell() <= _LARGEST:
            break
    return data.getvalue(), sum(durations) / 1000
