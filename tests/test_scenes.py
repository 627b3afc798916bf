import numpy as np
from PIL import Image
from skimage import data

from data_pipelines import scenes


def shot(frames, seed):
  """A smooth picture with a little noise, as thumbnails."""
  rng = np.random.default_rng(seed)
  base = rng.integers(20, 230, (4, 4, 3)).repeat(4, 0).repeat(4, 1)
  noise = rng.normal(0, 2, (frames, 16, 16, 3))
  return np.clip(base + noise, 0, 255).astype(np.uint8)


def test_cuts_are_found_to_the_frame():
  thumbs = np.concatenate([shot(30, 0), shot(5, 1), shot(40, 2)])
  assert scenes.find_cuts(thumbs) == [30, 35]


def test_a_steady_shot_has_no_cut():
  assert scenes.find_cuts(shot(100, 0)) == []
  assert scenes.find_cuts(shot(1, 0)) == []


def test_a_flash_is_no_cut():
  thumbs = shot(60, 0)
  thumbs[30] = 250
  assert scenes.find_cuts(thumbs) == []


def pan(frames):
  """A camera that sweeps over a photograph, as thumbnails."""
  photo = Image.fromarray(data.astronaut())
  boxes = [(60 + 3 * i, 40 + 4 * i, 316 + 3 * i, 296 + 4 * i) for i in frames]
  return np.stack(
    [np.asarray(photo.resize((16, 16), Image.BOX, box)) for box in boxes]
  )


def test_camera_motion_and_a_fade_are_no_cut():
  assert scenes.find_cuts(pan(range(50))) == []
  weight = np.linspace(0, 1, 25)[:, None, None, None]
  first, last = shot(25, 0), shot(25, 1)
  fade = (first * (1 - weight) + last * weight).astype(np.uint8)
  assert scenes.find_cuts(np.concatenate([first, fade, last])) == []


def test_a_cut_in_the_midst_of_motion_is_found():
  moving = pan(range(40))
  other = moving[:, ::-1, :, ::-1]
  assert scenes.find_cuts(np.concatenate([moving, other])) == [40]


def test_parts_cover_everything_and_none_is_too_long():
  parts = scenes.split([30, 35], 1000, longest=200)
  assert parts[0] == (0, 30) and parts[1] == (30, 5)
  assert sum(count for _, count in parts) == 1000
  assert all(0 < count <= 200 for _, count in parts)
  ends = [first + count for first, count in parts]
  assert [first for first, _ in parts] == [0, *ends[:-1]]
