import numpy as np
import pytest
from PIL import Image
from skimage import data

from data_pipelines.portrait import load_portrait
from eartalk_jax.errors import UserError


def picture(rows=90, columns=90):
  rng = np.random.default_rng(0)
  small = rng.integers(0, 255, (3, 3, 3), dtype=np.uint8)
  return Image.fromarray(small).resize((columns, rows))


def saved(tmp_path, image, name="portrait.png", **options):
  path = tmp_path / name
  image.save(path, **options)
  return path


def whole(path):
  return load_portrait(path, 64, "whole").astype(int)


def close(a, b):
  return np.abs(a - b).mean() < 3


def test_grey_pictures_of_8_and_16_bits_become_colour(tmp_path):
  grey = picture().convert("L")
  expected = whole(saved(tmp_path, grey.convert("RGB")))
  assert close(whole(saved(tmp_path, grey)), expected)
  deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
  assert deep.mode == "I;16"
  assert close(whole(saved(tmp_path, deep)), expected)


def test_what_is_transparent_becomes_neutral_grey(tmp_path):
  image = picture().convert("RGBA")
  alpha = np.zeros((90, 90), np.uint8)
  alpha[:, 45:] = 255
  image.putalpha(Image.fromarray(alpha))
  found = whole(saved(tmp_path, image))
  assert close(found[:, :30], 128)
  assert close(found[:, 34:], whole(saved(tmp_path, picture()))[:, 34:])


def test_a_palette_with_transparency_is_read(tmp_path):
  image = picture().quantize(16)
  assert whole(saved(tmp_path, image, transparency=3)).shape == (64, 64, 3)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_cameras_rotation_is_undone(tmp_path, orientation):
  upright = picture(90, 60)
  turned = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
  }[orientation]
  exif = Image.Exif()
  exif[0x0112] = orientation
  path = saved(
    tmp_path, upright.transpose(turned), "a.jpg", exif=exif, quality=95
  )
  assert close(whole(path), whole(saved(tmp_path, upright)))


def test_16_pixels_and_4k_both_become_the_models_size(tmp_path):
  small = whole(saved(tmp_path, picture(16, 16)))
  large = whole(saved(tmp_path, picture(2160, 3840), "big.png"))
  assert small.shape == large.shape == (64, 64, 3)
  assert large.std() > 10


def test_the_face_of_a_real_photo_comes_to_the_middle(tmp_path):
  photo_YX3 = data.astronaut()
  border = ((100, 0), (900, 0), (0, 0))
  wide_YX3 = np.pad(photo_YX3, border, constant_values=128)
  path = saved(tmp_path, Image.fromarray(wide_YX3))

  def skin(faces):
    middle_YX3 = load_portrait(path, 64, faces)[26:42, 26:38].astype(float)
    return middle_YX3[..., 0].mean() - middle_YX3[..., 2].mean()

  assert skin("cascade") > 25
  assert skin("whole") < 10


def test_a_picture_without_a_face_is_named_with_the_remedy(tmp_path):
  path = saved(tmp_path, Image.new("RGB", (200, 200), "white"))
  with pytest.raises(UserError, match="no face was found.*--faces whole"):
    load_portrait(path, 64, "cascade")


def test_files_that_are_no_pictures_are_named(tmp_path):
  text = tmp_path / "portrait.txt"
  text.write_text("not a picture")
  with pytest.raises(UserError, match="portrait.txt is not a picture"):
    whole(text)
  with pytest.raises(UserError, match="cannot be read.*No such file"):
    whole(tmp_path / "none.png")
  with pytest.raises(UserError, match="cannot be read"):
    whole(tmp_path)
  broken = saved(tmp_path, picture())
  broken.write_bytes(broken.read_bytes()[:60])
  with pytest.raises(UserError, match="portrait.png"):
    whole(broken)
  with pytest.raises(UserError, match="3 x 3 pixels"):
    whole(saved(tmp_path, picture(3, 3)))
