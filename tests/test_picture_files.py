"""Pictures of all kinds, and files that are none."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from eartalk_jax.export.picture_files import PictureError, read_picture

GREY_YX = np.add.outer(np.arange(40), 3 * np.arange(50)).astype(np.uint8)


def chart():
  """Smooth, and unlike itself however it is turned or mirrored."""
  y, x = np.mgrid[:40, :50]
  colours = np.stack([4 * y, 5 * x, 255 - 2 * x - 3 * y], -1)
  return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))


def saved(tmp_path, image, name="x.png", **options):
  """Writes a file, with no or little loss."""
  path = tmp_path / name
  if name.endswith((".jpg", ".mpo")):
    options["quality"] = 95
  elif name.endswith(".webp"):
    options["lossless"] = True
  image.save(path, **options)
  return path


def read(path):
  return np.asarray(read_picture(path)).astype(int)


def problem(path):
  """What is said of a file; always one line that can be printed."""
  with pytest.raises(PictureError) as caught:
    read_picture(path)
  assert str(caught.value).isprintable()
  assert len(str(caught.value)) < 500
  return str(caught.value)


def turned(image, orientation):
  """The picture as a camera in that orientation stores it (EXIF 2.3)."""
  stored_YX = np.asarray(image)
  # Row 0 and column 0 of what is stored are these sides of what is seen.
  rows, columns = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
  }[orientation]
  if rows in ("left", "right"):
    stored_YX = stored_YX.swapaxes(0, 1)
  if rows in ("bottom", "right"):
    stored_YX = stored_YX[::-1]
  if columns in ("bottom", "right"):
    stored_YX = stored_YX[:, ::-1]
  return Image.fromarray(np.ascontiguousarray(stored_YX))


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp", "x.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone_in_every_format(
  tmp_path, orientation, name
):
  exif = Image.Exif()
  exif[0x0112] = orientation
  image = turned(chart(), orientation)
  found = read(saved(tmp_path, image, name, exif=exif))
  assert found.shape == (40, 50, 3)
  assert np.abs(found - np.asarray(chart())).mean() < 2


def test_damaged_notes_are_no_reason_to_refuse_a_picture(tmp_path):
  exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\xff\xff" * 9
  path = saved(tmp_path, chart(), "x.jpg", exif=exif)
  assert np.abs(read(path) - np.asarray(chart())).mean() < 2
  path = saved(tmp_path, chart(), icc_profile=b"no profile" * 20)
  assert np.array_equal(read(path), np.asarray(chart()))


def deep(kind, white):
  return Image.fromarray((GREY_YX / 255 * white).astype(kind))


@pytest.mark.parametrize(
  ("image", "name"),
  [
    (deep(np.uint16, 65_535), "x.png"),
    (deep(np.uint16, 65_535), "x.tif"),
    (deep(">u2", 65_535), "x.tif"),
    (deep(np.int32, 65_535), "x.tif"),
    (deep(np.int32, 2**31 - 200), "x.tif"),
    (deep(np.float32, 1), "x.tif"),
    (deep(np.float32, 255), "x.tif"),
    (deep(np.float32, 65_535), "x.tif"),
    (Image.fromarray(GREY_YX).convert("LA"), "x.png"),
    (Image.fromarray(GREY_YX).convert("P"), "x.gif"),
    (Image.fromarray(GREY_YX).convert("RGBA"), "x.tif"),
    (Image.fromarray(GREY_YX), "x.bmp"),
  ],
)
def test_grey_of_any_depth_is_scaled_by_its_range(tmp_path, image, name):
  found = read(saved(tmp_path, image, name))
  assert np.abs(found - GREY_YX[..., None]).max() <= 1


def test_colour_of_16_bits_is_scaled_by_its_range(tmp_path):
  colours_YX3 = np.asarray(chart())
  rows = [b"\0" + row.astype(">u2").tobytes() for row in colours_YX3 * 257.0]
  path = tmp_path / "x.png"
  path.write_bytes(png(50, 40, 16, 2, b"".join(rows)))
  assert np.array_equal(read(path), colours_YX3)


def png(width, height, bits, kind, rows, more=b""):
  """The bytes of a PNG file."""

  def chunk(name, content):
    check = zlib.crc32(name + content)
    length = struct.pack(">I", len(content))
    return length + name + content + struct.pack(">I", check)

  head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
  data = chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(rows))
  return b"\x89PNG\r\n\x1a\n" + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 70_000.0])
def test_floats_of_no_range_are_an_error_that_names_it(tmp_path, value):
  pixels_YX = np.full((9, 9), 0.5, np.float32)
  pixels_YX[4, 4] = value
  path = saved(tmp_path, Image.fromarray(pixels_YX), "x.tif")
  assert "numbers from" in problem(path)


@pytest.mark.parametrize("mode", ["1", "CMYK", "YCbCr"])
def test_every_mode_becomes_colour(tmp_path, mode):
  image = chart().convert(mode)
  name = "x.png" if mode == "1" else "x.jpg"
  found = read(saved(tmp_path, image, name))
  assert np.abs(found - np.asarray(image.convert("RGB"))).mean() < 3


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_what_shines_through_is_grey_in_every_mode(tmp_path, mode):
  alpha_YX = np.tile(np.uint8([0, 128, 255] * 17)[:50], (40, 1))
  image = chart().convert("L").convert("RGBA")
  image.putalpha(Image.fromarray(alpha_YX))
  options = {}
  if mode == "P":
    image = Image.fromarray(GREY_YX % 4).convert("L").convert("P")
    options = {"transparency": bytes([0, 128, 255, 255])}
    alpha_YX = np.uint8([0, 128, 255, 255])[GREY_YX % 4]
  path = saved(tmp_path, image.convert(mode), **options)
  colours = np.asarray(image.convert("RGB")).astype(float)
  share = alpha_YX[..., None] / 255
  expected = colours * share + 128 * (1 - share)
  assert np.abs(read(path) - expected).max() <= 1


# XYZ (D50) of red, green and blue, as Apple's and ICC's profiles have them.
P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189))
P3 += ((0.1571, 0.06657, 0.78407),)
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708))
SRGB += ((0.14307, 0.06061, 0.7141),)


def display_p3():
  """sRGB's profile with other primaries: the two share their curve."""
  srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
  data = bytearray(srgb.tobytes())
  for name, numbers in zip((b"rXYZ", b"gXYZ", b"bXYZ"), P3, strict=True):
    at = data.index(name)
    (start,) = struct.unpack(">I", data[at + 4 : at + 8])
    fixed = [round(65_536 * number) for number in numbers]
    data[start + 8 : start + 20] = struct.pack(">3i", *fixed)
  return bytes(data)


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp"])
def test_wide_gamuts_are_converted_by_their_profile(tmp_path, name):
  wide = Image.new("RGB", (16, 16), (200, 150, 130))
  plain = read(saved(tmp_path, wide, name))
  assert np.abs(plain - (200, 150, 130)).max() <= 2
  path = saved(tmp_path, wide, name, icc_profile=display_p3())
  found = read(path).mean((0, 1))
  light = ((np.array([200, 150, 130]) / 255 + 0.055) / 1.055) ** 2.4
  light = np.linalg.solve(np.array(SRGB).T, np.array(P3).T @ light)
  expected = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
  assert np.abs(found - expected).max() < 2.5
  assert found[0] > 204


