import dataclasses

import numpy as np
from fake_talkers import MANIFEST, SIZE, records

from eartalk_jax.evaluation.probe import probe_config
from eartalk_jax.evaluation.probe_frames import gather_frames

CONFIG = probe_config(MANIFEST, SIZE)


def gather(source, config=CONFIG, per_clip=20):
  return gather_frames(source, config, per_clip, np.random.default_rng(0))


def test_truth_is_normalised_and_belongs_to_its_picture():
  frames = gather(records(4))
  assert frames.pictures_NYX3.shape == (80, SIZE, SIZE, 3)
  mouth_NK = frames.truth["mouth"]
  np.testing.assert_allclose(mouth_NK.mean(0), 0, atol=1e-4)
  np.testing.assert_allclose(mouth_NK.std(0), 1, atol=1e-3)
  raw_N = mouth_NK[:, 0] * frames.spread["mouth"][0] + frames.mean["mouth"][0]
  seen_N = frames.pictures_NYX3[:, 12, 8, 0] / 255
  np.testing.assert_allclose(seen_N, raw_N, atol=0.01)


def test_half_of_a_batch_is_in_the_mirror():
  source = records(4)
  for record in source:
    record["frames"][:, 0, 0] = 255  # a mark at the left
    record["frames"][:, 0, -1] = 0
  frames = gather(source)
  pictures_BYX3, truth, _ = frames.draw(16, np.random.default_rng(1))
  assert (pictures_BYX3[:8, 0, -1] == 255).all()
  assert (pictures_BYX3[8:, 0, 0] == 255).all()

  def rows(track):
    """The frame in which this track has these values."""
    return np.abs(frames.truth["mouth"] - track).sum(1).argmin()

  for index in range(16):
    row = rows(truth["mouth"][index])
    raw = frames.truth["pose"][row] * frames.spread["pose"]
    raw = raw + frames.mean["pose"]
    sign = np.array([-1, 1, -1]) if index < 8 else np.ones(3)
    expected = (raw * sign - frames.mean["pose"]) / frames.spread["pose"]
    np.testing.assert_allclose(truth["pose"][index], expected, atol=1e-4)
  assert (frames.pictures_NYX3[:, 0, 0] == 255).all()  # itself unchanged


def test_a_track_of_unknown_meaning_forbids_the_mirror():
  source = records(2)
  for record in source:
    record["tracks/ears"] = np.zeros((60, 2), np.float32)
    record["has/ears"] = True
  config = dataclasses.replace(CONFIG, tracks=(*CONFIG.tracks, ("ears", 2)))
  frames = gather(source, config)
  assert frames.mirrored is None
  pictures_BYX3, _, _ = frames.draw(4, np.random.default_rng(1))
  assert pictures_BYX3.shape == (4, SIZE, SIZE, 3)
