"""One picture from a file that nobody vouches for: upright, sRGB, opaque.

Commands and the example of an exported folder read portraits by it. It needs
numpy and Pillow (11 to 13) alone, so that it can lie in such a folder.

Dimension key: Y X picture.
"""

import contextlib
import io
import logging
import os
import stat
import warnings

import numpy as np
from PIL import Image, ImageChops, ImageCms, UnidentifiedImageError

# Pillow tells formats by content, and some of its readers start programs.
# JPEG brings MPO, of phones: several pictures, the first one counts.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
# Memory grows with both. Photographs of phones have up to 8192 x 6144 pixels.
_MOST_BYTES, _MOST_PIXELS = 400 * 10**6, 8192 * 6144
_SMALLEST_SIDE, _LONGEST_STRIP = 8, 20
# It says what is wrong in lines of its own; we say it in one.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# What shines through a transparent picture.
_BACKGROUND = (128, 128, 128)
# EXIF's orientation -> what undoes it.
_ORIENTATION = 0x0112
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
# White, by mode: the first that holds all numbers of a picture.
_WHITES = {"I": (255, 65_535, 2**31 - 1), "F": (1, 255, 65_535)}
_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}


class PictureError(ValueError):
  """The file cannot be a portrait; the message is one line that names it."""


def read_portrait(path, size):
  """The centre square of a picture, uint8 [size, size, 3].

  Raises:
    PictureError: see `read_picture`.
  """
  return centre_square(read_picture(path), size)


def centre_square(image, size):
  """The centre square of a Pillow image, uint8 [size, size, 3]."""
  width, height = image.size
  side = min(width, height)
  left, top = (width - side) / 2, (height - side) / 2
  square = image.resize(
    (size, size),
    Image.Resampling.BICUBIC,
    box=(left, top, left + side, top + side),
    reducing_gap=3.0,
  )
  return np.asarray(square)


def read_picture(path):
  """The picture in a file, of an animation the first, as an RGB image.

  Raises:
    PictureError: no such file, no such picture, damaged, too small, too large.
  """
  try:
    with _opened(path) as file, warnings.catch_warnings():
      # Pillow warns about large pictures, and about oddities of harmless ones.
      warnings.simplefilter("ignore")
      with Image.open(file, formats=_FORMATS) as image:
        _check_size(*image.size)
        # The library for these writes to the terminal itself.
        if getattr(image, "use_load_libtiff", False):
          raise PictureError("is a compressed TIFF picture; save it as PNG")
        image.load()
        return _plain(_upright(image))
  except PictureError as error:
    problem = str(error)
  except UnidentifiedImageError:
    problem = _unknown(path)
  except Image.DecompressionBombError:
    problem = "is too large; scale it down"
  except Exception as error:  # of damaged files Pillow raises of all kinds
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    reason = reason[:200] or type(error).__name__
    problem = f"cannot be read ({reason}); give another picture"
  raise PictureError(f"{shown(path)} {problem}") from None


def shown(path):
  """A file's name on one line, whatever bytes it has."""
  name = os.fsdecode(path)
  return name if name.isprintable() else ascii(name)


@contextlib.contextmanager
def _opened(path):
  """Yields an ordinary file: opening a pipe would wait for somebody."""
  found = os.stat(path)
  if not stat.S_ISREG(found.st_mode):
    raise PictureError("cannot be read (it is no ordinary file); give a file")
  if found.st_size > _MOST_BYTES:
    raise PictureError(
      f"is too large ({found.st_size // 10**6} MB); scale it down"
    )
  with open(path, "rb") as file:
    yield file


def _unknown(path):
  """What is wrong with a file that no reader knows."""
  with open(path, "rb") as file:
    head = file.read(12)
  if head[4:8] == b"ftyp" and head[8:10] in (b"he", b"mi", b"ms", b"av"):
    return "is an HEIC or AVIF picture; save it as JPEG or PNG"
  return "is not a picture that can be read; give a JPEG, PNG or WebP file"


def _check_size(width, height):
  size = f"has {width} x {height} pixels"
  short, long = sorted((width, height))
  if short < _SMALLEST_SIDE:
    raise PictureError(
      f"{size}; give a portrait of at least {_SMALLEST_SIDE} x {_SMALLEST_SIDE}"
    )
  if short * long > _MOST_PIXELS:
    raise PictureError(
      f"is too large: it {size}; scale it down to {_MOST_PIXELS // 10**6} "
      "million"
    )
  if long > _LONGEST_STRIP * short:
    raise PictureError(f"{size}, a strip; crop it to a square around the head")


def _upright(image):
  try:
    turn = _TURNS.get(image.getexif().get(_ORIENTATION))
  except Exception:  # damaged notes are no reason to refuse a picture
    turn = None
  return image if turn is None else image.transpose(turn)


def _plain(image):
  """The picture in 8 bits, opaque, in the colours of screens."""
  profile, alpha = image.info.get("icc_profile"), None
  if image.mode[0] in "IF":  # convert() would clip them
    image = _eight_bits(image)
  if image.has_transparency_data:
    if image.mode not in ("LA", "RGBA"):
      image = image.convert("RGBA")
    alpha = image.getchannel("A")
  if image.mode not in _SPACES:
    image = image.convert("RGB")
  if profile:
    image = _srgb(image, profile)
  image = image.convert("RGB")
  if alpha is not None:
    image.paste(_BACKGROUND, mask=ImageChops.invert(alpha))
  return image


def _eight_bits(image):
  """Grey of 16 bits, 32 bits or floats, scaled by its range to 8 bits."""
  grey_YX = np.asarray(image)
  if image.mode.startswith("I;16"):
    return Image.fromarray((grey_YX >> 8).astype(np.uint8))
  whites, low, high = _WHITES[image.mode], grey_YX.min(), grey_YX.max()
  white = next((white for white in whites if high <= white), None)
  if white is None or not low >= 0:  # NaN, too
    raise PictureError(
      f"has numbers from {low:g} to {high:g}; 0 (black) to one of "
      f"{whites} (white) are needed"
    )
  scaled_YX = grey_YX * np.float32(255 / white)
  np.rint(scaled_YX, out=scaled_YX)
  return Image.fromarray(scaled_YX.astype(np.uint8))


def _srgb(image, profile):
  """Wide gamuts, as of phones, to sRGB by the profile in the file."""
  try:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if source.profile.xcolor_space != _SPACES[image.mode]:
      return image
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
  except Exception:  # a damaged profile, or a Pillow without this
    return image