def test_a_profile_of_other_colours_than_the_pictures_is_left(tmp_path):
  path = saved(tmp_path, chart().convert("L"), icc_profile=display_p3())
  expected = np.asarray(chart().convert("L"))[..., None]
  assert np.array_equal(read(path), np.repeat(expected, 3, -1))


def test_of_several_pictures_the_first_is_taken(tmp_path):
  for name in ("x.mpo", "x.gif", "x.webp", "x.png", "x.tif"):
    several = {"save_all": True, "append_images": [ImageOps.invert(chart())]}
    path = saved(tmp_path, chart(), name, **several)
    path = path.rename(tmp_path / "any.jpg")
    assert np.abs(read(path) - np.asarray(chart())).mean() < 5, name


def test_no_format_that_starts_a_program_is_opened(tmp_path, monkeypatch):
  ran = tmp_path / "ran"
  (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {ran}\n")
  (tmp_path / "gs").chmod(0o755)
  monkeypatch.setenv("PATH", str(tmp_path))
  path = saved(tmp_path, chart(), "x.eps").rename(tmp_path / "face.png")
  assert "face.png is not a picture" in problem(path)
  assert not ran.exists()


@pytest.mark.parametrize("format", ["ICO", "PPM", "TGA", "PCX", "DDS", "XBM"])
def test_formats_that_nobody_needs_are_not_opened(tmp_path, format):
  image = chart().convert("1") if format == "XBM" else chart()
  path = saved(tmp_path, image, "x.png", format=format)
  assert "not a picture" in problem(path)


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_pictures_of_phones_that_are_not_read_are_named(tmp_path, brand):
  path = tmp_path / "x.jpg"
  path.write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(100))
  assert "HEIC or AVIF" in problem(path)
  assert "save it as" in problem(path)


