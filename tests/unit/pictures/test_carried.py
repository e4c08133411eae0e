from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from overpaint.pictures.carried import Carried, carried
from overpaint.pictures.deep.picture import DeepPicture
from overpaint.pictures.io import save_picture

Tag = ExifTags.Base
PLACE = b"48.8583 N 2.2945 E"  # stands in all places where a camera may have put it
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><exif:GPSLatitude>" + PLACE + b"</exif:GPSLatitude>"


def of_a_telephone() -> Image.Exif:
    """The blocks that a telephone writes: camera, place, maker's note, thumbnail, turned by 90."""
    exif = Image.Exif()
    exif[Tag.Make], exif[Tag.Model] = "Maker", "Telephone 12"
    exif[Tag.Orientation] = 6
    exif[Tag.Software] = "17.2"
    exif[Tag.Artist], exif[Tag.Copyright] = "A. Photographer", "2024"
    exif[Tag.XResolution] = exif[Tag.YResolution] = IFDRational(72)
    exif[Tag.XPComment] = PLACE
    exif[Tag.XMLPacket] = XMP
    exif[ExifTags.IFD.Exif] = {
        Tag.ExposureTime: IFDRational(1, 250),
        Tag.FNumber: IFDRational(18, 10),
        Tag.ISOSpeedRatings: 64,
        Tag.DateTimeOriginal: "2024:05:01 10:20:30",
        Tag.OffsetTimeOriginal: "+02:00",
        Tag.LensModel: "back camera 4.2mm f/1.8",
        Tag.BodySerialNumber: "SERIAL",
        Tag.MakerNote: b"Maker iOS\0\0\1MM" + PLACE + bytes(50),
        Tag.UserComment: b"ASCII\0\0\0" + PLACE,
        Tag.ExifImageWidth: 4032,
        Tag.ColorSpace: 65535,
        Tag.SubjectLocation: (1, 2),
    }
    exif[ExifTags.IFD.GPSInfo] = {
        ExifTags.GPS.GPSLatitudeRef: "N",
        ExifTags.GPS.GPSLatitude: (IFDRational(48), IFDRational(51), IFDRational(3)),
        ExifTags.GPS.GPSAreaInformation: PLACE,
    }
    return exif


def photo_as(kind: str, exif: bytes | Image.Exif | None = None, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (12, 8), (90, 60, 30)).save(
        data, kind, exif=of_a_telephone().tobytes() if exif is None else exif, **options
    )
    return data.getvalue()


KINDS: dict[str, dict[str, Any]] = {
    "JPEG": {"xmp": XMP, "comment": PLACE},
    "PNG": {},
    "WEBP": {"xmp": XMP},
    "TIFF": {},
}


def saved(path: Path, kept: Carried, *, deep: bool) -> tuple[bytes, Image.Exif]:
    """A result with what is kept of a photo: its file, and the EXIF that others read in it."""
    image = Image.new("RGB", (30, 20), (1, 2, 3))
    result = DeepPicture(np.full((3, 20, 30), 777, np.uint16)) if deep else image
    save_picture(result, path, resolution=kept.resolution, exif=kept.exif)
    with Image.open(path) as picture:
        exif = picture.getexif()
        for block in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.IFD1):
            exif.get_ifd(block)
    return path.read_bytes(), exif


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("suffix", "deep"),
    [("jpg", False), ("png", False), ("webp", False), ("tif", False), ("png", True), ("tif", True)],
)
def test_a_result_says_who_when_and_how_but_never_where(
    tmp_path: Path, kind: str, suffix: str, deep: bool
) -> None:
    data = photo_as(kind, **KINDS[kind])
    assert PLACE in data
    written, exif = saved(tmp_path / f"x.{suffix}", carried(data, "photo"), deep=deep)
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    assert exif[Tag.Model] == "Telephone 12"
    assert exif[Tag.Artist] == "A. Photographer"
    assert camera[Tag.DateTimeOriginal] == "2024:05:01 10:20:30"
    assert float(camera[Tag.ExposureTime]) == pytest.approx(1 / 250)
    assert camera[Tag.LensModel] == "back camera 4.2mm f/1.8"
    assert exif.get(Tag.Orientation, 1) == 1
    assert camera[Tag.ColorSpace] == 1
    assert not exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    gone = {Tag.MakerNote, Tag.UserComment, Tag.OffsetTimeOriginal, Tag.BodySerialNumber}
    assert not gone & set(camera)
    for hidden in (PLACE, b"GPS", b"SERIAL", b"+02:00", b"xmpmeta"):
        assert hidden not in written


