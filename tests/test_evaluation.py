import dataclasses

import numpy as np
import pytest
from fake_talkers import (
  MANIFEST,
  FakeGenerator,
  Loudness,
  Pixels,
  clips,
  records,
)

from eartalk_jax.errors import UserError
from eartalk_jax.evaluation import held_out, rollouts
from eartalk_jax.evaluation import measuring as evaluation
from eartalk_jax.evaluation.held_out_videos import make_videos
from eartalk_jax.evaluation.targets import judge


def figures(kind, people, probe=True):
  generator = FakeGenerator(kind)
  videos = make_videos(generator, people, 0, training_frames=8)
  metrics, arrays = evaluation.measure(
    people, videos, Pixels() if probe else None
  )
  return metrics, arrays, generator


def test_a_perfect_generator_scores_the_ceiling():
  metrics, arrays, _ = figures("oracle", clips(6))
  for name in ("lip", "yaw", "emotion", "emotion_changed"):
    assert metrics[name] == pytest.approx(metrics[f"{name}_ceiling"], abs=1e-6)
    assert metrics[name] > 0.999
  assert abs(metrics["lip_wrong_audio_own"]) < 0.2
  assert metrics["lip_wrong_audio_own"] == pytest.approx(
    metrics["lip_wrong_audio_own_ceiling"], abs=2e-3
  )
  assert metrics["lip_wrong_audio_driving"] > 0.999
  assert metrics["own_portrait_nearest"] == 1
  assert metrics["motion_ratio"] == pytest.approx(1)
  assert metrics["lip_first_tenth"] > 0.999
  assert metrics["lip_last_tenth"] > 0.999
  assert metrics["tokenizer_psnr_db"] == 100
  assert metrics["tokenizer_ssim"] == pytest.approx(1)
  assert arrays["mouth_truth"].shape == (6, 50)
  assert np.all(arrays["lip_by_tenth"] > 0.999)


def test_a_frozen_generator_scores_nothing():
  metrics, _, _ = figures("frozen", clips(6))
  for name in ("lip", "yaw", "lip_wrong_audio_driving", "motion_ratio"):
    assert metrics[name] == 0
  assert metrics["lip_first_tenth"] == metrics["lip_last_tenth"] == 0
  assert metrics["lip_copy_baseline"] == 0
  assert metrics["emotion"] > 0.5  # most of the time it is the portrait's
  assert metrics["emotion_changed"] == 0
  assert metrics["clips_counted"]["emotion_changed"] == 3
  # So a still portrait passes no aim but those of the picture.
  passed = {verdict.figure.key for verdict in judge(metrics) if verdict.passed}
  assert passed <= {
    "tokenizer_psnr_db",
    "lip_wrong_audio_own",
    "own_portrait_nearest",
    "lip_last_tenth",
  }


def test_a_generator_that_does_not_listen_is_found_out():
  metrics, _, _ = figures("deaf", clips(6))
  assert abs(metrics["lip"]) < 0.2
  assert metrics["yaw"] > 0.999


def test_somebody_else_in_the_picture_is_found_out():
  people = clips(6)
  generator = FakeGenerator()
  videos = make_videos(generator, people, 0, training_frames=8)
  others = dataclasses.replace(videos, own=videos.own[1:] + videos.own[:1])
  metrics, _ = evaluation.measure(people, others, Pixels())
  assert metrics["own_portrait_nearest"] == 0


def test_the_mouth_is_never_given():
  generator = FakeGenerator()
  control = dataclasses.make_dataclass("Control", ["name"])
  generator.config = dataclasses.make_dataclass("Config", ["controls"])(
    [control("mouth"), control("pose")]
  )
  for order in rollouts.own_orders(generator, clips(2)):
    assert set(order.controls) == {"pose"}


def test_figures_without_truth_are_none_and_nothing_breaks():
  source = records(4)
  for record in source:
    record["has/pose"] = False
  source[0]["has/mouth"] = False
  people = held_out.load_clips(
    source, Loudness(), MANIFEST["track_sizes"], 4, 50, 0
  )
  metrics, _, generator = figures("oracle", people)
  assert metrics["yaw"] is None
  assert metrics["clips_counted"]["yaw"] == 0
  told = metrics["not_measured"]
  assert {n for n, value in metrics.items() if value is None} == set(told)
  assert told["yaw_ceiling"] == "no clip has a truth of pose"
  assert metrics["clips_counted"]["lip"] == 3
  assert metrics["lip"] > 0.999
  assert "pose" not in generator.calls[0][0]


def test_no_truth_at_all_still_gives_the_figures_of_pictures():
  source = records(4, has=False)
  people = held_out.load_clips(
    source, Loudness(), MANIFEST["track_sizes"], 4, 50, 0
  )
  metrics, arrays, _ = figures("frozen", people, probe=False)
  assert metrics["motion_ratio"] == 0
  assert metrics["lip"] is metrics["emotion_changed_ceiling"] is None
  assert "truth of mouth" in metrics["not_measured"]["lip"]
  assert arrays == {}


def test_clips_of_different_lengths_go_together():
  long, short = clips(2, 60), clips(2, 30)
  people = [long[0], short[1]]
  _, arrays, _ = figures("oracle", people)
  assert np.isnan(arrays["mouth_own"][1, 30:]).all()
  assert np.isfinite(arrays["mouth_own"][0]).all()


def test_a_portrait_comes_from_outside_if_there_is_an_outside():
  source = records(3, 60)
  for clip, record in zip(
    held_out.load_clips(source, Loudness(), {}, 3, 50, 0), source, strict=True
  ):
    outside = [(clip.portrait_YX3 == f).all() for f in record["frames"][50:]]
    assert any(outside)


def test_one_clip_is_not_enough():
  with pytest.raises(UserError, match="two or more"):
    held_out.load_clips(records(1), Loudness(), {}, 5, 50, 0)


def test_a_long_stream_ends_with_the_words_it_began_with():
  people = clips(3)
  streams = rollouts.long_streams(FakeGenerator(), people, 400, 10)
  assert len(streams) == 3
  for stream in streams:
    features_TAF = stream.order.features_TAF
    assert len(features_TAF) == len(stream.mouth_TK) == 400
    np.testing.assert_array_equal(features_TAF[:40], features_TAF[360:])
    heard_T = features_TAF[:, 0, 0]
    np.testing.assert_allclose(heard_T, stream.mouth_TK[:, 0], atol=1e-4)
    pose_TK = stream.order.controls["pose"]
    np.testing.assert_array_equal(pose_TK[:40], pose_TK[360:])