def test_what_is_too_large_is_refused_before_it_is_decoded(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(Image.Image, "load", None)
  for size in ((9000, 9000), (30_000, 30_000), (60_000, 1000)):
    path = tmp_path / "x.png"
    path.write_bytes(png(*size, 8, 4, b""))
    assert f"too large: it has {size[0]} x {size[1]}" in problem(path) or (
      "too large; scale it down" in problem(path)
    )


def test_a_file_that_is_too_long_is_not_read(tmp_path):
  path = tmp_path / "x.webp"
  with open(path, "wb") as file:
    file.write(b"RIFF\xff\xff\xff\x7fWEBPVP8L")
    file.truncate(10**9)
  assert "too large (1000 MB)" in problem(path)


@pytest.mark.parametrize(
  ("size", "words"),
  [
    ((1, 4000), "1 x 4000 pixels"),
    ((4000, 8), "a strip"),
    ((8, 50_000), "a strip"),
    ((7, 7), "at least 8 x 8"),
  ],
)
def test_strips_and_specks_are_named(tmp_path, size, words):
  assert words in problem(saved(tmp_path, Image.new("L", size)))


def test_a_picture_without_pixels_is_a_line(tmp_path):
  path = tmp_path / "x.png"
  for size in ((0, 40), (40, 0), (0, 0)):
    path.write_bytes(png(*size, 8, 0, b""))
    problem(path)


def test_what_is_no_ordinary_file_is_a_line(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "loop").symlink_to("loop")
  (tmp_path / "empty").touch()
  for name in ("pipe", "loop", "empty", "gone", ".", "x" * 300, "a\0b"):
    problem(f"{tmp_path}/{name}")
  problem("/dev/zero")


@pytest.mark.parametrize("name", ["two\nlines", "caf\udce9", "\x1b[31m"])
def test_names_of_any_bytes_are_printed_on_one_line(tmp_path, name):
  assert "cannot be read" in problem(tmp_path / name)
  path = saved(tmp_path, chart(), "x.png").rename(tmp_path / name)
  assert read(path).shape == (40, 50, 3)
  path.write_bytes(b"nothing")
  assert "not a picture" in problem(path)


def test_damaged_files_are_pictures_or_lines(tmp_path, capfd):
  rng = np.random.default_rng(0)
  exif = Image.Exif()
  exif[0x0112] = 6
  notes = {"exif": exif, "icc_profile": display_p3()}
  path, refused = tmp_path / "damaged", 0
  for format in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "MPO"):
    whole = io.BytesIO()
    more = {} if format in ("GIF", "BMP") else notes
    chart().save(whole, format, **more)
    for turn in range(40):
      content = bytearray(whole.getvalue())
      if turn % 2:
        content = content[: rng.integers(len(content))]
      for at in rng.integers(len(content), size=8) if content else ():
        content[at] = rng.integers(256)
      path.write_bytes(content)
      try:
        read_picture(path)
      except PictureError as error:
        refused += 1
        assert str(error).isprintable()
  assert refused > 100
  assert capfd.readouterr() == ("", "")


def test_a_compressed_tiff_is_named(tmp_path):
  for kind in ("tiff_lzw", "jpeg", "tiff_deflate"):
    path = saved(tmp_path, chart(), "x.tif", compression=kind)
    assert "compressed TIFF" in problem(path)
