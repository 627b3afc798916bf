import dataclasses

import numpy as np
import pytest
from fake_talkers import MANIFEST, SIZE, records

from eartalk_jax.errors import UserError
from eartalk_jax.evaluation import probe_store
from eartalk_jax.evaluation.probe import probe_config
from eartalk_jax.evaluation.probe_training import ProbeTraining, train_probe
from eartalk_jax.evaluation.scores import correlation

CONFIG = dataclasses.replace(
  probe_config(MANIFEST, SIZE), widths=(16, 32), hidden=32
)
QUICK = ProbeTraining(steps=200, batch=32)


@pytest.fixture(scope="module")
def probe():
  return train_probe(records(12, seed=1), CONFIG, QUICK)


def test_a_probe_reads_people_it_never_saw(probe):
  correct = []
  for record in records(6, seed=2):
    read = probe.read(record["frames"])
    assert read["mouth"].shape == (60, 3)
    assert correlation(read["mouth"][:, 0], record["tracks/mouth"][:, 0]) > 0.9
    assert correlation(read["pose"][:, 0], record["tracks/pose"][:, 0]) > 0.9
    correct.append((read["emotion"] == record["tracks/emotion"]).mean())
  assert np.mean(correct) > 0.8


def test_readings_are_in_the_units_of_the_truth(probe):
  people = records(6, seed=3)
  true_T = np.concatenate([r["tracks/mouth"][:, 0] for r in people])
  read_T = np.concatenate(
    [probe.read(r["frames"])["mouth"][:, 0] for r in people]
  )
  slope, offset = np.polyfit(true_T, read_T, 1)
  assert 0.7 < slope < 1.3
  assert abs(offset) < 0.15


def test_the_reading_of_a_frame_depends_on_no_other_frame(probe):
  frames_TYX3 = records(1, seed=4, frames=130)[0]["frames"]
  whole = probe.read(frames_TYX3)["mouth"]
  part = probe.read(frames_TYX3[115:125])["mouth"]
  np.testing.assert_allclose(part, whole[115:125], atol=1e-5)


def test_tracks_that_a_clip_does_not_have_teach_nothing():
  half = records(8, seed=1)
  for record in half[4:]:
    record["has/mouth"] = False
    record["tracks/mouth"] = np.full((60, 3), 1e3, np.float32)
  probe = train_probe(half, CONFIG, QUICK)
  assert 0.3 < probe.mean["mouth"][0] < 0.7
  record = records(1, seed=2)[0]
  read = probe.read(record["frames"])["mouth"][:, 0]
  assert correlation(read, record["tracks/mouth"][:, 0]) > 0.7


def test_data_without_truth_cannot_train_a_probe():
  with pytest.raises(UserError, match="--probe-data"):
    probe_config(MANIFEST | {"track_sizes": {}, "categories": {}}, SIZE)
  with pytest.raises(UserError, match=f"pictures of {SIZE} pixels .* but 99"):
    probe_config(MANIFEST, 99)


def test_a_kept_probe_is_used_until_data_or_config_change(
  tmp_path, probe, monkeypatch
):
  trained = []

  def train(source, config, training):
    trained.append(config)
    return dataclasses.replace(probe, config=config)

  monkeypatch.setattr(probe_store, "train_probe", train)
  first = probe_store.probe_for(tmp_path, "data", [], CONFIG)
  again = probe_store.probe_for(tmp_path, "data", [], CONFIG)
  assert len(trained) == 1
  frames_TYX3 = records(1)[0]["frames"]
  for name, value in first.read(frames_TYX3).items():
    np.testing.assert_array_equal(again.read(frames_TYX3)[name], value)
  probe_store.probe_for(tmp_path, "other data", [], CONFIG)
  assert len(trained) == 2
  (tmp_path / "probe.safetensors").write_bytes(b"damaged")
  probe_store.probe_for(tmp_path, "other data", [], CONFIG)
  assert len(trained) == 3