def test_a_thumbnail_is_left(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.new("RGB", (16, 12), (255, 0, 0)).save(small, "JPEG")
    block = of_a_telephone().tobytes()
    # A second directory behind the first: where a thumbnail lies, and how long it is.
    tiff = bytearray(block[6:])
    order = "<" if tiff[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, first)
    place = len(tiff)
    struct.pack_into(f"{order}I", tiff, first + 2 + 12 * count, place)
    tiff += struct.pack(f"{order}H", 2)
    tiff += struct.pack(f"{order}HHII", 0x0201, 4, 1, place + 30)
    tiff += struct.pack(f"{order}HHII", 0x0202, 4, 1, len(small.getvalue()))
    tiff += bytes(4) + small.getvalue()
    data = photo_as("JPEG", b"Exif\0\0" + bytes(tiff))
    assert data.count(b"JFIF") == 2
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)
    written, exif = saved(tmp_path / "x.jpg", carried(data, "photo"), deep=False)
    assert exif[Tag.Model] == "Telephone 12"
    assert written.count(b"JFIF") == 1


def test_a_photo_without_exif_has_none_to_keep() -> None:
    data = photo_as("JPEG", b"")
    assert carried(data, "photo").exif is None


def hostile(kind: int, count: int, value: bytes) -> bytes:
    """EXIF with a camera's name and an entry that is not what it says."""
    entries = struct.pack("<HHI4s", Tag.Make, 2, 4, b"Ok!\0")
    entries += struct.pack("<HHI4s", Tag.Artist, kind, count, value)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4)


@pytest.mark.parametrize(
    "block",
    [
        hostile(2, 0xFFFFFFFF, b"\xff\xff\xff\xff"),  # a text of 4 GB
        hostile(5, 1, b"\xff\xff\xff\x7f"),  # a ratio outside the file
        hostile(13, 1, b"\x08\0\0\0"),  # a directory that is itself
        hostile(99, 7, b"abcd"),  # no type
        hostile(2, 4, b"\xff\xfe\xfd\0"),  # no text
        b"Exif\0\0" + bytes(40),
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"no EXIF at all",
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_hostile_exif_costs_no_more_than_itself(tmp_path: Path, kind: str, block: bytes) -> None:
    for suffix in ("jpg", "tif", "png"):
        _, exif = saved(tmp_path / f"x.{suffix}", carried(photo_as(kind, block), "p"), deep=False)
        assert exif.get(Tag.Make) in (None, "Ok!")


def test_a_long_value_is_left_and_the_others_stay(tmp_path: Path) -> None:
    exif = of_a_telephone()
    exif[Tag.ImageDescription] = "long " * 5000
    kept = carried(photo_as("PNG", exif), "photo")
    _, written = saved(tmp_path / "x.jpg", kept, deep=False)
    assert Tag.ImageDescription not in written
    assert written[Tag.Model] == "Telephone 12"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize(
    ("suffix", "deep"), [("jpg", 0), ("png", 0), ("tif", 0), ("png", 1), ("tif", 1)]
)
def test_the_resolution_goes_from_the_photo_to_the_result(
    tmp_path: Path, kind: str, suffix: str, deep: int
) -> None:
    data = photo_as(kind, b"", dpi=(300, 150))
    kept = carried(data, "photo")
    assert kept.resolution == pytest.approx((300, 150), abs=0.02)
    saved(tmp_path / f"x.{suffix}", kept, deep=bool(deep))
    with Image.open(tmp_path / f"x.{suffix}") as picture:
        assert picture.info["dpi"] == pytest.approx((300, 150), abs=0.02)


def test_without_a_resolution_a_png_says_none(tmp_path: Path) -> None:
    assert carried(photo_as("PNG", b""), "photo").resolution is None
    for deep in (False, True):
        saved(tmp_path / "x.png", Carried(), deep=deep)
        with Image.open(tmp_path / "x.png") as picture:
            assert "dpi" not in picture.info


@pytest.mark.parametrize("told", [(0, 0), (0.001, 300), (1e9, 1e9)])
def test_an_absurd_resolution_is_left(told: tuple[float, float]) -> None:
    data = bytearray(photo_as("PNG", b"", dpi=(300, 300)))
    at = data.index(b"pHYs")
    struct.pack_into(">II", data, at + 4, *(min(2**32 - 1, round(one / 0.0254)) for one in told))
    struct.pack_into(">I", data, at + 13, zlib.crc32(bytes(data[at : at + 13])))
    assert carried(bytes(data), "photo").resolution is None


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"II*\0" + bytes(20), b"\xff\xd8\xff"])
def test_what_is_no_picture_has_nothing_to_keep(data: bytes) -> None:
    kept = carried(data, "photo")
    assert kept.resolution is None
    assert kept.exif is None


def test_nothing_that_is_kept_is_not_finite() -> None:
    exif = of_a_telephone()
    exif[ExifTags.IFD.Exif] = {Tag.ExposureTime: IFDRational(1, 0), Tag.ISOSpeedRatings: 64}
    kept = carried(photo_as("PNG", exif), "photo").exif
    assert kept is not None
    read = Image.Exif()
    read.load(kept)
    camera = read.get_ifd(ExifTags.IFD.Exif)
    assert camera[Tag.ISOSpeedRatings] == 64
    assert Tag.ExposureTime not in camera
    assert all(math.isfinite(float(one)) for one in camera.values() if not isinstance(one, str))
