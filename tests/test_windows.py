"""Windows of latents that are several frames: what is cut, and what never."""

import numpy as np
import pytest
from talkers import TINY

from data_pipelines.windows import Cut
from eartalk_jax.models.config import AudioConfig, ControlConfig
from eartalk_jax.spans import frames_of, latents_of
from eartalk_jax.speech.contexts import Reach

S, FRAMES, WINDOW = 4, 31, 3  # two frames are left over
EVERY = 5  # frames between portraits
RUNNING, ALONE = 100, 1000  # what latents and portraits begin to count from


def clip():
  """Each number says of which latent, portrait or frame it is."""
  frames_T = np.arange(FRAMES, dtype=np.float32)
  latents_t = RUNNING + np.arange(latents_of(FRAMES, S))
  alone_R = np.arange(0, FRAMES, EVERY, dtype=np.int32)
  ones = np.ones((1, 2, 2, 3), np.float32)
  return {
    "clip_id": "a",
    "latents": latents_t[:, None, None, None] * ones,
    "portraits": (ALONE + alone_R)[:, None, None, None] * ones,
    "portrait_frames": alone_R,
    "features": frames_T[:, None, None] * np.ones((1, 1, 2), np.float32),
    "tracks/blink": frames_T[:, None],
    "has/blink": True,
  }


@pytest.fixture(scope="module")
def samples():
  audio = AudioConfig(past=1, ahead=1, steps=1, bins=2, tokens=1, drop=0.0)
  controls = (ControlConfig("blink", "continuous", 1, 0.0),)
  reach = Reach(1, 1, S, np.full((1, 2), -1, np.float32))
  cut = Cut(WINDOW, controls, audio, TINY.sinks, reach)
  rng = np.random.default_rng(0)
  return [cut.random_map(clip(), rng) for _ in range(200)]


def test_the_first_latent_is_given_and_never_to_be_made(samples):
  starts = {start for (_, start), _ in samples}
  # Latent 0 is one frame alone; the last whole latent ends with frame 28.
  assert starts == {1, 2, 3, 4, 5}
  for (_, start), sample in samples:
    found_T = sample["latents_BThwC"][:, 0, 0, 0] - RUNNING
    np.testing.assert_array_equal(found_T, start + np.arange(WINDOW))


def test_a_portrait_is_a_frame_alone_from_outside_of_the_window(samples):
  seen = set()
  for (_, start), sample in samples:
    frame = int(sample["sink_BShwC"][0, 0, 0, 0]) - ALONE
    # No latent of a running video, whose numbers are smaller.
    assert frame in range(0, FRAMES, EVERY)
    first = frames_of(start, S).start
    assert not first <= frame < first + S * WINDOW
    blink = sample["portrait"]["blink"]
    if blink.given:
      np.testing.assert_array_equal(blink.value, np.full(S, frame))
    seen.add(frame)
  # Frame 30 is of no latent, and still a portrait.
  assert seen == set(range(0, FRAMES, EVERY))


def test_sound_and_controls_are_those_of_a_latents_own_frames(samples):
  for (_, start), sample in samples:
    for place in range(WINDOW):
      span = frames_of(start + place, S)
      own = np.arange(span.start, span.stop)
      blink = sample["signals"]["blink"].value[place]
      np.testing.assert_array_equal(blink, own)
      heard = sample["signals"].audio.value[place].reshape(-1, 2)[:, 0]
      np.testing.assert_array_equal(heard, [own[0] - 1, *own, own[-1] + 1])
