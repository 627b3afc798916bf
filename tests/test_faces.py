import numpy as np
import pytest
from PIL import Image
from skimage import data

from data_pipelines import crops, faces
from data_pipelines.rejects import Reject
from eartalk_jax.errors import UserError

FACE = (170, 65, 105)  # x, y, size of the astronaut's face


def near(box, want):
  return np.abs(np.array(box[:3]) - want).max() < 0.25 * want[2]


def test_the_cascade_finds_a_real_face_at_any_scale():
  photo = Image.fromarray(data.astronaut())
  for side in (160, 512, 1024):
    boxes = faces.detect_by_cascade(np.asarray(photo.resize((side, side))))
    assert len(boxes) == 1
    assert near(np.array(boxes[0][:3]) * 512 / side, np.array(FACE))
    assert boxes[0][3] >= faces.STRONG


@pytest.mark.parametrize("name", ["coffee", "camera", "moon", "grass"])
def test_a_picture_without_face_gives_no_steady_crop(name):
  picture = getattr(data, name)()
  if picture.ndim == 2:
    picture = np.stack([picture] * 3, -1)
  boxes = faces.detect_by_cascade(picture)
  strong = [box for box in boxes if box[3] >= faces.STRONG]
  assert strong == []
  with pytest.raises(Reject, match="no_face"):
    crops.steady_crop([boxes] * 5, 0.5)


def detector(picture_YX3):
  """What a user may supply."""
  return [(0, 0, len(picture_YX3) // 2, 1)]


def failing(picture_YX3):
  raise ZeroDivisionError


def test_a_users_detector_is_called():
  detect = faces.load_detector("test_faces:detector")
  assert detect(np.zeros((64, 64, 3), np.uint8)) == [(0, 0, 32, 1)]
  assert faces.load_detector("whole") is None


@pytest.mark.parametrize(
  "spec", ["nothing", "no.such:thing", "test_faces:missing", ":", "test_faces"]
)
def test_a_detector_that_is_not_there_is_named(spec):
  with pytest.raises(UserError, match=f"--faces {spec}"):
    faces.load_detector(spec)


def test_a_detector_that_fails_is_named():
  detect = faces.load_detector("test_faces:failing")
  with pytest.raises(UserError, match="test_faces:failing.*ZeroDivision"):
    detect(np.zeros((8, 8, 3), np.uint8))


def box(x, y=50, size=40, score=1.0):
  return (x, y, size, score)


def test_the_crop_is_steady_against_odd_boxes():
  samples = [[box(100 + i % 2)] for i in range(9)]
  steady = crops.steady_crop(samples, 0.5)
  samples[4] = [box(130, 70, 55), box(300, 10, 20)]
  shaken = crops.steady_crop(samples, 0.5)
  assert abs(steady.x - shaken.x) < 2 and abs(steady.y - shaken.y) < 2
  assert steady.side == shaken.side == 80
  assert steady.scores == {
    "face_gap": 0,
    "face_motion": pytest.approx(0.025),
    "second_face": 0,
  }
  assert steady.x < 100 and steady.x + steady.side > 141
  assert steady.y < 50 - 15 and steady.y + steady.side > 50 + 40


def test_two_faces_count_however_they_are_ordered():
  samples = [[box(100), box(300, size=35)], [box(300, size=35), box(100)]] * 3
  crop = crops.steady_crop(samples, 0.5)
  assert crop.scores["second_face"] == 1
  assert crop.scores["face_motion"] == 0
  assert crop.x < 100 < crop.x + crop.side  # the larger one


def test_a_small_face_in_the_background_is_no_second_face():
  samples = [[box(100), box(300, size=15)]] * 6
  assert crops.steady_crop(samples, 0.5).scores["second_face"] == 0


def test_a_face_that_leaves_has_a_gap():
  samples = [[box(100)]] * 5 + [[]] * 5
  assert crops.steady_crop(samples, 0.5).scores["face_gap"] == 2.5


def test_weak_boxes_continue_a_face_and_make_none():
  weak = [box(104, score=0.2)]
  with pytest.raises(Reject, match="no_face"):
    crops.steady_crop([weak] * 8, 0.5)
  with pytest.raises(Reject, match="no_face"):
    crops.steady_crop([[box(100)], weak, weak] + [[]] * 5, 0.5)
  samples = [[box(100)]] + [weak] * 7
  assert crops.steady_crop(samples, 0.5).scores["face_gap"] == 0


def test_a_face_that_moves_is_measured_in_face_sizes():
  samples = [[box(100 + 4 * i)] for i in range(11)]
  crop = crops.steady_crop(samples, 0.5)
  assert crop.scores["face_motion"] == pytest.approx(0.5, abs=0.11)


def test_one_odd_box_is_no_motion():
  samples = [[box(100)]] * 4 + [[box(135)]] + [[box(100)]] * 5
  assert crops.steady_crop(samples, 0.5).scores["face_motion"] < 0.2


def test_nothing_found_is_no_face():
  for samples in ([[]] * 5, []):
    with pytest.raises(Reject, match="no_face"):
      crops.steady_crop(samples, 0.5)


class Still:
  """A picture in the shape of a media.Frame."""

  def __init__(self, picture_YX3):
    self.image = Image.fromarray(picture_YX3)
    self.size = self.image.size

  def scaled(self, width, height):
    return np.asarray(self.image.resize((width, height), Image.Resampling.BOX))


def test_a_crop_shows_its_square_and_nothing_else():
  picture = np.zeros((120, 200, 3), np.uint8)
  picture[28:92, 48:112] = 200
  crop = crops.Crop(50, 30, 60, {})
  got = crops.crop_picture(Still(picture), crop, 32)
  assert got.shape == (32, 32, 3) and got.min() > 190


def test_a_crop_beyond_the_edge_continues_the_edge():
  picture = np.full((100, 100, 3), 90, np.uint8)
  picture[:, :10] = 180
  got = crops.crop_picture(Still(picture), crops.Crop(-50, 20, 60, {}), 64)
  assert got[:, :50].min() > 170


def test_large_pictures_give_the_same_crop():
  photo = data.astronaut()
  large = np.asarray(Image.fromarray(photo).resize((2048, 2048)))
  crop = crops.Crop(130, 20, 200, {})
  fourfold = crops.Crop(520, 80, 800, {})
  small = crops.crop_picture(Still(photo), crop, 64)
  big = crops.crop_picture(Still(large), fourfold, 64)
  assert np.abs(small.astype(int) - big).mean() < 3


def test_pre_cropped_input_is_its_centre_square():
  crop = crops.whole_picture((200, 120))
  assert (crop.x, crop.y, crop.side) == (40, 0, 120)
